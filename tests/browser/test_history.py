"""A history of several megabytes: nothing that the page does with it stops the page."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.page import longest_task
from tests.browser.conftest import ask, ready, texts
from tests.provider import Provider

FROZEN = 50.0
"""Milliseconds: a task of the page's main thread that takes longer is a long task, and delays what a person does."""

SLOWER = 1.75
"""The same limit on a slow machine, where `WHOLE` takes 1. The tests' tasks take 0.9 to 1.4; a save that reads and
writes every run takes at least 2.1."""

WHOLE = """() => JSON.stringify(Object.keys(localStorage)
  .filter((key) => key.startsWith("moa.run.")).map((key) => JSON.parse(localStorage[key]))).length"""
"""Read all runs, and make one text of them."""

FILL = """() => {
  const text = 'some words, **bold** "quoted" \\n'.repeat(2_000);
  const runs = [...Array(74)].map((_, n) => ({ version: 1, id: `old${n}`, title: null, created: n, turns: [
    { question: `question ${n}`, answer: n === 70 ? text + 'needle' : text, drafts: [], layers: 2, status: 'done' }]}));
  for (const run of runs) localStorage.setItem(keyOf(run.id), JSON.stringify(run));
  writeIndex(runs.map(entryOf));
  return Object.values(localStorage).reduce((sum, each) => sum + each.length, 0);
}"""


@pytest.fixture
def full(page: Any) -> Any:
    """The page with a history that fills what the browser keeps."""
    page.evaluate("() => more()")
    assert page.evaluate(FILL) > 4_500_000
    page.reload()
    ready(page)
    page.evaluate("() => more()")
    return page


def freezes(browser: Any, page: Any, work: Callable[[], Any]) -> bool:
    """Return whether the longest task of `work` is long, in the best of up to three attempts.

    A busy machine only makes tasks longer. On a slow one, the task with which they are compared is longer, too.
    """
    longest: list[float] = []
    limit = FROZEN
    while len(longest) < 3 and min(longest, default=limit) >= limit:
        longest.append(longest_task(browser, page, work))
        if longest[0] >= FROZEN and len(longest) == 1:
            whole = min(longest_task(browser, page, lambda: page.evaluate(WHOLE)) for _ in range(3))
            limit = max(FROZEN, SLOWER * whole)
    print(f"longest task: {', '.join(f'{each:.1f}' for each in longest)} ms; limit {limit:.1f} ms")
    return min(longest) >= limit


def test_a_run_is_kept_in_a_full_history_without_a_long_task(browser: Any, full: Any) -> None:
    assert not freezes(browser, full, lambda: ask(full, "rich", "How?"))
    names = [each["question"] for each in full.evaluate("runs()")]
    assert names[0] == "How?" and names[1] == "question 0"
    assert set(full.evaluate("runs().map((each) => runOf(each.id).turns[0].question)")) == set(names)


def test_the_oldest_make_room_for_a_new_run_without_a_long_task(browser: Any, full: Any) -> None:
    full.evaluate(
        "() => { try { for (;;) localStorage.filler = (localStorage.filler ?? '') + 'x'.repeat(9_000); } catch {} }"
    )
    before = full.evaluate("runs().length")
    assert not freezes(browser, full, lambda: ask(full, "deep", "How?"))
    kept = full.evaluate("runs().map((each) => each.question)")
    assert kept[0] == "How?" and kept[1:] == [f"question {n}" for n in range(len(kept) - 1)]
    assert 2 < len(kept) <= before + 1
    stored = full.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('moa.run.')).length")
    assert stored == len(kept), "what the index does not name is not stored"


def test_a_full_history_is_opened_and_searched_without_a_long_task(browser: Any, full: Any) -> None:
    def search() -> None:
        # An earlier attempt left the dialog open. In a search field with text, Escape only clears the text.
        full.evaluate("() => document.querySelector('#history')?.close()")
        full.click("#history-open")
        full.fill("#history-search", "needle")
        full.wait_for_function("() => document.querySelectorAll('#history-list li').length === 1")

    assert not freezes(browser, full, search)
    assert texts(full, "#history-list .open strong") == ["question 70"]


LONG = """() => {
  const text = 'some words, **bold** and `code`\\n\\n- a list\\n- of items\\n\\n'.repeat(40);
  const draft = (slot) => ({ layer: 1, slot, proposer: `p${slot}`, model: 'm', status: 'ok', text, attempts: 1 });
  const known = { answer: text, drafts: [0, 1, 2].map(draft), notes: [], starts: {}, mixture: 'rich', layers: 2 };
  const turns = [...Array(60)].map((_, n) => ({ ...known, question: `question ${n}`, status: 'done' }));
  const run = { version: 1, id: 'long', title: null, created: 1, turns };
  localStorage.setItem(keyOf('long'), JSON.stringify(run));
  writeIndex([entryOf(run)]);
}"""


def questions(page: Any) -> list[str]:
    """Return the questions on the page, also of turns that the browser does not lay out now."""
    return list(page.locator(".turn h2").all_text_contents())


def test_a_long_conversation_is_opened_and_continued_without_a_long_task(browser: Any, page: Any) -> None:
    """Opening it took a second in one task when all turns were shown at once."""
    page.evaluate("() => more()")
    page.evaluate(LONG)

    def opened() -> None:
        page.evaluate("() => open({ id: newId(), turns: [] })")
        page.evaluate("() => { location.hash = '#run=long' }")
        page.wait_for_function("() => document.querySelectorAll('.turn').length === 60")

    def continued() -> None:
        page.evaluate("() => { document.querySelector('#question').value = 'And then?'; submit(); }")
        page.wait_for_function("() => running === null && conversation.turns.length > 60")

    assert not freezes(browser, page, opened)
    assert not freezes(browser, page, continued)
    assert questions(page)[:60] == [f"question {n}" for n in range(60)] and questions(page)[-1] == "And then?"


def test_a_question_asked_while_a_conversation_is_being_opened_comes_after_its_turns(page: Any) -> None:
    page.evaluate("() => more()")
    page.evaluate(LONG)
    page.evaluate(
        "() => { open(runOf('long')); document.querySelector('#question').value = 'And then?'; submit(); }",
    )
    page.wait_for_function("() => conversation.turns.length === 61 && running === null")
    assert questions(page) == [*(f"question {n}" for n in range(60)), "And then?"]
    assert page.evaluate("() => runOf('long').turns.length") == 61


def test_a_question_stopped_while_a_conversation_is_being_opened_is_kept(page: Any) -> None:
    page.evaluate("() => more()")
    page.evaluate(LONG)
    page.evaluate("() => { document.querySelector('#question').value = 'And then?'; }")
    page.evaluate("() => { open(runOf('long')); submit(); running.abort(); }")
    page.wait_for_function("() => conversation.turns.length === 61 && running === null")
    assert questions(page)[-1] == "And then?" and page.evaluate("() => conversation.turns.at(-1).status") == "stopped"


def test_two_tabs_of_one_conversation_keep_the_questions_of_both(page: Any) -> None:
    ask(page, "rich", "First?")
    other = page.context.new_page()
    other.goto(page.url)
    ready(other)
    for tab, question in ((other, "There?"), (page, "Here?"), (other, "There again?")):
        ask(tab, "rich", question)
    asked = "() => runs().map(({ id }) => runOf(id).turns.map((turn) => turn.question))"
    kept = [["First?", "There?", "There again?"], ["First?", "Here?"]]
    assert page.evaluate(asked) == kept and other.url != page.url
    for tab, questions in zip((other, page), kept, strict=True):
        tab.reload()
        ready(tab)
        assert texts(tab, ".turn h2") == questions


def test_two_tabs_that_ask_at_once_keep_the_answers_of_both(page: Any, provider: Provider) -> None:
    ask(page, "held", "First?", wait=False)
    provider.wait(lambda stats: stats["in_flight"] == 1)
    provider.release()
    page.wait_for_function("() => document.querySelector('.answer .body')?.textContent.length > 60")
    other = page.context.new_page()
    other.goto(page.url)
    ready(other)
    ask(other, "rich", "There?")
    provider.release()
    page.wait_for_selector("#send:visible")
    kept = page.evaluate("() => runs().map(({ id }) => runOf(id).turns.map((turn) => [turn.question, turn.status]))")
    assert sorted(kept, key=len) == [[["First?", "done"]], [["First?", "stopped"], ["There?", "done"]]]


def test_a_narrow_window_shows_the_names_of_runs(page: Any) -> None:
    ask(page, "rich", "Why is the sky blue?")
    page.set_viewport_size({"width": 320, "height": 568})
    page.click("#history-open")
    name = page.locator("#history-list strong")
    assert name.inner_text() == "Why is the sky blue?"
    assert name.evaluate("(each) => each.scrollWidth <= each.clientWidth"), "it is not cut"


def test_the_history_of_an_earlier_version_is_taken_over(page: Any) -> None:
    turn = {"question": "old", "answer": "an answer", "drafts": [], "mixture": "rich", "layers": 2, "status": "done"}
    runs = [{"id": f"r{n}", "title": None, "created": n, "turns": [{**turn, "question": f"old {n}"}]} for n in range(3)]
    page.evaluate("(text) => localStorage.setItem('moa.runs', text)", json.dumps(runs))
    page.reload()
    ready(page)
    page.click("#history-open")
    page.wait_for_selector("#history-list .open")
    assert texts(page, "#history-list .open strong") == ["old 0", "old 1", "old 2"]
    page.locator("#history-list .open").nth(1).click()
    page.wait_for_selector(".turn h2")
    ready(page)
    assert texts(page, ".turn h2") == ["old 1"] and "an answer" in texts(page, ".answer")[0]


def test_a_run_too_large_to_keep_leaves_the_others(page: Any) -> None:
    ask(page, "rich", "small")
    page.evaluate("() => remember({ id: 'big', turns: [{ ...conversation.turns[0], answer: 'x'.repeat(5_500_000) }] })")
    assert page.evaluate("runs().map((each) => each.question)") == ["small"]
    assert page.evaluate("runOf('big')") is None
