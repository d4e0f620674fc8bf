"""A layer by hand: its derivatives are those of finite differences, and of PyTorch."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from conftest import installed, largest

from lockstep.by_hand import dense, dense_derivatives
from lockstep.by_hand.gradients import compare_with_slopes

SHAPES = {"A": (5, 7), "W": (7, 3), "b": (3,)}


@pytest.fixture
def arrays():
    """A, W and b, and dZ: what some loss says of each number of Z."""
    rng = np.random.default_rng(0)
    return *(rng.normal(size=shape) for shape in SHAPES.values()), rng.normal(size=(5, 3))


def slopes(A, W, b, dZ, derivatives):
    """Compare with the slopes of the loss Σ dZ·Z, whose derivative by Z is dZ."""
    tensors = zip(SHAPES, (A, W, b), derivatives, strict=True)
    return compare_with_slopes(lambda: float((dZ * dense(A, W, b)).sum()), tensors, 50, 1e-8, 0)


def test_a_dense_layers_derivatives_are_the_slopes(arrays):
    A, W, _, dZ = arrays
    assert slopes(*arrays, dense_derivatives(dZ, A, W)) < 1e-8


@pytest.mark.parametrize("wrong", range(3), ids=SHAPES)
def test_a_derivative_off_by_a_tenth_of_a_percent_is_found(wrong, arrays):
    A, W, _, dZ = arrays
    derivatives = dense_derivatives(dZ, A, W)
    derivatives[wrong][...] *= 1.001
    with pytest.raises(ArithmeticError, match=f"{list(SHAPES)[wrong]} is wrong"):
        slopes(*arrays, derivatives)


def test_a_dense_layer_is_pytorchs_linear(arrays):
    torch = importlib.import_module(installed("torch"))
    A, W, b, dZ = (torch.tensor(array, requires_grad=True) for array in arrays)
    Z = torch.nn.functional.linear(A, W.T, b)
    Z.backward(dZ)
    assert largest(dense(*arrays[:3]), Z.detach()) < 1e-14
    derivatives = dense_derivatives(arrays[3], *arrays[:2])
    for ours, theirs in zip(derivatives, (A.grad, W.grad, b.grad), strict=True):
        assert largest(ours, theirs) < 1e-14


def test_derivatives_are_written_where_they_are_wanted(arrays):
    A, W, b, dZ = arrays
    before = [array.copy() for array in arrays]
    out = np.empty_like(W), np.empty_like(b)
    dA, dW, db = dense_derivatives(dZ, A, W, out, by_input=False)
    assert dA is None and dW is out[0] and db is out[1]
    for ours, expected in zip(out, dense_derivatives(dZ, A, W)[1:], strict=True):
        assert largest(ours, expected) == 0.0
    assert all(largest(a, b) == 0.0 for a, b in zip(arrays, before, strict=True)), "pure functions"
