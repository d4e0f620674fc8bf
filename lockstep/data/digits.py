"""The embedded default: 1,797 small handwritten digits, put into MNIST's frame.

The images are those of `sklearn.datasets.load_digits`: 8 × 8 pixels of 0 to 16, the test half of
"Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning
Repository, 1998, doi:10.24432/C50P49, licence CC BY 4.0). They travel with the package, so that
everything runs without data and without a network, under their own name.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import numpy as np

from . import idx

NAME = "digits"
TITLE = "digits (1,797 small embedded images, not MNIST)"
TEST_SHARE = 0.2
SPLIT_SEED = 0
IMAGES, LABELS = "digits-images-idx3-ubyte.gz", "digits-labels-idx1-ubyte.gz"

Arrays = tuple[np.ndarray, np.ndarray]


def load() -> tuple[Arrays, Arrays, dict[str, str]]:
    """Training and test set, each images (N, 784) uint8 and labels (N,); hashes of the files."""
    small, labels, hashes = read()
    images = np.stack([enlarge(image) for image in small]).reshape(len(small), -1)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(images))
    cut = round(len(images) * (1 - TEST_SHARE))
    train, test = order[:cut], order[cut:]
    return (images[train], labels[train]), (images[test], labels[test]), hashes


def read() -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """The images as they were published (1797, 8, 8), values 0 to 16, and their labels."""
    folder = resources.files("lockstep.data") / "embedded"
    contents = {
        name: idx.gunzip((folder / name).read_bytes(), Path(name)) for name in (IMAGES, LABELS)
    }
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    small = idx.parse(contents[IMAGES], 3, Path(IMAGES))
    return small, idx.parse(contents[LABELS], 1, Path(LABELS)), hashes


def enlarge(small: np.ndarray) -> np.ndarray:
    """An 8 × 8 image of 0…16 as MNIST would frame it: (28, 28) uint8.

    The ink's box grows until its longer side is 20 pixels, and is pasted so that its centre of mass
    is at the centre of the 28 × 28 field, in whole pixels (LeCun's description of MNIST).
    """
    rows, columns = np.flatnonzero(small.any(axis=1)), np.flatnonzero(small.any(axis=0))
    box = small[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] / 16
    factor = 20 / max(box.shape)
    height, width = (max(1, round(side * factor)) for side in box.shape)
    box = _interpolation(box.shape[0], height) @ box @ _interpolation(box.shape[1], width).T
    box = np.rint(255 * box / box.max())

    frame = np.zeros((28, 28), np.uint8)
    top, left = (_offset(box.sum(axis=axis)) for axis in (1, 0))
    frame[top : top + height, left : left + width] = box
    return frame


def _interpolation(before: int, after: int) -> np.ndarray:
    """Matrix (after, before) that stretches a line of pixels linearly, centre to centre."""
    position = (np.arange(after) + 0.5) * before / after - 0.5
    position = position.clip(0, before - 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(before)))


def _offset(mass: np.ndarray) -> int:
    """Where a box with this mass per row starts, so that its centre of mass is at pixel 14."""
    centre = ((np.arange(len(mass)) + 0.5) * mass).sum() / mass.sum()
    return int(np.clip(round(14 - centre), 0, 28 - len(mass)))
