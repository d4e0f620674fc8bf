"""Tables and code as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells may hold Markdown, a bar included."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(words: object) -> str:
    """Words as code; nothing for nothing."""
    return f"`{words}`" if str(words) else ""


def _cell(words: str) -> str:
    return " ".join(words.split()).replace("|", "\\|")
