"""A table, once for all: the terminal, the page, Markdown and CSV read the same rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Column(NamedTuple):
    """A heading, and how a value beneath it is written for people."""

    title: str
    show: Callable[[Any], str] = str


@dataclass(frozen=True)
class Table:
    """Rows of values; None is an empty cell."""

    name: str
    """Of its CSV file."""
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]

    @property
    def heads(self) -> list[str]:
        """The column's headings."""
        return [column.title for column in self.columns]

    @property
    def cells(self) -> list[list[str]]:
        """Every value as people read it."""
        return [
            ["" if v is None else c.show(v) for c, v in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]

    def csv(self) -> str:
        """Every value as it is, so that nothing is lost to rounding."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.heads)
        writer.writerows([["" if v is None else _harmless(v) for v in row] for row in self.rows])
        return buffer.getvalue()

    def markdown(self) -> str:
        """A pipe table, as GitHub reads it."""
        rows = [self.heads, ["---"] * len(self.columns), *self.cells]
        return "\n".join(_pipes(row) for row in rows)


def _pipes(cells: Iterable[str]) -> str:
    return "| " + " | ".join(markdown_text(cell) for cell in cells) + " |"


def markdown_text(words: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    for character in "\\`*_[]<>|#":
        words = words.replace(character, f"\\{character}")
    return " ".join(words.split())


def _harmless(value: Any) -> Any:
    """A spreadsheet takes text that begins so for a formula, and runs it."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return value
