"""What is special about the compiled network: skipped zeros, threads, the cache of machine code."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import absent, largest

from lockstep.backends import registry
from lockstep.backends.numpy import Network as ByHand
from lockstep.data import datasets
from lockstep.data.order import epoch_batches
from lockstep.errors import LockstepError
from lockstep.layouts import largest_difference
from lockstep.proof import beside as proof_beside
from lockstep.recipe import OPTIMIZER_NUMBERS, Recipe
from lockstep.training import loop

pytestmark = pytest.mark.costly

if "numba" not in registry.installed():
    absent("numba is not installed")

COUNT = 200


def network(recipe, threads=1):
    Network = registry.load("numba")
    chosen = type("Network", (Network,), {"cores": threads})
    return chosen(recipe, recipe.initial_weights(), "cpu")


def data(digits, dtype="float64"):
    return datasets.scale(digits.train.images[:COUNT], dtype), digits.train.labels[:COUNT]


def beside(recipe, images, labels, threads=1, steps=12):
    """The largest difference from the network by hand, of any number of any step."""
    order = [b for e in range(1, steps) for b in epoch_batches(COUNT, recipe.batch_size, 0, e)]
    batches = [(images[batch], labels[batch], recipe.learning_rate) for batch in order[:steps]]
    by_hand = ByHand(recipe, recipe.initial_weights())
    _, differences, _ = proof_beside.beside(network(recipe, threads), by_hand, batches, "free")
    return np.nanmax(differences) if np.isfinite(differences).all() else np.inf


@pytest.mark.parametrize("dialect", ["torch", "keras"])
@pytest.mark.parametrize("optimizer", OPTIMIZER_NUMBERS)
def test_a_hundred_steps_on_two_threads_are_numpys(optimizer, dialect, digits):
    rule = {"optimizer": optimizer, "dialect": dialect, "l2": 1e-3}
    recipe = Recipe(hidden=(64, 32), activation="tanh", dtype="float64", **rule)
    assert beside(recipe, *data(digits), threads=2, steps=100) < 1e-12


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("hidden", [(), (7,), (50,), (1030,), (90, 50, 48, 100)])
@pytest.mark.parametrize("lit", ["some", "all"])
def test_any_width_depth_number_of_threads_and_density(hidden, threads, lit, digits):
    images, labels = data(digits)
    if lit == "all":
        images = images + 0.1
    recipe = Recipe(hidden=hidden, activation="sigmoid", dtype="float64", l2=1e-3, batch_size=30)
    assert beside(recipe, images, labels, threads) < 1e-12
    worth = min(hidden, default=1) // 16
    assert len(network(recipe, threads).shards) == max(1, min(threads, worth))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_threads_agree_whatever_their_number(dtype, digits):
    images, labels = data(digits, dtype)
    recipe = Recipe(hidden=(64,), dtype=dtype)
    order = epoch_batches(COUNT, 32, 0, 1)
    one, two, again = (network(recipe, threads) for threads in (1, 2, 2))
    ran = [n.train_epoch(images, labels, order) for n in (one, two, again)]
    bound = 1e-13 if dtype == "float64" else 1e-5
    assert largest(ran[0].losses, ran[1].losses) < bound
    assert largest_difference(one.weights, two.weights) < bound
    assert largest_difference(two.weights, again.weights) == 0.0, "two runs are one, to the bit"


def test_what_was_computed_is_said(digits):
    images, labels = data(digits, "float32")
    for threads, shown, words in (
        (1, images, "1 thread, computing only the "),
        (2, images + 0.1, "2 threads, all inputs computed"),
    ):
        trained = network(Recipe(hidden=(32,)), threads)
        trained.train_epoch(shown, labels, [np.arange(32)])
        assert trained.notes.startswith(words)
    result = loop.train(network(Recipe(hidden=(32,), epochs=1)), digits).result
    assert "of inputs that are not 0" in result.notes


def test_a_black_batch_and_a_batch_of_one(digits):
    images, labels = data(digits)
    images[:40] = 0
    recipe = Recipe(hidden=(32,), optimizer="sgd", dtype="float64")
    for batches in ([np.arange(40)], [np.array([5])], [np.array([60]), np.arange(60, 63)]):
        ours, by_hand = network(recipe, 2), ByHand(recipe, recipe.initial_weights())
        running, expected = (n.train_epoch(images, labels, batches) for n in (ours, by_hand))
        assert largest(running.losses, expected.losses) < 1e-13
        assert largest_difference(ours.weights, by_hand.weights) < 1e-13


def test_more_images_than_ever_and_then_fewer(digits):
    """The desks grow with the largest batch, and what grows forgets nothing."""
    images, labels = data(digits)
    recipe = Recipe(hidden=(48,), dtype="float64", batch_size=8)
    ours, by_hand = network(recipe, 3), ByHand(recipe, recipe.initial_weights())
    for count in (8, 190, 3):
        batch = np.arange(count)
        for each in (ours, by_hand):
            each.train_epoch(images, labels, [batch])
        assert largest(ours.forward(images), by_hand.forward(images)) < 1e-12


def test_memory_keeps_no_subnormal_numbers(digits):
    """They would double the time of an update (measured), and are nothing beside any other."""
    images, labels = data(digits, "float32")
    recipe = Recipe(hidden=(16,))
    ours = network(recipe)
    ours.train_epoch(images, labels, [np.arange(32)])
    ours.state = {
        name: memory if name == "updates" else np.full_like(memory, 1e-39)
        for name, memory in ours.state.items()
    }
    ours.train_epoch(images, labels, [np.arange(32)])
    memory = np.concatenate([a.ravel() for name, a in ours.state.items() if name != "updates"])
    assert not ((memory != 0) & (np.abs(memory) < np.finfo("float32").tiny)).any()


def test_nan_is_not_hidden(digits):
    images, labels = data(digits)
    recipe = Recipe(hidden=(16,), dtype="float64")
    weights = recipe.initial_weights()
    weights["dense0.bias"][3] = np.nan
    ours = network(recipe)
    ours.weights = weights
    assert np.isnan(ours.forward(images)).all()
    assert np.isnan(ours.train_epoch(images, labels, [np.arange(32)]).losses).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x, y, b: (x * np.inf, y, b), "NaN or infinity"),
        (lambda x, y, b: (x[:, :-1], y, b), "shape"),
        (lambda x, y, b: (x, y + 10, b), "from 0 to 9"),
        (lambda x, y, b: (x, y[:-1], b), "integers"),
        (lambda x, y, b: (x, y, [b[0] + COUNT]), "beyond"),
        (lambda x, y, b: (x, y, [b[0] - COUNT]), "beyond"),
        (lambda x, y, b: (x, y, [b[0], b[0][:0]]), "empty"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_compiled_code_never_reads_where_nothing_is(change, words, digits):
    ours = network(Recipe(hidden=(16,), dtype="float64"))
    with pytest.raises(LockstepError, match=words):
        ours.train_epoch(*change(*data(digits), [np.arange(32)]))
    assert ours.state == {}, "nor is an update counted that was not done"


@pytest.mark.slow
def test_the_second_process_compiles_nothing(tmp_path):
    """And the first says so: `on_event` hears of the compilation before it starts."""
    code = """
import numpy as np
from lockstep.backends import registry
from lockstep.recipe import Recipe
recipe = Recipe(hidden=(), dtype="float32", inputs=4)
network = registry.load("numba")(recipe, recipe.initial_weights())
network.on_event = lambda event: print(event["event"], event["words"])
network.forward(np.ones((1, 4), "float32"))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    first, second = (
        subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
        for _ in range(2)
    )
    assert first.startswith("compiling compiling the float32 kernels")
    assert second == ""
