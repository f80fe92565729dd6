"""Render Markdown on a terminal, also while it is streamed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moa_graph.models.terminal_text import for_terminal

if TYPE_CHECKING:
    from markdown_it.rules_inline import StateInline
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.live import Live

_FORMULA = re.compile(r"\\\(.+?\\\)|\\\[.+?\\\]|\$\$.+?\$\$|\$(?!\s)[^$\n]+?(?<!\s)\$(?!\d)", re.DOTALL)


def markdown(text: str) -> RenderableType:
    """Return `text` for rich. Formulas are kept unchanged, and links show their address."""
    from rich.markdown import Markdown

    clean = for_terminal(text)
    rendered = Markdown(clean, hyperlinks=False)
    rendered.parsed = _parser().parse(clean)
    return rendered


def _parser() -> Any:
    from markdown_it import MarkdownIt

    parser = MarkdownIt().enable("strikethrough").enable("table")
    parser.inline.ruler.before("escape", "formula", _formula)
    return parser


def _formula(state: StateInline, silent: bool) -> bool:
    """Keep LaTeX between its delimiters; Markdown would read its backslashes and asterisks as markup."""
    found = _FORMULA.match(state.src, state.pos) if state.src[state.pos] in "\\$" else None
    if found is None:
        return False
    if not silent:
        state.push("text", "", 0).content = found[0]
    state.pos = found.end()
    return True


class _Tail:
    """The last lines of a renderable that fit on the screen, and an empty one.

    The cursor rests on the empty line: a `^C` that the terminal prints behind a full line would begin a further line.
    """

    def __init__(self, inner: RenderableType) -> None:
        self.inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        lines = console.render_lines(self.inner, options.update(height=None), pad=False)
        for line in lines[-max(1, console.height - 2) :]:
            yield from line
            yield Segment.line()
        yield Segment.line()


class MarkdownStream:
    """Writes streamed Markdown to a terminal.

    The part that fits on the screen is rendered again with every piece, so it can still be removed. Blocks that scroll
    off are final.

    Args:
        console: The output.
        frame: Wraps the text, for example in columns. With a frame, nothing scrolls off before the end.
    """

    def __init__(self, console: Console, *, frame: Callable[[RenderableType], RenderableType] | None = None) -> None:
        self.console, self.frame = console, frame
        self._text = ""
        self._final = False
        self._live: Live | None = None

    def feed(self, text: str) -> None:
        """Show more text."""
        from rich.live import Live

        self._text += text
        if self._live is None:
            self._live = Live(console=self.console, get_renderable=self._pending, transient=True, refresh_per_second=8)
            self._live.start()
        self._scroll()

    def discard(self) -> bool:
        """Remove the text from the screen; return whether some of it stays."""
        self._stop()
        kept, self._text, self._final = self._final, "", False
        return kept

    def finish(self) -> None:
        """Write the rest; it is final."""
        self._stop()
        if self._text.strip():
            self._print(self._framed(self._text))
        self._text = ""

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _framed(self, text: str) -> RenderableType:
        return self.frame(markdown(text)) if self.frame else markdown(text)

    def _pending(self) -> RenderableType:
        return _Tail(self._framed(self._text))

    def _scroll(self) -> None:
        """Print the complete blocks once the text is longer than the screen."""
        if self.frame or self._text.count("\n") + len(self._text) // self.console.width < self.console.height - 4:
            return
        starts = [token.map[0] for token in _parser().parse(self._text) if token.level == 0 and token.map]
        lines = self._text.splitlines(keepends=True)
        if not starts or starts[-1] == 0:
            return
        done, self._text = "".join(lines[: starts[-1]]), "".join(lines[starts[-1] :])
        self._print(markdown(done))

    def _print(self, renderable: RenderableType) -> None:
        if self._final:
            self.console.print()
        self.console.print(renderable)
        self._final = True
