"""Secrets are redacted in messages about faults, and the provider's own words stay readable."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_graph.models.faults.reading import text_of
from moa_graph.models.secrets.redaction import HIDDEN, one_line, remember_secret, well_formed
from moa_graph.models.terminal_text import for_terminal

TOGETHER = "0f" * 32
SECRETS = [
    ("Incorrect API key provided: {}", "sk-proj-abcdEFGH1234567890"),
    ("Incorrect API key provided: {}.", "sk-ab****************wxyz"),
    ("Authorization: Bearer {}", "abc.def-ghi_123"),
    ("Authorization: Token {}", "r8word12345"),
    ("'authorization': 'Key {}'", "id:plainword123"),
    ("headers={{'x-api-key': '{}'}}", "plainword123"),
    ("api_key={} was refused", "hunter2hunter2"),
    ("https://user:{}@proxy.example.com/v1", "p4ssw0rd!"),
    ("https://user:p4@{}@proxy.example.com/v1", "ssw0rd!"),
    ("GET https://api.example.com/v1?key={}&alt=sse", "AIzaShort"),
    ("bad key {}", TOGETHER),
    ("token {} expired", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"),
    ("{} is not valid", "gsk_abcdefgh12345678"),
    ("key {} is not valid", "AKIAIOSFODNN7EXAMPLE"),
    ("LangSmith said no to {}", "lsv2_pt_0123456789abcdef"),
]


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_keys_are_hidden_by_their_shape(text: str, secret: str) -> None:
    shown = one_line(text.format(secret))
    assert secret not in shown
    assert HIDDEN in shown


def test_keys_of_the_environment_are_hidden_word_for_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", "correct horse battery")
    assert one_line("sent correct horse battery to them") == f"sent {HIDDEN} to them"


@pytest.mark.parametrize(
    "shown",
    [
        "correct%2Fhorse%2B%22battery%22%3D", "correct/horse%2B%22battery%22%3D", 'correct/horse+\\"battery\\"=',
        'correct\\/horse+"battery"=', "Y29ycmVjdC9ob3JzZSsiYmF0dGVyeSI9", "Y29ycmVjdC9ob3JzZSsiYmF0dGVyeSI9=",
    ],
    ids=["in a query", "in a path", "in JSON", "in PHP's JSON", "in a header", "in a padded header"],
)  # fmt: skip
def test_keys_are_hidden_in_the_forms_in_which_servers_repeat_them(shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", 'correct/horse+"battery"=')
    assert one_line(f"GET {shown} was refused").removeprefix(f"GET {HIDDEN}") in (" was refused", "= was refused")


def test_a_remembered_secret_is_hidden() -> None:
    remember_secret("from a dotenv file")
    assert "dotenv" not in one_line("key was: from a dotenv file")


@pytest.mark.parametrize("within", ["\0", "\x1b[31m", "\u202e", "\x7f"])
def test_a_control_sequence_within_a_secret_does_not_bring_it_out(within: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", "correcthorse")
    assert one_line(f"no such key: correct{within}horse") == f"no such key: {HIDDEN}"


@pytest.mark.parametrize(
    "within", ["\n", "\r\n    ", " ", "\u00ad", "\u200b", "\u2060", "\ufe0f", "\U000e0020", "\u3000"]
)
@pytest.mark.parametrize("secret", ["correcthorse", "correct horse battery staple"])
def test_a_secret_that_is_broken_over_lines_or_by_what_shows_nothing_is_hidden(
    within: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", secret)
    monkeypatch.setenv("ANOTHER_API_KEY", secret[3:])
    monkeypatch.setenv("THIRD_API_KEY", secret[:-2])
    broken = within.join(secret[start : start + 4] for start in range(0, len(secret), 4))
    assert one_line(f"no such key: {broken} or {broken}.") == f"no such key: {HIDDEN} or {HIDDEN}."


def test_a_secret_of_a_few_letters_between_spaces_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its spaces it is too short to be searched."""
    monkeypatch.setenv("STORE_PASSWORD", "a b c d e")
    assert one_line("the password a b c d e is wrong") == f"the password {HIDDEN} is wrong"


def test_a_secret_that_contains_another_is_hidden_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_API_KEY", "correct horse")
    monkeypatch.setenv("SECOND_API_KEY", "correct horse battery")
    assert one_line("sent correct horse battery to them") == f"sent {HIDDEN} to them"


@pytest.mark.parametrize("start", range(55, 82, 2))
@pytest.mark.parametrize("secret", ["correct-horse-battery-staple", "correct horse battery staple"])
def test_a_known_secret_at_the_limit_is_not_shown_in_part(
    secret: str, start: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", secret)
    line = one_line("a" * (start - 1) + " " + secret + " was refused", limit=80)
    assert "cor" not in line
    assert len(line) <= 80


@pytest.mark.parametrize(("text", "secret"), [case for case in SECRETS if len(case[1]) > 12])
def test_a_secret_at_the_limit_is_not_shown_in_part(text: str, secret: str) -> None:
    for shown in range(1, len(secret)):
        before = text.partition("{}")[0]
        line = one_line("a " * 60 + text.format(secret), limit=120 + len(before) + shown)
        assert secret[:4] not in line.replace(HIDDEN, "")


@pytest.mark.parametrize("secret", ["correct-horse-battery-staple", "correct horse battery staple"])
@pytest.mark.parametrize("before", [" ", "\n", "sk-abcdefgh12345678 "])
def test_a_secret_where_the_search_ends_is_not_shown_in_part(
    secret: str, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The text before the secret becomes shorter when it is redacted and put on one line.
    monkeypatch.setenv("SOME_PROVIDER_API_KEY", secret)
    for shift in range(0, 30, 3):
        text = (before * 2000)[: 20 * 300 - shift - 1] + " " + secret + " was refused " + "b" * 400
        assert "cor" not in one_line(text).replace("secret", "")


def test_a_word_where_the_search_ends_is_not_shown() -> None:
    assert one_line(" " * 5990 + "AIza" + "SyA1234567890abcdefghijklmnopqrstuv was refused") == "…"


@pytest.mark.parametrize(
    "text",
    [
        "429 Rate limit reached for gpt-5 in organization org-abc on tokens per min: Limit 30000, Used 29000",
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
        "The model `gpt-9` does not exist or you do not have access to it.",
        "Connection error: [Errno 111] Connect call failed ('127.0.0.1', 8099)",
        "request id req_0123456789abcdef",
        "model meta-llama/Llama-3.3-70B-Instruct-Turbo is not available",
    ],
)
def test_a_providers_words_stay(text: str) -> None:
    assert one_line(text) == text


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "-",
        "a-",
        "1-",
        "a_1",
        "eyJ-",
        "eyJ.",
        "?key",
        "&key.",
        "secret",
        "secret-",
        "api_key",
        "://a",
        "sk-",
        "<title>",
    ],
)
def test_every_text_is_searched_in_linear_time(part: str) -> None:
    # With quadratic time this would take minutes, and the test's time limit would end it.
    text = part * (60_000 // len(part))
    assert one_line(text, limit=len(text))
    assert text_of(ValueError("<html>" + text))


@given(st.text(max_size=500))
def test_a_line_is_one_line_that_a_terminal_may_show(text: str) -> None:
    line = one_line(text, limit=80)
    assert len(line) <= 80
    assert line == for_terminal(line) and len(line.splitlines()) <= 1 and "\t" not in line
    line.encode()


@given(st.text(alphabet=st.characters(), max_size=50))
def test_well_formed_text_is_not_changed(text: str) -> None:
    fixed = well_formed(text)
    fixed.encode()
    if not any("\ud800" <= c <= "\udfff" for c in text):
        assert fixed == text


def test_halves_of_a_character_are_joined_and_lone_halves_replaced() -> None:
    assert well_formed("a\ud83d\ude00b") == "a\U0001f600b"
    assert well_formed("a\ud83db") == "a\ufffdb"
