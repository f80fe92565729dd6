"""Messages on a terminal break between words and keep their indents."""

from moa_graph.cli.output.messages import wrapped


def test_lines_break_between_words_and_long_words_stay_whole() -> None:
    text = "preset `local`: no provider key is set, so the small model answers\n  indented words that go on\n\nend"
    lines = wrapped(text, 40).split("\n")
    assert all(len(line) <= 40 for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert lines[2:] == ["  indented words that go on", "", "end"]
    address = "https://example.com/" + "x" * 60
    assert wrapped(f"see {address} there", 40).split("\n") == ["see", address, "there"]
    assert wrapped("  one two three four five six seven", 20) == "  one two three four\n  five six seven"
