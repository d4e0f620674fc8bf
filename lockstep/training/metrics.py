"""How good the answers are: pure functions of logits (N, classes) and labels (N,).

What they give of both sets after an epoch is one row of a history.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..by_hand.losses import cross_entropy
from ..errors import LockstepError
from ..runs.records import Epoch


class Score(NamedTuple):
    """Mean cross-entropy in nats, and the share of examples that are right."""

    loss: float
    accuracy: float


def evaluate(logits: np.ndarray, labels: np.ndarray) -> Score:
    """Loss and accuracy over all the examples, the loss in float64 whatever the logits are."""
    loss = cross_entropy(logits.astype(np.float64), labels)
    return Score(loss, float((logits.argmax(axis=1) == labels).mean()))


def confusion_matrix(logits: np.ndarray, labels: np.ndarray, classes: int = 10) -> np.ndarray:
    """Counts (classes, classes): row = true class, column = answer."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, logits.argmax(axis=1)), 1)
    return matrix


def precision_recall(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per class, both (classes,): precision = right / answered so, recall = right / truly so.

    A class never answered, or absent, has 0 there, as scikit-learn's `zero_division=0`.
    """
    right = np.diag(matrix).astype(float)
    answered, present = matrix.sum(axis=0), matrix.sum(axis=1)
    return right / np.maximum(answered, 1), right / np.maximum(present, 1)


def require_numbers(entry: Epoch, learning_rate: float) -> None:
    """Raise if a loss of this row of a history is no longer a number."""
    losses = (entry.train_loss, entry.test_loss, entry.running_loss or 0.0)
    if not np.isfinite(losses).all():
        raise LockstepError(
            f"The loss is no longer a number in epoch {entry.epoch}: the training diverged; "
            f"lower the learning rate, which is {learning_rate:g}."
        )


def history_entry(epoch: int, train: Score, test: Score, **more: float) -> Epoch:
    """One row of a history: both sets evaluated after an epoch, and what else is known of it."""
    return Epoch(
        epoch=epoch,
        train_loss=train.loss,
        train_accuracy=train.accuracy,
        test_loss=test.loss,
        test_accuracy=test.accuracy,
        **more,
    )
