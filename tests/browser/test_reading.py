"""Reading in the page: scrolling to the answer, addresses of runs, and all kinds of text."""

import json

import pytest

from moa_graph import Mixture
from tests.browser.conftest import ask, formatted, opened, ready, release_until, say, texts
from tests.browser.screenshots import scripted
from tests.serving import Served, model


def top(page, selector, which="last"):
    """Return the pixels between the top of the window and the top of the element."""
    return getattr(page.locator(selector), which).bounding_box()["y"]


def pasted(page, name, text):
    """Ask with a text that is too long to type."""
    page.select_option("#mixture", name)
    page.evaluate("(text) => { document.querySelector('#question').value = text }", text)
    page.press("#question", "Enter")
    page.wait_for_selector("#send:visible")
    formatted(page)


def kept(page, answer):
    """Open a run of the history with this answer."""
    run = {"id": "kept", "created": "2026-01-01", "turns": [{"question": "Why?", "answer": answer, "drafts": []}]}
    page.evaluate("(run) => localStorage.setItem('moa.runs', JSON.stringify([run]))", run)
    page.goto(page.url.partition("#")[0] + "#run=kept")
    whole(page)


def whole(page):
    """Wait until the formatted answer is on the page."""
    page.wait_for_selector(".answer .md:not([aria-busy]) > :not(.raw, button)", state="attached")


def show_more(page):
    """Show the parts of the answer one by one; return their number."""
    parts = 1
    while (more := page.locator(".answer .md > .more-text")).count():
        more.click()
        whole(page)
        parts += 1
    return parts


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_the_answer_is_on_the_screen_when_it_begins(browser, site, provider, size):
    with opened(browser, site, size=size) as page:
        ask(page, "long", "first", wait=False)
        release_until(page, provider, "#send")
        ask(page, "long", "second", wait=False)
        page.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
        assert 50 < top(page, ".turn h2") < 130, "the new question is at the top"
        release_until(page, provider, ".turn:last-child .answer .md")
        composer = top(page, "#ask")
        assert 50 < top(page, ".answer") < composer - 80
        assert page.locator(".layers.folded").count() == 2
        release_until(page, provider, "#send")
        assert 50 < top(page, ".answer") < composer - 80
        assert page.locator(".layers").last.evaluate("(e) => e.querySelector('.body').offsetHeight") == 0
        page.locator(".turn").last.get_by_role("button", name="Show the drafts").click()
        assert page.locator(".layers").last.evaluate("(e) => e.querySelector('.body').offsetHeight") > 0


def test_a_reader_of_a_draft_is_not_moved_but_led(browser, site, provider):
    with opened(browser, site, size="phone") as page:
        ask(page, "read", "Why?", wait=False)
        page.wait_for_selector(".card .md")
        page.evaluate("window.scrollTo(0, 500)")
        release_until(page, provider, "#jump")
        assert page.locator(".layers.folded").count() == 0
        assert top(page, ".answer") > top(page, "#ask"), "what is read stays on the screen"
        page.click("#jump")
        assert 50 < top(page, ".answer") < 200 and not page.locator("#jump").is_visible()
        release_until(page, provider, "#send")


def test_a_card_shows_the_end_of_a_growing_draft_and_the_beginning_of_a_complete_one(page, provider):
    def hidden(edge):
        """Return the pixels of the first draft that are beyond an edge of its card's window."""
        window, text = (page.locator(each).first.bounding_box() for each in (".clip", ".clip > .md"))
        below = text["y"] + text["height"] - window["y"] - window["height"]
        return below if edge == "bottom" else window["y"] - text["y"]

    ask(page, "long", "Why?", wait=False)
    page.wait_for_function("() => document.querySelector('.clip > .md')?.offsetHeight > 300")
    assert hidden("bottom") < 2 and hidden("top") > 50
    provider.release()
    page.wait_for_selector(".layer:first-child .card:first-child .chip.ok")
    assert hidden("top") < 2 and hidden("bottom") > 50


def test_a_reload_and_back_lead_to_the_same_run(page):
    ask(page, "partial", "the first run")
    first = page.url
    assert "#run=" in first and page.title() == "the first run"
    page.reload()
    ready(page)
    assert page.inner_text(".answer .body") == "answered" and page.title() == "the first run"
    ask(page, "partial", "and more")
    assert page.url == first and page.locator(".turn").count() == 2
    page.click("#new")
    assert "#run=" not in page.url and page.title() != "the first run"
    ask(page, "rich", "the second run")
    assert page.url not in (first, "") and page.title() == "the second run"
    page.go_back()
    page.go_back()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    assert page.url == first and texts(page, ".turn h2") == ["the first run", "and more"]


def test_an_address_of_an_unknown_run_says_so(page, site):
    page.goto(f"{site.url}/moa#run=gone")
    page.reload()
    ready(page)
    assert "does not have that run" in page.inner_text("#notice") and page.locator("#hello").is_visible()


def test_leaving_during_a_run_asks_and_keeps_what_came(page, provider):
    ask(page, "hang", "worth money", wait=False)
    page.wait_for_selector(".card:has-text('here') .chip:text-is('done')")
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    ready(page)
    assert asked == ["beforeunload"]
    assert provider.wait(lambda stats: stats["in_flight"] == 0)["in_flight"] == 0
    assert texts(page, ".card .chip") == ["done", "stopped"] and "here" in page.inner_text(".card .body >> nth=0")
    assert "stopped" in page.inner_text(".state")
    ask(page, "partial", "go on")
    assert page.locator(".turn").count() == 2


def test_right_to_left_texts_are_laid_out_from_the_right(page):
    text = "# مرحبا\n\nهذا نص عربي.\n\n- أول\n- ثان\n\n| ا | ب |\n|---|---|\n| ج | د |\n\n> اقتباس\n\nplain English"
    text += "\n\n- one"
    pasted(page, "echo", text)
    found = page.locator(".answer .md > *").evaluate_all(
        "(all) => all.map((e) => [e.tagName, getComputedStyle(e.querySelector('table') ?? e).direction])"
    )
    kinds = ["H4", "P", "UL", "DIV", "BLOCKQUOTE", "P", "UL"]
    assert found == [[kind, "rtl" if n < 5 else "ltr"] for n, kind in enumerate(kinds)]
    assert page.locator(".turn h2").evaluate("(e) => getComputedStyle(e).direction") == "rtl"
    page.fill("#question", "שלום")
    assert page.locator("#question").evaluate("(e) => getComputedStyle(e).direction") == "rtl"


FORMULAS = r"""Sum \(a_1 + a_2\) and $x_i^2$, *not* $5 and $10 for _you_.

\[
\int_0^1 x^2 \, dx

= \frac{1}{3}
\]

$$E = mc^2$$"""


def test_formulas_stay_as_they_are_written(page):
    pasted(page, "echo", FORMULAS)
    assert page.locator(".answer .math").all_text_contents() == [
        r"\(a_1 + a_2\)",
        "$x_i^2$",
        "\\[\n\\int_0^1 x^2 \\, dx\n\n= \\frac{1}{3}\n\\]",
        "$$E = mc^2$$",
    ]
    assert page.locator(".answer em").all_text_contents() == ["not", "you"]


WIDE = (
    "| Language | Use \\| abuse | Count |\n|:--|:-:|--:|\n"
    + "| Python | scientific programming everywhere | 12 |\n" * 3
)


@pytest.mark.parametrize("size", ["desktop", "phone"])
def test_wide_tables_scroll_in_their_own_box(browser, site, size):
    with opened(browser, site, size=size) as page:
        pasted(page, "echo", WIDE)
        table = page.locator(".answer table")
        assert table.locator("th").all_inner_texts() == ["Language", "Use | abuse", "Count"]
        aligned = table.locator("td").evaluate_all("(all) => all.slice(0, 3).map((e) => getComputedStyle(e).textAlign)")
        assert aligned == ["start", "center", "end"]
        assert table.locator("td").first.bounding_box()["height"] < 60, "words are not broken into letters"
        assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
        box = page.locator(".answer .scroll").evaluate("(e) => e.scrollWidth > e.clientWidth")
        assert box == (size == "phone")


def test_one_letter_can_be_bold(page):
    pasted(page, "echo", "word **a** and **b** and __c__ end")
    assert page.locator(".answer strong").all_text_contents() == ["a", "b", "c"]


def test_tasks_and_code_can_be_read_and_copied(page):
    pasted(page, "echo", "- [x] done\n- [ ] open\n\n```python\nprint('**hi**')\n```")
    boxes = page.locator(".answer .task input")
    assert [boxes.nth(n).is_checked() for n in range(2)] == [True, False]
    assert page.inner_text(".answer figcaption span") == "python"
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator(".answer").get_by_role("button", name="Copy the python code").click()
    assert page.evaluate("navigator.clipboard.readText()") == "print('**hi**')"
    page.get_by_role("button", name="Show the drafts").click()
    page.get_by_role("button", name="Copy the draft of alpha").click()
    assert page.evaluate("navigator.clipboard.readText()").startswith("- [x] done")


def test_nothing_is_lost_beyond_sixty_thousand_characters(page):
    text = "\n\n".join(f"## Section {n}\n\n" + f"word **{n}** " * 60 for n in range(170))
    assert len(text) > 120_000
    kept(page, text)
    answer = page.locator(".answer .md")
    assert show_more(page) == 3
    assert answer.locator("h4").all_text_contents() == [f"Section {n}" for n in range(170)]
    assert answer.locator("strong").count() == 170 * 60


def test_a_closed_card_holds_its_beginning_and_print_everything(page):
    """What a card does not show costs no time; a printed page has all of it."""
    text = "\n\n".join(f"Paragraph {n} of many." for n in range(4_000))
    draft = {"layer": 1, "slot": 0, "proposer": "p0-a", "model": "m", "status": "ok", "text": text, "error": None}
    turns = [{"question": "Why?", "answer": text, "drafts": [draft]}]
    page.evaluate("(turns) => open({ id: 'kept', turns })", turns)
    whole(page)
    counts = "() => ['.card', '.answer'].map((each) => document.querySelectorAll(`${each} .md p`).length)"
    card, answer = page.evaluate(counts)
    assert 100 < card < 400 and 2_000 < answer < 4_000
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(counts) == [4_000, 4_000]


def test_one_block_that_is_longer_than_a_part_is_shown_whole(page):
    kept(page, "```\n" + "x = 1\n" * 25_000 + "```\n\nthe **end**")
    answer = page.locator(".answer .md")
    assert show_more(page) == 3
    assert "".join(answer.all_text_contents()).count("x = 1") == 25_000
    assert answer.locator("strong").all_text_contents() == ["end"]


def test_a_long_question_can_be_opened(page):
    pasted(page, "partial", "\n".join(f"line {n}" for n in range(60)))
    question = page.locator(".turn h2")
    closed = question.bounding_box()["height"]
    page.get_by_role("button", name="Show all of the question").click()
    assert question.bounding_box()["height"] > 3 * closed


def test_drafts_are_formatted_while_they_are_written(page):
    ask(page, "held", wait=False)
    page.wait_for_selector(".card .md p")
    assert texts(page, ".card .chip") == ["writes"]
    page.click("#stop")
    page.wait_for_selector("#send:visible")


def test_ask_again_replaces_the_last_answer_in_the_conversation(page, provider):
    ask(page, "partial", "first")
    ask(page, "partial", "second")
    provider.reset()
    page.locator(".turn").last.get_by_role("button", name="Ask again").click()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 3")
    page.wait_for_selector("#send:visible")
    sent = [m["content"] for m in provider.requests()[0].json["messages"] if m["role"] != "system"]
    assert sent == ["first", "answered", "second"]
    assert "replaced" in texts(page, ".state")[1]


def test_a_question_can_be_edited_and_sent_again(page, provider):
    ask(page, "partial", "frist")
    page.get_by_role("button", name="Edit the question").click()
    assert page.input_value("#question") == "frist" and page.locator("#editing").is_visible()
    provider.reset()
    page.fill("#question", "first")
    page.press("#question", "Enter")
    page.wait_for_selector("#send:visible")
    assert [m["content"] for m in provider.requests()[0].json["messages"] if m["role"] != "system"] == ["first"]
    page.reload()
    ready(page)
    assert texts(page, ".turn h2") == ["frist", "first"] and "replaced" in texts(page, ".state")[0]


def test_the_mixture_is_described_before_it_is_asked(page):
    page.select_option("#mixture", "partial")
    page.click("#options-toggle")
    said = page.inner_text("#members")
    assert "alpha (openai:alpha" in said and "bad (openai:bad-err401)" in said and "Answer: openai:agg" in said


def test_the_questions_to_try_fit_the_mixture(browser, page):
    usual = texts(page, "#examples button")
    with Served({"local": Mixture.load("local")}) as server, opened(browser, server) as local:
        simple = texts(local, "#examples button")
    assert simple[0] == "What is the capital of France?" and not set(usual) & set(simple)


def test_a_second_question_during_a_run_is_refused_in_words(page):
    ask(page, "hang", wait=False)
    page.wait_for_selector(".card:has-text('here') .chip:text-is('done')")
    page.fill("#question", "impatient")
    page.press("#question", "Enter")
    assert "A run is active" in page.inner_text("#notice") and page.input_value("#question") == "impatient"
    page.click("#stop")
    page.wait_for_selector("#send:visible")


def test_a_server_that_is_gone_is_said_without_the_words_of_browsers(page):
    page.route("**/moa/run", lambda route: route.abort())
    ask(page, "rich")
    said = page.inner_text(".alarm")
    assert "moa ui" in said and "fetch" not in said
    page.unroute("**/moa/run")
    page.get_by_role("button", name="Ask again").click()
    page.wait_for_selector(".answer .md h4")


def test_the_history_is_searched_renamed_and_saved(page):
    for question in ("about apples", "about pears"):
        page.click("#new")
        ask(page, "partial", question)
    page.click("#history-open")
    page.fill("#history-search", "PEARS about")
    assert page.locator("#history-list .open strong").all_text_contents() == ["about pears"]
    page.once("dialog", lambda dialog: dialog.accept("fruit"))
    page.get_by_role("button", name="Rename about pears").click()
    page.fill("#history-search", "")
    assert page.locator("#history-list .open strong").all_text_contents() == ["fruit", "about apples"]
    with page.expect_download() as waiting:
        page.click("#history-save")
    runs = json.loads(waiting.value.path().read_text())["runs"]
    assert [run["turns"][0]["question"] for run in runs] == ["about pears", "about apples"]
    page.click("#history-close")
    assert page.title() == "fruit"
    ask(page, "partial", "more")
    page.reload()
    ready(page)
    assert page.title() == "fruit", "a further question keeps the name"


def test_what_a_conversation_has_taken_is_summed_up(page):
    ask(page, "rich", "one")
    ask(page, "rich", "two")
    assert page.inner_text("#spent") == "So far: 6 calls, cost unknown"


def test_the_calls_of_a_failed_and_of_a_stopped_question_are_summed_up(page, provider):
    ask(page, "noagg", "one")
    assert page.inner_text("#spent").startswith("So far: 1 call,"), "its draft"
    ask(page, "hang", "two", wait=False)
    page.wait_for_selector(".turn:last-child .card:has-text('here') .chip:text-is('done')")
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    assert page.inner_text("#spent").startswith("So far: 2 calls,"), "and a draft of the stopped question"
    page.locator(".turn").first.get_by_role("button", name="Ask the aggregator again").click()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 3")
    page.wait_for_selector("#send:visible")
    assert page.inner_text("#spent").startswith("So far: 2 calls,"), "a failed aggregator has no cost that is known"


def test_the_answer_is_compared_with_each_draft(page):
    ask(page, "rich")
    page.get_by_text("What the answer shares with each draft").click()
    rows = page.locator(".compare details")
    rows.nth(1).locator("summary").wait_for()
    assert [texts(page, ".compare details summary")[n].split()[:2] for n in range(2)] == [
        ["alpha", "100%"],
        ["beta", "0%"],
    ]
    rows.nth(1).locator("summary").click()
    assert rows.nth(1).locator("del").inner_text().strip() == "beta says"
    assert rows.nth(1).locator("ins").first.inner_text().startswith("## Why")


def test_notes_of_a_combiner_are_rows_on_the_page_and_in_the_report(browser, provider, tmp_path):
    names = {"a-say=four": "a", "b-say=five": "b"}
    specs = [model(provider, behaviour, name=name) for behaviour, name in names.items()]
    voting = Mixture(
        proposers=specs, aggregator=model(provider, "agg-say=four"), combine={"name": "vote"}, max_attempts=1
    )
    with Served({"vote": voting}) as server, opened(browser, server) as page:
        ask(page, "vote", "2 + 2?")
        page.wait_for_selector(".note > summary")
        rows = texts(page, ".note > summary")
        assert len(rows) == 2 and all(row.startswith("vote") for row in rows)
        assert "combiner vote" in page.inner_text("[aria-label='How the answer was made']")
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Save as HTML report").click()
        waiting.value.save_as(tmp_path / "run.html")
        page.goto((tmp_path / "run.html").as_uri())
        page.wait_for_selector(".note > summary")
        assert texts(page, ".note > summary") == rows


def test_the_aggregator_is_asked_again_over_the_drafts_of_before(page, provider):
    ask(page, "noagg", "first")
    assert "500" in page.inner_text(".alarm") and "attached" not in page.inner_text(".alarm")
    provider.reset()
    page.get_by_role("button", name="Ask the aggregator again").click()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    page.wait_for_selector("#send:visible")
    assert {request.model for request in provider.requests()} == {"agg-err500"}
    assert texts(page, ".turn:last-child .card .chip") == ["done"]


def test_another_aggregator_answers_over_the_drafts_of_before(page, provider):
    """Each draft is counted once in the totals of the conversation."""
    ask(page, "rich", "first")
    provider.reset()
    page.click("#options-toggle")
    page.locator("#aggregator").select_option(index=2)
    page.get_by_role("button", name="Ask the aggregator again").click()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    page.wait_for_selector("#send:visible")
    assert [request.model for request in provider.requests()] == [f"beta-{say('beta says')}"]
    sent = provider.requests()[0].json["messages"]
    assert "beta says" in str(sent[-1]["content"]) and "first" in str(sent)
    last = page.locator(".turn").last
    assert (
        last.locator(".answer .body").inner_text() == "beta says"
        and "one new call" in last.locator(".state").inner_text()
    )
    assert page.inner_text("#spent").startswith("So far: 4 calls") and "replaced" in texts(page, ".state")[0]
    page.reload()
    ready(page)
    assert page.inner_text("#spent").startswith("So far: 4 calls")


def test_an_analysis_is_shown_as_lists_and_not_as_json(browser):
    served = Served({"scripted": scripted()})
    with served as server, opened(browser, server) as page:
        ask(page, "scripted", "Which first?")
        how = page.locator("[aria-label='How the answer was made']")
        page.locator(".note > summary").first.click()
        said = how.inner_text()
        assert (
            "model: east, insight: JavaScript shows results" in said and "It depends on what the person wants" in said
        )
        assert "{" not in said
        how.get_by_text("In its own words").click()
        assert '{"consensus"' in how.inner_text()


def test_one_draft_is_asked_for_again_and_the_rest_is_kept(page, provider):
    """The new draft's call and the answer's are paid; the other draft is counted once."""
    ask(page, "partial", "first")
    provider.reset()
    page.get_by_role("button", name="Show the drafts").click()
    page.get_by_role("button", name="Retry the draft of alpha").click()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    page.wait_for_selector("#send:visible")
    assert [request.model for request in provider.requests()] == [f"alpha-{say('fine')}", f"agg-{say('answered')}"]
    last = page.locator(".turn").last
    assert texts(page, ".turn:last-child .card h4") == ["alpha", "bad"]
    assert texts(page, ".turn:last-child .card .chip") == ["done", "failed"]
    assert last.locator(".answer .body").inner_text() == "answered"
    assert "reused drafts" in last.locator(".state").inner_text()
    assert "replaced" in texts(page, ".state")[0]
    assert page.inner_text("#spent").startswith("So far: 5 calls"), "3 of the question, 2 of the retry"
    page.reload()
    ready(page)
    assert page.inner_text("#spent").startswith("So far: 5 calls")
    assert texts(page, ".turn:last-child .card h4") == ["alpha", "bad"]


def test_a_draft_of_an_early_layer_makes_later_ones_anew(page, provider):
    ask(page, "deep", "first")
    provider.reset()
    page.get_by_role("button", name="Show the drafts").click()
    page.get_by_role("button", name="Retry the draft of two").first.click()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    page.wait_for_selector("#send:visible")
    models = sorted(request.model.partition("-")[0] for request in provider.requests())
    assert models == ["agg", "one", "two", "two"]
    assert texts(page, ".turn:last-child .layer h3 span") == ["2 of 2 drafts"] * 2


SLICES = """async (text) => {
  await loadReader();
  const view = growing();
  document.body.append(view.node);
  const added = [];
  new MutationObserver((list) => added.push(list.reduce((sum, each) => sum + each.addedNodes.length, 0)))
    .observe(view.node, { childList: true, subtree: true });
  view.update(text, true);
  while (view.node.ariaBusy) await new Promise((later) => requestAnimationFrame(later));
  await pause();
  return { added, items: view.node.querySelectorAll("li").length, bold: view.node.querySelectorAll("strong").length };
}"""


def test_a_long_text_is_placed_in_slices(page):
    """What the page does between two slices is not delayed: each makes at most 200 elements, with their texts."""
    text = "\n".join(f"- item **{n}** of `many`" for n in range(2_000))
    assert len(text) < 60_000
    found = page.evaluate(SLICES, text)
    assert (found["items"], found["bold"]) == (2_000, 2_000)
    assert len(found["added"]) > 20 and max(found["added"]) <= 1_000


READINGS = """async (text) => {
  await loadReader();
  const read = [];
  const whole = describe;
  describe = (part, links) => { read.push(part.length); return whole(part, links); };
  const view = growing();
  document.body.append(view.node);
  view.update(text, true);
  while (view.node.ariaBusy) await pause();
  describe = whole;
  return { read, rows: view.node.querySelectorAll("tr").length, more: view.node.querySelectorAll("button").length };
}"""


def test_a_text_that_is_opened_is_read_in_steps(page):
    """To read a table of 60,000 characters at once takes longer than the limit of a task, before it is compiled."""
    table = "| a | b |\n|---|---|\n" + "\n".join(f"| row {n} | **x** |" for n in range(2_500))
    found = page.evaluate(READINGS, table)
    assert (found["rows"], found["more"]) == (2_501, 0)
    assert found["read"][0] <= 20_000 and found["read"] == sorted(found["read"]) and found["read"][-1] == len(table)


TASKS = """async () => {
  const { id } = conversation;
  const turns = JSON.parse(JSON.stringify(conversation.turns));
  const whole = describe;
  const tasks = [];
  let task = 0;
  describe = (part, links) => {
    tasks.push(task);
    queueMicrotask(() => { task += 1; });
    return whole(part, links);
  };
  open({ id, turns }, "keep");
  await placing;
  while (document.querySelector(".md[aria-busy]")) await pause();
  describe = whole;
  return { tasks: tasks.length, apart: new Set(tasks).size };
}"""


def test_each_text_of_a_kept_run_is_read_in_a_task_of_its_own(page):
    """The reader is not compiled yet when a kept run is opened: its texts together take longer than the limit."""
    ask(page, "rich")
    assert page.evaluate(TASKS) == {"tasks": 3, "apart": 3}


def test_targets_of_links_that_are_defined_at_the_end_are_found(page):
    """The first paragraphs are firm when the end arrives, in one update or in several."""
    text = "see [the page][1]\n\n" + "\n\n".join(f"Paragraph {n} of many." for n in range(2_000))
    assert len(text) > 40_000
    made = """async (parts) => {
      await loadReader();
      const view = growing();
      for (const [at, part] of parts.entries()) view.update(part, at === parts.length - 1);
      while (view.node.ariaBusy) await pause();
      return [...view.node.querySelectorAll("a")].map((each) => each.textContent);
    }"""
    whole = f"{text}\n\n[1]: https://example.org/a"
    assert page.evaluate(made, [whole]) == ["the page"]
    assert page.evaluate(made, [text, whole]) == ["the page"]


def test_a_complete_draft_is_not_placed_again(page):
    """To place a long text again is to lay out all of it again."""
    ask(page, "held", wait=False)
    page.wait_for_selector(".card .md p")
    page.evaluate("""() => {
      const text = document.querySelector(".card .md");
      globalThis.moved = 0;
      new MutationObserver((list) => { for (const { addedNodes } of list) moved += [...addedNodes].includes(text); })
        .observe(text.parentNode, { childList: true });
    }""")
    page.click("#stop")
    page.wait_for_selector("#send:visible")
    assert texts(page, ".card .chip") == ["stopped"] and page.evaluate("moved") == 0


@pytest.mark.parametrize(
    ("text", "selector", "said"),
    [
        ("Title\n=====\n\ntext", ".answer .md h4", ["Title"]),
        ("see [the page][1] and more\n\n[1]: https://example.org/a", ".answer .md a", ["the page"]),
        ("| a |\n|---|\n| one<br>two |", ".answer .md td", ["one\ntwo"]),
        ("1. first\n\n   ```\n   code\n   ```\n\n2. second", ".answer .md ol > li pre", ["code"]),
        ("a &amp; b &copy; `&amp;`", ".answer .md p", ["a & b \u00a9 &amp;"]),
        ("![a cat](https://example.org/cat.png)", ".answer .md a", ["a cat"]),
    ],
    ids=["setext", "reference", "break", "code in a list", "entities", "image"],
)
def test_markdown_is_read_as_commonmark_has_it(page, text, selector, said):
    pasted(page, "echo", text)
    assert texts(page, selector) == said
    assert page.locator(".turn img").count() == 0


ATTACKS = [
    "*a ",
    "[",
    "![](",
    "<",
    "&a",
    "\\\\(",
    "$a ",
    "> ",
    "- ",
    "|a",
    "http://",
    "**",
    "`a",
    "[a]: b\n",
    "\\[\n",
    "$$ \n",
]


@pytest.mark.parametrize("sign", ATTACKS)
def test_no_text_makes_the_reader_compute_for_ever(page, sign):
    seconds = page.evaluate(
        """async (sign) => {
          await loadReader();
          const read = (nodes) => { for (const node of nodes) node.lazy ? node.lazy() : read(node.children ?? []); };
          const once = (length) => {
            const text = sign.repeat(length / sign.length);
            const begun = performance.now();
            read(describe(text, {}).nodes);
            return performance.now() - begun;
          };
          once(1_000);
          return once(60_000) / 1_000;
        }""",
        sign,
    )
    assert seconds < 10, "linear: a tenth of a second; quadratic: minutes"
