"""Whether a difference is significant: by hand, by SciPy, and by a thousand chances."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lockstep.statistics import interval, significance


@pytest.mark.parametrize("count", [2, 3, 5, 11])
def test_the_interval_is_scipys(count):
    values = np.random.default_rng(0).normal(97, 0.2, count)
    low, high = stats.t.interval(0.95, count - 1, np.mean(values), stats.sem(values))
    assert interval(list(values)) == pytest.approx((high - low) / 2, rel=2e-3)  # t to 3 digits


@pytest.mark.parametrize(
    ("differences", "by_seed", "word"),
    [
        ([0.0, 0.0, 0.0], (97.0, 97.1, 97.2), "none"),
        ([0.0], (97.0,), "none"),
        ([0.5], (97.0,), "unknown"),
        ([0.5, 0.5, 0.5], (97.0, 97.1, 97.2), "effect"),
        ([0.05, 0.05, 0.05], (97.0, 97.1, 97.2), "noise"),  # another seed does more: 0.10
        ([1.0, 2.0, 0.0], (97.0, 97.1, 97.2), "noise"),  # 1 ± 4.30·1/√3
        ([-1.0, -2.0, -1.5, -1.2, -1.1], (97.0, 97.1, 97.2, 97.1, 97.0), "effect"),
    ],
)
def test_the_verdict_by_hand(differences, by_seed, word):
    assert significance(differences, by_seed) == word


def test_chance_is_seldom_called_an_effect():
    """A thousand differences that are pure chance: at most one in twenty is taken for more."""
    rng = np.random.default_rng(0)
    words = [
        significance(list(rng.normal(0, 0.15, 3)), tuple(rng.normal(97, 0.15, 3)))
        for _ in range(1000)
    ]
    assert words.count("effect") <= 35  # the interval alone: 51
