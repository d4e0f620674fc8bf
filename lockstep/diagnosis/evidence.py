"""The first difference as words. The why comes from the mistakes; here are the numbers alone."""

from __future__ import annotations

import numpy as np

from ..by_hand.arrays import Array
from .judge import Difference


def evidence(first: Difference) -> str:
    """What the numbers show at the first difference, without a why."""
    where = f"at step {first.step}"
    if first.number.kind == "loss":
        times = float(first.said / first.right) if first.right else 0.0
        far = f", {times:.4g} times as much" if abs(times - 1) > 0.01 else ""
        return f"the loss is {first.said:.9g} {where}, where {first.right:.9g} is right{far}"
    said, right = first.moved(first.said), first.moved(first.right)
    if first.before is None:
        what = f"the gradients of {first.number.tensor}"
        nothing, opposite, verb = "are all 0", "have the opposite sign", "are"
        large, small = "large", "small"
    else:
        what = first.number.tensor
        nothing, opposite, verb = "is not moved", "is moved the opposite way", "is moved"
        large, small = "far", "little"
    if not said.any():
        return f"{what} {nothing} {where}"
    ratio = _constant_ratio(said, right)
    if ratio is None:
        return f"{what} {_worst(first)} {where}"
    if abs(ratio + 1) < 1e-6:
        return f"{what} {opposite} {where}, everywhere"
    factor, size = (ratio, large) if abs(ratio) > 1 else (1 / ratio, small)
    return f"{what} {verb} {factor:.4g} times too {size} {where}, everywhere"


def _constant_ratio(said: Array, right: Array) -> float | None:
    """said / right, if it is the same in every number that is not all but 0, and clearly not 1."""
    clear = np.abs(right) > 1e-3 * np.abs(right).max()
    if not clear.any() or np.abs(said[~clear]).max(initial=0) > np.abs(said).max():
        return None
    ratios = said[clear] / right[clear]
    ratio = float(np.median(ratios))
    tells = ratio and abs(ratio - 1) > 0.01
    return ratio if tells and np.allclose(ratios, ratio, rtol=1e-3, atol=0) else None


def _worst(first: Difference) -> str:
    off = np.abs(first.said - first.right)
    at = tuple(map(int, np.unravel_index(off.argmax(), off.shape)))
    place = f"[{', '.join(map(str, at))}]"
    differ = "differs" if first.before is not None else "differ"
    share = np.count_nonzero(off > off.max() / 1000) / off.size
    return (
        f"{differ} in {share:.0%} of the numbers, most at {place}: {first.said[at]:.9g} where "
        f"{first.right[at]:.9g} is right,"
    )
