"""Somebody's own network compared with the network by hand: `lockstep verify my_network.py`.

The file runs in a process of its own, with a time limit. What it may hold is told by the template
(`write_template`). Arrays pass in .npz files in a temporary folder: given.npz in, answers.npz out.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..by_hand.arrays import Array
from ..data.datasets import Dataset
from ..errors import LockstepError, reason
from ..layouts import Weights
from ..processes import parent
from ..proof.trace import Number, Numbers, from_archive_key, of_kind
from ..recipe import Recipe
from . import diagnose, judge, runner
from .given import Given
from .reference import Seen, in_float64
from .verdict import Verdict

TEMPLATE = Path(__file__).with_name("my_network.py")
TEMPLATE_SETTINGS: dict[str, Any] = {
    "hidden": (16,),
    "activation": "tanh",
    "optimizer": "sgd",
    "dtype": "float64",
}
"""The recipe that the template is written for, as it stands."""


def write_template(path: Path) -> None:
    """Write a file to start from: a right network, with what the file may hold in its comments."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise LockstepError(f"{path} is there already; nothing was overwritten.") from None
    except OSError as error:
        raise LockstepError(f"Cannot write {path}: {reason(error)}.") from None


def check(
    path: Path, recipe: Recipe, data: Dataset, steps: int = 10, time_limit: float = 60.0
) -> Verdict:
    """Run the file and compare every number that it returns with the network by hand.

    Raises LockstepError where the file cannot be run, and in the words of its own exceptions.
    """
    if not path.is_file():
        raise LockstepError(f"There is no file {path}.")
    given = Given(recipe, data.train.images, data.train.labels, steps)
    with tempfile.TemporaryDirectory(prefix="lockstep-check-") as name:
        folder = Path(name)
        np.savez(folder / "given.npz", images=given.pixels, labels=given.labels)
        job = {
            "file": str(path.resolve()),
            "recipe": recipe.to_dict(),
            "steps": steps,
            "folder": str(folder),
        }
        try:
            result: dict[str, Any] = parent.send(runner.__name__, job, time_limit=time_limit)
        except parent.ChildFailed as error:
            message = str(error)
            about_the_file = message.startswith(path.name)
            raise LockstepError(message if about_the_file else f"{path.name}: {message}.") from None
        with np.load(folder / "answers.npz", allow_pickle=False) as answers:
            return verdict_on(given, dict(answers), result)


def verdict_on(given: Given, answers: dict[str, np.ndarray], result: dict[str, Any]) -> Verdict:
    """The verdict on a file's answers."""
    recipe = dataclasses.replace(given.recipe, dialect=result["dialect"])
    images, findings = given.images.astype(float), []
    if "prepared" in answers:
        findings += diagnose.diagnose_inputs(answers["prepared"], images)
        images = answers["prepared"].astype(float)
    places = _by_place(answers)
    steps = _seen(given, images, places)
    wrong_steps = diagnose.diagnose_steps(recipe, steps) if steps else []
    findings += wrong_steps
    if "train" in result["forms"] and not wrong_steps:  # else it would repeat the steps' mistake
        see = _see_training(given, images)
        findings += diagnose.diagnose_training(
            recipe, given.training_batches, see, _trained(places)
        )
    if result["broken"] and not findings:
        raise LockstepError(result["broken"])
    compared = sum(len(seen.said) for seen in steps)
    compared += sum(key.startswith(("prepared", "train/")) for key in answers)
    precision = judge.precision_of(recipe, steps)
    return Verdict(tuple(result["forms"]), precision, len(steps), compared, tuple(findings))


def _by_place(answers: dict[str, np.ndarray]) -> dict[str, Numbers]:
    """The answers but "prepared", in float64, at their places: "3", "3/start", "train", "still"."""
    places: dict[str, Numbers] = {}
    for key, array in answers.items():
        if key != "prepared":
            place, number = from_archive_key(key)
            places.setdefault(place, {})[number] = array.astype(float)
    return places


def _seen(given: Given, images: np.ndarray, places: dict[str, Numbers]) -> list[Seen]:
    """The steps, one after the other."""
    seen = []
    for i in range(sum(place.endswith("/start") for place in places)):
        batch = given.batches[i % len(given.batches)]  # the steep step takes the first again
        rate = float(given.rates[i % len(given.batches)])
        start, said = of_kind(places[f"{i}/start"], "weight"), places.get(str(i), {})
        seen.append(Seen(start, images[batch], given.labels[batch], rate, said))
    return seen


def _see_training(given: Given, images: np.ndarray) -> diagnose.See:
    initial = in_float64(given.recipe.initial_weights())

    def see(
        batches: list[Array], losses: Array | None, weights: Weights | None, factor: float
    ) -> list[Seen]:
        rate = given.recipe.learning_rate * factor
        steps = []
        for i, batch in enumerate(batches):
            said: Numbers = {} if losses is None else {Number("loss"): np.array(losses[i])}
            if weights is not None and i == len(batches) - 1:
                said |= {Number("weight", name): W for name, W in weights.items()}
            start = None if i else initial
            steps.append(Seen(start, images[batch], given.labels[batch], rate, said))
        return steps

    return see


def _trained(places: dict[str, Numbers]) -> diagnose.Trained:
    train, still = places.get("train", {}), places.get("still", {})
    weights = of_kind(train, "weight") or None
    return diagnose.Trained(train.get(Number("loss")), weights, still.get(Number("loss")))
