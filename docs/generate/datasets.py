"""Which datasets there are, from the table that finds and checks them."""

from __future__ import annotations

from lockstep.data import digits
from lockstep.data.sources import SOURCES

from .markdown import code, table


def markdown() -> str:
    """A row for each dataset: its name on the command line, its classes, its download."""
    rows = [
        (code(name), source.title, ", ".join(source.classes), f"{source.megabytes} MB")
        for name, source in SOURCES.items()
    ]
    embedded = (code(digits.NAME), digits.TITLE, "0 to 9", "none: it comes with Lockstep")
    return table(("name", "what it is", "classes", "download"), [*rows, embedded])
