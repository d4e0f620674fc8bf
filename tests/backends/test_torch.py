"""PyTorch's compiled updates: the same as `step`, and a plain word where none can be compiled."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import installed, largest

from lockstep.backends.numpy import Network as ByHand
from lockstep.data.order import epoch_batches
from lockstep.layouts import largest_difference
from lockstep.recipe import OPTIMIZER_NUMBERS, Recipe

pytestmark = pytest.mark.costly

COUNT, TOLERANCE = 300, 2e-13


@pytest.fixture
def torch_backend(monkeypatch):
    """The module, which takes every epoch for a long one."""
    installed("torch")
    from lockstep.backends import torch

    monkeypatch.setattr(torch, "LONG", 1)
    return torch


def differences(network, digits, recipe):
    """From the network by hand, after an epoch in two portions: losses, weights and memory."""
    images, labels = digits.train.images[:COUNT], digits.train.labels[:COUNT]
    order = [*epoch_batches(COUNT, 32, 0, 1), *epoch_batches(COUNT, 32, 0, 2)]
    rates = recipe.learning_rate * np.linspace(1, 2, len(order))
    by_hand = ByHand(recipe, recipe.initial_weights())
    ran = []
    for each in (network, by_hand):
        parts = [each.train_epoch(images, labels, order[p], rates[p]) for p in PORTIONS]
        ran.append([np.concatenate(column) for column in zip(*parts, strict=True)])
    (losses, correct), (their_losses, their_correct) = ran
    assert correct.tolist() == their_correct.tolist()
    memory, theirs = network.state, by_hand.state
    assert memory["updates"] == len(order)
    return (
        largest(losses, their_losses),
        largest_difference(network.weights, by_hand.weights),
        max(largest(memory[name], theirs[name]) for name in theirs),
    )


PORTIONS = (slice(0, 13), slice(13, None))


@pytest.mark.parametrize("optimizer", OPTIMIZER_NUMBERS)
def test_the_updates_that_are_compiled_are_numpys(optimizer, torch_backend, digits):
    """Left to Python, which is quick, and mixed with updates by `torch.optim`."""
    l2 = 0.0 if optimizer == "adamw" else 1e-3
    recipe = Recipe(hidden=(24, 16), activation="tanh", optimizer=optimizer, l2=l2, dtype="float64")
    network = torch_backend.Network(recipe, recipe.initial_weights(), "cpu")
    network._note, network._compiled = "as Python", network._several
    assert max(differences(network, digits, recipe)) < TOLERANCE


def test_they_are_once_they_are_compiled(torch_backend, digits):
    recipe = Recipe(hidden=(32,), dtype="float64")
    network = torch_backend.Network(recipe, recipe.initial_weights(), "cpu")
    told = []
    network.on_event = told.append
    images, labels = digits.train.images[:COUNT], digits.train.labels[:COUNT]
    network.warm_up(images, labels, epoch_batches(COUNT, 32, 0, 1))
    assert [event["event"] for event in told] == ["compiling"]
    assert network.notes == "updates compiled by torch.compile" and network.state == {}
    assert max(differences(network, digits, recipe)) < TOLERANCE


@pytest.fixture
def compile_to_python(torch_backend, monkeypatch):
    """`torch.compile`, which hands what it has traced back to Python, and so is quick."""
    torch = torch_backend.torch
    quick = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", quick)
    return torch


def compile_many(torch_backend, digits, count: int) -> None:
    """Train so many networks, each of another size; one after the other, and all stay."""
    images, labels = digits.train.images[:COUNT], digits.train.labels[:COUNT]
    networks = []
    for size in range(4, 4 + count):
        recipe = Recipe(hidden=(size,), activation="tanh", dtype="float64")
        networks.append(torch_backend.Network(recipe, recipe.initial_weights(), "cpu"))
        networks[-1].train_epoch(images, labels, epoch_batches(COUNT, 32, 0, 1))
        assert networks[-1]._compiled


def test_more_networks_are_compiled_than_pytorch_keeps_of_one_code(
    torch_backend, compile_to_python, digits
):
    limit = compile_to_python._dynamo.config.cache_size_limit
    compile_many(torch_backend, digits, limit + 2)


@pytest.mark.slow
def test_with_the_same_code_that_would_fail(torch_backend, compile_to_python, digits, monkeypatch):
    monkeypatch.setattr(torch_backend, "with_its_own_code", lambda function: function)
    limit = compile_to_python._dynamo.config.cache_size_limit
    with pytest.raises(Exception, match="fullgraph=True"):
        compile_many(torch_backend, digits, limit + 2)
    compile_to_python.compiler.reset()


def test_short_trainings_are_not_compiled(torch_backend, monkeypatch, digits):
    monkeypatch.setattr(torch_backend, "LONG", 11)
    recipe = Recipe(hidden=(16,), epochs=1)
    network = torch_backend.Network(recipe, recipe.initial_weights(), "cpu")
    images, labels = digits.train.images[:COUNT], digits.train.labels[:COUNT]
    network.train_epoch(images, labels, epoch_batches(COUNT, 32, 0, 1))
    assert network._compiled is None and network.notes == ""


def test_without_a_compiler_it_trains_all_the_same_and_says_so(tmp_path):
    installed("torch")
    code = """
from lockstep.backends import torch
from lockstep.data import datasets
from lockstep.data.order import epoch_batches
from lockstep.recipe import Recipe
torch.LONG = 1
recipe = Recipe(hidden=(16,))
network = torch.Network(recipe, recipe.initial_weights(), "cpu")
network.on_event = lambda event: print(event["words"])
train = datasets.load("digits").train
order = epoch_batches(len(train.labels), 32, 0, 1)
losses = network.train_epoch(*train, order).losses
print(losses[-1] < losses[0])
print(network.notes)
"""
    environment = {
        **os.environ,
        "CXX": str(tmp_path / "no-compiler"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    first, why, learned, notes = run.stdout.splitlines()
    assert first.startswith("compiling the updates")
    assert why.startswith("not compiled: torch.compile fails here") and why == notes
    assert learned == "True"
