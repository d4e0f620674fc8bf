"""Finding, checking and parsing the pixels; every kind of bad file has its own sentence."""

from __future__ import annotations

import gzip
import os
import shutil
import struct

import numpy as np
import pytest
from sklearn.datasets import load_digits

from lockstep.data import datasets, sources
from lockstep.data.digits import read
from lockstep.data.sources import FILES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS
from lockstep.errors import LockstepError


def serialise(array: np.ndarray) -> bytes:
    """The gzipped IDX file of an array of bytes."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.tobytes(), mtime=0)


def small_files() -> dict[str, bytes]:
    """Four well-formed gzipped files with a handful of images, of no published dataset."""
    rng = np.random.default_rng(0)
    arrays = {}
    for images, labels, count in ((FILES[0], FILES[1], 12), (FILES[2], FILES[3], 5)):
        arrays[images] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[labels] = rng.integers(0, 10, count, np.uint8)
    return {file: serialise(array) for file, array in arrays.items()}


@pytest.fixture
def folder(tmp_path):
    for file, raw in small_files().items():
        (tmp_path / f"{file}.gz").write_bytes(raw)
    return tmp_path


@pytest.fixture
def published(edit_source, folder):
    """The same folder, its hashes entered in the table as if they were MNIST's."""
    hashes = {file: _sha256(gzip.decompress(raw)) for file, raw in small_files().items()}
    edit_source("mnist", content_sha256=hashes)
    return folder


def _sha256(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch, tmp_path_factory):
    """No test sees this machine's cache folder."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(datasets, "cache_folder", lambda name: cache / name)
    return cache


# --- the true MNIST ---


def test_mnist_is_the_published_one(mnist):
    assert mnist.train.images.shape == (60_000, 784) and mnist.test.images.shape == (10_000, 784)
    assert mnist.sha256 == sources.SOURCES["mnist"].content_sha256
    # The published counts of the digits 0 to 9 in the test set.
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(mnist.test.labels).tolist() == counts


# --- scaling ---


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_run_from_0_to_exactly_1(dtype):
    scaled = datasets.scale(np.arange(256, dtype=np.uint8), dtype)
    assert scaled.dtype == dtype and scaled[0] == 0 and scaled[255] == 1
    assert np.allclose(scaled, np.arange(256) / 255, rtol=1.2e-7 if dtype == "float32" else 3e-16)


# --- where files are looked for ---


def test_the_folder_given_comes_before_the_environment(published, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("LOCKSTEP_DATA", str(tmp_path_factory.mktemp("empty")))
    assert datasets.load("mnist", published).folder == published


def test_the_environment_comes_before_the_cache(published, monkeypatch):
    monkeypatch.setenv("LOCKSTEP_DATA", str(published))
    assert datasets.load("mnist", download=False).folder == published


def test_the_cache_is_used_when_nothing_else_is_named(published, monkeypatch, _empty_cache):
    monkeypatch.delenv("LOCKSTEP_DATA", raising=False)
    shutil.copytree(published, _empty_cache / "mnist")
    assert datasets.load("mnist", download=False).folder == _empty_cache / "mnist"


def test_a_subfolder_of_the_datasets_name_serves(published, tmp_path_factory):
    parent = tmp_path_factory.mktemp("all")
    shutil.copytree(published, parent / "mnist")
    assert datasets.load("mnist", parent).folder == parent / "mnist"


def test_plain_files_serve_as_gzipped_ones_do(published):
    before = datasets.load("mnist", published)
    for file in FILES:
        path = published / f"{file}.gz"
        (published / file).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    after = datasets.load("mnist", published)
    assert (before.train.images == after.train.images).all() and before.sha256 == after.sha256


def test_mnist_in_the_folder_is_not_taken_for_fashion(published, monkeypatch):
    monkeypatch.setenv("LOCKSTEP_DATA", str(published))
    with pytest.raises(LockstepError, match="no Fashion-MNIST on this machine"):
        datasets.load("fashion-mnist", download=False)
    with pytest.raises(LockstepError, match="holds another dataset"):
        datasets.load("fashion-mnist", published)


@pytest.mark.parametrize("origin", ["--data-dir", "LOCKSTEP_DATA"])
def test_a_folder_that_is_not_there_is_named(origin, monkeypatch, tmp_path):
    absent = tmp_path / "absent"
    if origin == "LOCKSTEP_DATA":
        monkeypatch.setenv("LOCKSTEP_DATA", str(absent))
    with pytest.raises(LockstepError, match=f"{origin} names .*absent, which is not a folder"):
        datasets.load("mnist", absent if origin == "--data-dir" else None)


def test_a_folder_given_must_hold_the_files(tmp_path):
    with pytest.raises(LockstepError, match=f"lacks {TRAIN_IMAGES}"):
        datasets.load("mnist", tmp_path)


def test_an_unknown_dataset_is_answered_with_the_nearest():
    with pytest.raises(LockstepError, match="did you mean 'fashion-mnist'"):
        datasets.load("fashion_mnist")


# --- bad files ---


def rewrite(folder, file, change):
    """Replace a file by its content changed, gzipped again."""
    path = folder / f"{file}.gz"
    content = bytearray(gzip.decompress(path.read_bytes()))
    path.write_bytes(gzip.compress(bytes(change(content))))


def set_at(position, value):
    def change(content):
        content[position] = value
        return content

    return change


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        (TRAIN_IMAGES, lambda c: c[:-1], "is truncated: its header announces 12 × 28 × 28"),
        (TRAIN_IMAGES, lambda c: c + b"x", "is too long"),
        (TRAIN_IMAGES, lambda c: c[:9], "ends within its header"),
        (TRAIN_IMAGES, lambda c: b"", "magic number"),
        (TRAIN_LABELS, set_at(3, 3), "magic number is 0x00000803, not 0x00000801"),
        (TRAIN_LABELS, set_at(8, 10), "label 10 at position 0"),
        (TRAIN_LABELS, lambda c: c[:7] + b"\x0b" + c[8:-1], "12 images in .* and 11 labels"),
        (TRAIN_IMAGES, set_at(16, 1), "not MNIST's: the SHA-256 of its content"),
        (
            TRAIN_IMAGES,
            lambda c: c[:8] + (14).to_bytes(4, "big") + (56).to_bytes(4, "big") + c[16:],
            "14 × 56 pixels",
        ),
    ],
)
def test_every_fault_of_a_file_has_its_sentence(published, file, change, words):
    rewrite(published, file, change)
    with pytest.raises(LockstepError, match=words) as caught:
        datasets.load("mnist", published)
    assert str(caught.value).count("\n") == 0


def test_what_is_wrong_with_the_gzip_itself(published):
    path = published / f"{TEST_LABELS}.gz"
    raw = path.read_bytes()
    for broken, words in (
        (gzip.decompress(raw), "is not gzip"),
        (raw[: len(raw) // 2], "is truncated"),
        (raw[:12] + b"\xff\xff" + raw[14:], "is damaged gzip"),
    ):
        path.write_bytes(broken)
        with pytest.raises(LockstepError, match=words):
            datasets.load("mnist", published)


def test_a_file_that_may_not_be_read(published, monkeypatch):
    path = published / f"{TRAIN_LABELS}.gz"
    path.chmod(0)
    if os.access(path, os.R_OK):  # root reads everything: let the system call refuse instead
        monkeypatch.setattr(type(path), "read_bytes", _refuse)
    with pytest.raises(LockstepError, match=r"Cannot read .*: permission denied"):
        datasets.load("mnist", published)


def _refuse(path):
    raise PermissionError(13, "Permission denied", str(path))


def test_kmnist_is_checked_by_its_archive(folder, edit_source):
    hashes = {file: _sha256(raw) for file, raw in small_files().items()}
    edit_source("kmnist", archive_sha256=hashes)
    assert datasets.load("kmnist", folder).title == "KMNIST"
    rewrite(folder, TRAIN_IMAGES, lambda c: c)  # the same content in another wrapper
    with pytest.raises(LockstepError, match="SHA-256 of its archive"):
        datasets.load("kmnist", folder)


# --- the embedded digits ---


def test_the_embedded_digits_are_scikit_learns():
    images, labels, _ = read()
    theirs = load_digits()
    assert (images == theirs.images).all() and (labels == theirs.target).all()


def test_they_are_framed_as_mnist_frames(digits):
    """screens.md's check of MNIST: longest side 20 pixels, centre of mass at 14, bright ink."""
    images = np.concatenate([digits.train.images, digits.test.images]).reshape(-1, 28, 28)
    assert len(images) == 1797
    mass = images.sum(axis=(1, 2), dtype=float)
    for axis in (1, 2):
        profile = images.sum(axis=3 - axis, dtype=float)
        centre = (profile * (np.arange(28) + 0.5)).sum(1) / mass
        assert centre.min() > 13.2 and centre.max() < 14.8
    sides = [
        max(np.ptp(np.flatnonzero(image.any(axis=axis))) + 1 for axis in (0, 1)) for image in images
    ]
    assert np.mean(np.array(sides) == 20) > 0.9 and max(sides) == 20
    assert images.max(axis=(1, 2)).min() == 255


def test_their_split_is_fixed_and_complete(digits):
    assert len(digits.train.labels) == 1438 and len(digits.test.labels) == 359
    again = datasets.load("digits")
    assert (digits.test.images == again.test.images).all()
    everything = np.concatenate([digits.train.labels, digits.test.labels])
    assert (np.bincount(everything) == np.bincount(load_digits().target)).all()


def test_the_label_says_that_they_are_not_mnist(digits):
    assert digits.name == "digits" and "not MNIST" in digits.title


# --- what `lockstep data` shows ---


def test_the_inventory_tells_good_bad_missing_and_absent(published, tmp_path_factory):
    rewrite(published, TRAIN_IMAGES, set_at(16, 1))
    (published / f"{TEST_LABELS}.gz").unlink()
    states = {e.file: (e.state, e.bad) for e in datasets.inventory("mnist", published / "..")}
    assert {state for state, _ in states.values()} == {"not here"}
    sub = tmp_path_factory.mktemp("named")
    shutil.copytree(published, sub / "mnist")
    states = {e.file: (e.state, e.bad) for e in datasets.inventory("mnist", sub)}
    assert states[TRAIN_LABELS] == ("hash holds", False)
    assert states[TEST_LABELS] == ("missing", True)
    assert "not MNIST's" in states[TRAIN_IMAGES][0] and states[TRAIN_IMAGES][1]
