"""The recipe: what it refuses, and that it comes back as it was written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lockstep import layouts, recipe
from lockstep.errors import LockstepError
from lockstep.recipe import Recipe


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optimizer": "adm"}, "did you mean 'adam'"),
        ({"activation": "reul"}, "did you mean 'relu'"),
        ({"dtype": "float16"}, "dtype 'float16'"),
        ({"initialization": "xavier"}, "Known: glorot"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": 2.5}, "whole number"),
        ({"epochs": True}, "epochs is True"),
        ({"hidden": [128, -1]}, "hidden is -1"),
        ({"hidden": 128}, r"write a list, e.g. \[128, 64\]"),
        ({"learning_rate": -1}, "above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"momentum": 1.0}, "below 1"),
        ({"optimizer": 3}, "in quotes"),
        ({"learnin_rate": 0.1}, "did you mean 'learning_rate'"),
        ({"rotation": 180}, "below 180"),
        ({"elastic": -1}, "elastic is -1"),
        ({"shift": 1e39}, "below 100"),
        ({"elastic_smoothness": 0}, "at least 0.1"),
        ({"average": 1}, "below 1"),
    ],
)
def test_a_bad_setting_is_answered_in_one_sentence(settings, words):
    with pytest.raises(LockstepError, match=words):
        recipe.from_dict(settings)


def test_a_recipe_survives_json_and_toml(tmp_path):
    original = Recipe(hidden=(64, 32), optimizer="nesterov", seed=3, dtype="float64")
    assert recipe.from_dict(original.to_dict()) == original
    path = tmp_path / "r.toml"
    path.write_text('hidden = [64, 32]\noptimizer = "nesterov"\nseed = 3\ndtype = "float64"\n')
    assert recipe.from_dict(recipe.read_toml(path)) == original


@pytest.mark.parametrize("content", ["hidden = [", "\x00"])
def test_a_broken_recipe_file_is_named(tmp_path, content):
    path = tmp_path / "r.toml"
    path.write_text(content)
    with pytest.raises(LockstepError, match=r"r\.toml is not valid TOML"):
        recipe.read_toml(path)
    with pytest.raises(LockstepError, match="no such file"):
        recipe.read_toml(tmp_path / "absent.toml")


def test_every_recipe_that_comes_along_has_a_name_and_can_be_used():
    known = recipe.named_recipes()
    assert {"simard", "to-97", "to-98"} <= set(known)
    for name, path in known.items():
        assert recipe.read_toml(name) == recipe.read_toml(path)
        assert recipe.from_dict(recipe.read_toml(name)).epochs >= 1
    with pytest.raises(LockstepError, match="did you mean 'simard'"):
        recipe.read_toml("simrd")


def test_shapes_follow_the_sizes():
    assert Recipe(hidden=(128, 64)).shapes == {
        "dense0.weight": (784, 128),
        "dense0.bias": (128,),
        "dense1.weight": (128, 64),
        "dense1.bias": (64,),
        "dense2.weight": (64, 10),
        "dense2.bias": (10,),
    }


def test_the_hash_sees_a_single_flipped_bit():
    weights = Recipe().initial_weights()
    before = layouts.weights_sha256(weights)
    assert before == layouts.weights_sha256(dict(reversed(weights.items())))
    bias = weights["dense1.bias"]
    bias[3] = np.nextafter(bias[3], 1, dtype=bias.dtype)
    assert layouts.weights_sha256(weights) != before


def test_the_usual_learning_rate_belongs_to_the_optimizer():
    assert Recipe(optimizer="sgd").learning_rate == 0.1
    assert Recipe(optimizer="sgd", learning_rate=0.5).learning_rate == 0.5
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().seed = 1


@pytest.mark.parametrize("text", ["128,", "a", "64;32", "1.5"])
def test_hidden_sizes_as_typed(text):
    with pytest.raises(LockstepError, match="with commas"):
        recipe.parse_sizes(text)
