"""One update, the sentence that training is: forward, backward, move."""

from __future__ import annotations

from .arrays import Array
from .network import Network
from .optimizers import Optimizer


def step(network: Network, optimizer: Optimizer, X: Array, y: Array) -> tuple[Array, float]:
    """Move the weights once by a batch X (N, inputs) with labels y (N,).

    Returns the logits (N, classes) and the loss before the move. The loss is for whoever watches:
    what moves the weights is its derivative alone.
    """
    Z = network.forward(X)
    network.backward(Z, y)
    loss = network.loss(Z, y)
    optimizer.update(network)
    return Z, loss
