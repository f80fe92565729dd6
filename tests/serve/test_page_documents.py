"""The documents of the page: their size, the scripts that are loaded later, and the library that reads Markdown."""

import hashlib
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from moa_graph.serve.page import document
from moa_graph.serve.page.document import Kind, further_scripts, policy, whole_page

LIBRARY = Path(document.__file__).parent / "markdown_it" / "markdown-it.umd.min.js"
PUBLISHED = "b06c85174d2b1bb6339dfa1f0bc938cea57f62663f132a77abbf651562542443"
"""markdown-it 15.0.3 of npm, without the line that names its source map."""


def test_the_library_is_the_published_one():
    assert hashlib.sha256(LIBRARY.read_bytes()).hexdigest() == PUBLISHED
    assert "Permission is hereby granted" in (LIBRARY.parent / "LICENSE").read_text(encoding="utf-8")


def test_the_page_is_at_most_60_kilobytes_and_holds_no_library():
    assert len(whole_page().encode()) <= 60_000
    assert "markdownit=" not in whole_page() and "markdownit=" in further_scripts()["reader"]


def test_comments_are_not_sent_and_strings_stay():
    source = 'const a = 1; // a count\n  // why\nconst b = "x // y"; // z\nconst c = "x // y";\n'
    assert document._compact(source) == 'const a = 1;\nconst b = "x // y";\nconst c = "x // y";'


@pytest.mark.parametrize("kind", Kind)
def test_no_script_can_end_its_element(kind):
    """Nothing inside an inline script is read as HTML, and every script that the policy names is whole."""
    script = document._sources(kind).script
    assert not re.search(r"</?script", script, re.IGNORECASE)
    assert script in (whole_page(kind) if kind is not Kind.REPORT else document.report_page(None))
    assert "/*more*/" not in script and "/*reader*/" not in script


@pytest.mark.parametrize("name", ["more", "reader"])
def test_later_scripts_are_the_ones_of_the_policy_and_kept_by_the_browser(served, name):
    with urllib.request.urlopen(f"{served.url}/moa/{name}.js", timeout=60) as answer:
        body, cached = answer.read().decode(), answer.headers["cache-control"]
    assert body == further_scripts()[name] and "immutable" in cached
    assert document._hash(body) in policy() and document._hash(body) in whole_page()


def test_there_are_no_other_scripts(served):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{served.url}/moa/other.js", timeout=60)
    assert caught.value.code == 404
    caught.value.close()
