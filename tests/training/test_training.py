"""The trainer around the updates: distorted images, averaged weights, a validation set."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from conftest import installed, largest
from msgspec.structs import replace

from lockstep.backends.numpy import Network
from lockstep.data import distortions
from lockstep.data.datasets import scale
from lockstep.errors import LockstepError
from lockstep.layouts import largest_difference
from lockstep.recipe import Recipe
from lockstep.training import compare, loop
from lockstep.training.metrics import evaluate

pytestmark = pytest.mark.costly

RECIPE = Recipe(hidden=(16,), batch_size=16, epochs=2, dtype="float64")


class Watched(Network):
    """Keeps what `train_epoch` was shown, and the weights after it."""

    def build(self):
        super().build()
        self.shown, self.visited = [], []

    def train_epoch(self, images, labels, batches, learning_rates=None):
        running = super().train_epoch(images, labels, batches, learning_rates)
        self.shown.append(images)
        self.visited.append(self.weights)
        return running


def trained(recipe, data):
    network = Watched(recipe, recipe.initial_weights())
    return network, loop.train(network, data)


def test_what_comes_out_is_the_mean_of_the_last_share(digits):
    """The last quarter of 2 epochs in 18 portions each: the last 9 weights, averaged by NumPy."""
    averaged = dataclasses.replace(RECIPE, average=0.25)
    network, done = trained(averaged, digits)
    plain, other = trained(RECIPE, digits)
    visited = network.visited[1:]  # the first is the warm-up's
    assert len(visited) == 36
    assert largest_difference(visited[-1], plain.weights) == 0, "averaging disturbs no update"
    last = visited[-9:]
    mean = {name: np.mean([w[name] for w in last], axis=0) for name in last[0]}
    assert largest_difference(network.weights, mean) < 1e-15
    assert largest_difference(network.weights, plain.weights) > 1e-4

    logits = network.forward(digits.test.images)
    assert largest(done.test_logits, logits) < 1e-13, "and it is what is evaluated"
    score = evaluate(logits, digits.test.labels)
    assert done.result.history[-1].test_loss == pytest.approx(score.loss)
    first, same = (replace(one.result.history[0], seconds=0) for one in (done, other))
    assert first == same


def test_each_epoch_is_shown_its_own_distorted_images(digits):
    recipe = dataclasses.replace(RECIPE, rotation=10, elastic=1.0)
    network, _ = trained(recipe, digits)
    for epoch, seen in ((1, network.shown[1]), (2, network.shown[-1])):
        images = distortions.distorted(recipe, digits.train.images, epoch, distortions.resample)
        assert np.array_equal(seen, images)
    assert np.array_equal(trained(RECIPE, digits)[0].shown[-1], digits.train.images)


def test_numba_is_shown_the_same_and_averages_the_same(digits, tmp_path):
    """Two processes: every first epoch's weight alike to rounding, and the averages' accuracy."""
    recipe = dataclasses.replace(RECIPE, rotation=10, shear=0.1, elastic=1.0, average=0.5)
    backends = ("numpy", installed("numba"))
    done = compare.compare(recipe, backends, digits.validated(100), tmp_path, "run").results
    assert done.backends["numba"].weights_difference < 1e-12
    losses = [result.test_loss for result in done.backends.values()]
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    assert done.dataset.test == 100 and "as test set" in done.dataset.title


def test_a_validation_set_is_the_end_of_the_training_set_and_nothing_of_the_test_set(digits):
    data = digits.validated(100)
    assert np.array_equal(data.test.images, digits.train.images[-100:])
    assert np.array_equal(
        np.concatenate([data.train.labels, data.test.labels]), digits.train.labels
    )
    assert "last 100 training images as test set" in data.title
    for count in (0, -1, len(digits.train.labels)):
        with pytest.raises(LockstepError, match="--validation is"):
            digits.validated(count)
    by_hand = Network(RECIPE, RECIPE.initial_weights())
    done = loop.train(by_hand, data)
    logits = by_hand.forward(scale(digits.train.images[-100:], "float64"))
    assert done.result.test_accuracy == evaluate(logits, digits.train.labels[-100:]).accuracy
