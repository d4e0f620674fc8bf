"""The contract: every framework computes what the network by hand computes, to rounding."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from conftest import installed, largest

from lockstep.backends import registry
from lockstep.backends.numpy import Network as ByHand
from lockstep.data import datasets
from lockstep.data.order import epoch_batches
from lockstep.errors import LockstepError
from lockstep.layouts import largest_difference, weights_sha256
from lockstep.recipe import OPTIMIZER_NUMBERS, Recipe
from lockstep.runs.typed import plain
from lockstep.schedules import learning_rates
from lockstep.training import loop

pytestmark = pytest.mark.costly

# Relative to numbers of order 1: what 60 steps of honest rounding leave (measured: a tenth).
TOLERANCE = {"float64": 2e-13, "float32": 6e-5}
COUNT = 300


def pair(framework: str, recipe: Recipe):
    """The framework's network and the one by hand, speaking its dialect, from the same weights."""
    weights = recipe.initial_weights()
    network = registry.load(framework)(recipe, weights, "cpu")
    return network, ByHand(dataclasses.replace(recipe, dialect=network.dialect), weights)


def data(digits, dtype):
    return datasets.scale(digits.train.images[:COUNT], dtype), digits.train.labels[:COUNT]


def epochs(recipe, count=2):
    """Several epochs of batches in one list; the last batch of each is smaller (300 = 9·32+12)."""
    order = (epoch_batches(COUNT, recipe.batch_size, 0, e) for e in range(1, count + 1))
    return [batch for epoch in order for batch in epoch]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZER_NUMBERS)
def test_every_number_of_every_step_is_numpys(framework, optimizer, dtype, digits):
    l2 = 1e-3 if optimizer in ("sgd", "adam") else 0.0
    recipe = Recipe(hidden=(32, 16), activation="tanh", optimizer=optimizer, l2=l2, dtype=dtype)
    network, by_hand = pair(framework, recipe)
    images, labels = data(digits, dtype)
    for batch in epochs(recipe):
        theirs = network.step(images[batch], labels[batch])
        ours = by_hand.step(images[batch], labels[batch])
        assert largest(theirs.logits, ours.logits) < 20 * TOLERANCE[dtype]
        assert abs(theirs.loss - ours.loss) < TOLERANCE[dtype]
        assert largest_difference(theirs.gradients, ours.gradients) < TOLERANCE[dtype]
        assert largest_difference(theirs.weights, ours.weights) < TOLERANCE[dtype]
    theirs, ours = network.state, by_hand.state
    assert theirs.keys() == ours.keys()
    assert all(largest(theirs[name], ours[name]) < TOLERANCE[dtype] for name in ours)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("hidden", [(), (24,)])
def test_other_activations_and_depths(framework, activation, hidden, digits):
    recipe = Recipe(hidden=hidden, activation=activation, optimizer="sgd", dtype="float64")
    network, by_hand = pair(framework, recipe)
    images, labels = data(digits, "float64")
    for batch in epochs(recipe, count=1):
        network.step(images[batch], labels[batch])
        by_hand.step(images[batch], labels[batch])
    assert largest_difference(network.weights, by_hand.weights) < TOLERANCE["float64"]


def test_a_wrong_derivative_would_be_seen(framework, digits):
    """The check of the check: 0.1 % in one gradient is far outside the tolerance."""
    recipe = Recipe(hidden=(32,), activation="tanh", optimizer="sgd", dtype="float64")
    network, by_hand = pair(framework, recipe)
    images, labels = data(digits, "float64")
    right = by_hand.network.backward

    def wrong(Z, y):
        right(Z, y)
        by_hand.network.dW[0] *= 1.001
        return by_hand.network.gradient

    by_hand.network.backward = wrong
    theirs, ours = network.step(images[:32], labels[:32]), by_hand.step(images[:32], labels[:32])
    assert largest_difference(theirs.gradients, ours.gradients) > 1e6 * TOLERANCE["float64"]


@pytest.mark.parametrize("optimizer", OPTIMIZER_NUMBERS)
@pytest.mark.parametrize("schedule", ["cut", "cosine"])
def test_a_learning_rate_that_changes(framework, optimizer, schedule, digits):
    """Where Keras' momentum keeps its speed after a cut and PyTorch's does not."""
    recipe = Recipe(
        hidden=(24,), activation="tanh", optimizer=optimizer, schedule=schedule, dtype="float64"
    )
    network, by_hand = pair(framework, recipe)
    images, labels = data(digits, "float64")
    order = epochs(recipe)
    rates = learning_rates(schedule, recipe.learning_rate, 0, len(order), len(order))
    network.train_epoch(images, labels, order, rates)
    for batch, rate in zip(order, rates, strict=True):
        by_hand.step(images[batch], labels[batch], rate)
    assert largest_difference(network.weights, by_hand.weights) < TOLERANCE["float64"]
    if schedule == "cut" and optimizer == "momentum":
        other = "torch" if network.dialect == "keras" else "keras"
        foreign = ByHand(dataclasses.replace(recipe, dialect=other), recipe.initial_weights())
        foreign.train_epoch(images, labels, order, rates)
        assert largest_difference(network.weights, foreign.weights) > 1e-3


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam"])
def test_train_epoch_and_repeated_step_are_the_same(framework, optimizer, digits):
    _same_as_steps(framework, optimizer, digits)


def test_train_epoch_and_repeated_step_are_the_same_by_hand(digits):
    _same_as_steps("numpy", "adam", digits)


def _same_as_steps(name, optimizer, digits):
    recipe = Recipe(hidden=(32,), optimizer=optimizer, dtype="float64")
    weights = recipe.initial_weights()
    stepped, trained = (registry.load(name)(recipe, weights, "cpu") for _ in range(2))
    images, labels = data(digits, "float64")
    order = epochs(recipe)
    steps = [stepped.step(images[batch], labels[batch]) for batch in order]
    running = trained.train_epoch(images, labels, order)
    right = [
        (step.logits.argmax(1) == labels[batch]).sum()
        for step, batch in zip(steps, order, strict=True)
    ]
    assert largest(running.losses, [step.loss for step in steps]) < TOLERANCE["float64"]
    assert running.correct.tolist() == right
    assert largest_difference(stepped.weights, trained.weights) < TOLERANCE["float64"]


IDIOMS = [name for name in registry.names() if registry.tutorial(name)]


def test_what_is_as_tutorial_is_known_without_importing_a_framework():
    assert {name: registry.tutorial(name) for name in IDIOMS} == {
        "torch": "DataLoader", "tensorflow": "fit"
    }  # fmt: skip
    for name in map(installed, IDIOMS):
        assert registry.load(name, as_tutorial=True).tutorial == registry.tutorial(name)
        assert registry.load(name).tutorial == ""


@pytest.mark.parametrize("optimizer", OPTIMIZER_NUMBERS)
@pytest.mark.parametrize("name", IDIOMS)
def test_the_tutorial_and_repeated_step_are_the_same(name, optimizer, digits):
    """The order, the last and smaller batch, the penalty and the schedule are those of `step`."""
    schedule = "cut" if optimizer == "momentum" else "cosine"
    recipe = Recipe(hidden=(24,), optimizer=optimizer, l2=1e-3, schedule=schedule, dtype="float64")
    trained, stepped = _trained_as_tutorials_do(name, recipe, digits, lambda order: order)
    for (running, network), (steps, other) in zip(trained, stepped, strict=True):
        assert largest(running.losses, [step.loss for step, _ in steps]) < TOLERANCE["float64"]
        assert running.correct.tolist() == [right for _, right in steps]
        assert largest_difference(network[0], other[0]) < TOLERANCE["float64"]
        assert network[1].keys() == other[1].keys()
        assert all(largest(network[1][k], other[1][k]) < TOLERANCE["float64"] for k in other[1])


@pytest.mark.parametrize("name", IDIOMS)
def test_a_tutorial_that_shuffles_once_more_would_be_seen(name, digits):
    """The check of the check: the same batches, two of them in each other's place."""
    recipe = Recipe(hidden=(24,), dtype="float64")
    spoilt = lambda order: [order[1], order[0], *order[2:]]  # noqa: E731
    ((running, network), *_), ((steps, other), *_) = _trained_as_tutorials_do(
        name, recipe, digits, spoilt
    )
    assert largest(running.losses, [step.loss for step, _ in steps]) > 1e-3
    assert largest_difference(network[0], other[0]) > 1e6 * TOLERANCE["float64"]


@pytest.mark.parametrize("name", IDIOMS)
def test_a_tutorial_trains_whole_epochs_and_comes_to_the_same_end(name, digits):
    recipe = Recipe(hidden=(16,), activation="tanh", epochs=2, dtype="float64")
    events: dict[bool, list] = {False: [], True: []}
    fast, as_tutorial = (
        loop.train(
            registry.load(installed(name), kind)(recipe, recipe.initial_weights(), "cpu"),
            digits,
            events[kind].append,
        ).result
        for kind in events
    )
    assert [event["event"] for event in events[True]] == ["running", "epoch"] * 2
    assert len(events[False]) > 30
    assert as_tutorial.tutorial == registry.tutorial(name) and not fast.tutorial
    for key in ("initial_weights_sha256", "batch_order_sha256", "confusion_matrix"):
        assert getattr(as_tutorial, key) == getattr(fast, key)
    for entry, other in zip(as_tutorial.history, fast.history, strict=True):
        assert plain(entry) | {"seconds": 0} == pytest.approx(
            plain(other) | {"seconds": 0}, rel=1e-10
        )


def _trained_as_tutorials_do(name, recipe, digits, change):
    """Two epochs as tutorials train, their batches changed, and of `step`: after each what was
    seen, then weights and memory."""
    fitted, stepped = (
        registry.load(installed(name), as_tutorial)(recipe, recipe.initial_weights(), "cpu")
        for as_tutorial in (True, False)
    )
    pixels, labels = digits.train.images[:COUNT], digits.train.labels[:COUNT]
    seen, expected = [], []
    for epoch in (1, 2):
        two_epochs = dataclasses.replace(recipe, epochs=2)
        order, rates = loop.batches_and_rates(two_epochs, COUNT, epoch)
        running = fitted.train_epoch(pixels, labels, change(order), rates)
        seen.append((running, (fitted.weights, fitted.state)))
        steps = [stepped.step(pixels[b], labels[b], r) for b, r in zip(order, rates, strict=True)]
        right = [(s.logits.argmax(1) == labels[b]).sum() for s, b in zip(steps, order, strict=True)]
        steps = list(zip(steps, right, strict=True))
        expected.append((steps, (stepped.weights, stepped.state)))
    return seen, expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", registry.names())
def test_a_backend_computes_in_the_precision_it_was_asked_for(name, dtype, digits):
    """By dtype, and by the numbers: float64 logits hold more than float32 can."""
    recipe = Recipe(hidden=(32,), dtype=dtype)
    network = registry.load(name)(recipe, recipe.initial_weights(), "cpu")
    images, labels = data(digits, dtype)
    network.train_epoch(images, labels, epochs(recipe))
    step = network.step(images[:32], labels[:32])
    arrays = {"logits": step.logits, **step.gradients, **step.weights}
    arrays |= {key: array for key, array in network.state.items() if key != "updates"}
    assert {key: array.dtype.name for key, array in arrays.items()} == dict.fromkeys(arrays, dtype)
    fits = [
        (array == array.astype("float32")).mean()
        for array in (step.logits, network.forward(images))
    ]
    assert all(share == 1.0 if dtype == "float32" else share < 0.01 for share in fits)


@pytest.mark.parametrize("name", registry.names())
def test_weights_and_memory_go_in_and_out_unchanged(name, digits):
    recipe = Recipe(hidden=(16,), dtype="float64")
    weights = recipe.initial_weights()
    network = registry.load(name)(recipe, weights, "cpu")
    assert weights_sha256(network.weights) == weights_sha256(weights)
    images, labels = data(digits, "float64")
    assert network.state == {}
    for batch in epochs(recipe):
        network.step(images[batch], labels[batch])
    then, memory = network.weights, network.state
    resumed = registry.load(name)(recipe, then, "cpu")
    resumed.state = memory
    a, b = (n.step(images[:32], labels[:32]) for n in (network, resumed))
    assert largest_difference(a.weights, b.weights) == 0.0
    network.weights = weights
    assert network.state == {}, "weights that come in clear the optimizer"


@pytest.mark.parametrize("name", registry.names())
def test_other_labels_for_the_same_images_are_not_the_old_ones(name, digits):
    recipe = Recipe(hidden=(16,), dtype="float64")
    network = registry.load(name)(recipe, recipe.initial_weights(), "cpu")
    images, labels = data(digits, "float64")
    batch = [np.arange(32)]
    for other in (labels, (labels + 1) % 10):
        network.weights = recipe.initial_weights()
        expected = ByHand(recipe, recipe.initial_weights()).step(images[:32], other[:32]).loss
        assert network.train_epoch(images, other, batch).losses[0] == pytest.approx(expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", registry.names())
def test_pixels_are_scaled_as_the_dataset_would(name, dtype, digits):
    """Every bit of what is learned is that of images which were scaled before."""
    recipe = Recipe(hidden=(16,), dtype=dtype)
    networks = [registry.load(name)(recipe, recipe.initial_weights(), "cpu") for _ in range(2)]
    pixels, labels = digits.train.images[:COUNT], digits.train.labels[:COUNT]
    for network, images in zip(networks, (pixels, datasets.scale(pixels, dtype)), strict=True):
        network.step(images[:32], labels[:32])
        network.train_epoch(images, labels, epochs(recipe, count=1))
    assert weights_sha256(networks[0].weights) == weights_sha256(networks[1].weights)
    logits = [network.forward(pixels) for network in networks]
    assert largest(*logits) == 0.0
    assert largest(networks[0].forward(datasets.scale(pixels, dtype)), logits[0]) == 0.0


@pytest.mark.parametrize("name", registry.names())
def test_warming_up_changes_nothing(name, digits):
    recipe = Recipe(hidden=(16,))
    weights = recipe.initial_weights()
    network = registry.load(name)(recipe, weights, "cpu")
    images, labels = data(digits, "float32")
    network.warm_up(images, labels, epochs(recipe, count=1))
    assert weights_sha256(network.weights) == weights_sha256(weights)
    assert network.state == {}


@pytest.mark.parametrize("name", registry.names())
def test_what_one_backend_saves_every_backend_loads(name, tmp_path, digits):
    recipe = Recipe(hidden=(16,), activation="tanh")
    images, labels = data(digits, "float32")
    network = registry.load(name)(recipe, recipe.initial_weights(), "cpu")
    network.train_epoch(images, labels, epochs(recipe))
    network.save(tmp_path / "network.safetensors")
    for other in registry.names():
        loaded = registry.load(other).load(tmp_path / "network.safetensors", "cpu")
        assert loaded.recipe == recipe
        assert largest(loaded.forward(images), network.forward(images)) < 1e-5


@pytest.mark.parametrize("name", registry.names())
def test_weights_of_another_shape_are_refused(name):
    recipe = Recipe(hidden=(16,))
    with pytest.raises(LockstepError, match="needed"):
        registry.load(name)(recipe, Recipe(hidden=(17,)).initial_weights())
    with pytest.raises(LockstepError, match="needed"):
        registry.load(name)(recipe, {})


def test_a_device_that_is_not_there_is_refused():
    recipe = Recipe(hidden=(16,))
    with pytest.raises(LockstepError, match="it can on: cpu"):
        ByHand(recipe, recipe.initial_weights(), "cuda")
    with pytest.raises(LockstepError, match="did you mean 'cuda'"):
        ByHand(recipe, recipe.initial_weights(), "cude")


def test_the_register_reads_the_folder():
    assert registry.names()[0] == "numpy"
    assert set(registry.names()) >= {"numpy", "torch", "tensorflow", "jax"}
    with pytest.raises(LockstepError, match="did you mean 'torch'"):
        registry.load("pytorch")


def test_a_framework_that_is_absent_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(registry, "installed", lambda: ("numpy",))
    with pytest.raises(LockstepError, match="`pip install torch` adds it"):
        registry.load("torch")


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_cuda_computes_the_same(framework, dtype, digits):
    recipe = Recipe(hidden=(32,), activation="tanh", dtype=dtype)
    if "cuda" not in registry.load(framework).devices(dtype):
        pytest.skip("no CUDA device here")
    weights = recipe.initial_weights()
    network = registry.load(framework)(recipe, weights, "cuda")
    by_hand = ByHand(dataclasses.replace(recipe, dialect=network.dialect), weights)
    images, labels = data(digits, dtype)
    for batch in epochs(recipe):
        theirs = network.step(images[batch], labels[batch])
        ours = by_hand.step(images[batch], labels[batch])
        assert largest_difference(theirs.gradients, ours.gradients) < TOLERANCE[dtype]
    assert largest_difference(network.weights, by_hand.weights) < TOLERANCE[dtype]


def test_numpys_arrays_are_copies(batch):
    recipe = Recipe(hidden=(16,), dtype="float64")
    network = ByHand(recipe, recipe.initial_weights())
    step = network.step(*batch)
    kept = {name: array.copy() for name, array in step.weights.items()}
    network.step(*batch)
    assert largest_difference(kept, step.weights) == 0.0
    assert all(
        np.shares_memory(a, b) is False
        for a, b in zip(step.weights.values(), network.weights.values(), strict=True)
    )
