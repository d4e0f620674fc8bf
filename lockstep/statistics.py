"""Whether a difference is statistically significant: intervals over seeds, and what they allow."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Student's t for a 95 % interval with 1, 2, … degrees of freedom; the last serves for more."""


def interval(values: Sequence[float]) -> float:
    """Half of the 95 % confidence interval of the mean, by Student's t; of two values or more."""
    t = T_95[min(len(values) - 1, len(T_95)) - 1]
    return t * statistics.stdev(values) / len(values) ** 0.5


def significance(differences: Sequence[float], by_seed: Sequence[float]) -> str:
    """ "none", "noise", "effect", or "unknown" where a single seed can tell nothing.

    `differences` are one for each seed. An effect is larger than what another seed does to one
    and the same program (the standard deviation of `by_seed`), and its 95 % interval leaves out 0.
    The second rule alone would call one row in twenty an effect that is none.
    """
    if not any(differences):
        return "none"
    if len(differences) < 2:
        return "unknown"
    mean = abs(statistics.fmean(differences))
    return "effect" if mean > max(interval(differences), statistics.stdev(by_seed)) else "noise"


def points(values: Sequence[float]) -> str:
    """`+0.31 ± 0.05`: mean and sample standard deviation over the seeds, in percentage points."""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):+.2f}{spread}".replace("-", "−")
