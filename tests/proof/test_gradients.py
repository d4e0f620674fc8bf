"""The public gradient check: every backend passes, and a derivative 0.1 % off does not."""

from __future__ import annotations

import pytest
from conftest import installed

import lockstep
from lockstep.backends import registry
from lockstep.errors import LockstepError
from lockstep.layouts import largest_difference, weights_sha256
from lockstep.recipe import Recipe

pytestmark = pytest.mark.costly


@pytest.fixture(params=registry.names())
def name(request) -> str:
    return installed(request.param)


def network(name, **settings):
    recipe = Recipe(**{"hidden": (16, 12), "activation": "tanh", "dtype": "float64", **settings})
    return registry.load(name)(recipe, recipe.initial_weights(), "cpu")


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid"])
def test_every_backend_passes(name, activation, batch):
    checked = network(name, activation=activation, l2=1e-2)
    assert 0 < lockstep.check_gradients(checked, *batch, samples=10) < 1e-6


@pytest.mark.parametrize("tensor", Recipe(hidden=(16, 12)).shapes)
def test_a_gradient_off_by_a_tenth_of_a_percent_is_found(name, tensor, batch, monkeypatch):
    wrong = network(name)
    right = wrong.step

    def step(images, labels):
        result = right(images, labels)
        result.gradients[tensor][...] *= 1.001
        return result

    monkeypatch.setattr(wrong, "step", step)
    with pytest.raises(ArithmeticError, match=rf"{tensor} is wrong at \[\d+.*\]: .* say "):
        lockstep.check_gradients(wrong, *batch, samples=10)


def test_a_gradient_that_is_no_number_is_found(batch, monkeypatch):
    wrong = network("numpy")
    right = wrong.step

    def step(images, labels):
        result = right(images, labels)
        result.gradients["dense1.bias"][...] = float("nan")
        return result

    monkeypatch.setattr(wrong, "step", step)
    with pytest.raises(ArithmeticError, match=r"dense1.bias is wrong at .* says nan"):
        lockstep.check_gradients(wrong, *batch, samples=2)


@pytest.mark.parametrize("fails", [False, True])
def test_weights_and_memory_are_left_as_they_were(name, fails, batch):
    checked = network(name)
    for _ in range(2):
        checked.step(*batch)
    weights, state = weights_sha256(checked.weights), weights_sha256(checked.state)
    if fails:
        with pytest.raises(ArithmeticError):
            lockstep.check_gradients(checked, *batch, samples=2, tolerance=0.0)
    else:
        lockstep.check_gradients(checked, *batch, samples=2)
    assert weights_sha256(checked.weights) == weights
    assert weights_sha256(checked.state) == state


def test_a_network_that_has_learned_nothing_still_has(batch):
    checked = network("numpy")
    lockstep.check_gradients(checked, *batch, samples=2)
    assert checked.state == {}
    assert largest_difference(checked.weights, checked.recipe.initial_weights()) == 0.0


def test_float32_is_refused(batch):
    with pytest.raises(LockstepError, match="float64 network, and this one is float32"):
        lockstep.check_gradients(network("numpy", dtype="float32"), *batch)
