"""How busy the machine is: what other programs took, and how long ours waited for a core (Linux).

Elsewhere nothing is known of it, and a measurement says so by None.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

QUIET = 0.1
"""Cores that other programs may take, or that our threads may wait for, during a measurement."""
SLOW = 1.15
"""How many times its best the work of `pace.py` may take beside a measurement: undisturbed it
varies by 5 %, on cores far apart it takes 1.9 times as long. (It stands here because a contender
imports this file before it has its cores, and `pace.py` NumPy.)"""
GRAIN = 0.02
"""Seconds by which the system's count of busy time may be off: a tick for each of two cores."""


def busy_seconds() -> float | None:
    """Seconds that all cores together have worked, for anybody."""
    try:
        first = Path("/proc/stat").read_text().splitlines()[0]
    except OSError:
        return None
    user, nice, system, _, _, irq, soft, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def waited_seconds() -> float | None:
    """Seconds that this process' threads were ready to run while every core was taken."""
    if not Path("/proc/self/schedstat").exists():
        return None
    nanoseconds = 0
    for thread in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # it has just ended
            nanoseconds += int((thread / "schedstat").read_text().split()[1])
    return nanoseconds / 1e9


def noisy(turn: dict, own_wait: float = 0.0) -> bool:
    """Whether others disturbed a measurement, as far as that is known.

    `own_wait` is the share of its time that it waits for itself: with more threads than cores.
    """
    seconds, others, waited = turn["seconds"], turn["others"], turn["waited"]
    crowded = others is not None and others > QUIET * seconds + GRAIN
    queued = waited is not None and waited > (own_wait + QUIET) * seconds
    return crowded or queued or turn["pace"] > SLOW
