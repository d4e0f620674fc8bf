"""The built wheel in an empty environment, with the core alone, away from the clone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lockstep.runs import records

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    subprocess.run([*command, ROOT], check=True, capture_output=True)
    return next(folder.glob("lockstep_nn-*.whl"))


def test_the_wheel_holds_the_heart_and_the_digits(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"lockstep/data/embedded/digits-images-idx3-ubyte.gz"} <= names
    assert "lockstep/recipes/simard.toml" in names
    tops = {name.split("/")[0] for name in names}
    assert all(top == "lockstep" or top.endswith(".dist-info") for top in tops), tops


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel and its core dependencies, at the versions that are pinned."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    scripts = folder / ("Scripts" if sys.platform == "win32" else "bin")
    pins = ROOT / "requirements" / "run.txt"
    command = [scripts / "python", "-m", "pip", "install", "--quiet", "-c", pins, wheel]
    done = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return scripts


def test_the_core_alone_trains_numpy_and_says_how_to_add_the_others(installed, tmp_path):
    done = subprocess.run(
        [installed / "lockstep", "compare", "--dataset", "digits", "--epochs", "2", "--name", "r"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "pip install jax optax numba llvmlite tensorflow keras torch" in done.stdout
    assert list(records.load(tmp_path / "runs" / "r").backends) == ["numpy"]
    assert (tmp_path / "runs" / "r" / "report.html").is_file()
