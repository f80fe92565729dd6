"""Text of models, servers and files, as a terminal may show it: no control sequences, no lost characters."""

from __future__ import annotations

import re

__all__ = ["escape_controls", "for_terminal", "in_full"]

# Models choose the text that this pattern searches: no part may begin within another, so that it runs in linear time.
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, clearing
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x90-\x9f]*(?:\x07|\x1b\\|\x9c)"  # OSC and other strings
    r"|\x1b[ -/]*[0-~]"  # everything else that begins with ESC
)
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u206a-\u206f"
"""Characters that reorder a line: what is read is then not what is there."""

_CONTROLS = re.compile(rf"[\x00-\x08\x0b-\x1f\x7f-\x9f{_BIDI}\ufff9-\ufffb]")
_LINE_ENDS = re.compile("\r\n|[\u2028\u2029\x85]")
_CHANGED = re.compile(rf"[\x00-\x1f\x7f-\x9f{_BIDI}\ufff9-\ufffb\u2028\u2029\ud800-\udfff]")


def for_terminal(text: str) -> str:
    """Return `text` without what could steer a terminal or reorder a line.

    All else stays: spaces of every kind, joiners (Persian and Hindi spelling, families of emoji), characters that are
    newer than this Python's tables. Lone surrogates become U+FFFD.
    """
    text = _CONTROLS.sub("", _SEQUENCES.sub("", _LINE_ENDS.sub("\n", text)))
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def in_full(text: str) -> str:
    """Return `text` on one line that leaves nothing out: what `for_terminal` removes or changes is an escape.

    For what a person confirms: a control sequence can hold any text, which would not be shown.
    """
    return _CHANGED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escape_controls(json_text: str) -> str:
    """Return JSON that says the same, with everything that `for_terminal` removes written as an escape."""

    def escaped(match: re.Match[str]) -> str:
        return "".join(f"\\u{ord(character):04x}" for character in match[0])

    return re.sub(rf"[\x7f-\x9f{_BIDI}\ufff9-\ufffb\u2028\u2029\ud800-\udfff]", escaped, json_text)
