"""A mixture is validated as a whole; every mistake gives one ConfigError with a solution."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from moa_graph import ConfigError, Mixture, MoAContext, Proposer, create_moa
from moa_graph.cli import main
from moa_graph.costs.prices import price
from moa_graph.mixture.files import preset_names, preset_path
from moa_graph.state import new_usage

GOOD: dict[str, Any] = {"proposers": ["openai:a", "openai:b"], "aggregator": "openai:c"}

BAD: list[tuple[dict[str, Any], str]] = [
    ({"proposers": []}, "at least one"),
    ({"layers": 0}, r"mixture\.layers.*from 1 to 10, got 0"),
    ({"layers": True}, r"mixture\.layers.*whole number"),
    ({"layers": 10**9}, r"mixture\.layers.*from 1 to 10"),
    ({"layers": 2.5}, r"mixture\.layers"),
    ({"deadline": math.nan}, r"mixture\.deadline.*got NaN"),
    ({"deadline": True}, r"mixture\.deadline"),
    ({"deadline": 0}, r"mixture\.deadline"),
    ({"proposers": ["openai:a", "openai:a"]}, "samples=2"),
    ({"proposers": [""]}, "provider:model"),
    ({"proposers": ["openai:"]}, "provider:model"),
    ({"proposers": [":x"]}, "provider:model"),
    ({"proposers": ["nonsense"]}, "provider:model"),
    ({"proposers": [3]}, r"mixture\.proposers\[0\]\.model.*provider:model.*got 3"),
    ({"propsers": ["openai:a"]}, "Did you mean 'proposers'"),
    ({"proposers": [{"model": "openai:a", "temprature": 1}]}, "Did you mean 'temperature'"),
    ({"proposers": [{"model": "openai:a", "temperature": 99}]}, r"temperature.*from 0 to 2"),
    ({"proposers": [{"model": "openai:a", "samples": 0}]}, "samples"),
    ({"proposers": [{"model": "openai:a", "samples": 65}]}, "samples"),
    ({"proposers": [{"model": "openai:a", "api_key_env": "X"}]}, "base_url"),
    ({"proposers": [{"model": "openai:a", "params": {"temperature": 0.2}}]}, "'temperature' is a field of its own"),
    ({"proposers": [{"model": "openai:a", "params": {"base_url": "https://h/v1"}}]}, "'base_url' is a field"),
    (
        {"proposers": [{"model": "openai:a", "params": {"api_key": "sk-planted-1"}}]},
        r"'api_key' is not a request .*env",
    ),
    ({"proposers": [{"model": "openai:a", "params": {"stop": object()}}]}, r"params: (stop|top_p) cannot be sent"),
    ({"proposers": [{"model": "openai:a", "params": {"top_p": math.nan}}]}, r"params: (stop|top_p) cannot be sent"),
    ({"prices": {"openai:a": [-1, 1]}}, r"prices\['openai:a'\]: give dollars"),
    ({"prices": {"openai:a": [1]}}, r"prices\['openai:a'\]: give dollars"),
    ({"prices": {"openai:a": 3}}, r"prices\['openai:a'\]: give dollars"),
    ({"prices": {"openai:a": [True, 1]}}, r"prices\['openai:a'\]: give dollars"),
    ({"prices": {"openai:a": [10**400, 1]}}, r"prices\['openai:a'\]: give dollars"),
    ({"prices": {"openai:a": {"input": 1}}}, r"prices\['openai:a'\]: give dollars"),
    ({"prices": {"openai:a": {"input": 1, "output": 2, "dat": "x"}}}, r"prices\['openai:a'\].*Did you mean 'date'"),
    ({"prices": [1]}, r"mixture\.prices"),
    ({"aggregator": None}, "aggregator.*provider:model"),
    ({"quorum": 3}, r"mixture\.quorum.*gives only 2"),
    ({"min_drafts": 3}, r"mixture\.min_drafts.*gives only 2"),
    ({"min_drafts": -1}, "min_drafts"),
    ({"rounds": [["openai:a"]]}, "either"),
    ({"proposers": [], "rounds": [["openai:a"], ["openai:b"]], "layers": 2}, "expected 3, .* got 2"),
    ({"proposers": [], "rounds": [[]]}, "rounds"),
    ({"prompt": "papers"}, r"mixture\.prompt"),
]


@pytest.mark.parametrize(("change", "reason"), BAD)
def test_a_wrong_mixture_is_one_config_error(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        Mixture.load({**GOOD, **change})


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda half: Mixture(proposers=["openai:a"], aggregator="openai:b", system=f"x{half}"), "mixture.system"),
        (lambda half: Mixture(proposers=[{"model": "openai:a", "system": half}], aggregator="openai:b"), "[0].system"),
        (lambda half: Proposer(model="openai:a", params={"stop": ["a", half]}), "proposer.params.stop[1]"),
        (lambda half: Proposer(model="openai:a", params={half: 1}), "proposer.params"),
        (lambda half: MoAContext(system=half), "context.system"),
    ],
)
def test_half_a_character_is_refused_where_it_stands(make: Callable[[str], Any], field: str) -> None:
    """Before any request: no model could be sent it."""
    with pytest.raises(ConfigError, match="half a character") as refused:
        make("\ud83d")
    assert field in str(refused.value)
    str(refused.value).encode()
    make("\U0001f600")


def test_a_key_written_into_a_field_by_mistake_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        Proposer(model="openai:a", base_url="https://h/v1", api_key_env="sk-planted-secret-1")
    assert "sk-planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "calls", "layers"),
    [
        ("together-moa", 13, 3),
        ("together-moa-lite", 7, 2),
        ("together-quickstart", 5, 2),
        ("self-moa", 7, 2),
        ("local", 4, 2),
        ("together", 5, 2),
        ("openai", 4, 2),
        ("mixed", 5, 2),
        ("openrouter", 5, 2),
        ("anthropic", 4, 2),
        ("google", 4, 2),
        ("mistral", 4, 2),
        ("groq", 5, 2),
        ("deepseek", 4, 2),
        ("xai", 4, 2),
        ("fireworks", 5, 2),
        ("ollama", 3, 2),
        ("lmstudio", 4, 2),
        ("council", 9, 2),
        ("fusion", 5, 2),
        ("self-consistency", 12, 2),
    ],
)
def test_presets_calls_and_layers(name: str, calls: int, layers: int) -> None:
    mixture = Mixture.load(name)
    assert (mixture.name, mixture.calls(), mixture.total_layers) == (name, calls, layers)
    assert mixture.date and mixture.source and mixture.description


def test_presets_are_all_tested() -> None:
    assert len(preset_names()) == 21


def test_paper_presets_use_the_paper_prompt_and_send_its_sampling() -> None:
    moa = Mixture.load("together-moa")
    assert moa.prompt == "paper"
    assert [s.label.rpartition("/")[2] for s in moa.proposers] == [
        "WizardLM-2-8x22B",
        "Qwen1.5-110B-Chat",
        "Qwen1.5-72B-Chat",
        "Llama-3-70b-chat-hf",
        "Mixtral-8x22B-Instruct-v0.1",
        "dbrx-instruct",
    ]
    assert {(s.temperature, s.max_tokens) for s in moa.specs} == {(0.7, 2048)}
    quick = Mixture.load("together-quickstart")
    assert (quick.aggregator.temperature, quick.aggregator.max_tokens) == (None, None)


def test_a_price_may_have_a_date(tmp_path: Path) -> None:
    text = "prices:\n  openai:a: {input: 1, output: 2.5, date: 2026-11-22}\n  openai:b: [1, 2]\n"
    (tmp_path / "m.yaml").write_text(text + yaml.safe_dump(GOOD))
    mixture = Mixture.load(tmp_path / "m.yaml")
    assert mixture.prices == {"openai:a": {"input": 1, "output": 2.5, "date": "2026-11-22"}, "openai:b": [1, 2]}
    usage = new_usage(1_000_000, 1_000_000)
    assert price(Proposer(model="openai:a"), usage, prices=mixture.prices) == 3.5
    assert mixture.changed(layers=3).prices == mixture.prices


def test_files_say_the_same_in_yaml_and_toml(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({**GOOD, "layers": 3}))
    (tmp_path / "m.toml").write_text('proposers = ["openai:a", "openai:b"]\naggregator = "openai:c"\nlayers = 3\n')
    as_yaml, as_toml = Mixture.load(tmp_path / "m.yaml"), Mixture.load(str(tmp_path / "m.toml"))
    assert as_yaml == as_toml == Mixture.load(GOOD, layers=3)


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"])
def test_a_file_from_powershell_is_read(start: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its `>` writes UTF-16, as in `moa presets show local > mine.yaml`."""
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(start, "utf-8")
    text = "proposers: ['local:smollm2']\r\naggregator: local:smollm2\r\nsystem: Grüße\r\n"
    (tmp_path / "m.yaml").write_bytes(start + text.encode(encoding))
    assert Mixture.load(tmp_path / "m.yaml").system == "Grüße"
    assert main(["presets", "add", str(tmp_path / "m.yaml"), "mine"]) == main(["presets", "show", "mine"]) == 0
    assert capsys.readouterr().out.replace("\r", "") == text.replace("\r", "")
    (tmp_path / "m.yaml").write_bytes(start + (text + "layers: 99\r\n").encode(encoding))
    with pytest.raises(ConfigError, match=r"m\.yaml, line 4, layers: "):
        Mixture.load(tmp_path / "m.yaml")


def test_a_file_in_another_encoding_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_bytes("system: Grüße\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"m\.yaml is not UTF-8 text \(.*\)\. Save it as UTF-8\.$"):
        Mixture.load(tmp_path / "m.yaml")


@pytest.mark.parametrize(
    ("text", "number"), [("5e-1", 0.5), ("5E-1", 0.5), ("+1e0", 1.0), (".1e1", 1.0), ("1.e0", 1.0), ("0.5", 0.5)]
)
def test_a_number_with_an_exponent_is_a_number(text: str, number: float, tmp_path: Path) -> None:
    """As in JSON and TOML. Otherwise `params` would carry it to the provider as text."""
    (tmp_path / "m.yaml").write_text(
        f"proposers: [{{model: 'openai:a', temperature: {text}, params: {{top_p: {text}, stop: '{text}'}}}}]\n"
        f"aggregator: openai:b\n"
    )
    (spec,) = Mixture.load(tmp_path / "m.yaml").proposers
    assert (spec.temperature, spec.params) == (number, {"top_p": number, "stop": text})


@pytest.mark.parametrize("model", ["openai: a", "openai:a ", " openai:a", "openai :a"])
def test_a_model_has_no_spaces_around_its_names(model: str) -> None:
    """They would reach the provider as a part of the name, which it does not know."""
    with pytest.raises(ConfigError, match="without spaces"):
        Mixture(proposers=[model], aggregator="openai:b")


@pytest.mark.parametrize("text", ["- a\n- b\n", "proposers: [unclosed", "1: 2\n", ""])
def test_a_file_that_is_not_a_mixture_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        Mixture.load(path)


def test_an_unknown_preset_or_file_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="together-moa-lite"):
        Mixture.load("togther")
    with pytest.raises(ConfigError, match="No such file"):
        Mixture.load(tmp_path / "absent.yaml")


def test_node_names_keep_declaration_order_with_eleven_and_more() -> None:
    mixture = Mixture(proposers=[f"openai:m{n}" for n in range(12)], aggregator="openai:a")
    names = [node.name for node in mixture.plan.nodes]
    assert names == sorted(names)
    assert names[2] == "p02-m2"


def test_samples_are_slots_and_shared_proposers_are_one_node() -> None:
    mixture = Mixture(
        rounds=[["openai:a", {"model": "openai:b", "samples": 2}], ["openai:b"]],
        aggregator="openai:c",
    )
    nodes, rounds = mixture.plan
    assert rounds[0] == ["p0-a", "p1-b", "p2-b"]
    # `samples` says how often, not what: the second round's one `b` is the first round's first.
    assert rounds[1] == ["p1-b"]
    assert len(nodes) == 3
    assert (mixture.total_layers, mixture.calls()) == (3, 5)


def test_the_hash_covers_the_models_and_not_the_limits() -> None:
    base = Mixture.load(GOOD)
    assert base.hash == Mixture.load(GOOD, deadline=5, max_cost=1.0, description="x").hash
    for change in ({"layers": 3}, {"prompt": "paper"}, {"system": "s"}, {"aggregator": "openai:d"}):
        assert Mixture.load(GOOD, **change).hash != base.hash


def test_fields_go_over_a_preset() -> None:
    assert Mixture.load("local", layers=3).calls() == 7
    assert Mixture.load("local", rounds=[["local:smollm2"]]).calls() == 2


def test_the_schema_accepts_what_the_loader_accepts() -> None:
    schema = Mixture.model_json_schema()
    kinds = schema["properties"]["aggregator"]["anyOf"]
    assert {"type": "string"} in kinds
    json.dumps(schema)


def test_a_preset_has_a_path() -> None:
    assert preset_path("local").read_text().startswith("name: local")


def test_every_field_of_a_mixture_file_is_described_in_its_schema() -> None:
    """Editors show the descriptions. They are those of the docstrings."""
    schema = Mixture.model_json_schema()
    classes = {"Mixture": schema, **schema["$defs"]}
    bare = [
        f"{name}.{field}"
        for name, each in classes.items()
        for field, found in each.get("properties", {}).items()
        if not found.get("description")
    ]
    assert bare == []
    assert schema["properties"]["aggregator"]["description"] == "The model that writes the answer."


@pytest.mark.parametrize("ledger", ["paid.db", Path("paid.db")])
def test_a_path_is_not_a_ledger(ledger: Any) -> None:
    with pytest.raises(ConfigError, match=r"ledger: expected a ledger, got .*Write Ledger\('paid.db', run=...\)"):
        create_moa("local", ledger=ledger)


@pytest.mark.parametrize(("argument", "known"), [("output", "full, answer"), ("history", "whole, delta")])
def test_an_unknown_choice_of_create_moa_is_refused(argument: str, known: str) -> None:
    given: dict[str, Any] = {argument: "json"}
    with pytest.raises(ConfigError, match=f"{argument}: 'json' is unknown. Choose one of: {known}"):
        create_moa("local", **given)


def test_a_relative_path_is_loaded_where_the_working_folder_may_not_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in async factories of graphs under `langgraph dev`."""

    def refused() -> str:
        raise RuntimeError("Blocking call to os.getcwd")

    (tmp_path / "mine.yaml").write_text('{"proposers": ["openai:a"], "aggregator": "openai:b"}')
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getcwd", refused)
        loaded = Mixture.load("mine.yaml")
    assert loaded.aggregator.origin.path == tmp_path / "mine.yaml"
