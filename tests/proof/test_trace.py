"""One spelling for each number of a step."""

from __future__ import annotations

import pytest

from lockstep.backends.numpy import Network
from lockstep.diagnosis.reference import Reference, Seen
from lockstep.errors import LockstepError
from lockstep.proof import trace
from lockstep.proof.trace import Number
from lockstep.recipe import OPTIMIZER_NUMBERS, Recipe


def numbers_of_a_step(batch, **changes) -> trace.Numbers:
    recipe = Recipe(**{"hidden": (5,), "dtype": "float64", **changes})
    network = Network(recipe, recipe.initial_weights())
    return trace.numbers_of(network.step(*batch), network)


def test_a_steps_numbers_come_in_the_order_in_which_they_are_computed(batch):
    assert [str(number) for number in numbers_of_a_step(batch, optimizer="adam")] == [
        "logits",
        "loss",
        "gradient dense1.bias",
        "gradient dense1.weight",
        "gradient dense0.bias",
        "gradient dense0.weight",
        "weight dense0.weight",
        "weight dense0.bias",
        "weight dense1.weight",
        "weight dense1.bias",
        "memory dense0.weight.m",
        "memory dense0.bias.m",
        "memory dense1.weight.m",
        "memory dense1.bias.m",
        "memory dense0.weight.v",
        "memory dense0.bias.v",
        "memory dense1.weight.v",
        "memory dense1.bias.v",
    ]


REMEMBERED = {"sgd": 0, "momentum": 1, "nesterov": 1, "rmsprop": 1, "adam": 2, "adamw": 2}


@pytest.mark.parametrize("optimizer", OPTIMIZER_NUMBERS)
def test_every_number_is_read_back_from_its_spelling(optimizer, batch):
    numbers = numbers_of_a_step(batch, optimizer=optimizer, hidden=(5, 4))
    assert len(numbers) == 2 + (2 + REMEMBERED[optimizer]) * 6  # of three weights, three biases
    for number in numbers:
        assert Number.parse(str(number)) == number
        for place in ("3", "3/start", "train"):
            key = trace.archive_key(place, number)
            assert trace.from_archive_key(key) == (place, number)


@pytest.mark.parametrize(
    "text",
    ["", "loss ", "loss dense0.weight", "gradient", "gradient ", "gradient  dense0.weight",
     "weight dense0 weight", "dense0.weight", "Loss", "3/loss"],
)  # fmt: skip
def test_an_unknown_spelling_is_an_error(text):
    with pytest.raises(LockstepError):
        Number.parse(text)


def test_the_nearest_kind_is_named():
    with pytest.raises(LockstepError, match="'gradients'; did you mean 'gradient'"):
        Number.parse("gradients dense0.weight")


def test_the_reference_of_a_diagnosis_spells_its_numbers_likewise(batch):
    recipe = Recipe(hidden=(5,), dtype="float64")
    seen = Seen(recipe.initial_weights(), *batch, recipe.learning_rate, {})
    (numbers,) = Reference(recipe).run([seen])
    proved = numbers_of_a_step(batch)
    assert set(numbers) == {n for n in proved if n.kind in ("loss", "gradient", "weight")}
    for kind in ("gradient", "weight"):
        assert set(trace.of_kind(numbers, kind)) == set(recipe.shapes)
