"""What the weights of a network are: names, shapes and treatment, and how two sets compare."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from .errors import LockstepError

Weights = dict[str, np.ndarray]
"""A network's weights by name: "dense0.weight" (in, out), "dense0.bias" (out,), "dense1.…"."""


class Layout(NamedTuple):
    """One weight of a network, as Lockstep has it; and how frameworks that differ store it."""

    name: str
    shape: tuple[int, ...]
    is_bias: bool
    torch_axes: tuple[int, ...]
    """These axes in PyTorch's order: a matrix is (out, in) there."""

    @property
    def decays(self) -> bool:
        """Whether the L2 penalty and weight decay are for it: biases go free."""
        return not self.is_bias

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """A view of an array that is shaped as this weight, as PyTorch stores it."""
        return array.transpose(self.torch_axes)

    def from_torch(self, array: np.ndarray) -> np.ndarray:
        """A view of what PyTorch stores, shaped as this weight."""
        return array.transpose(np.argsort(self.torch_axes))


def dense_names(layer: int) -> tuple[str, str]:
    """What the matrix and the bias of a dense layer are called, the first layer being 0."""
    return f"dense{layer}.weight", f"dense{layer}.bias"


def dense(sizes: Sequence[int]) -> dict[str, Layout]:
    """The weights by name of dense layers such as (784, 128, 10), as the digits meet them."""
    layouts = []
    for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
        matrix, bias = dense_names(layer)
        layouts.append(Layout(matrix, (n_in, n_out), is_bias=False, torch_axes=(1, 0)))
        layouts.append(Layout(bias, (n_out,), is_bias=True, torch_axes=(0,)))
    return {layout.name: layout for layout in layouts}


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
