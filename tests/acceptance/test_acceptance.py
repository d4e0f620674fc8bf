"""The promises of the project, on the true MNIST with the default recipe."""

from __future__ import annotations

import itertools

import pytest
from conftest import IN_CI, absent

from lockstep.backends import registry
from lockstep.recipe import Recipe
from lockstep.training import compare

pytestmark = pytest.mark.costly

INSTALLED = registry.installed()


@pytest.fixture(scope="module")
def everybody():
    missing = set(registry.names()) - set(INSTALLED)
    if missing and IN_CI:
        absent(f"{', '.join(missing)} not installed")
    return INSTALLED


@pytest.fixture(scope="module")
def default_run(mnist, everybody, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs")
    run = compare.compare(Recipe(), everybody, mnist, out, "r", proof_steps=20)
    assert run.well
    run = run.results
    assert run.failures == {}
    return run


def test_every_backend_reaches_97_3_percent(default_run):
    reached = {name: result.test_accuracy for name, result in default_run.backends.items()}
    assert min(reached.values()) >= 0.973, reached


def test_any_two_backends_are_within_0_3_points(default_run):
    reached = [result.test_accuracy for result in default_run.backends.values()]
    assert all(abs(a - b) <= 0.003 for a, b in itertools.combinations(reached, 2))


@pytest.mark.slow  # each comparison proves 200 such updates; these are 3,750
def test_float64_gradient_descent_loses_alike_for_two_epochs(mnist, everybody, tmp_path):
    recipe = Recipe(optimizer="sgd", dtype="float64", epochs=2)
    run = compare.compare(recipe, everybody, mnist, tmp_path, "r").results
    histories = {name: result.history for name, result in run.backends.items()}
    for name, history in histories.items():
        for ours, theirs in zip(histories["numpy"], history, strict=True):
            for loss in ("train_loss", "test_loss", "running_loss"):
                assert abs(getattr(ours, loss) - getattr(theirs, loss)) < 1e-9, (
                    name,
                    ours.epoch,
                    loss,
                )
        assert (run.backends[name].weights_difference or 0) < 1e-12
