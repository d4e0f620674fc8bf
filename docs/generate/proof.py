"""The proof's tolerances, from the table that it judges by."""

from __future__ import annotations

from lockstep.proof.comparison import TOLERANCES
from lockstep.proof.trace import KINDS

from .markdown import table


def markdown() -> str:
    """A row for each precision and view, a column for each kind of number."""
    rows = [
        (dtype, view, *(_bound(bounds[kind]) for kind in KINDS))
        for (dtype, view), bounds in TOLERANCES.items()
    ]
    return table(("precision", "view", *KINDS), rows)


def _bound(bound: float | None) -> str:
    return "not tested" if bound is None else f"{bound:g}"
