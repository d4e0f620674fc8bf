"""What each backend predicts on the test set, and the digits that are worth a look.

One file of a run, predictions.safetensors, so that a report needs neither the data nor a
framework: "labels" (N,), "logits.<backend>" (N, classes), "shown" (S,): which test images "images"
(S, 784) are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..by_hand.losses import softmax
from ..data.datasets import Split
from ..errors import LockstepError, reason
from .files import write_whole

PER_CELL = 24
"""At most so many digits of each cell of a confusion matrix are kept, for each backend."""
MOST = 450
"""At most so many in all; a picture is some 250 bytes of a page."""


class Predictions(NamedTuple):
    """The test set as the backends saw it."""

    labels: np.ndarray
    """(N,): the true classes."""
    logits: dict[str, np.ndarray]
    """Backend → (N, classes), with the trained weights of the first seed."""
    shown: np.ndarray
    """(S,): indices of the test images that are kept, those most worth a look first."""
    images: np.ndarray
    """(S, pixels) uint8."""

    def probabilities(self, backend: str, of: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n, classes) float64: softmax of the logits of some test images, or of all."""
        return softmax(self.logits[backend][of].astype(np.float64))

    def classes(self, backend: str) -> np.ndarray:
        """(N,): the class that the backend predicts."""
        return self.logits[backend].argmax(axis=1)


def collect(test: Split, logits: dict[str, np.ndarray]) -> Predictions:
    """The predictions of every backend, with the images that `worth_showing` chooses."""
    shown = worth_showing(test.labels, logits)
    return Predictions(test.labels, logits, shown, test.images[shown])


def worth_showing(
    labels: np.ndarray, logits: Mapping[str, np.ndarray], most: int = MOST
) -> np.ndarray:
    """Indices of test images, the first ones most worth a look; at most `most`.

    Of each cell (true class, predicted one) of each backend's confusion matrix: if it is a mistake,
    those it is surest of; if it is right, those it is least sure of. First the digits on which
    backends disagree.
    """
    classes = {name: values.argmax(axis=1) for name, values in logits.items()}
    disagreed = disagreements(classes)
    ranks: dict[int, int] = {int(index): -1 for index in disagreed}
    for name, values in logits.items():
        sure = softmax(values.astype(np.float64)).max(axis=1)
        order = np.argsort(np.where(classes[name] == labels, sure, -sure), kind="stable")
        seen: dict[tuple[int, int], int] = {}
        for index in order:
            cell = int(labels[index]), int(classes[name][index])
            rank = seen[cell] = seen.get(cell, -1) + 1
            if rank < PER_CELL:
                # of 97 % that are right a few are enough
                place = rank * (3 if cell[0] == cell[1] else 1)
                ranks[int(index)] = min(place, ranks.get(int(index), place))
    return np.array(sorted(ranks, key=lambda index: (ranks[index], index))[:most], np.int64)


def disagreements(classes: Mapping[str, np.ndarray]) -> np.ndarray:
    """Indices of the images that not all backends classify alike; classes (N,) by backend."""
    table = np.array(list(classes.values()))
    return np.flatnonzero((table != table[0]).any(axis=0))


def save(path: Path, predicted: Predictions) -> None:
    """Write them as one safetensors file."""
    from safetensors.numpy import save as to_bytes

    tensors = {"labels": predicted.labels, "shown": predicted.shown, "images": predicted.images}
    tensors |= {f"logits.{name}": values for name, values in predicted.logits.items()}
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    write_whole(path, to_bytes(contiguous))


def load(path: Path, backends: Collection[str]) -> Predictions:
    """Read what `save` has written; raises if it is not whole, or a backend is not in it."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
    except OSError as error:
        raise LockstepError(f"Cannot read the predictions {path}: {reason(error)}.") from None
    except SafetensorError as error:
        raise LockstepError(
            f"{path} is truncated or no safetensors file ({error}); make the run again."
        ) from None
    wanted = ["labels", "shown", "images", *(f"logits.{name}" for name in backends)]
    missing = [name for name in wanted if name not in tensors]
    if missing:
        raise LockstepError(f"{path} lacks {', '.join(missing)}; make the run again.")
    logits = {name: tensors[f"logits.{name}"] for name in backends}
    return Predictions(tensors["labels"], logits, tensors["shown"], tensors["images"])
