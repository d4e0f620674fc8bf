"""The commands that the documents show are run; the tables that they show are well-formed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import finished_run
import pytest

from lockstep.diagnosis.check import TEMPLATE, write_template
from lockstep.diagnosis.mistakes import CATALOGUE

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[2]
PAGES = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))]
DIGITS = ["--dataset", "digits"]
QUICK = {
    "compare": [
        *DIGITS,
        "--epochs",
        "1",
        "--repeats",
        "1",
        "--proof",
        "2",
        "--backends",
        "numpy,torch",
    ],
    "train": [*DIGITS, "--epochs", "1"],
    "verify": [*DIGITS, "--steps", "3"],
    "explain": [*DIGITS, "--steps", "3", "--seeds", "1"],
    "benchmarks": [*DIGITS, "--only", "numpy", "--seeds", "1"],
}


def commands(document: str) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / document).read_text("utf-8"), re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def test_the_readme_fits_into_a_few_screens():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def programs(*documents: str) -> list[str]:
    """The commands that are to be run, each once however often it is shown."""
    shown = dict.fromkeys(command for document in documents for command in commands(document))
    return [command for command in shown if command.split()[0] in ("lockstep", "python")]


def test_the_readme_shows_commands():
    assert "make" in commands("README.md") and "make test" in commands("README.md")


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_every_make_target_shown_exists(document):
    if shutil.which("make") is None:
        pytest.skip("no make here")
    for command in commands(document):
        if command.split()[0] == "make":
            done = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True)
            assert done.returncode == 0 and done.stdout, command


@pytest.mark.parametrize("command", programs("README.md", *PAGES))
def test_every_command_shown_runs(command, mnist, digits, tmp_path):
    """Shortened, from an empty folder; programs of the clone are named by their path."""
    program, *arguments = shlex.split(command)
    if arguments[0] == "report":
        for name in ("readme", "another"):
            finished_run.write(
                tmp_path / "runs" / name, digits.test, {"numpy": {}, "torch": {3: 0}}, name
            )
    if arguments[-1] == "my_network.py" and "--template" not in arguments:
        write_template(tmp_path / "my_network.py")  # as the command before it has
    if program == "python" and arguments[0] == "-m":
        run = [sys.executable, *arguments, *QUICK[arguments[1]]]
    elif program == "python":
        run = [sys.executable, str(ROOT / arguments[0]), *arguments[1:], "--epochs", "1"]
    else:
        run = [sys.executable, "-m", "lockstep", *arguments, *QUICK.get(arguments[0], [])]
    environment = {**os.environ, "LOCKSTEP_DATA": str(mnist.folder.resolve())}
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_the_python_of_the_readme_runs(tmp_path):
    """On the embedded digits, for an epoch, with two backends."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    for shown, short in (
        ('load_dataset("mnist")', 'load_dataset("digits")'),
        ("epochs=3), data", 'epochs=1), ["numpy", "torch"], data'),
        ("verify(data", 'verify(backends=["torch"], data'),
    ):
        assert shown in code
        code = code.replace(shown, short)
    write_template(tmp_path / "my_network.py")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    accuracy, proof, verdict = done.stdout.splitlines()
    assert 0 < float(accuracy) < 1
    assert proof.startswith("True The same: over 20 steps") and verdict == "True None"


def test_what_the_readme_says_of_a_mistake_is_what_is_said(mnist, tmp_path):
    readme = (ROOT / "README.md").read_text("utf-8")
    (shown,) = re.findall(r"```text\n(Not the same.*?)```", readme, re.DOTALL)
    right = TEMPLATE.read_text("utf-8")
    wrong = right.replace("/ N  # (N, 10)", "# (N, 10)")
    assert wrong != right
    (tmp_path / "my_network.py").write_text(wrong, "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "lockstep", "verify", "my_network.py", "--dataset", "mnist"],
        cwd=tmp_path,
        env={**os.environ, "LOCKSTEP_DATA": str(mnist.folder.resolve())},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1, done.stderr
    assert " ".join(shown.split()) in " ".join(done.stdout.split())


def test_the_speed_that_the_readme_shows_is_what_was_measured():
    readme = (ROOT / "README.md").read_text("utf-8")
    race = json.loads((ROOT / "benchmarks" / "results" / "race.json").read_text("utf-8"))
    assert f"`{race['command']}`" in readme and race["created"][:10] in readme
    rows = {row["contender"]: row for row in race["rows"] if row["batch_size"] == 32}
    ratios = {(b["ours"], b["against"]): b["ratio"] for b in race["bars"] if b["batch_size"] == 32}
    shown = re.findall(r"^\| (nu.*?) \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", readme, re.MULTILINE)
    assert len(shown) == 4
    for ours, our_seconds, theirs, their_seconds, times in shown:
        ratio = ratios[f"lockstep {ours}", theirs]
        assert our_seconds == f"{rows[f'lockstep {ours}']['median']:.3f}"
        assert their_seconds == f"{rows[theirs]['median']:.3f}"
        assert times == "{median:.1f} ({low:.1f} to {high:.1f})".format(**ratio)


def test_the_number_of_mistakes_that_the_readme_tells_is_the_catalogues():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"It knows {len(CATALOGUE)} classic mistakes" in readme


def test_every_extra_of_the_readme_exists():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"torch", "tensorflow", "jax", "all"} <= set(project["optional-dependencies"])


def test_every_core_dependency_is_justified():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for requirement in project["dependencies"]:
        name = re.match(r"[a-z0-9]+", requirement).group()
        assert re.search(rf"^\|.*\b{name}\b.*\|.*\|$", table, re.MULTILINE), name
