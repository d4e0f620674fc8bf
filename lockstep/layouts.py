"""What the weights of a network are: their names and shapes, and how two sets compare."""

from __future__ import annotations

import hashlib

import numpy as np

from .errors import LockstepError

Weights = dict[str, np.ndarray]
"""A network's weights by name: "dense0.weight" (in, out), "dense0.bias" (out,), "dense1.…"."""


def check_weights(weights: Weights, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise unless there is exactly one array of the right shape for every name."""
    if set(weights) != set(shapes):
        raise LockstepError(f"The weights are {sorted(weights)}; needed: {sorted(shapes)}.")
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise LockstepError(f"{name} has shape {weights[name].shape}; needed: {shape}.")


def weights_sha256(weights: Weights) -> str:
    """Hash of all weights: names, shapes, dtypes and little-endian bytes, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.shape} {array.dtype.name}\n".encode())
        digest.update(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
    return digest.hexdigest()


def largest_difference(one: Weights, other: Weights) -> float:
    """Largest absolute difference between two sets of weights with the same names."""
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)
