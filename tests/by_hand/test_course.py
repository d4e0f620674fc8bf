"""The course's program, neural_networks.py: beside the general network, finite differences, verify.

Each is an authority of its own: `lockstep.by_hand` is held against PyTorch and SciPy elsewhere,
finite differences know only the loss, and `lockstep verify` is asked about planted mistakes too.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import largest, lockstep
from test_imports import loaded_after

import neural_networks as course
from lockstep import by_hand
from lockstep.data.datasets import Dataset

pytestmark = pytest.mark.costly

ROOT = Path(__file__).parents[2]
FILE = ROOT / "neural_networks.py"
EPS = np.finfo(float).eps


def run(*options: str, program: str = FILE.name) -> subprocess.CompletedProcess:
    """The program as a person runs it."""
    command = [sys.executable, str(ROOT / program), *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=300)


def general(seed: int, hidden: int = 24) -> by_hand.Network:
    """The same network as `lockstep.by_hand` has it."""
    network = by_hand.Network((784, hidden, 10), "tanh", dtype="float64")
    return network.initialize("glorot", seed)


def named(W: list[np.ndarray], b: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The general network's arrays by the names that the course's program gives them."""
    return dict(zip(course.NAMES, (W[0], b[0], W[1], b[1]), strict=True))


def batches(data: Dataset, steps: int = 200, seed: int = 5):
    """Batches of real digits: images (32, 784) from 0 to 1, labels (32,)."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        batch = rng.integers(0, len(data.train.labels), 32)
        yield data.train.images[batch] / 255, data.train.labels[batch]


# --- what it is ---


def test_it_can_be_read_in_five_minutes():
    lines = FILE.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 100


def test_it_imports_numpy_alone():
    alone = {"neural_networks", "argparse", "gettext"}
    assert loaded_after("import neural_networks") - loaded_after("import numpy") <= alone


# --- beside the general network ---


@pytest.mark.parametrize("seed", [0, 1])
def test_its_first_weights_are_the_general_networks(seed):
    weights, network = course.initial_weights(np.random.default_rng(seed), 24), general(seed)
    for name, theirs in named(network.W, network.b).items():
        assert np.array_equal(weights[name], theirs), name


def test_every_number_of_many_steps_is_the_general_networks(digits):
    """Loss, every gradient and every weight of 200 steps, to 1e-12 in float64."""
    network, descent = general(seed=3), by_hand.Optimizer(learning_rate=0.1)
    weights = course.initial_weights(np.random.default_rng(3), 24)
    losses = []
    for X, y in batches(digits):
        done = course.step(weights, X, y, 0.1)
        weights = done["weights"]
        _, loss = by_hand.step(network, descent, X, y)
        losses.append(loss)
        assert abs(done["loss"] - loss) < 1e-12
        for name, gradient in named(network.dW, network.db).items():
            assert largest(done["gradients"][name], gradient) < 1e-12, name
        for name, weight in named(network.W, network.b).items():
            assert largest(weights[name], weight) < 1e-12, name
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) / 2  # it is no standstill that was compared


def test_train_is_a_step_for_each_batch_in_order(digits):
    images, labels = course.prepare(digits.train.images[:70]), digits.train.labels[:70]
    order = np.split(np.random.default_rng(2).permutation(70), [32, 64])  # the last has 6
    weights = start = course.initial_weights(np.random.default_rng(2), 24)
    done = course.train(start, images, labels, order, 0.1)
    for batch, loss in zip(order, done["losses"], strict=True):
        one = course.step(weights, images[batch], labels[batch], 0.1)
        weights = one["weights"]
        assert loss == one["loss"]
    assert all(np.array_equal(done["weights"][name], weights[name]) for name in course.NAMES)
    first = course.initial_weights(np.random.default_rng(2), 24)  # nothing is moved in place
    assert all(np.array_equal(start[name], first[name]) for name in course.NAMES)


# --- beside finite differences ---


@pytest.fixture
def slopes(digits):
    """Of random entries of an array: what `backward` says, and what finite differences say."""
    X, y = course.prepare(digits.train.images[:32]), digits.train.labels[:32]
    weights = course.initial_weights(np.random.default_rng(1), 24)

    def loss() -> float:
        return course.cross_entropy(course.forward(weights, X)[1], y)

    def pairs(name: str) -> tuple[np.ndarray, np.ndarray]:
        gradient = course.backward(weights, X, y, *course.forward(weights, X))[name]
        places = np.random.default_rng(0).integers(0, gradient.shape, (40, gradient.ndim))
        entries = [tuple(place) for place in places]
        slope = [by_hand.numerical_derivative(loss, weights[name], entry) for entry in entries]
        return np.array([gradient[entry] for entry in entries]), np.array(slope)

    return pairs


@pytest.mark.parametrize("name", course.NAMES)
def test_backward_is_the_slope_of_the_loss(name, slopes):
    said, slope = slopes(name)
    assert np.abs(slope).max() > 1e-4  # there is something to compare
    assert largest(said, slope) < 1e-6 * np.abs(slope).max()


def test_finite_differences_find_a_derivative_off_by_a_tenth_of_a_percent(slopes, monkeypatch):
    right = course.backward

    def wrong(*given):
        gradients = right(*given)
        return gradients | {"dense0.bias": gradients["dense0.bias"] * 1.001}

    monkeypatch.setattr(course, "backward", wrong)
    said, slope = slopes("dense0.bias")
    assert largest(said, slope) > 1e-6 * np.abs(slope).max()


def test_logits_of_ten_thousand_overflow_nothing():
    with np.errstate(all="raise", under="ignore"):
        log_P = course.log_softmax(np.array([[1e4, -1e4, 0.0], [0.0, 0.0, 0.0]]))
    assert np.allclose(log_P, [[0, -2e4, -1e4], [-np.log(3)] * 3], rtol=4 * EPS)


# --- beside `lockstep verify` ---


def test_verify_says_the_same():
    done = lockstep("verify", str(FILE), "--dataset", "digits")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^The same: \d+ tensors over 11 steps, in float64", done.stdout, re.MULTILINE)


WRONG = {
    (
        "(np.exp(log_P) - Y) / len(y)",
        "np.exp(log_P) - Y",
    ): "the mean over the batch, 1/N, is missin",
    ("db2 = dZ2.sum(axis=0)", "db2 = dZ2.sum()"): "(sum over axis 0 alone)",
    (
        "db1 = dZ1.sum(axis=0)",
        "db1 = dZ1.sum(axis=1)",
    ): "ValueError: operands could not be broadcast",
    ("dA1 * (1 - A1**2)", "dA1"): "the activation's derivative is missing",
    ("dA1 * (1 - A1**2)", "dA1 * (1 - A1)"): "First wrong: gradients of dense0.weight at step 1",
    ("W - learning_rate", "W + learning_rate"): "the update adds the step where it should subtract",
    ("images / 255", "images / 256"): "the pixels are divided by 256, not 255",
}
"""A line, and what a student may have written; what is said of it."""


@pytest.mark.parametrize("line", WRONG, ids=lambda line: line[1])
def test_verify_names_a_planted_mistake(line, tmp_path):
    right = FILE.read_text(encoding="utf-8")
    assert right.count(line[0]) == 1
    copy = tmp_path / "my_network.py"
    copy.write_text(right.replace(*line), encoding="utf-8")
    done = lockstep("verify", str(copy), "--dataset", "digits")
    assert done.returncode in (1, 2) and "The same" not in done.stdout
    assert WRONG[line] in " ".join((done.stdout + done.stderr).split())


# --- the program as people run it ---


def accuracies(done: subprocess.CompletedProcess) -> list[float]:
    """The test accuracy after each epoch, in percent."""
    assert done.returncode == 0, done.stderr
    return [float(said) for said in re.findall(r"test accuracy ([\d.]+)%", done.stdout)]


@pytest.mark.parametrize("program", ["neural_networks.py", "assignment6.py"])
def test_it_learns_mnist(program, mnist):
    """After two epochs six seeds have 95.07 % to 95.69 %; the first seed 95.52 %."""
    done = run("--epochs", "2", "--data-dir", str(mnist.folder), program=program)
    assert done.stdout.startswith("784-128-10 on MNIST: 60,000 training images\n")
    first, second = accuracies(done)
    assert 90 < first < second and second >= 95
    counts = np.array(re.findall(r"\d+", done.stdout.split("columns: answer)")[1]), int)
    matrix = counts.reshape(10, 10)
    assert list(matrix.sum(axis=1)) == list(np.bincount(mnist.test.labels))
    assert np.trace(matrix) / 100 == pytest.approx(second, abs=0.005)


@pytest.mark.slow
def test_ten_epochs_reach_97_percent(mnist):
    reached = accuracies(run("--data-dir", str(mnist.folder)))
    assert len(reached) == 10 and reached[-1] >= 97


BAD = {
    "--hidden many": "argument --hidden: invalid int value: 'many'",
    "--hidden 0": "must be 1 or more",
    "--epochs 0": "must be 1 or more",
    "--batch-size -1": "must be 1 or more",
    "--seed -1": "--seed 0 or more",
    "--lr 0": "--lr must be a number above 0",
    "--lr nan": "--lr must be a number above 0",
    "--lr inf": "--lr must be a number above 0",
    "--data-dir nowhere": "--data-dir names nowhere, which is not a folder.",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_input_gets_one_sentence(options):
    done = run(*options.split())
    assert done.returncode == 2 and done.stdout == ""
    assert BAD[options] in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr


@pytest.mark.parametrize("program", ["neural_networks.py", "assignment6.py"])
def test_ctrl_c_ends_it_with_130_and_no_traceback(program, mnist):
    options = ["--epochs", "1000", "--batch-size", "1000", "--data-dir", str(mnist.folder)]
    command = [sys.executable, str(ROOT / program), *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout.readline().startswith("784-128-10")
        assert process.stdout.readline().startswith("epoch  1")  # it is training
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == f"{program}: interrupted."
