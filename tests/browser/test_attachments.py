"""Files of a question on the page: what is sent, what is refused, what a reload keeps."""

import base64
import json

import pytest

from tests.browser.conftest import PDF, PIXEL, ask, ready, texts

FILES = [
    {"name": "dot.png", "mimeType": "image/png", "buffer": PIXEL},
    {"name": "paper.pdf", "mimeType": "application/pdf", "buffer": PDF},
    {"name": "notes.txt", "mimeType": "", "buffer": "naïve notes".encode()},
]
URL = f"data:image/png;base64,{base64.b64encode(PIXEL).decode()}"


def attach(page, *files):
    before = page.locator("#attached li").count()
    page.set_input_files("#files", list(files))
    page.wait_for_function(f"() => document.querySelectorAll('#attached li').length === {before + len(files)}")


def last_user(request):
    """The blocks of the last user message, by type."""
    content = next(m["content"] for m in reversed(request.json["messages"]) if m["role"] == "user")
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def test_images_pdfs_and_texts_reach_the_models(page, provider):
    attach(page, *FILES)
    assert [name.split("\n")[0] for name in texts(page, "#attached li")] == ["dot.png", "paper.pdf", "notes.txt"]
    provider.reset()
    ask(page, "partial", "What is this?")
    blocks = last_user(next(r for r in provider.requests() if r.model.startswith("alpha")))
    assert blocks[0]["text"] == "What is this?" and "naïve notes" in json.dumps(blocks, ensure_ascii=False)
    assert [b["image_url"]["url"] for b in blocks if b["type"] == "image_url"] == [URL]
    files = [b["file"] for b in blocks if b["type"] == "file"]
    assert [f["filename"] for f in files] == ["paper.pdf"] and base64.b64decode(
        files[0]["file_data"].partition(",")[2]
    ) == PDF
    assert page.inner_text(".answer .body") == "answered" and not page.locator("#attached").is_visible()
    assert page.locator(".turn .files img").get_attribute("src") == URL


def test_a_reload_keeps_the_files_for_the_next_question(page, provider):
    attach(page, FILES[0])
    ask(page, "partial", "first")
    page.reload()
    ready(page)
    page.wait_for_selector(".turn .files img")
    provider.reset()
    ask(page, "partial", "second")
    sent = next(r for r in provider.requests() if r.model.startswith("alpha")).json["messages"]
    assert URL in json.dumps(sent) and last_user(provider.requests()[0])[0]["text"] == "second"


def test_asking_the_aggregator_again_sends_the_files_again(page, provider):
    attach(page, FILES[0])
    ask(page, "partial", "first")
    provider.reset()
    page.get_by_role("button", name="Ask the aggregator again").click()
    page.wait_for_function("() => document.querySelectorAll('.turn').length === 2")
    page.wait_for_selector("#send:visible")
    (request,) = provider.requests()
    assert URL in json.dumps(request.json) and "fine" in json.dumps(request.json)


def test_a_forgotten_run_takes_its_files_along(page):
    attach(page, FILES[0])
    ask(page, "partial", "first")
    count = "() => stored('readonly', (all) => all.count())"
    assert page.evaluate(count) == 1
    page.click("#new")
    page.click("#history-open")
    page.click("#history-clear")
    page.wait_for_function("async () => (await stored('readonly', (all) => all.count())) === 0")


def test_a_file_can_be_removed_pasted_and_dropped(page):
    attach(page, FILES[2])
    page.get_by_role("button", name="Remove notes.txt").click()
    page.wait_for_selector("#attached", state="hidden")
    event = """([kind, name]) => {
        const held = new DataTransfer();
        held.items.add(new File(["words"], name, { type: "text/plain" }));
        const at = document.querySelector("#question");
        const how = { bubbles: true, cancelable: true };
        at.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, { clipboardData: held, ...how })
            : new DragEvent(kind, { dataTransfer: held, ...how }));
    }"""
    page.evaluate(event, ["paste", "pasted.txt"])
    page.wait_for_selector("#attached li")
    page.evaluate(event, ["drop", "dropped.txt"])
    page.wait_for_function("() => document.querySelectorAll('#attached li').length === 2")
    assert [name.split("\n")[0] for name in texts(page, "#attached li")] == ["pasted.txt", "dropped.txt"]


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ({"name": "tool.exe", "mimeType": "", "buffer": b"MZ\0\x90"}, "neither an image"),
        ({"name": "old.txt", "mimeType": "text/plain", "buffer": b"caf\xe9"}, "neither an image"),
        ({"name": "big.png", "mimeType": "image/png", "buffer": b"x" * 14_000_001}, "too large"),
    ],
    ids=["binary", "latin-1", "large"],
)
def test_what_cannot_be_sent_is_refused_in_words(page, file, reason):
    page.set_input_files("#files", [file])
    page.wait_for_selector("#notice:visible")
    assert file["name"] in page.inner_text("#notice") and reason in page.inner_text("#notice")
    assert not page.locator("#attached").is_visible()


def test_editing_a_question_brings_its_files_back(page):
    attach(page, FILES[0])
    ask(page, "partial", "first")
    page.get_by_role("button", name="Edit the question").click()
    page.wait_for_selector("#attached li")
    page.click("#edit-cancel")
    page.wait_for_selector("#attached", state="hidden")


def test_the_second_script_runs_only_as_it_was_made(browser, site):
    """Whatever answers in its place does not run."""
    evil = "window.pwned = 1"
    context = browser.new_context()
    page = context.new_page()
    page.route("**/moa/more.js?*", lambda route: route.fulfill(body=evil, content_type="text/javascript"))
    page.goto(f"{site.url}/moa")
    ready(page)
    page.click("#history-open")
    page.wait_for_selector("#notice:visible")
    assert "could not be loaded" in page.inner_text("#notice") and page.evaluate("window.pwned") is None
    context.close()
