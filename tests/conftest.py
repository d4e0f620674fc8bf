"""What the tests share: real data, every backend, and the rule that CI skips nothing."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

# Tests compute with NumPy and a framework in turns, and two test processes share the cores: with
# one thread each they do not fight for them. Set before NumPy loads its BLAS, which reads it once.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

import numpy as np
import pytest

from lockstep.backends import registry
from lockstep.data import datasets, sources
from lockstep.errors import LockstepError

IN_CI = os.environ.get("CI") == "true"
FRAMEWORKS = tuple(name for name in registry.names() if name != registry.REFERENCE)


def absent(why: str):
    """Skip on a developer's machine; fail in CI, where nothing may be missing."""
    if IN_CI:
        pytest.fail(f"{why}, and CI must have it")
    pytest.skip(why)


@pytest.fixture(scope="session")
def mnist() -> datasets.Dataset:
    """The true MNIST, where it is on this machine; nothing is downloaded."""
    try:
        return datasets.load("mnist", download=False)
    except LockstepError as error:
        absent(str(error))


@pytest.fixture(scope="session")
def digits() -> datasets.Dataset:
    """The embedded digits, which are always here."""
    return datasets.load("digits")


def installed(name: str) -> str:
    """The name, if that backend can be used here."""
    if name not in registry.installed():
        absent(f"{name} is not installed")
    return name


@pytest.fixture(params=FRAMEWORKS)
def framework(request) -> str:
    """The name of every backend but NumPy's, one after the other."""
    return installed(request.param)


@pytest.fixture
def batch(digits):
    """32 real digits: images (32, 784) in float64, labels (32,)."""
    return datasets.scale(digits.train.images[:32], "float64"), digits.train.labels[:32]


@pytest.fixture
def edit_source(monkeypatch):
    """Change fields of a dataset's row in the table, for one test."""

    def edit(name: str, **fields) -> None:
        row = dataclasses.replace(sources.SOURCES[name], **fields)
        monkeypatch.setitem(sources.SOURCES, name, row)

    return edit


def lockstep(*arguments, cwd=None, module="lockstep", **environment) -> subprocess.CompletedProcess:
    """A command as a person types it, in a process of its own; with these environment variables."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


def largest(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max())
