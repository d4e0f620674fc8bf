"""How the learning rate changes during training: factors of the recipe's rate, step by step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

WARM_UP = 0.2
"""The share of training in which the "linear" and "cosine" schedules rise."""


def constant(progress: float) -> float:
    """1, always."""
    return 1.0


def cut(progress: float) -> float:
    """1, then a tenth from the middle of training on: the classic step decay."""
    return 1.0 if progress < 0.5 else 0.1


def linear(progress: float) -> float:
    """Up to 1 in the first fifth, then down to 0 in a straight line."""
    return min(progress / WARM_UP, (1 - progress) / (1 - WARM_UP))


def cosine(progress: float) -> float:
    """Up to 1 in the first fifth, then down to 0 as half a cosine (Loshchilov & Hutter 2017)."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": constant,
    "cut": cut,
    "linear": linear,
    "cosine": cosine,
}


def learning_rates(name: str, rate: float, first: int, count: int, total: int) -> np.ndarray:
    """The rates (count,) float64 of steps first, first + 1, … of a training of `total` steps.

    Steps count from 0; step i stands at progress (i + 1) / (total + 1), so that no rate is 0.
    """
    factor = SCHEDULES[name]
    steps = range(first, first + count)
    return np.array([rate * factor((step + 1) / (total + 1)) for step in steps])
