"""A backend in a user's process leaves what is global there as it was."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import installed

from lockstep.backends import registry

pytestmark = pytest.mark.costly

TESTS = Path(__file__).parent
COMPANIONS = {"tensorflow": "keras", "jax": "optax"}


def python(*arguments: str, **environment: str) -> str:
    """The last line that a fresh process prints; with these environment variables alone."""
    ours = {
        "PYTHONPATH": str(TESTS.parents[1]),
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
    }
    run = subprocess.run(
        [sys.executable, *arguments], env=ours | environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()[-1]


@functools.cache
def process(name: str, settings: str, used: str) -> dict:
    return json.loads(python(str(TESTS / "global_state.py"), name, settings, used))


USUAL_TOO = [pytest.param("usual", marks=pytest.mark.slow), "unusual"]
"""Settings that nobody changes are the easier case."""


@pytest.mark.parametrize("settings", USUAL_TOO)
@pytest.mark.parametrize("name", registry.names())
def test_everything_is_as_it_was(name, settings):
    assert process(installed(name), settings, "used")["changed"] == {}


@pytest.mark.parametrize("settings", USUAL_TOO)
@pytest.mark.parametrize("name", registry.names())
def test_the_user_draws_what_would_be_drawn_without_lockstep(name, settings):
    used, unused = (process(installed(name), settings, used) for used in ("used", "unused"))
    assert used["drawn"] == unused["drawn"]


@pytest.mark.parametrize("value", [pytest.param(None, marks=pytest.mark.slow), "jax"])
@pytest.mark.parametrize("name", registry.names())
def test_loading_leaves_the_environment_as_the_framework_does(name, value):
    installed(name)
    environment = {} if value is None else {"KERAS_BACKEND": value, "TF_CPP_MIN_LOG_LEVEL": "0"}
    framework = f"import {name}, {COMPANIONS.get(name, 'json')}"
    if name == "tensorflow":  # Keras with another backend would import that
        framework = "import os; os.environ['KERAS_BACKEND'] = 'tensorflow'; " + framework
    code = "\nimport json, os\nprint(json.dumps(dict(os.environ)))"
    theirs = json.loads(python("-c", framework + code, **environment))
    ours = json.loads(
        python("-c", f"import lockstep; lockstep.load_backend({name!r})" + code, **environment)
    )
    theirs.pop("KERAS_BACKEND", None)
    assert ours.pop("KERAS_BACKEND", None) == value
    assert ours == theirs


def test_keras_with_another_backend_is_refused_in_one_sentence():
    installed("tensorflow"), installed("jax")
    code = """
import keras, lockstep
try:
    lockstep.load_backend("tensorflow")
except lockstep.LockstepError as error:
    print(error)
"""
    assert python("-c", code, KERAS_BACKEND="jax") == (
        "Keras computes with jax in this process, and stays with what it was imported with; "
        "set KERAS_BACKEND=tensorflow before Keras is imported."
    )


def test_a_dtype_that_keras_has_not_settled_on_stays_open():
    """Keras takes the first floatx it needs for good: ours must not be it."""
    installed("tensorflow")
    code = """
import lockstep
recipe = lockstep.Recipe(hidden=(4,), dtype="float32")
lockstep.load_backend("tensorflow")(recipe, recipe.initial_weights())
import keras
keras.config.set_floatx("float64")
print(keras.layers.Dense(1).dtype)
"""
    assert python("-c", code) == "float64"


def test_pytorchs_newer_way_to_set_the_precision_is_kept():
    installed("torch")
    code = """
import lockstep, numpy as np, torch
torch.backends.cuda.matmul.fp32_precision = "tf32"
recipe = lockstep.Recipe(hidden=(4,))
network = lockstep.load_backend("torch")(recipe, recipe.initial_weights(), "cpu")
network.step(np.zeros((2, 784), np.float32), np.zeros(2, np.int64))
print(torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision)
"""
    assert python("-c", code) == "tf32 none"


def test_what_the_user_has_compiled_stays_compiled():
    """Whatever Lockstep compiles. (PyTorch's compiler notes a thing or two in the environment.)

    `torch.no_grad` as a decorator is PyTorch's code, of which it keeps variants for everybody.
    """
    installed("torch")
    code = """
import os
import torch, lockstep
from lockstep.backends import torch as backend
from lockstep.data import datasets
from lockstep.data.order import epoch_batches

compiled = []
def count(graph, inputs):
    compiled.append(graph)
    return graph.forward

@torch.compile(backend=count)
@torch.no_grad()
def theirs(x):
    return x * 2

theirs(torch.ones(3))

def state():
    environment = {k: v for k, v in os.environ.items() if "TORCHINDUCTOR" not in k}
    return torch.get_num_threads(), torch.get_rng_state().tolist(), environment

before = state()
backend.LONG = 1
train = datasets.load("digits").train
recipe = lockstep.Recipe(hidden=(8,))
network = backend.Network(recipe, recipe.initial_weights(), "cpu")
network.train_epoch(train.images[:128], train.labels[:128], epoch_batches(128, 32, 0, 1))
assert network.notes == "updates compiled by torch.compile", network.notes
theirs(torch.ones(3))
print(len(compiled), state() == before)
"""
    assert python("-c", code) == "1 True"
