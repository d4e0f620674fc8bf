"""What a run leaves on disk: read back, whole or not at all."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lockstep.errors import LockstepError
from lockstep.layouts import weights_sha256
from lockstep.recipe import Recipe
from lockstep.runs import files, machine
from lockstep.runs.weights import load_weights, save_weights


def test_a_run_appears_under_its_name_only_when_it_is_whole(tmp_path):
    with files.new_run(tmp_path, "good") as folder:
        (folder / "file").write_text("content")
        assert not (tmp_path / "good").exists()
    assert (tmp_path / "good" / "file").read_text() == "content"
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), files.new_run(tmp_path, "bad") as folder:
            (folder / "file").write_text("half")
            raise error
    assert [path.name for path in tmp_path.iterdir()] == ["good"]


def test_a_run_is_never_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    with (
        pytest.raises(LockstepError, match="exists already; choose another --name"),
        files.new_run(tmp_path, "mine"),
    ):
        raise AssertionError("must not be reached")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../up", ".hidden", "/root"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(LockstepError, match="cannot be called"), files.new_run(tmp_path, name):
        raise AssertionError("must not be reached")


def test_out_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(LockstepError, match="Cannot write into"),
        files.new_run(tmp_path / "file", "run"),
    ):
        raise AssertionError("must not be reached")


def test_nan_is_not_written_into_json(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_weights_and_recipe_come_back(tmp_path):
    recipe = Recipe(hidden=(8,), dtype="float64", seed=3)
    weights = recipe.initial_weights()
    path = tmp_path / "deep" / "w.safetensors"
    save_weights(path, weights, recipe)
    loaded, loaded_recipe = load_weights(path)
    assert loaded_recipe == recipe and weights_sha256(loaded) == weights_sha256(weights)
    assert [p.name for p in path.parent.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("content", [b"", b"junk" * 100])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(LockstepError, match="not a weights file"):
        load_weights(path)
    with pytest.raises(LockstepError, match="no such file"):
        load_weights(tmp_path / "absent")


def test_peak_memory_is_this_process_own():
    """A process that touches 200 MiB more has a peak 200 MiB higher, whatever its parent's is."""
    ballast = np.ones(50 << 20)  # 400 MiB here must not count there
    code = "from lockstep.runs.machine import peak_rss_bytes as p; import sys\n"
    grown = code + "x = bytearray(200 << 20); x[::4096] = b'1' * len(x[::4096])\n"
    small, large = (
        int(subprocess.check_output([sys.executable, "-c", c + "print(p())"]))
        for c in (code, grown)
    )
    assert ballast.nbytes == 400 << 20
    assert 195 <= (large - small) / 2**20 < 215
    assert small < 150 << 20


CPUINFO = """\
processor\t: 0
model name\t: Some Core 9000
flags\t\t: fpu sse2 {} ht

processor\t: 1
model name\t: Some Core 9000
"""


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (CPUINFO.format("avx2 avx512f"), "Some Core 9000, AVX-512"),
        (CPUINFO.format("avx avx2"), "Some Core 9000, AVX2"),
        (CPUINFO.format(""), "Some Core 9000"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", ""),
        ("", ""),
    ],
)
def test_a_processor_is_named_with_its_widest_registers(content, name):
    """Two that are both sold as "AMD EPYC" may compute 8 or 16 numbers at once."""
    assert machine._named_in(content) == name
