"""Pixels: find a dataset, check it, parse it, scale it.

Where the four files are looked for, in this order: the folder given, `LOCKSTEP_DATA`, the user's
cache folder, and then the dataset's mirrors. Each file may be plain or gzipped.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import LockstepError, one_of
from . import digits, idx
from .sources import (
    DIGIT_NAMES,
    FILES,
    SOURCES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    check_hash,
    locate,
    parse,
)

NAMES = (*SOURCES, digits.NAME)


class Split(NamedTuple):
    """Images (N, 784) uint8, a row after the other, 0 = background; labels (N,) uint8."""

    images: np.ndarray
    labels: np.ndarray

    def scaled(self, dtype: str = "float32") -> np.ndarray:
        """The pixels as numbers from 0 to 1, (N, 784), what the networks take."""
        return scale(self.images, dtype)


@dataclass(frozen=True)
class Dataset:
    """A dataset in memory, checked. `folder` is None for the embedded digits."""

    name: str
    title: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    sha256: dict[str, str]
    """Hash of each file's content, as it was read."""
    folder: Path | None
    validation: int = 0
    """How many of the training images stand in for the test set; 0 if the test set is itself."""

    def validated(self, count: int) -> Dataset:
        """The last `count` training images as the test set, the others to train on.

        Whoever chooses a recipe by accuracy must not look at the true test set: the best of many
        is best by luck too.
        """
        images, labels = self.train
        if not 0 < count < len(labels):
            raise LockstepError(
                f"--validation is {count}; {self.title} has {len(labels):,} training images, of "
                "which some are to validate with, and some to train on."
            )
        return replace(
            self,
            title=f"{self.title}, its last {count:,} training images as test set",
            train=Split(images[:-count], labels[:-count]),
            test=Split(images[-count:], labels[-count:]),
            validation=count,
        )


def scale(images: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Pixels 0…255 to 0…1, by one multiplication with 1/255 rounded to `dtype`.

    A product rounds once and the same way in every framework; XLA is free to turn a division into
    a product, and would differ from the others in the last bit.
    """
    factor = np.dtype(dtype).type(1) / np.dtype(dtype).type(255)
    return np.multiply(images, factor, dtype=dtype)


def load(
    name: str | None = None, data_dir: str | Path | None = None, download: bool = True
) -> Dataset:
    """The dataset, found or downloaded, checked, parsed.

    Without a name it is MNIST; where that is nowhere to be had, the embedded digits take its place
    and a sentence on stderr says so. A name given explicitly is never replaced.

    >>> digits = load("digits")
    >>> digits.train.images.shape, digits.test.labels.shape
    ((1438, 784), (359,))
    """
    if name is not None:
        one_of(NAMES, name, "dataset")
    if name == digits.NAME:
        return read(name, None)
    wanted = name or "mnist"
    folder = find(wanted, data_dir)
    if folder is None and download:
        from .download import Unreachable, fetch

        try:
            folder = fetch(wanted, cache_folder(wanted))
        except Unreachable as error:
            if name is not None:
                raise
            print(
                f"NOTE: {error} Going on with the embedded digits instead: {digits.TITLE}.",
                file=sys.stderr,
            )
            return read(digits.NAME, None)
    if folder is None:
        raise LockstepError(f"There is no {SOURCES[wanted].title} on this machine. {HOW_TO_GET}")
    return read(wanted, folder)


HOW_TO_GET = (
    "`lockstep data --fetch NAME` downloads it; --data-dir or LOCKSTEP_DATA names a folder that "
    "has its four files."
)


def find(name: str, data_dir: str | Path | None = None) -> Path | None:
    """The folder that holds the dataset's files, or None. A folder given must hold them."""
    if data_dir is not None:
        folder = _existing(Path(data_dir), "--data-dir")
        found = _holder(name, folder)
        if found is None:
            absent = [file for file in FILES if locate(folder, file) is None]
            what = f"lacks {absent[0]} (plain or .gz)" if absent else "holds another dataset"
            raise LockstepError(
                f"--data-dir {folder} {what}, so it is not {SOURCES[name].title}; the four files "
                f"are {', '.join(FILES)}."
            )
        return found
    if os.environ.get("LOCKSTEP_DATA"):
        folder = _existing(Path(os.environ["LOCKSTEP_DATA"]), "LOCKSTEP_DATA")
        found = _holder(name, folder)
        if found is not None:
            return found
        title = SOURCES[name].title
        print(
            f"NOTE: LOCKSTEP_DATA names {folder}, which has not all four files of {title}; looking "
            "elsewhere.",
            file=sys.stderr,
        )
    return _holder(name, cache_folder(name))


def cache_folder(name: str) -> Path:
    """Where a download of the dataset is kept, by the platform's convention."""
    from platformdirs import user_cache_path

    return user_cache_path("lockstep", appauthor=False) / name


def read(name: str, folder: Path | None) -> Dataset:
    """Parse and check the dataset's four files in a folder; None means the embedded digits."""
    if folder is None:
        return _embedded()
    source = SOURCES[name]
    arrays, hashes, raws = {}, {}, {}
    for file in FILES:
        path = locate(folder, file)
        if path is None:
            raise LockstepError(f"{folder} lacks {file} (plain or .gz). {HOW_TO_GET}")
        raws[path] = idx.read_bytes(path)
        content = idx.content_of(raws[path], path)
        arrays[file] = parse(content, file, path)
        hashes[file] = hashlib.sha256(content).hexdigest()
    for images, labels in ((TRAIN_IMAGES, TRAIN_LABELS), (TEST_IMAGES, TEST_LABELS)):
        if len(arrays[images]) != len(arrays[labels]):
            raise LockstepError(
                f"{folder} has {len(arrays[images]):,} images in {images} and "
                f"{len(arrays[labels]):,} labels in {labels}; the files do not belong together."
            )
    for (path, raw), file in zip(raws.items(), FILES, strict=True):
        check_hash(name, file, path, raw, hashes[file])
    return Dataset(
        name,
        source.title,
        source.classes,
        Split(arrays[TRAIN_IMAGES], arrays[TRAIN_LABELS]),
        Split(arrays[TEST_IMAGES], arrays[TEST_LABELS]),
        hashes,
        folder,
    )


class Entry(NamedTuple):
    """One file of a dataset, as `lockstep data` shows it."""

    title: str
    file: str
    path: Path | None
    state: str
    bad: bool


def inventory(name: str, data_dir: Path | None = None) -> list[Entry]:
    """Whether each file of a dataset is here, where, and whether its hash holds."""
    title = SOURCES[name].title
    folder = _holder(name, _existing(data_dir, "--data-dir")) if data_dir else find(name)
    if folder is None:
        return [Entry(title, file, None, "not here", False) for file in FILES]
    return [_entry(name, title, file, locate(folder, file)) for file in FILES]


def _entry(name: str, title: str, file: str, path: Path | None) -> Entry:
    if path is None:
        return Entry(title, file, None, "missing", True)
    try:
        raw = idx.read_bytes(path)
        content = idx.content_of(raw, path)
        parse(content, file, path)
        check_hash(name, file, path, raw, hashlib.sha256(content).hexdigest())
    except LockstepError as error:
        return Entry(title, file, path, str(error), True)
    return Entry(title, file, path, "hash holds", False)


def _existing(folder: Path, origin: str) -> Path:
    try:
        if folder.is_dir():
            return folder
    except OSError:  # a name that is too long, say
        pass
    raise LockstepError(f"{origin} names {folder}, which is not a folder.")


def _holder(name: str, folder: Path) -> Path | None:
    """The folder, or its subfolder called as the dataset, if the dataset's files are in it.

    MNIST and its successors share their file names, so a folder without the dataset's name counts
    only unless its training labels (small, quick to hash) are known to be another dataset's.
    """
    if any(locate(folder / name, file) for file in FILES):
        return folder / name
    labels = locate(folder, TRAIN_LABELS)
    if labels is None or not all(locate(folder, file) for file in FILES):
        return None
    return folder if _owner(labels) in (None, name) else None


def _owner(path: Path) -> str | None:
    """The dataset to which a file with training labels belongs, or None if it cannot be told."""
    try:
        raw = idx.read_bytes(path)
        content = hashlib.sha256(idx.content_of(raw, path)).hexdigest()
    except LockstepError:
        return None  # `read` will say what is wrong with it
    archive = hashlib.sha256(raw).hexdigest()
    for name, source in SOURCES.items():
        if content == source.content_sha256.get(TRAIN_LABELS):
            return name
        if archive == source.archive_sha256.get(TRAIN_LABELS):
            return name
    return None


def _embedded() -> Dataset:
    train, test, hashes = digits.load()
    return Dataset(
        digits.NAME, digits.TITLE, DIGIT_NAMES, Split(*train), Split(*test), hashes, None
    )
