"""What everything by hand is made of: NumPy's arrays, in memory that is quick to read."""

from __future__ import annotations

import numpy as np

Array = np.ndarray


def aligned_zeros(count: int, dtype: str | np.dtype) -> Array:
    """Zeros (count,) that begin at a cache line; numbers that straddle two take longer to load."""
    size, line = np.dtype(dtype).itemsize, 64
    memory = np.zeros(count * size + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + count * size].view(dtype)
