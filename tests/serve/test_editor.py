"""The editor's routes: who may use them, and what a form cannot say."""

import json
import urllib.error
import urllib.request

import pytest
import yaml

from moa_graph import Mixture
from moa_graph.cli import serve
from tests.serving import Served, mixture

FORM = {
    "name": "mine",
    "layers": 2,
    "base": "team",
    "proposers": [{"model": "openai:one", "like": "team/0"}],
    "aggregator": {"model": "openai:agg", "like": "team/aggregator"},
}


@pytest.fixture(scope="module")
def owner(provider_server):
    team = mixture(
        provider_server, "one", "two", aggregator="agg", prices={"one": [1, 1], "agg": [1, 1]}, max_attempts=2
    )
    with Served({"team": team}, editor=True) as server:
        yield server


def call(server, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as exc:
        return exc.code, json.loads(exc.read())


def test_a_form_keeps_settings_that_it_does_not_show(owner, provider):
    status, found = call(owner, "/moa/editor/check", FORM)
    assert (status, found["problems"], found["calls"], found["name"]) == (200, [], 2, None)
    written = Mixture(**yaml.safe_load(found["yaml"]))
    assert written.max_attempts == 2 and written.proposers[0].base_url == provider.url
    assert found["money"].startswith("about $") and not provider.requests()


def test_choices_list_the_models_of_the_set_keys(owner, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    monkeypatch.setenv("GROQ_API_KEY", "gsk-test")
    _, found = call(owner, "/moa/editor/choices")
    providers = {name.partition(":")[0] for name in found["models"]}
    assert "groq" in providers and "local" in providers and "together" not in providers
    assert found["mixtures"][0]["base"] == "team" and "vote" in found["combiners"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"base": "other"}, "is not served"),
        ({"base": ["team"]}, "is not served"),
        ({"proposers": [{"model": "openai:x", "like": "team/7"}]}, "is not a model"),
        ({"proposers": [{"model": "openai:x", "base_url": "https://evil.example/v1"}]}, "base_url"),
        ({"proposers": [{"model": "openai:x", "api_key_env": "OPENAI_API_KEY"}]}, "api_key_env"),
        ({"proposers": [{"model": "openai:x", "params": {"a": 1}}]}, "params"),
        ({"combine": {"name": "verify", "check": {"command": ["touch", "/tmp/x"]}}}, "name of a combiner"),
        ({"prices": {}}, "prices"),
        ({"proposers": "x"}, "list of models"),
        ({"aggregator": None}, "give a model"),
    ],
)
def test_a_form_names_no_host_key_parameter_or_command(owner, change, reason):
    status, found = call(owner, "/moa/editor/add", {**FORM, **change})
    assert status == 400 and reason in found["error"]["message"]


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        ({"layers": 99}, "", "layers"),
        ({"proposers": [{"model": "openai:x", "temperature": 9}]}, "proposers.0", "temperature"),
        ({"proposers": [{"model": ""}, {"model": "x"}]}, "proposers.1", "provider:model"),
        ({"aggregator": {"model": "nobody:x"}}, "aggregator", "nobody"),
        ({"proposers": []}, "", "proposers"),
        ({"combine": "nope"}, "", "nope"),
        ({"name": "x" * 2000}, "", "name"),
    ],
)
def test_problems_name_their_place_and_nothing_is_added(owner, change, where, reason):
    status, found = call(owner, "/moa/editor/add", {**FORM, **change})
    assert status == 200 and found["name"] is None
    assert reason in " ".join(p["text"] for p in found["problems"] if p["where"] == where)


def test_a_missing_key_is_a_problem(owner, monkeypatch):
    monkeypatch.delenv("TOGETHER_API_KEY", raising=False)
    _, found = call(owner, "/moa/editor/check", {**FORM, "proposers": [{"model": "together:x"}]})
    assert "TOGETHER_API_KEY" in found["problems"][0]["text"]


def test_a_served_mixture_cannot_be_replaced_and_an_added_one_can(owner):
    assert call(owner, "/moa/editor/add", {**FORM, "name": "team"})[0] == 400
    assert call(owner, "/moa/editor/add", FORM)[1]["name"] == "mine"
    assert call(owner, "/moa/editor/add", {**FORM, "description": "second"})[1]["name"] == "mine"
    for n in range(30):
        call(owner, "/moa/editor/add", {**FORM, "name": f"mine-{n}"})
    names = [each["name"] for each in call(owner, "/moa/mixtures")[1]["mixtures"]]
    assert names[0] == "team" and len(names) == 21 and names[-1] == "mine-29"


@pytest.mark.parametrize("path", ["/moa/editor", "/moa/editor/choices"])
def test_it_answers_only_under_a_loopback_name(owner, path):
    assert call(owner, path, Host="192.168.1.5")[0] == 403
    assert call(owner, "/moa/editor/add", FORM, Host="10.0.0.1")[0] == 403
    assert call(owner, "/moa/editor/add", FORM, Origin="https://evil.example")[0] == 403


def test_other_servers_have_no_editor(served):
    assert call_status(served, "/moa/editor") == call_status(served, "/moa/editor/choices") == 404


def call_status(server, path):
    try:
        with urllib.request.urlopen(f"{server.url}{path}", timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as exc:
        return exc.code


@pytest.mark.parametrize(
    ("command", "host", "hosts", "on"),
    [
        ("ui", "127.0.0.1", "", True),
        ("ui", "127.0.0.1", "moa.example", False),
        ("ui", "0.0.0.0", "", False),
        ("serve", "127.0.0.1", "", False),
    ],
)
def test_only_the_owners_command_switches_it_on(monkeypatch, command, host, hosts, on):
    made = []
    monkeypatch.setenv("MOA_SERVE_HOSTS", hosts)
    monkeypatch.setenv("MOA_SERVE_KEY", "secret")
    monkeypatch.setattr("moa_graph.serve.app.create_app", lambda *args, editor, tune: made.append(editor))
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: sockets[0].close())
    run = serve.ui if command == "ui" else serve.serve
    run(presets=["local"], port=0, host=host)
    assert made == [on]
