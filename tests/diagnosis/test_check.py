"""A file of one's own in a process of its own: its forms, its faults, and what is said of them."""

from __future__ import annotations

import math
import subprocess
import sys

import psutil
import pytest
from students import judged, source

from lockstep.diagnosis import check, runner
from lockstep.diagnosis.given import GAP, Given
from lockstep.errors import LockstepError
from lockstep.recipe import Recipe
from lockstep.report.terminal import verdict_lines as lines

RECIPE = Recipe(**check.TEMPLATE_SETTINGS)

NETWORK = """
import numpy as np
from lockstep.backends.numpy import Network as ByHand

class Network(ByHand):
    def step(self, images, labels, learning_rate=None):
        {line}
        return super().step(images, labels, learning_rate)
"""


@pytest.fixture
def student(tmp_path):
    """Write a program, return its path."""

    def write(text: str, name: str = "my_network.py"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_template_is_right_and_runs_in_a_process_of_its_own(tmp_path, digits):
    path = tmp_path / "my_network.py"
    check.write_template(path)
    verdict = check.check(path, RECIPE, digits)
    assert verdict.same and verdict.diagnosis is None
    assert verdict.forms == ("prepare", "step", "train")
    assert (verdict.precision, verdict.steps) == ("float64", 11)
    assert lines(verdict) == [
        f"The same: {verdict.compared} tensors over 11 steps, in float64, are the network by "
        "hand's to rounding."
    ]


def test_a_template_overwrites_nothing(student, tmp_path):
    path = student("mine")
    with pytest.raises(LockstepError, match="there already; nothing was overwritten"):
        check.write_template(path)
    assert path.read_text() == "mine"
    with pytest.raises(LockstepError, match="no such file or directory"):
        check.write_template(tmp_path / "nowhere" / "my_network.py")


def test_a_wrong_file_is_told_where_and_why(student, digits):
    verdict = check.check(student(source(RECIPE, (" = (P - Y) / N", " = P - Y"))), RECIPE, digits)
    assert not verdict.same
    assert verdict.diagnosis == (
        "the gradients of dense1.weight are 32 times too large at step 1, everywhere: the mean "
        "over the batch, 1/N, is missing."
    )
    said = "\n".join(lines(verdict))
    assert "First wrong: gradients of dense1.weight at step 1, off by" in said
    assert f"Why: {verdict.diagnosis}" in said


def test_printing_and_reading_disturb_nothing(student, digits):
    noise = "import os\nprint('noise')\nos.write(1, b'more')\n"
    loud = source(RECIPE).replace("    global t\n", "    global t\n    print('{}', flush=True)\n")
    assert check.check(student(noise + loud), RECIPE, digits, steps=2).same
    with pytest.raises(LockstepError, match=r"my_network\.py, line 1: EOFError: "):
        check.check(student("input()"), RECIPE, digits)


def test_a_program_that_does_not_end_is_stopped_with_what_it_started(student, digits):
    loop = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'input()'])\n"
    loop += "def step(*_):\n    while True: pass\n"
    with pytest.raises(LockstepError, match=r"my_network\.py: timed out after 2 s"):
        check.check(student(loop), RECIPE, digits, time_limit=2)
    assert psutil.Process().children() == []


def test_a_program_that_dies_is_mourned(student, digits):
    with pytest.raises(LockstepError, match=r"my_network\.py: its process ended with exit code 3"):
        check.check(student("import os; os._exit(3)"), RECIPE, digits)


def test_a_neighbouring_file_can_be_imported(student, digits):
    student("THREE = 3", "helper.py")
    with pytest.raises(LockstepError, match="line 1: ZeroDivisionError"):
        check.check(student("import helper; helper.THREE / 0"), RECIPE, digits)


def test_no_file(tmp_path, digits):
    with pytest.raises(LockstepError, match="There is no file"):
        check.check(tmp_path / "absent.py", RECIPE, digits)


STEP = "import numpy as np\ndef step(weights, images, labels, learning_rate):\n    "
BAD = {
    "x = = 1": "my_network.py, line 1: SyntaxError: invalid syntax",
    "raise SystemExit(3)": "my_network.py, line 1: SystemExit: 3",
    "x = 1": "has no function step or train and no class Network",
    "step = 3": "has no function step or train and no class Network",
    "def step(weights): pass": "TypeError: step() takes 1 positional argument but 4 were given",
    STEP + "return images @ labels @ labels": "my_network.py, line 3, in step: ValueError: ",
    STEP + "pass": "step returns NoneType; it must be a dictionary with one or more of loss, grad",
    STEP + "return {}": "step returns an empty dictionary",
    STEP + "return {'los': 1}": "called 'los'; did you mean 'loss'?",
    STEP + "return {'gradients': {'dense0.weights': 1}}": "did you mean 'dense0.weight'?",
    STEP + "return {'gradients': 3}": "gradients is int; it must be a dictionary with dense0.weig",
    STEP + "return {'weights': {'dense0.bias': np.zeros(16)}}": "dense0.weight is missing in weig",
    STEP + "return {'loss': 'low'}": "the loss is str, not an array of numbers",
    STEP + "return {'loss': np.ones(32)}": "(32,); needed: () (the mean over the batch is missing)",
    STEP + "return {'gradients': {'dense0.weight': np.ones((16, 784))}}": "(it is transposed)",
    STEP + "return {'gradients': {'dense0.bias': np.ones((32, 16))}}": "sum over the batch is mis",
    STEP + "return {'gradients': {'dense0.bias': np.ones((1, 16))}}": "axis 0 without keepdims",
    STEP + "return {'gradients': {'dense0.bias': 1.0}}": "sum over axis 0 alone",
    STEP + "return {'loss': np.log(0 * learning_rate)}": "NaN or infinity in loss at step 1",
    STEP + "return {'gradients': {'dense0.bias': np.full(16, np.nan)}}":
        "NaN or infinity in gradients of dense0.bias at step 1",
    STEP + "return {'weights': {name: W * np.nan for name, W in weights.items()}}":
        "NaN or infinity in the new weights of dense0.weight at step 1",
    "def prepare(images): return images * float('nan')\ndef train(*_): pass":
        "NaN or infinity in prepare's result",
    "def train(*_): return {'losses': [float('nan')]}": "NaN or infinity in losses of train",
    "class Network: pass": "must be a subclass of Backend, from lockstep.backends.contract",
    "def prepare(images): return images[0]\n" + STEP + "return {'loss': 1}": "prepare's result has",
    "def train(*_): return {'losses': 3}": "losses is not a list of numbers",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("text", BAD)
def test_a_bad_file_gets_one_sentence(text, tmp_path, digits):
    with pytest.raises(LockstepError) as caught:
        judged(tmp_path / "my_network.py", text, RECIPE, digits)
    message = str(caught.value)
    assert BAD[text] in message and message.startswith("my_network.py")
    assert "\n" not in message and "Traceback" not in message


def test_what_came_before_nan_is_still_explained(tmp_path, digits):
    nan = ("loss = loss + L2", "loss = loss + (np.nan if t > 3 else 0) + L2")
    text = source(RECIPE, (" = (P - Y) / N", " = P - Y"), nan)
    verdict = judged(tmp_path / "my_network.py", text, RECIPE, digits)
    assert verdict.findings[0].names == ("mean over the batch missing",)


def test_training_is_judged_once_its_steps_are_right(tmp_path, digits):
    batches = ("    for batch in batches:\n", "    for batch in batches[::-1]:\n")
    wrong = source(RECIPE, (" = (P - Y) / N", " = P - Y"), batches, train=True)
    (first,) = judged(tmp_path / "my_network.py", wrong, RECIPE, digits).findings
    assert first.names == ("mean over the batch missing",)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_class_of_the_contract(optimizer, tmp_path, digits):
    recipe = Recipe(hidden=(16,), optimizer=optimizer, dtype="float64")
    path = tmp_path / "my_network.py"
    assert judged(path, NETWORK.format(line=""), recipe, digits).same
    shifted = NETWORK.format(line="labels = (labels + 1) % 10")
    verdict = judged(path, shifted, recipe, digits)
    assert verdict.findings[0].names == ("labels shifted by +1 class",)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_torch_program_is_judged_by_the_precision_it_computes_in(precision, tmp_path, digits):
    text = f"""
import torch

def step(weights, images, labels, learning_rate):
    weights = {{n: torch.tensor(w, dtype=torch.{precision}) for n, w in weights.items()}}
    weights = {{n: w.requires_grad_() for n, w in weights.items()}}
    X, y = torch.tensor(images, dtype=torch.{precision}), torch.tensor(labels)
    A = torch.tanh(X @ weights["dense0.weight"] + weights["dense0.bias"])
    Z = A @ weights["dense1.weight"] + weights["dense1.bias"]
    loss = torch.nn.functional.cross_entropy(Z, y)
    loss.backward()
    new = {{n: w - learning_rate * w.grad for n, w in weights.items()}}
    return {{"loss": loss, "gradients": {{n: w.grad for n, w in weights.items()}}, "weights": new}}
"""
    verdict = judged(tmp_path / "my_network.py", text, RECIPE, digits)
    assert verdict.same, verdict.diagnosis
    assert verdict.precision == precision


def test_the_child_alone_may_be_asked_for_nothing():
    """Without a job it ends with an error, not with a hang."""
    command = [sys.executable, "-m", runner.__name__]
    done = subprocess.run(command, input="", capture_output=True, timeout=60, text=True)
    assert done.returncode != 0 and "No module named" not in done.stderr


def test_the_last_step_has_logits_far_apart(digits):
    import numpy as np

    from lockstep.diagnosis.reference import Reference

    given = Given(RECIPE, digits.train.images, digits.train.labels, 10)
    steep = given.steep(given.images, RECIPE.initial_weights())
    rows, y = given.images[given.batches[0]], given.labels[given.batches[0]]
    logits = Reference(RECIPE).forward(rows, steep)[0][-1]
    gap = (logits.max(axis=1) - logits[np.arange(len(y)), y]).max()
    assert math.isclose(gap, GAP) and len(given.batches[-1]) < len(given.batches[0])
