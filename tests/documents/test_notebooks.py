"""The notebooks run, prove what they say, and keep outputs that are fit to be read."""

from __future__ import annotations

import ast
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from conftest import installed
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "notebooks"))

import execute  # noqa: E402

import lockstep  # noqa: E402

pytestmark = pytest.mark.costly

FRAMEWORK = {"NN_PyTorch": "torch", "NN_tensorflow": "tensorflow"}
LESSONS = ("NN_from_scratch", *FRAMEWORK)
CLAIMED_ACCURACY = 97.3
SHORT_ACCURACY = 0.85
"""After one epoch on 10,000 digits; a network that learns nothing has 0.1."""


def saved(name: str) -> NotebookNode:
    return nbformat.read(ROOT / f"{name}.ipynb", as_version=4)


def shown(notebook: NotebookNode) -> list[NotebookNode]:
    """Every output of every cell, in order."""
    return [out for cell in notebook.cells for out in cell.get("outputs", [])]


def words(notebook: NotebookNode) -> str:
    """All that the outputs say, without the pictures."""
    texts = []
    for out in shown(notebook):
        texts.append(out.get("text", ""))
        texts += [text for kind, text in out.get("data", {}).items() if "image" not in kind]
    return "\n".join(texts)


def fences(cell: NotebookNode) -> list[str]:
    """The Python in a markdown cell: a solution."""
    return re.findall(r"```python\n(.*?)```", cell.source, re.DOTALL)


def programs(notebook: NotebookNode) -> list[str]:
    """The Python of every code cell, without IPython's own lines, and of every solution."""
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    python = [re.sub(r"^( *)%.*$", r"\1pass", source, flags=re.MULTILINE) for source in cells]
    return python + [code for cell in notebook.cells for code in fences(cell)]


def internals(program: str) -> list[str]:
    """What a program takes of Lockstep beyond its public names."""
    found = []
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.startswith("lockstep.")]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lockstep":
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "lockstep"
            and node.attr not in lockstep.__all__
        ):
            found.append(f"lockstep.{node.attr}")
    return found


@pytest.mark.parametrize("name", execute.NAMES)
def test_notebooks_use_the_public_names_alone(name):
    notebook = execute.source(name)
    assert any("import lockstep" in program for program in programs(notebook))
    assert [found for program in programs(notebook) for found in internals(program)] == []


@pytest.mark.parametrize(
    "program",
    [
        "import lockstep.report.figures",
        "from lockstep import recipe",
        "def f():\n    from lockstep.data import datasets",
        "lockstep.training.loop",
    ],
)
def test_an_internal_name_is_found(program):
    assert internals(program)


def test_every_notebook_of_the_root_is_known():
    names = {path.stem for path in ROOT.glob("*.ipynb")}
    assert names == set(execute.NAMES) == {p.stem for p in (ROOT / "notebooks").glob("*.md")}


@pytest.mark.parametrize("name", execute.NAMES)
def test_saved_notebook_says_what_its_text_says(name):
    text, notebook = execute.source(name), saved(name)
    assert [(c.cell_type, c.source) for c in notebook.cells] == [
        (c.cell_type, c.source) for c in text.cells
    ], "run `make notebooks`"
    assert notebook.metadata == text.metadata


@pytest.mark.parametrize("name", execute.NAMES)
def test_saved_outputs_are_whole_and_fit_to_be_read(name):
    notebook = saved(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(out.get("name") != "stderr" for out in shown(notebook))
    assert all(out.output_type != "error" for out in shown(notebook))
    for noise in ("warning", "traceback", "/tmp", "/home", "/root", "/work", "/usr", "c:\\"):
        assert noise not in words(notebook).lower()
    assert any("image/png" in out.get("data", {}) for out in shown(notebook))
    assert (ROOT / f"{name}.ipynb").stat().st_size < 1_000_000


@pytest.mark.parametrize("name", LESSONS)
def test_saved_outputs_are_of_the_true_mnist_and_accurate(name):
    said = words(saved(name))
    assert "MNIST" in said and "60000" in said and "10000" in said
    (accuracy,) = re.findall(r"test accuracy ([\d.]+)%", said)
    assert float(accuracy) >= CLAIMED_ACCURACY


def test_saved_comparison_is_of_the_true_mnist_and_accurate():
    said = words(saved("comparison"))
    assert "MNIST: 60,000 training and 10,000 test images" in said and "5 epochs" in said
    table = re.findall(r"^\| (\w+) \(\w+\) \| ([\d.]+) % \|", said, re.MULTILINE)
    assert [name for name, _ in table] == ["numpy", "tensorflow", "torch"]
    assert all(float(accuracy) >= CLAIMED_ACCURACY for _, accuracy in table)
    assert "float64: The same: over 200 steps" in said
    assert "float32: The same: over 200 steps" in said


@pytest.mark.parametrize("name", FRAMEWORK)
def test_saved_outputs_hold_the_proof(name):
    said = words(saved(name))
    assert f"The same: over 100 steps in float64, no number of {FRAMEWORK[name]} differs" in said


class Session(NamedTuple):
    """A notebook that has been run, and its kernel, which can still be asked."""

    notebook: NotebookNode
    client: NotebookClient

    def run(self, code: str) -> str:
        """What one more cell prints; it fails as a cell does."""
        self.notebook.cells.append(nbformat.v4.new_code_cell(code))
        return self.rerun(len(self.notebook.cells) - 1)

    def rerun(self, index: int) -> str:
        cell = self.client.execute_cell(self.notebook.cells[index], index)
        return "".join(out.get("text", "") for out in cell.outputs)

    def value(self, expression: str):
        """A number, a truth, a text or a list of them that the kernel holds."""
        return ast.literal_eval(self.run(f"print(repr({expression}))"))


@pytest.fixture
def session(tmp_path):
    """Run a notebook, quickly, in an empty folder: what it writes goes there."""
    with ExitStack() as kernels:

        def start(name: str, **environment: str) -> Session:
            notebook = execute.source(name)
            quick = {"LOCKSTEP_NOTEBOOK": "short", "PYTHONPATH": str(ROOT), **environment}
            run = execute.executed(notebook, tmp_path, **quick)
            return Session(notebook, kernels.enter_context(run))

        yield start


def solve(session: Session) -> list[str]:
    """Put each solution in its exercise's place; what the checks then say."""
    said = []
    cells = session.notebook.cells[:]
    for index, cell in enumerate(cells):
        if cell.cell_type == "markdown" and "<summary>" in cell.source:
            (solution,) = fences(cell)
            exercise = index - 1
            check = re.search(r"^check\(.*", cells[exercise].source, re.DOTALL | re.MULTILINE)
            assert session.rerun(exercise) == "Your turn.\n"
            said.append(session.run(f"{solution}\n{check.group()}"))
    return said


@pytest.mark.parametrize("name", LESSONS)
def test_lesson_runs_learns_and_proves(name, session, mnist):
    """In short, on the true MNIST: accuracy, the verdict, and the solutions of the exercises."""
    if name in FRAMEWORK:
        installed(FRAMEWORK[name])
    lesson = session(name, LOCKSTEP_DATA=str(mnist.folder.resolve()))
    assert all(out.get("name") != "stderr" for out in shown(lesson.notebook))
    accuracy = float(re.search(r"test accuracy ([\d.]+)%", words(lesson.notebook))[1]) / 100
    assert SHORT_ACCURACY < accuracy < 1
    if name in FRAMEWORK:
        assert lesson.value("proof.same") is True
        assert lesson.value("proof.steps") == 10
        assert lesson.value("proof.recipe.dtype") == "float64"
        assert lesson.value(f"[c.backend for c in proof.comparisons] == 2 * {[FRAMEWORK[name]]}")
    else:
        assert 0 < lesson.value("float(gradient_error)") < 1e-6
    checked = solve(lesson)
    assert len(checked) == 3 and all(words.endswith("Right.\n") for words in checked), checked


def test_comparison_makes_a_run_and_reads_it(session, mnist):
    installed("torch")
    comparison = session("comparison", LOCKSTEP_DATA=str(mnist.folder.resolve()))
    assert all(out.get("name") != "stderr" for out in shown(comparison.notebook))
    assert comparison.value("[proof.same for proof in run.proofs]") == [True, True]
    assert comparison.value("list(results)") == ["numpy", "torch"]
    accuracy = "float(right.mean(axis=1).min())"
    assert comparison.value(accuracy) > 0.9
    assert solve(comparison) == ["Right.\n"] * 3


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_lesson_runs_offline_with_the_embedded_digits_and_says_so(name, session, tmp_path):
    nowhere = {
        "LOCKSTEP_DATA": "",
        "XDG_CACHE_HOME": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    lesson = session(name, **nowhere)
    assert lesson.value("data.name") == "digits"
    assert lesson.run("print(data.title)").strip() in words(lesson.notebook)
    checked = solve(lesson)
    assert len(checked) == 3 and all(words.endswith("Right.\n") for words in checked), checked
