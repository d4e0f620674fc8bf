"""Which datasets there are: where they come from, their files, and how to know them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import LockstepError
from . import idx

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)
SIDE = 28
DIGIT_NAMES = tuple("0123456789")
FASHION_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
KUZUSHIJI_NAMES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


@dataclass(frozen=True)
class Source:
    """A dataset that is published as four IDX files: its mirrors, and how to know it is whole."""

    title: str
    classes: tuple[str, ...]
    megabytes: int
    mirrors: tuple[str, ...]
    content_sha256: dict[str, str] = field(default_factory=dict)
    """File name → hash after decompression."""
    archive_sha256: dict[str, str] = field(default_factory=dict)
    """File name → hash of the published .gz, where no hash of the content is published."""


SOURCES = {
    "mnist": Source(
        title="MNIST",
        classes=DIGIT_NAMES,
        megabytes=12,
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        content_sha256={
            TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "fashion-mnist": Source(
        title="Fashion-MNIST",
        classes=FASHION_NAMES,
        megabytes=31,
        mirrors=(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        content_sha256={
            TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ),
    "kmnist": Source(
        title="KMNIST",
        classes=KUZUSHIJI_NAMES,
        megabytes=21,
        mirrors=(
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "https://huggingface.co/datasets/tanganke/kmnist/resolve/"
            "53810959241e8f35890445245170c8cec0672f81/raw/",
        ),
        archive_sha256={
            TRAIN_IMAGES: "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            TRAIN_LABELS: "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            TEST_IMAGES: "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            TEST_LABELS: "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        },
    ),
}


def locate(folder: Path, file: str) -> Path | None:
    """The plain file or its .gz in a folder, or None."""
    for path in (folder / file, folder / f"{file}.gz"):
        try:
            if path.exists():
                return path
        except PermissionError:
            return path  # reading it will say so
    return None


def parse(content: bytes, file: str, path: Path) -> np.ndarray:
    """Images (N, 784) or labels (N,) of one file; `path` names it where it is wrong."""
    if file in (TRAIN_IMAGES, TEST_IMAGES):
        images = idx.parse(content, 3, path)
        if images.shape[1:] != (SIDE, SIDE):
            size = " × ".join(map(str, images.shape[1:]))
            raise LockstepError(f"{path} has images of {size} pixels; {SIDE} × {SIDE} is needed.")
        return images.reshape(-1, SIDE * SIDE)
    labels = idx.parse(content, 1, path)
    if labels.size and labels.max() > 9:
        at = int(np.argmax(labels > 9))
        raise LockstepError(f"{path} has the label {labels[at]} at position {at}; 9 is the last.")
    return labels


def check_hash(name: str, file: str, path: Path, raw: bytes, content_sha256: str) -> None:
    """Raise if the file is not the published one."""
    source = SOURCES[name]
    if file in source.content_sha256:
        known, found, what = source.content_sha256[file], content_sha256, "content"
    else:
        known, found = source.archive_sha256[file], hashlib.sha256(raw).hexdigest()
        what = "archive"
        if not raw.startswith(idx.GZIP):
            raise LockstepError(
                f"{path} cannot be checked: of {source.title} only the .gz files have a published "
                "hash; keep those."
            )
    if found != known:
        raise LockstepError(
            f"{path} is not {source.title}'s: the SHA-256 of its {what} is {found[:12]}…, "
            f"published is {known[:12]}…; remove it and fetch it again."
        )
