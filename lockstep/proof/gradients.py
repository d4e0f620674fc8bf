"""Are the gradients that a framework computes its own loss's? Finite differences tell."""

from __future__ import annotations

import numpy as np

from ..backends.contract import Backend
from ..by_hand import network
from ..by_hand.gradients import compare_with_slopes
from ..errors import LockstepError


def check_gradients(
    backend: Backend,
    images: np.ndarray,
    labels: np.ndarray,
    samples: int = 20,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> float:
    """Compare a backend's gradients with central differences of its own loss.

    Images (N, inputs) and labels (N,) are one batch; `samples` random entries of every weight and
    bias are tried. Returns the largest difference, relative to the largest gradient of its tensor;
    raises ArithmeticError, naming tensor, index and both values, where it exceeds `tolerance`.
    The network is left as it was, its optimizer's memory too.

    The network must be float64: in float32 rounding hides a wrong derivative. With ReLU a unit
    that is within 1e-5 of 0 can be called wrong though it is right: its slope has a step there.

    >>> import lockstep
    >>> images, labels = lockstep.load_dataset("digits").train
    >>> recipe = lockstep.Recipe(hidden=(16,), activation="tanh", dtype="float64")
    >>> network = lockstep.load_backend("numpy")(recipe, recipe.initial_weights())
    >>> bool(check_gradients(network, images[:32], labels[:32]) < 1e-6)
    True
    """
    if backend.recipe.dtype != "float64":
        raise LockstepError(
            f"A gradient check needs a float64 network, and this one is {backend.recipe.dtype}; "
            "make its recipe with dtype='float64'."
        )
    recipe, weights, state = backend.recipe, backend.weights, backend.state
    # The network by hand holds the weights that are moved, and says what the loss of logits is.
    by_hand = network.Network(recipe.sizes, l2=recipe.l2, dtype=recipe.dtype)
    moved = recipe.named(by_hand.W, by_hand.b)
    for name, view in moved.items():
        view[...] = weights[name]

    def loss() -> float:
        backend.weights = moved
        return by_hand.loss(backend.forward(images), labels)

    try:
        gradients = backend.step(images, labels).gradients
        tensors = [(name, view, gradients[name]) for name, view in moved.items()]
        return compare_with_slopes(loss, tensors, samples, tolerance, seed)
    finally:
        backend.weights, backend.state = weights, state
