"""The check beneath each exercise of the notebooks: right, not yet, or your turn."""

from __future__ import annotations

import numpy as np


def check(yours, right, tolerance: float = 1e-6) -> None:
    """Say whether your number or array is the right one; None is an exercise not begun."""
    if yours is None:
        print("Your turn.")
        return
    yours, right = np.asarray(yours, float), np.asarray(right, float)
    if yours.shape != right.shape:
        print(f"Not yet: the shape is {yours.shape}; it should be {right.shape}.")
        return
    apart = float(np.abs(yours - right).max())
    print("Right." if apart <= tolerance else f"Not yet: off by {apart:.2g}.")
