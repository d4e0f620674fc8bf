"""The proof's tolerances, from the table that it judges by."""

from __future__ import annotations

import math

from lockstep.proof.comparison import KINDS, TOLERANCES

from .markdown import table


def markdown() -> str:
    """A row for each kind of number, a column for each precision and view."""
    head = ("", *(f"{dtype}, {view}" for dtype, view in TOLERANCES))
    rows = [(kind, *map(_bound, (of[kind] for of in TOLERANCES.values()))) for kind in KINDS]
    return table(head, rows)


def _bound(bound: float) -> str:
    return f"{bound:g}" if math.isfinite(bound) else "not tested"
