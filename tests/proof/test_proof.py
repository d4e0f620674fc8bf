"""The proof itself: that it finds what differs, names the first, and raises no false alarm."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import IN_CI, absent
from msgspec.structs import replace

from lockstep.backends import registry
from lockstep.backends.numpy import Network as ByHand
from lockstep.data import datasets
from lockstep.errors import LockstepError, TrainingFailed
from lockstep.proof import beside, prove
from lockstep.proof.comparison import STEPPED, Comparison, First, Proof, tolerances
from lockstep.recipe import OPTIMIZER_NUMBERS, Recipe
from lockstep.runs.typed import plain, typed

pytestmark = pytest.mark.costly

SMALL = Recipe(hidden=(12, 8), activation="tanh", dtype="float64")


def batches(recipe, digits, steps):
    return list(beside.batches_of(recipe, digits.train, steps))


def compare(network, recipe, digits, view, steps=6):
    reference = ByHand(recipe, recipe.initial_weights())
    found = beside.beside(network, reference, batches(recipe, digits, steps), view)
    bounds = tolerances(recipe, view)
    return Comparison("own", "1", "cpu", "torch", view, *found, bounds)


def test_numpy_beside_itself_differs_by_nothing(digits):
    for view in STEPPED:
        result = compare(ByHand(SMALL, SMALL.initial_weights()), SMALL, digits, view)
        assert result.same and result.worst() == 0 and result.differences.shape[0] == 6
    order = ["logits", "loss", "gradient dense2.bias", "gradient dense2.weight"]
    assert result.tensors[:4] == order


class Planted(ByHand):
    """The network by hand with one number changed at one step: 0.1 %, or a hundred roundings."""

    where: str
    at: int = 4
    factor: float = 1.001
    count = 0

    def step(self, images, labels, learning_rate=None):
        self.count += 1
        step = super().step(images, labels, learning_rate)
        if self.count != self.at:
            return step
        kind, _, name = self.where.partition(" ")
        if kind in ("logits", "loss"):
            return step._replace(**{kind: getattr(step, kind) * self.factor})
        if kind == "memory":
            state = self.state
            self.state = {**state, name: state[name] * self.factor}
            return step
        field = {"gradient": "gradients", "weight": "weights"}[kind]
        changed = {**getattr(step, field), name: getattr(step, field)[name] * self.factor}
        return step._replace(**{field: changed})


def trained(network, recipe, digits, steps=50):
    reference = ByHand(recipe, recipe.initial_weights())
    names, differences, at = beside.beside_training(network, reference, digits.train, steps)
    undecided = np.zeros(len(at), bool)
    bounds = tolerances(recipe, "trained")
    about = ("own", "1", "cpu", "torch", "trained")
    return Comparison(*about, names, differences, undecided, bounds, at)


class Careless(ByHand):
    """Every step is right, and `train_epoch` is not: the code that a training runs."""

    fault = "none"

    def train_epoch(self, images, labels, batches, learning_rates=None):
        rates = self.rates(len(batches), learning_rates).copy()
        if self.fault == "rate":
            rates[-1] *= 1 + 1e-6
        if self.fault == "image":
            batches = [*batches[:-1], np.append(batches[-1][:-1], batches[-1][:1])]
        found = super().train_epoch(images, labels, batches, rates)
        if self.fault == "memory":
            slot = "dense0.weight.m"
            self.state = self.state | {slot: self.state[slot] * (1 + 1e-5)}
        return found._replace(losses=found.losses * (1 + 1e-9 * (self.fault == "loss")))


@pytest.mark.parametrize("fault", ["none", "rate", "image", "memory", "loss"])
def test_the_trained_view_sees_what_no_step_shows(digits, fault):
    """A rate off by a millionth at one update, one wrong image, a memory, a loss: 50 steps tell."""
    recipe = Recipe(hidden=(12, 8), activation="tanh", dtype="float64")
    network = type("Own", (Careless,), {"fault": fault})(recipe, recipe.initial_weights())
    assert compare(network, recipe, digits, "free").same
    network.weights = recipe.initial_weights()
    found = trained(network, recipe, digits)
    assert found.at == (20, 40, 50)
    assert found.same == (fault == "none")
    if fault != "none":
        assert found.first.step == 20


@pytest.mark.parametrize("factor", [1.001, 1 + 1e-7])
@pytest.mark.parametrize(
    "where",
    [
        "logits",
        "loss",
        "gradient dense2.weight",
        "gradient dense0.bias",
        "weight dense0.weight",
        "weight dense1.bias",
        "memory dense1.weight.m",
        "memory dense0.weight.v",
    ],
)
@pytest.mark.parametrize("view", STEPPED)
def test_the_first_number_that_differs_is_named(digits, where, view, factor):
    network = Planted(SMALL, SMALL.initial_weights())
    network.where, network.factor = where, factor
    first = compare(network, SMALL, digits, view).first
    assert first is not None and (first.step, first.tensor) == (4, where)


def test_synced_steps_do_not_inherit_a_difference_and_free_ones_do(digits):
    def result(view):
        network = Planted(SMALL, SMALL.initial_weights())
        network.where = "memory dense1.weight.m"
        return compare(network, SMALL, digits, view)

    assert result("synced").differences[4:].max() == 0
    assert result("free").differences[4:].max() > 1e-7


def test_a_relu_on_its_kink_is_shown_and_not_judged(digits):
    """One unit whose sum is 0 but for rounding: 0.1·x - 0.1·x with x a lit pixel."""
    recipe = Recipe(hidden=(12,), dtype="float32", optimizer="sgd")
    steps = batches(recipe, digits, 3)
    weights = recipe.initial_weights()
    assert not beside.on_a_kink(ByHand(recipe, weights), steps[0][0])
    lit = np.flatnonzero(steps[0][0][0])[:2]
    column = np.zeros(784, "float32")
    column[lit] = 0.1 / steps[0][0][0][lit] * [1, -1]
    weights["dense0.weight"][:, 5] = column
    reference = ByHand(recipe, weights)
    assert beside.on_a_kink(reference, steps[0][0][:1])
    planted = Planted(recipe, weights)
    planted.where, planted.at = "gradient dense0.weight", 1
    found = beside.beside(planted, reference, [(steps[0][0][:1], steps[0][1][:1], 0.1)], "synced")
    bounds = tolerances(Recipe(), "synced", 0.0)
    comparison = Comparison("own", "1", "cpu", "torch", "synced", *found, bounds)
    assert comparison.undecided.tolist() == [True] and comparison.differences.max() > 0
    assert comparison.same and comparison.worst() == 0
    assert typed(plain(comparison), Comparison).undecided.tolist() == [True]


def test_a_proof_that_judged_nothing_proves_nothing():
    column = [["loss", "gradient dense0.bias"], np.array([[0.0, 5.0]]), np.array([True])]
    bounds = tolerances(Recipe(), "synced")
    comparison = Comparison("torch", "1", "cpu", "torch", "synced", *column, bounds)
    assert comparison.same and not comparison.judged
    proof = Proof(SMALL, "digits", 1, "", "", [comparison], {})
    assert not proof.same and "no synced step could be judged" in proof.verdict
    assert not replace(proof, comparisons=[]).same


def test_a_wrong_loss_on_a_kink_is_still_wrong():
    column = [["loss", "gradient dense0.bias"], np.array([[0.1, 5.0]]), np.array([True])]
    bounds = tolerances(Recipe(), "synced")
    comparison = Comparison("torch", "1", "cpu", "torch", "synced", *column, bounds)
    assert comparison.first == First(1, "loss", 0.1)


def test_a_unit_that_gets_nothing_is_not_on_a_kink(digits):
    recipe = Recipe(hidden=(4, 4), dtype="float64")
    weights = recipe.initial_weights()
    weights["dense0.weight"][:] = -abs(weights["dense0.weight"])  # every ReLU of the first is off
    assert not beside.on_a_kink(ByHand(recipe, weights), batches(recipe, digits, 1)[0][0])


def test_kinks_are_rare_enough_to_judge_nearly_every_step(mnist):
    """About one pre-activation in a million: a few steps of a hundred at batch 128."""
    recipe = Recipe(batch_size=128, dtype="float32")
    reference = ByHand(recipe, recipe.initial_weights())
    kinks = 0
    for images, labels, rate in beside.batches_of(recipe, mnist.train, 60):
        kinks += beside.on_a_kink(reference, images)
        reference.step(images, labels, rate)
    assert kinks < 12


def test_nan_is_a_difference(digits):
    network = Planted(SMALL, SMALL.initial_weights())
    network.where, network.factor = "loss", float("nan")
    result = compare(network, SMALL, digits, "free")
    assert not result.same and result.first == First(4, "loss", None)
    kept = json.loads(json.dumps(plain(result), allow_nan=False))
    assert kept["first"] == {"step": 4, "tensor": "loss", "difference": None}
    assert kept["differences"][3][1] is None and np.isnan(typed(kept, Comparison).differences[3, 1])


def test_another_precision_is_an_error_and_not_a_small_difference(digits):
    single = Recipe(hidden=(12, 8), activation="tanh", dtype="float32")
    with pytest.raises(LockstepError, match="computes in float32 where float64 was asked"):
        compare(ByHand(single, single.initial_weights()), SMALL, digits, "free")


@pytest.fixture(scope="module")
def frameworks():
    others = tuple(name for name in registry.names() if name != registry.REFERENCE)
    found = tuple(name for name in others if name in registry.installed())
    if found != others and IN_CI:
        absent(f"only {found} of {others} installed")
    return found


SLOW = {"momentum", "nesterov", "rmsprop", "adamw"}
"""Proved in tests/backends/test_backends.py in any case; here on MNIST, by `make check-all`."""


@pytest.mark.parametrize(
    "optimizer",
    [pytest.param(o, marks=[pytest.mark.slow] if o in SLOW else []) for o in OPTIMIZER_NUMBERS],
)
def test_every_framework_computes_what_numpy_computes(optimizer, frameworks, mnist):
    recipe = Recipe(
        optimizer=optimizer, schedule="cosine", l2=1e-4, batch_size=128, dtype="float64"
    )
    proof = prove.verify(recipe, frameworks, mnist, steps=25, device="cpu")
    assert proof.failures == {} and len(proof.comparisons) == 2 * len(frameworks)
    assert proof.same, proof.verdict
    assert all(c.worst() < 1e-12 for c in proof.comparisons)


def test_float32_synced_gradients_agree_to_1e_6(frameworks, mnist):
    recipe = Recipe(batch_size=128, dtype="float32")
    proof = prove.verify(recipe, frameworks, mnist, steps=25, device="cpu")
    assert proof.same, proof.verdict
    for comparison in proof.comparisons:
        if comparison.view == "synced":
            assert comparison.worst("gradient") < 1e-6
        else:
            assert not comparison.judged


def test_the_wrong_dialect_is_told(frameworks, digits):
    proof = prove.verify(SMALL, ("tensorflow",), digits, steps=5, dialect="torch", views=("free",))
    assert not proof.same
    first = proof.comparisons[0].first
    assert (first.step, first.tensor) == (1, "weight dense0.weight")
    assert "Not the same: tensorflow (free) first differs at step 1" in proof.verdict


def test_a_framework_that_cannot_run_is_not_the_same(digits, monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(TrainingFailed, match=r"torch failed: ImportError: libtorch\.so"):
        prove.verify(SMALL, ("torch",), digits, steps=2)
    proof = prove.verify(SMALL, ("torch", "jax"), digits, steps=2)
    assert not proof.same and "torch failed: ImportError" in proof.verdict
    assert all(c.backend == "jax" and c.same for c in proof.comparisons)


def test_a_comparison_survives_json(digits):
    network = Planted(SMALL, SMALL.initial_weights())
    network.where = "loss"
    before = compare(network, SMALL, digits, "free")
    after = typed(json.loads(json.dumps(plain(before))), Comparison)
    assert after.first == before.first and (after.differences == before.differences).all()
    assert after.tolerances == before.tolerances


def test_the_batches_run_on_into_the_next_epoch(digits):
    recipe = Recipe(hidden=(4,), batch_size=1000, schedule="cut", optimizer="sgd")
    found = batches(recipe, digits, 4)  # 1438 images: two batches an epoch
    assert [len(labels) for _, labels, _ in found] == [1000, 438, 1000, 438]
    assert [rate for _, _, rate in found] == pytest.approx([0.1, 0.1, 0.01, 0.01])
    assert np.abs(found[0][0][:438] - found[2][0][:438]).max() > 0
    scaled = datasets.scale(digits.train.images)
    assert found[0][0].sum(dtype=float) + found[1][0].sum(dtype=float) == pytest.approx(
        scaled.sum(dtype=float)
    )


@pytest.mark.cuda
def test_every_framework_computes_the_same_on_cuda(frameworks, mnist):
    recipe = Recipe(batch_size=128, dtype="float64")
    able = tuple(n for n in frameworks if "cuda" in registry.load(n).devices("float64"))
    if not able:
        pytest.skip("no CUDA device here")
    proof = prove.verify(recipe, able, mnist, steps=100, device="cuda")
    assert proof.same, proof.verdict
