"""How fast the machine is just now, told by a fixed piece of work.

Neighbours on the same hardware, or heat, may halve a machine's speed for seconds or minutes, and no
count of the system's own shows it.
"""

from __future__ import annotations

import math
import time

import numpy as np

SLOW = 1.15
"""How many times its best the work may take; undisturbed it varies by a twentieth."""
PATIENCE = 300.0
"""Seconds that a whole benchmark waits for the machine at most: it may never be itself again."""
PAUSE = 0.25
"""Seconds between two looks."""


class Pace:
    """Calling it says how many times its best until now the work takes; the first call, 1."""

    def __init__(self) -> None:
        # Two megabytes: more than a core has to itself, so what cores share is measured too.
        self.vectors = np.ones((5, 100_000), np.float32)
        self.best = math.inf
        self.patience = PATIENCE

    def __call__(self) -> float:
        looks = 3 if self.best < math.inf else 300
        seconds = min(self._work() for _ in range(looks))
        self.best = min(self.best, seconds)
        return seconds / self.best

    def _work(self) -> float:
        """Seconds for forty passes over memory, about 2 ms."""
        *vectors, scratch = self.vectors
        start = time.perf_counter()
        for vector in vectors * 5:
            np.multiply(vector, vector, out=scratch)
            np.add(vector, scratch, out=scratch)
        return time.perf_counter() - start

    def settle(self) -> None:
        """Wait until the machine is as fast as it has been, while there is patience left."""
        while self() > SLOW and self.patience > 0:
            time.sleep(PAUSE)
            self.patience -= PAUSE
