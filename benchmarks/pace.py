"""How fast the machine is just now, told by a fixed piece of work.

A host may move a guest's two cores to chips that are far apart, and later back. What one of them
writes and the other reads then takes five times as long to come over (measured: 0.5 instead of
0.09 µs), a trainer up to twice as long, and no count of the system's own shows it.
"""

from __future__ import annotations

import math
import time

import numpy as np

from .load import SLOW

PATIENCE = 600.0
"""Seconds that a whole benchmark waits for the machine at most: it may never be itself again."""
REST = 0.1
"""Seconds after the work, in which OpenBLAS' second thread spins for 0.03 in hope of more."""
PAUSE = 0.25
"""Seconds between two looks."""


class Pace:
    """Calling it says how many times its best until now the work takes; the first call, 1."""

    def __init__(self) -> None:
        self.X, self.dZ = np.ones((32, 784), np.float32), np.ones((32, 128), np.float32)
        self.dW = np.empty((784, 128), np.float32)
        self.best = math.inf
        self.patience = PATIENCE

    def __call__(self) -> float:
        looks = 3 if self.best < math.inf else 300
        seconds = min(self._work() for _ in range(looks))
        self.best = min(self.best, seconds)
        time.sleep(REST)
        return seconds / self.best

    def _work(self) -> float:
        """Seconds for products that all cores share and passes over them by one core, about 2 ms.

        Much of it is what the cores have to tell one another.
        """
        start = time.perf_counter()
        for _ in range(20):
            np.matmul(self.X.T, self.dZ, out=self.dW)
            self.dW -= 1
            self.dW *= self.dW
            self.X @ self.dW
        return time.perf_counter() - start

    def settle(self) -> float:
        """Wait until the machine is as fast as it has been, while there is patience left.

        Returns what a call says then.
        """
        while (pace := self()) > SLOW and self.patience > 0:
            time.sleep(PAUSE)
            self.patience -= PAUSE + REST
        return pace
