"""The public names: the examples in their docstrings run, and everything is lazy and typed."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lockstep

pytestmark = pytest.mark.costly


def examples(module):
    finder = doctest.DocTestFinder(exclude_empty=True)
    scope = {"lockstep": lockstep, **vars(module)}
    return [found for found in finder.find(module, globs=scope) if found.examples]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The examples share a folder: one reads the run that another has left."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.parametrize("name", ["api", "recipe", "data.datasets", "backends.registry",
                                  "proof.gradients"])  # fmt: skip
def test_the_examples_say_what_happens(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    module = importlib.import_module(f"lockstep.{name}")
    found = examples(module)
    assert found
    found.sort(key=lambda example: example.lineno or 0)
    for example in found:
        said: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
        assert not said, "".join(said)


@pytest.mark.parametrize("name", sorted(set(lockstep.__all__) - {"__version__"}))
def test_every_public_name_has_a_docstring_and_a_function_has_an_example(name):
    found = getattr(lockstep, name)
    text = inspect.getdoc(found)
    assert text
    if inspect.isfunction(found) or name == "Recipe":
        assert ">>> " in text, f"{name} shows no example"


def test_type_checkers_see_the_names_that_python_sees():
    """`__all__`, HOMES and what only type checkers import are three lists of the same names."""
    source = Path(lockstep.__file__).read_text("utf-8")
    block = source.split("if TYPE_CHECKING:")[1].split("__version__")[0]
    typed = {line.split(" as ")[-1].strip() for line in block.splitlines() if " as " in line}
    assert typed == set(lockstep.HOMES) == set(lockstep.__all__) - {"__version__"}
    assert (Path(lockstep.__file__).parent / "py.typed").is_file()


PROGRAM = """\
from typing import assert_type

import lockstep

recipe = lockstep.Recipe(hidden=(16,), epochs=1)
digits = lockstep.load_dataset("digits")
run = lockstep.train("numpy", recipe, digits)
network = lockstep.load_backend("numpy")(recipe, run.weights["numpy"])
assert_type(run.results.backends["numpy"].test_accuracy, float)
assert_type(network.step(digits.test.images, digits.test.labels).loss, float)
assert_type(lockstep.verify(recipe, data=digits, steps=3).same, bool)
assert_type(lockstep.diagnose("mine.py").diagnosis, str | None)
assert_type(lockstep.explain("torch", "numpy").conclusion, str)
lockstep.verify(steps="3")
"""
"""A user's program, of which the last line is wrong; `assert_type` takes no `Any`."""


def test_a_users_type_checker_sees_our_types(tmp_path):
    """mypy finds this package on Python's path, as an installed one, and believes `py.typed`."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "program.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(lockstep.__file__).parents[1])},
        capture_output=True, encoding="utf-8",
    )  # fmt: skip
    wrong = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert wrong == [
        f"program.py:{len(PROGRAM.splitlines())}: error: "
        'Argument "steps" to "verify" has incompatible type "str"; expected "int"  [arg-type]'
    ], done.stdout + done.stderr


def test_a_run_tells_its_recipe_its_weights_and_its_table(tmp_path, digits):
    recipe = lockstep.Recipe(hidden=(16,), epochs=1)
    run = lockstep.train("numpy", recipe, digits, out=tmp_path, name="small")
    assert run.recipe == recipe
    assert {name: W.shape for name, W in run.weights["numpy"].items()} == recipe.shapes
    network = lockstep.load_backend("numpy")(recipe, run.weights["numpy"])
    logits = network.forward(digits.test.images)
    assert np.abs(logits - run.predictions.logits["numpy"]).max() < 1e-5
    head, rule, row = run.overview().splitlines()
    assert head.startswith("| backend | test accuracy |") and set(rule) == set("|- ")
    accuracy = (run.predictions.classes("numpy") == digits.test.labels).mean()
    assert row.startswith(f"| numpy (cpu) | {100 * accuracy:.2f} % |")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_dataset_scales_its_pixels(digits, dtype):
    scaled = digits.test.scaled(dtype)
    assert scaled.dtype == dtype and scaled.shape == digits.test.images.shape
    assert np.abs(scaled - digits.test.images / 255).max() < np.finfo(dtype).eps


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lockstep.verify(data="digits", steps=0), "0 steps are too few"),
        (lambda: lockstep.verify(backends="numpy", data="digits"), "no backend to compare"),
        (lambda: lockstep.verify(views="sinced", data="digits"), "did you mean 'synced'"),
        (lambda: lockstep.compare(backends=[], data="digits"), "no backend to train"),
        (lambda: lockstep.compare(backends="nunpy", data="digits"), "did you mean 'numpy'"),
        (lambda: lockstep.compare(backends="numpy", data="digts"), "did you mean 'digits'"),
        (lambda: lockstep.train("numpy", data="digits", repeats=0), "at least 1 and 0"),
        (lambda: lockstep.Recipe(hidden=64), "write a list of sizes"),
        (lambda: lockstep.load_run("nowhere"), "no such file"),
        (lambda: lockstep.diagnose("nowhere.py", data="digits"), "There is no file nowhere.py"),
    ],
)
def test_bad_input_is_one_sentence(call, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lockstep.LockstepError, match=words) as raised:
        call()
    assert "\n" not in str(raised.value) and not list(tmp_path.iterdir())
