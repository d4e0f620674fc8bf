"""The public names: the examples in their docstrings run, and everything is lazy and typed."""

from __future__ import annotations

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import lockstep


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
