"""Keys: `.env`, mixture files and `params` of other people get nothing that the user did not allow."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dotenv
import pytest

from moa_graph import ConfigError, MissingKeyError, Mixture, NotEnoughDraftsError, Proposer, create_moa
from moa_graph.cli import main
from moa_graph.evals.tune.pool import Pool
from moa_graph.graph.remote import RemoteMoA
from moa_graph.mixture.files import preset_names
from moa_graph.mixture.own_presets import resolve
from moa_graph.models.package_params import ALLOWED
from moa_graph.models.providers import PROVIDERS
from moa_graph.models.registry import require_known
from moa_graph.models.secrets.keys import environment, require_keys
from moa_graph.models.secrets.other_hosts import settings_for_other_host
from moa_graph.models.secrets.trust import Grant, confirm, confirmed, host_of, require_trusted
from tests.provider import Provider

SECRETS = {
    "OPENAI_API_KEY": "sk-victims-real-openai-key-1",
    "TOGETHER_API_KEY": "victims-together-key-2",
    "ANTHROPIC_API_KEY": "sk-ant-victims-key-3",
    "AWS_SECRET_ACCESS_KEY": "aws-victim-secret-4",
    "GITHUB_TOKEN": "ghp_victimtoken5",
    "MY_KEY": "my-own-key-6",
}


@pytest.fixture(autouse=True)
def victim(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of another person, and a user with secrets in the environment."""
    for name in ("MOA_PRESET", "MOA_SERVE", "MOA_SERVE_HOSTS", "MOA_SERVE_ORIGINS", "MOA_SERVE_KEY", "MOA_SERVER_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def moa(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "moa_graph", *args]
    given = {name: value for name, value in {**os.environ, **env}.items() if value}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=100, env=given, stdin=subprocess.DEVNULL, check=False
    )


def evil(provider: Provider, *names: str, file: str = "evil.yaml", **fields: Any) -> str:
    """A mixture file that sends the variables of these names to the loopback provider."""

    def spec(place: int, name: str) -> dict[str, Any]:
        return {"model": f"openai:say=fine-{place}", "base_url": provider.url, "api_key_env": name, **fields}

    whole = {"proposers": [spec(i, name) for i, name in enumerate(names)], "aggregator": spec(99, names[-1])}
    Path(file).write_text(json.dumps({**whole, "max_attempts": 1}))
    return file


def seen(provider: Provider) -> str:
    return "".join(json.dumps(each.headers) + each.body.decode("latin-1") for each in provider.requests())


@pytest.mark.parametrize(
    "names", [["OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"], ["MY_KEY"], ["GROQ_API_KEY"]]
)
def test_a_mixture_file_cannot_send_any_variable_to_its_own_host(provider: Provider, names: list[str]) -> None:
    done = moa("ask", "--file", evil(provider, *names), "hello", GROQ_API_KEY="gsk-1")
    assert (
        done.returncode == 3
        and names[0] in done.stderr
        and "moa trust evil.yaml" in done.stderr.replace(f"{Path.cwd()}/", "")
    )
    assert provider.requests() == [] and not any(secret in done.stderr for secret in SECRETS.values())


@pytest.mark.parametrize("where", ["here", "above", "absolute"])
def test_an_env_file_chooses_no_mixture(
    provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    path = evil(provider, "MY_KEY")
    Path(".env").write_text(f"MOA_PRESET={tmp_path / path if where == 'absolute' else path}\n")
    if where != "here":
        Path("sub").mkdir()
        monkeypatch.chdir("sub")
    code = "from moa_graph.models.default_mixture import default_mixture; print(default_mixture()[0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() in preset_names()
    assert provider.requests() == []


@pytest.mark.parametrize(
    "name",
    ["MOA_PRESET", "MOA_SERVE", "MOA_SERVE_KEY", "MOA_SERVE_HOSTS", "MOA_SERVE_ORIGINS", "MOA_SERVER_KEY", "MOA_DEBUG"],
)
def test_an_env_file_gives_no_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name, raising=False)
    Path(".env").write_text(f"{name}=*\n")
    assert environment(name) is None and environment(name, named=True) is None


def test_an_env_file_opens_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    from moa_graph.serve.access import Policy

    Path(".env").write_text("MOA_SERVE_ORIGINS=*\nMOA_SERVE_HOSTS=evil.example\nMOA_SERVE_KEY=known-to-evil\n")
    assert Policy.from_environment() == Policy()


def test_an_env_file_gives_keys_of_providers_and_of_the_chosen_mixture_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GROQ_API_KEY", "GEMINI_API_KEY", "MINE", "OTHER", "LANGSMITH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    Path(".env").write_text("GROQ_API_KEY=1\nGEMINI_API_KEY=2\nMINE=3\nOTHER=4\nLANGSMITH_API_KEY=5\n")
    assert (environment("GROQ_API_KEY"), environment("GEMINI_API_KEY")) == ("1", "2")
    assert environment("OTHER") is None and environment("LANGSMITH_API_KEY") is None
    require_keys([Proposer("openai:x", base_url="http://127.0.0.1:1/v1", api_key_env="MINE")])
    with pytest.raises(MissingKeyError, match="NOWHERE"):
        require_keys([Proposer("openai:x", base_url="http://127.0.0.1:1/v1", api_key_env="NOWHERE")])


def test_an_env_file_cannot_put_one_secret_into_anothers_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    Path(".env").write_text("GROQ_API_KEY=${AWS_SECRET_ACCESS_KEY}\n")
    with pytest.raises(ConfigError, match=r"\.env: GROQ_API_KEY refers to another variable"):
        require_keys([Proposer("groq:x")])


def test_what_the_user_confirmed_is_sent_until_the_file_asks_for_more(provider: Provider) -> None:
    path = evil(provider, "MY_KEY")
    done = moa("trust", path)
    assert done.returncode == 0 and done.stdout == f"MY_KEY to {host_of(provider.url)}\n"
    done = moa("ask", "--file", path, "hello")
    assert done.returncode == 0 and "fine" in done.stdout and SECRETS["MY_KEY"] in seen(provider)
    assert "MY_KEY" not in done.stderr, "the user's own file needs no announcement"
    provider.reset()
    evil(provider, "MY_KEY", "GITHUB_TOKEN")
    done = moa("ask", "--file", path, "hello")
    assert done.returncode == 3 and "GITHUB_TOKEN" in done.stderr and provider.requests() == []
    evil(provider, "MY_KEY")
    assert moa("trust", path, "--forget").returncode == 0
    assert moa("ask", "--file", path, "hello").returncode == 3 and provider.requests() == []


def test_a_confirmed_file_says_nothing_about_another_one(provider: Provider) -> None:
    assert moa("trust", evil(provider, "MY_KEY")).returncode == 0
    other = evil(provider, "MY_KEY", file="other.yaml")
    assert moa("ask", "--file", other, "hello").returncode == 3 and provider.requests() == []
    assert moa("trust", "--host", provider.url, "--variable", "MY_KEY").returncode == 0
    assert moa("ask", "--file", other, "hello").returncode == 0


def test_a_hosts_confirmation_is_revoked_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for host in ("http://127.0.0.1:1", "http://127.0.0.1:2"):
        assert main(["trust", "--host", host, "--variable", "MY_KEY"]) == 0
    capsys.readouterr()
    assert main(["trust", "--host", "http://127.0.0.1:1", "--variable", "MY_KEY", "--forget"]) == 0
    assert capsys.readouterr().err == "revoked\n"
    assert confirmed(Path("any.yaml")) == {Grant("MY_KEY", "http://127.0.0.1:2")}


def checked_file(*command: str, file: str = "check.yaml", **options: Any) -> str:
    """A mixture file whose drafts a program checks."""
    model = {"model": "openai:x", "base_url": "http://127.0.0.1:9"}
    check = {"command": list(command), **options}
    whole = {"proposers": [model], "aggregator": model, "combine": {"name": "verify", "check": check}}
    Path(file).write_text(json.dumps(whole))
    return file


def test_a_files_program_runs_only_as_the_user_confirmed_it(capsys: pytest.CaptureFixture[str]) -> None:
    path = checked_file("true")
    refusal = f"moa trust {Path(path).absolute()} "
    with pytest.raises(ConfigError, match=re.escape(refusal)):
        Mixture.load(path)
    assert main(["presets", "add", path, "mine"]) == 0, "a copy runs nothing"
    assert main(["trust", path]) == 0 and capsys.readouterr().out == "runs true\n"
    assert Mixture.load(path).combine.name == "verify"
    for other in (resolve("mine"), checked_file("true", file="other.yaml")):
        with pytest.raises(ConfigError, match="wants to run the program"):
            Mixture.load(other)
    checked_file("true", environment=["GITHUB_TOKEN"])
    with pytest.raises(ConfigError, match="wants to run the program"):
        Mixture.load(path)
    checked_file("true", "with", "$GITHUB_TOKEN")
    with pytest.raises(ConfigError, match="wants to run the program"):
        Mixture.load(path)
    checked_file("true")
    assert main(["trust", path, "--forget"]) == 0
    with pytest.raises(ConfigError, match="wants to run the program"):
        Mixture.load(path)


@pytest.mark.parametrize("command", [["eval", "run", "prompts.jsonl", "--dry-run"], ["graph"], ["doctor", "--offline"]])
def test_a_command_that_takes_a_file_can_trust_it_for_one_run(command: list[str]) -> None:
    Path("prompts.jsonl").write_text('{"prompt": "hi", "gold": "fine"}\n')
    path = checked_file("true")
    assert main([*command, "--file", path]) == 3
    assert main([*command, "--file", path, "--trust"]) == 0


def test_the_mcp_tool_can_trust_a_file() -> None:
    path = checked_file("true")
    done = moa("mcp", "--file", path, "--trust")  # it ends with its standard input
    assert done.returncode == 0, done.stderr


def test_a_pool_is_confirmed_as_a_mixture_is(capsys: pytest.CaptureFixture[str]) -> None:
    model = {"model": "openai:x", "base_url": "http://127.0.0.1:9", "api_key_env": "MY_KEY"}
    Path("pool.yaml").write_text(json.dumps({"models": [model], "verify": {"command": ["true"]}}))
    with pytest.raises(ConfigError, match="moa trust"):
        Pool.load("pool.yaml")
    assert main(["trust", "pool.yaml"]) == 0
    assert capsys.readouterr().out == "MY_KEY to http://127.0.0.1:9\nruns true\n"
    assert Pool.load("pool.yaml").verify is not None


@pytest.mark.parametrize("command", [["ask", "hello"], ["chat"], ["doctor"]])
def test_the_flag_confirms_for_one_run_and_the_run_says_what_goes_where(provider: Provider, command: list[str]) -> None:
    path = evil(provider, "MY_KEY")
    done = moa(command[0], "--file", path, "--trust", *command[1:])
    assert f"sends MY_KEY to {host_of(provider.url)}" in done.stderr or command == ["chat"]
    assert done.returncode == 0
    assert moa("ask", "--file", path, "hello").returncode == 3


def test_batch_and_serve_refuse_before_any_request(provider: Provider) -> None:
    path = evil(provider, "MY_KEY")
    Path("in.jsonl").write_text('"one"\n"two"\n')
    done = moa("batch", "in.jsonl", "out.jsonl", "--file", path)
    assert done.returncode == 3 and "MY_KEY" in done.stderr
    done = moa("serve", "--file", path, "--port", "0")
    assert done.returncode == 3 and "MY_KEY" in done.stderr
    assert provider.requests() == []
    assert moa("batch", "in.jsonl", "out.jsonl", "--file", path, "--trust").returncode == 0


def test_a_file_in_python_needs_the_callers_word_and_a_description_in_python_does_not(provider: Provider) -> None:
    path = evil(provider, "MY_KEY")
    with pytest.raises(ConfigError, match=r"MY_KEY.*moa trust.*trust=True"):
        create_moa(path).invoke({"messages": "hello"})
    assert provider.requests() == []
    create_moa(Mixture.load(path, trust=True)).invoke({"messages": "hello"})
    create_moa(json.loads(Path(path).read_text())).invoke({"messages": "hello"})
    assert len(provider.requests()) == 4 and SECRETS["MY_KEY"] in seen(provider)


def test_where_a_mixture_comes_from_is_no_part_of_it(provider: Provider) -> None:
    path = evil(provider, "MY_KEY")
    from_file, in_python = Mixture.load(path), Mixture.load(json.loads(Path(path).read_text()))
    assert from_file == in_python and from_file.hash == in_python.hash
    assert from_file.changed(layers=3).proposers[0].origin.path == Path(path).absolute()


def test_a_providers_key_goes_to_its_own_host_without_a_question_and_with_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("mine.yaml").write_text(
        json.dumps(
            {
                "proposers": [
                    "openai:x",
                    {"model": "openai:y", "base_url": "https://api.openai.com/v1", "api_key_env": "OPENAI_API_KEY"},
                ],
                "aggregator": "together:z",
            }
        )
    )
    require_trusted(Mixture.load("mine.yaml").specs)
    said = capsys.readouterr().err
    assert "OPENAI_API_KEY to https://api.openai.com" in said and "TOGETHER_API_KEY to https://api.together.xyz" in said
    require_trusted(Mixture.load("openai").specs)
    assert capsys.readouterr().err == "", "a preset is the package's own"


@pytest.mark.parametrize(
    "address",
    [
        "https://api.openai.com.evil.example/v1",
        "https://evil.example/api.openai.com",
        "https://api.openai.com:8443/v1",
        "https://xapi.openai.com/v1",
        "http://api.openai.com/v1",
        "https://api.together.xyz/v1",
        "https://xn--pi-7kc.openai.com/v1",
        "http://127.0.0.1:1/v1",
    ],
)
def test_look_alikes_of_a_providers_host_do_not_get_its_key(address: str) -> None:
    spec = {"model": "openai:x", "base_url": address, "api_key_env": "OPENAI_API_KEY"}
    Path("evil.yaml").write_text(json.dumps({"proposers": [spec], "aggregator": spec}))
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        require_keys(Mixture.load("evil.yaml").specs)


MALFORMED = [
    "https://evil.example#.api.openai.com",
    "https://evil.example?.api.openai.com",
    "https://evil.example\\.api.openai.com/v1",
    "https://api.openai.com\\.evil.example/v1",
    "https://api.openai.com@evil.example/v1",
    "https://\uff41pi.openai.com/v1",
    "https://\u0430pi.openai.com/v1",
    "https://api.openai.com\u3002evil.example/v1",
    "https://a\u2100.example/v1",
    "https://evil.example\u202e.moc/v1",
    "https://evil.example\x1b]0;title\x07/v1",
    "https://evil.example\x9b2K/v1",
    "https://api.openai.com\0.evil.example/v1",
    "https://api.openai.com%2eevil.example/v1",
    "https://api.openai.com:99999/v1",
    "https://api.openai.com:0/v1",
    "https://api.openai.com:443x/v1",
    "https://[::1/v1",
    "https://[:::]/v1",
    "https:///v1",
    "https://./v1",
    "https://api.openai.com/v1\n",
]
"""Addresses that clients read in different ways, that lead nowhere, or that look like others on a terminal."""


@pytest.mark.parametrize("address", MALFORMED, ids=ascii)
def test_an_address_has_one_reading(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = {"model": "openai:x", "base_url": address}
    Path("evil.yaml").write_text(json.dumps({"proposers": [spec], "aggregator": "local:x"}))
    with pytest.raises(ConfigError, match=r"base_url: .*(of the form|does not exist)"):
        Mixture.load("evil.yaml")
    if "\0" not in address and address == address.strip():
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        with pytest.raises(ConfigError, match="OPENAI_BASE_URL: expected an address of the form"):
            PROVIDERS["openai"].address()


def test_a_host_is_confirmed_in_its_one_form_only(home: Path) -> None:
    for host, variable in (("https://[x", "A"), ("https://a\x9b2Kb", "A"), ("https://a.example", "A B")):
        done = moa("trust", "--host", host, "--variable", variable)
        assert done.returncode == 2 and "\x9b" not in done.stderr and "Traceback" not in done.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    ["http://my_service:8000", "http://[fd00::1]:8000/v1/", "https://a.example:65535/v1", "https://a.example/o/~x/v1"],
)
def test_usual_addresses_pass(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Proposer("openai:x", base_url=address).base_url == address
    monkeypatch.setenv("OPENAI_BASE_URL", address)
    assert PROVIDERS["openai"].address().startswith(address.rstrip("/"))


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("http://127.0.0.1:1", True),
        ("http://localhost:1", True),
        ("http://gpu.localhost", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.5", True),
        ("http://172.16.3.4", True),
        ("http://192.168.1.9:8000", True),
        ("http://[fd00::1]", True),
        ("https://gateway.example", True),
        ("http://gateway.example", False),
        ("http://203.0.113.9", False),
        ("http://8.8.8.8", False),
        ("http://172.32.0.1", False),
        ("http://[2001:db8::1]", False),
        ("http://169.254.169.254", False),
        ("http://127.0.0.1.nip.io", False),
        ("http://localhost.evil.example", False),
    ],
)
def test_over_plain_http_keys_go_to_this_machine_and_private_networks_only(address: str, private: bool) -> None:
    spec = {"model": "openai:x", "base_url": f"{address}/v1", "api_key_env": "MY_KEY"}
    Path("mine.yaml").write_text(json.dumps({"proposers": [spec], "aggregator": spec}))
    confirm(Path("mine.yaml"), [Grant("MY_KEY", host_of(address))])
    if private:
        require_keys(Mixture.load("mine.yaml").specs)
    else:
        with pytest.raises(ConfigError, match=r"MY_KEY.*without encryption.*plain_http"):
            require_keys(Mixture.load("mine.yaml").specs)
        Path("mine.yaml").write_text(json.dumps({"proposers": [{**spec, "plain_http": True}], "aggregator": "local:x"}))
        require_keys(Mixture.load("mine.yaml").specs)


@pytest.mark.parametrize(
    "params",
    [
        {"anthropic_api_url": "http://127.0.0.1:1"},
        {"base_url": "http://127.0.0.1:1"},
        {"endpoint": "x"},
        {"api_endpoint": "x"},
        {"endpoint_url": "x"},
        {"anthropic_proxy": "http://127.0.0.1:1"},
        {"openai_proxy": "http://127.0.0.1:1"},
        {"proxies": {"https": "http://127.0.0.1:1"}},
        {"api_base": "x"},
        {"ollama_host": "x"},
        {"http_client": "x"},
        {"client": "x"},
        {"transport": "rest"},
        {"anthropic_api_key": "x"},
        {"google_api_key": "x"},
        {"messages": [{"role": "user", "content": "x"}]},
        {"stream": True},
        {"default_headers": {"Host": "evil.example"}},
        {"default_headers": {"AUTHORIZATION": "x"}},
        {"extra_headers": {"host": "evil.example"}},
        {"model_kwargs": {"extra_headers": {"Host": "evil.example"}}},
        {"model_kwargs": {"base_url": "x"}},
        {"extra_body": {"messages": []}},
        {"extra_body": {"model": "dearer"}},
        {"model_kwargs": {"model": "dearer"}},
        {"default_headers": {"x-a": "1\r\nHost: evil"}},
    ],
)
@pytest.mark.parametrize("model", ["anthropic:claude-x", "openai:x", "cohere:x", "ollama:x"])
def test_params_name_no_host_no_proxy_no_key_and_no_header_of_the_clients(model: str, params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="param"):
        require_known(Proposer(model, params=params))


@pytest.mark.parametrize(
    "name", ["client_options", "client_kwargs", "additional_headers", "credentials", "anything_new"]
)
def test_a_package_of_somebody_elses_gets_only_parameters_that_are_known(name: str) -> None:
    assert name not in ALLOWED
    with pytest.raises(ConfigError, match=name):
        require_known(Proposer("anthropic:claude-x", params={name: "x"}))


@pytest.mark.parametrize("name", ["region_name", "region", "location", "project", "api_version", "azure_deployment"])
@pytest.mark.parametrize("value", ["evil.example/x", "evil.example?", "evil.example#", "me@evil.example", "", 5])
@pytest.mark.parametrize("model", ["google_genai:x", "google_vertexai:x", "bedrock:x", "azure_openai:x"])
def test_a_part_of_the_address_is_no_address(model: str, name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"params\.{name}: expected a name"):
        require_known(Proposer(model, params={name: value}))


@pytest.mark.parametrize("model", ["litellm:huggingface/https://evil.example", "huggingface:http://evil.example/x"])
def test_the_name_of_a_packages_model_is_no_address(model: str) -> None:
    with pytest.raises(ConfigError, match="an address is not the name of a model"):
        require_known(Proposer(model))


AMBIENT = {
    "GOOGLE_API_KEY": "victims-google-key",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "ANTHROPIC_AUTH_TOKEN": "victims-anthropic-token",
    "ANTHROPIC_CUSTOM_HEADERS": "x-gateway: victims-header\nauthorization: Bearer victims-login",
    "OPENAI_CUSTOM_HEADERS": "x-gateway: victims-header\nauthorization: Bearer victims-login",
    "OPENAI_ADMIN_KEY": "victims-admin-key",
}
"""What SDKs send without being told."""


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # Google's
@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("anthropic:x", {}),
        ("google_genai:x", {}),
        ("google_genai:x", {"project": "p", "location": "us-central1"}),
        ("openai:x", {"timeout": 30}),
        ("openai:x", {"use_responses_api": True}),
        ("together:x", {"timeout": 30}),
    ],
)
def test_another_host_gets_nothing_that_an_sdk_reads_by_itself(
    monkeypatch: pytest.MonkeyPatch, model: str, params: dict[str, Any]
) -> None:
    for name, value in AMBIENT.items():
        monkeypatch.setenv(name, value)
    Path("netrc").write_text("default login victims-login password victims-password\n")
    Path("netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(Path("netrc").absolute()))
    received: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(
                f"{self.path} {self.headers}{self.rfile.read(int(self.headers['content-length'])).decode()}"
            )
            self.send_error(400)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}" + ("/v1" if model.startswith(("openai", "together")) else "")
        spec = {"model": model, "base_url": address, "params": params}
        Path("mine.yaml").write_text(json.dumps({"proposers": [spec], "aggregator": spec, "max_attempts": 1}))
        with pytest.raises(NotEnoughDraftsError):
            create_moa("mine.yaml").invoke({"messages": "hello"})
        server.shutdown()
    assert len(received) == 1 and "victims" not in received[0] and "Basic" not in received[0]


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")  # Google's
@pytest.mark.parametrize("model", ["anthropic:x", "google_genai:x", "openai:x", "together:x"])
@pytest.mark.parametrize("status", [302, 307, 308])
def test_no_redirect_carries_the_conversation_or_the_key_to_a_host_that_nobody_named(
    monkeypatch: pytest.MonkeyPatch, model: str, status: int
) -> None:
    monkeypatch.setenv("MY_KEY", "mine-alone-123456")
    received: list[str] = []

    class Host(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(str(self.headers["host"]))
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            self.send_header("location", f"http://localhost:{self.server.server_address[1]}{self.path}")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Host) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        spec = Proposer(model, base_url=address, api_key_env="MY_KEY")
        with pytest.raises(NotEnoughDraftsError, match=f"failed, {status}"):
            create_moa(Mixture(proposers=[spec], aggregator=spec, max_attempts=1)).invoke({"messages": "hello"})
        server.shutdown()
    assert received == [address.removeprefix("http://")]


def test_the_client_of_ollama_gets_the_confirmed_key_and_no_other() -> None:
    assert settings_for_other_host("ollama", None)["client_kwargs"]["headers"] == {"authorization": "Bearer none"}
    assert settings_for_other_host("ollama", "mine")["client_kwargs"]["headers"] == {"authorization": "Bearer mine"}


def test_usual_parameters_pass() -> None:
    Proposer("openai:x", params={"reasoning_effort": "low", "top_k": 40, "extra_body": {"provider": {"order": ["a"]}}})
    Proposer("openai:x", params={"default_headers": {"HTTP-Referer": "https://me.example", "X-Title": "mine"}})
    from moa_graph.models.package_params import check_package_params

    check_package_params(Proposer("anthropic:x", params={"top_k": 5, "thinking": {"type": "enabled"}}))
    check_package_params(Proposer("ollama:x", params={"num_ctx": 8192, "keep_alive": "5m"}))
    check_package_params(Proposer("google_vertexai:x", params={"project": "me.example:a-1", "location": "us-central1"}))
    check_package_params(Proposer("azure_openai:x", params={"api_version": "2026-10-21-preview"}))


_UNSENDABLE = ["sk-abc123\n", "sk-abc\r\nX-Evil: 1", " sk-abc", "sk-abc\t", "sk-abc\x7f", "sk-añb", "sk\u200bab"]


@pytest.mark.parametrize("value", _UNSENDABLE)
@pytest.mark.parametrize("where", ["environment", "file"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_by_the_variables_name(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, value: str, where: str
) -> None:
    spec = {"model": "openai:x", "base_url": provider.url, "api_key_env": "MY_KEY"}
    if where == "file":
        monkeypatch.delenv("MY_KEY")
        Path(".env").write_text(f"MY_KEY={json.dumps(value, ensure_ascii=False)}\n")
    else:
        monkeypatch.setenv("MY_KEY", value)
    with pytest.raises(ConfigError, match=r"^MY_KEY: the key contains") as caught:
        create_moa(proposers=[spec], aggregator=spec).invoke({"messages": "hello"})
    assert "sk-a" not in str(caught.value) and provider.requests() == []


@pytest.mark.parametrize("value", ['"sk-abc123"', "'sk-abc123'"])
def test_a_key_in_quotes_is_refused(provider: Provider, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """`docker run --env-file` keeps them. The provider would refuse the key after other models were paid for."""
    monkeypatch.setenv("MY_KEY", value)
    spec = {"model": "openai:x", "base_url": provider.url, "api_key_env": "MY_KEY"}
    with pytest.raises(ConfigError, match=r"^MY_KEY: the key contains quotes around it .* the key alone\."):
        create_moa(proposers=[spec], aggregator=spec).invoke({"messages": "hello"})
    assert provider.requests() == []


@pytest.mark.parametrize("value", _UNSENDABLE)
def test_the_key_of_an_agent_server_that_cannot_stand_in_a_header_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MOA_SERVER_KEY", value)
    with pytest.raises(ConfigError, match=r"^MOA_SERVER_KEY: the key contains") as caught:
        RemoteMoA("http://127.0.0.1:9")
    assert "sk-a" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-bom"])
def test_an_env_file_from_powershell_is_read(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    text = "GROQ_API_KEY=gsk-1\r\n"
    Path(".env").write_bytes(
        b"\xfe\xff" + text.encode("utf-16-be") if encoding.endswith("bom") else text.encode(encoding)
    )
    assert environment("GROQ_API_KEY") == "gsk-1"


@pytest.mark.parametrize("data", [b"GROQ_API_KEY=\xff\xfe", "GROQ_API_KEY=x\n".encode("utf-16-le"), b"x" * 1_000_001])
def test_an_env_file_that_is_not_text_is_an_error_with_its_name(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    Path(".env").write_bytes(data)
    with pytest.raises(ConfigError, match=r"\.env (is not|is larger)"):
        environment("GROQ_API_KEY")


def test_an_env_file_that_is_a_pipe_or_a_folder_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    Path(".env").write_text("GROQ_API_KEY=gsk-1\n")
    for make in (os.mkfifo, os.mkdir):
        folder = Path(make.__name__)
        folder.mkdir()
        make(folder / ".env")
        monkeypatch.chdir(folder)
        assert environment("GROQ_API_KEY") == "gsk-1"
        monkeypatch.chdir("..")


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_an_env_file_of_very_many_lines_is_an_error_with_its_name(end: str) -> None:
    Path(".env").write_bytes(f"A=b{end}".encode() * 20_000)
    with pytest.raises(ConfigError, match=r"\.env has more than 10,000 lines"):
        environment("XAI_API_KEY")


def test_a_large_env_file_is_parsed_once_and_again_when_it_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each key of each provider, a megabyte held up a command for minutes."""
    parsed: list[str] = []

    def counted(*args: Any, **options: Any) -> Any:
        parsed.append("")
        return original(*args, **options)

    original, names = dotenv.dotenv_values, [name for provider in PROVIDERS.values() for name in provider.keys]
    for name in names:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(dotenv, "dotenv_values", counted)
    for value in ("one", "two"):
        Path(".env").write_text("A=b\n" * 9_000 + f"XAI_API_KEY={value}-key\n")
        for name in names:
            assert environment(name) == (f"{value}-key" if name == "XAI_API_KEY" else None)
    assert len(parsed) == 2


@pytest.mark.parametrize("unit", ["${", "${x", "$", "}", "{"])
def test_a_long_value_of_an_env_file_is_searched_at_once(unit: str) -> None:
    start = time.process_time()
    Path(".env").write_text("XAI_API_KEY=" + unit * (900_000 // len(unit)))
    assert environment("XAI_API_KEY")
    assert time.process_time() - start < 5, "minutes"
