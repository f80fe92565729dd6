"""Blind mode: the parts that are hidden until a vote, its end, and that no vote is lost."""

import json

import pytest

from moa_graph import InputError
from moa_graph.evals.compare.pairs import compare
from moa_graph.evals.compare.reading import load
from tests.browser.conftest import ask, blindly, ready, texts


def saved(page):
    """Return the votes that the page saves. The history stays open."""
    page.click("#history-open")
    with page.expect_download() as waiting:
        page.click("#votes-save")
    return [json.loads(line) for line in waiting.value.path().read_text().splitlines()]


def nothing_is_hidden(page):
    """Check that names, times and exports of the last turn are shown, and that no vote is requested."""
    turn = page.locator(".turn").last
    assert "Draft A" not in turn.inner_text() and "is best" not in turn.inner_text()
    assert turn.locator(".lanes li").count() > 0 and turn.locator(".lanes").is_visible()
    return True


def test_blind_votes_are_kept_as_json_lines(page):
    blindly(page)
    ask(page, "rich", "Which?")
    assert texts(page, ".card h4") == ["Draft A", "Draft B"]
    assert texts(page, ".card .model") == ["", ""] and texts(page, ".card footer") == ["", ""]
    assert not page.locator(".lanes").is_visible() and not page.locator(".totals").is_visible()
    chosen = page.locator(".card", has_text="beta says")
    chosen.get_by_role("button", name="is best").click()
    page.wait_for_selector(".card.best")
    assert sorted(texts(page, ".card h4")) == ["alpha", "beta"] and page.locator(".card.best h4").inner_text() == "beta"
    [vote] = saved(page)
    assert vote["prompt"] == "Which?" and vote["drafts"][vote["best"]]["proposer"] == "p1-beta"
    assert {"proposer", "model", "layer", "slot", "text"} == vote["drafts"][0].keys()


def test_evaluation_reads_the_votes(page, tmp_path):
    blindly(page)
    for question in ("Which?", "And which of these?"):
        ask(page, "rich", question)
        page.locator(".card:not(.best)", has_text="beta says").get_by_role("button", name="is best").click()
    page.click("#history-open")
    with page.expect_download() as waiting:
        page.click("#votes-save")
    votes = tmp_path / "moa-votes.jsonl"
    waiting.value.save_as(votes)
    models = [draft["model"] for draft in json.loads(votes.read_text().splitlines()[0])["drafts"]]
    alpha, beta = sorted(models)
    [pair] = compare([load(f"{votes}#{beta}"), load(f"{votes}#{alpha}")])["pairs"]
    assert (pair["n"], pair["mean_a"], pair["mean_b"]) == (2, 100, 0)
    with pytest.raises(InputError, match="'gamma'"):
        load(f"{votes}#gamma")


def test_where_every_proposer_failed_nothing_stays_hidden(page):
    blindly(page)
    ask(page, "none")
    assert sorted(texts(page, ".card h4")) == ["bad", "worse"] and nothing_is_hidden(page)


def test_where_the_run_was_stopped_before_a_draft_nothing_stays_hidden(page, provider):
    blindly(page)
    ask(page, "mute", wait=False)
    provider.wait(lambda stats: stats["in_flight"] == 2)
    page.wait_for_selector(".card h4 >> nth=1")
    assert sorted(texts(page, ".card h4")) == ["Draft A", "Draft B"]
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    assert sorted(texts(page, ".card h4")) == ["one", "two"] and nothing_is_hidden(page)


def test_a_stopped_run_with_a_draft_can_be_voted_on(page):
    blindly(page)
    ask(page, "hang", wait=False)
    page.wait_for_selector(".card:has-text('here') .chip:text-is('done')")
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    assert sorted(texts(page, ".card h4")) == ["Draft A", "Draft B"]
    page.locator(".card", has_text="here").get_by_role("button", name="is best").click()
    assert page.locator(".card.best h4").inner_text() == "quick" and nothing_is_hidden(page)


def test_a_run_of_the_history_can_still_be_voted_on(page):
    blindly(page)
    ask(page, "rich", "Which?")
    page.reload()
    ready(page)
    page.click("#history-open")
    page.get_by_role("button", name="Which?").first.click()
    assert texts(page, ".card h4") == ["Draft A", "Draft B"]
    page.get_by_role("button", name="None is best").click()
    assert sorted(texts(page, ".card h4")) == ["alpha", "beta"] and nothing_is_hidden(page)
    assert page.evaluate(f"{VOTES}[0].best") is None


VOTES = (
    "Object.keys(localStorage).filter((key) => key.startsWith('moa.vote.')).map((key) => JSON.parse(localStorage[key]))"
)
"""The votes that the browser keeps."""
FILL = """(sizes) => {
  const all = sizes.map((size, id) => ({id: `${id}`, created: 0, turns: [{question: 'x'.repeat(size), drafts: []}]}));
  for (const { id } of runs()) localStorage.removeItem(keyOf(id));
  for (const each of all) localStorage[keyOf(each.id)] = JSON.stringify(each);
  writeIndex(all.map(entryOf));
  let size = 1 << 23, text = '';
  for (; size >= 1; size >>= 1)
    try { localStorage.filler = text + 'x'.repeat(size); text = localStorage.filler; } catch {}
  return localStorage.filler.length;
}"""


def test_when_storage_is_full_old_runs_make_room_for_a_vote(page):
    blindly(page)
    ask(page, "rich", "Which?")
    assert page.evaluate(FILL, [10, 20, 100_000, 30]) > 1_000_000
    page.get_by_role("button", name="None is best").click()
    assert "Vote kept" in page.inner_text("#say") and not page.locator("#notice").is_visible()
    assert [vote["prompt"] for vote in page.evaluate(VOTES)] == ["Which?"]
    lengths = page.evaluate("runs().map((each) => runOf(each.id).turns[0].question.length)")
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('moa.run.')).length") == 3
    assert lengths == [6, 10, 20], "the oldest went, down to the one that was large enough"


def test_a_vote_that_storage_refuses_is_said_to_be_and_can_be_saved(page):
    blindly(page)
    ask(page, "rich", "Which?")
    page.evaluate(FILL, [])
    page.get_by_role("button", name="None is best").click()
    assert "storage is full" in page.inner_text("#notice") and "Vote kept" not in page.inner_text("#say")
    assert nothing_is_hidden(page) and page.evaluate(VOTES) == []
    assert [vote["prompt"] for vote in saved(page)] == ["Which?"]
    page.click("#history-close")
    page.evaluate("localStorage.removeItem('filler')")
    ask(page, "rich", "And now?")
    page.get_by_role("button", name="None is best").click()
    assert len(page.evaluate(VOTES)) == 2, "with room again, both are kept"
    assert not page.locator("#notice").is_visible()


def test_forgetting_the_runs_leaves_the_votes_which_are_forgotten_when_asked_to(page):
    blindly(page)
    ask(page, "rich", "Which?")
    page.get_by_role("button", name="None is best").click()
    assert len(saved(page)) == 1
    page.click("#history-clear")
    assert page.inner_text("#history-list") == "None yet." and page.locator("#votes-save").is_enabled()
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.click("#votes-clear")
    assert "1 vote?" in asked[0] and page.locator("#votes-save").is_enabled()
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#votes-clear")
    assert page.locator("#votes-save").is_disabled() and page.locator("#votes-clear").is_disabled()
