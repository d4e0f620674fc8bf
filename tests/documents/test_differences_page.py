"""The page that explains how the frameworks differ says what they do today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FRAMEWORKS, absent

from lockstep.backends import registry

pytestmark = pytest.mark.costly

DOCS = Path(__file__).parents[2] / "docs"


def run(code: str) -> subprocess.CompletedProcess:
    if not {"torch", "tensorflow"} <= set(registry.installed()):
        absent(f"one of {FRAMEWORKS} is not installed")
    return subprocess.run(
        [sys.executable, "-c", code], cwd=DOCS, capture_output=True, encoding="utf-8"
    )


def test_the_page_is_what_the_frameworks_measure():
    done = run("import differences, sys; sys.stdout.buffer.write(differences.page().encode())")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (DOCS / "differences.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("value", [0.5, 0.3])
def test_a_measurement_that_fits_no_candidate_or_two_is_an_error(value):
    done = run(f"from differences import which; which({value}, {{'a': 0.5, 'b': 0.5}})")
    assert done.returncode == 1 and "AssertionError" in done.stderr
