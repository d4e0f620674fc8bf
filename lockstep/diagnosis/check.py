"""Somebody's own network compared with the network by hand: `lockstep verify my_network.py`.

The file runs in a process of its own, with a time limit. What it may hold is told by the template
(`write_template`). Arrays pass in .npz files in a temporary folder: given.npz in, answers.npz out.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..data.datasets import Dataset
from ..errors import LockstepError, reason
from ..processes import parent
from ..recipe import Recipe
from . import diagnose, judge, runner
from .given import Given, _float64
from .reference import Numbers, Seen
from .runner import PARTS
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
    with tempfile.TemporaryDirectory(prefix="lockstep-own-") as name:
        folder = Path(name)
        np.savez(folder / "given.npz", images=given.pixels, labels=given.labels)
        job = {
            "file": str(path.resolve()),
            "recipe": recipe.to_dict(),
            "steps": steps,
            "folder": str(folder),
        }
        try:
            result: dict = parent.send(runner.__name__, job, time_limit=time_limit)
        except parent.ChildFailed as error:
            message = str(error)
            about_the_file = message.startswith(path.name)
            raise LockstepError(message if about_the_file else f"{path.name}: {message}.") from None
        with np.load(folder / "answers.npz", allow_pickle=False) as answers:
            return verdict_on(given, dict(answers), result)


def verdict_on(given: Given, answers: dict[str, np.ndarray], result: dict) -> Verdict:
    """The verdict on a file's answers."""
    recipe = dataclasses.replace(given.recipe, dialect=result["dialect"])
    images, findings = given.images.astype(float), []
    if "prepared" in answers:
        findings += diagnose.diagnose_inputs(answers["prepared"], images)
        images = answers["prepared"].astype(float)
    steps = _seen(given, images, answers)
    wrong_steps = diagnose.diagnose_steps(recipe, steps) if steps else []
    findings += wrong_steps
    if "train" in result["forms"] and not wrong_steps:  # else it would repeat the steps' mistake
        see = _see_training(given, images)
        findings += diagnose.diagnose_training(
            recipe, given.training_batches, see, _trained(answers)
        )
    if result["broken"] and not findings:
        raise LockstepError(result["broken"])
    compared = sum(len(seen.said) for seen in steps)
    compared += sum(key.startswith(("prepared", "train/")) for key in answers)
    precision = judge.precision_of(recipe, steps)
    return Verdict(tuple(result["forms"]), precision, len(steps), compared, tuple(findings))


def _seen(given: Given, images: np.ndarray, answers: dict[str, np.ndarray]) -> list[Seen]:
    """The steps, from the answers' names: "3/start/dense0.weight", "3/gradients/…", "3/loss"."""
    steps: list[dict[str, dict[str, np.ndarray]]] = []
    for key, array in answers.items():
        step, _, rest = key.partition("/")
        if step.isdigit():
            if int(step) == len(steps):
                steps.append({"start": {}, "loss": {}, "gradients": {}, "weights": {}})
            part, _, name = rest.partition("/")
            steps[int(step)][part][name] = array.astype(float)
    seen = []
    for i, parts in enumerate(steps):
        batch = given.batches[i % len(given.batches)]  # the steep step takes the first again
        said: Numbers = {(part, n): a for part in PARTS for n, a in parts[part].items()}
        rate = float(given.rates[i % len(given.batches)])
        seen.append(Seen(parts["start"], images[batch], given.labels[batch], rate, said))
    return seen


def _see_training(given: Given, images: np.ndarray) -> Callable[..., list[Seen]]:
    initial = _float64(given.recipe.initial_weights())

    def see(batches, losses, weights, factor: float) -> list[Seen]:
        rate = given.recipe.learning_rate * factor
        steps = []
        for i, batch in enumerate(batches):
            said: Numbers = {} if losses is None else {("loss", ""): np.array(losses[i])}
            if weights is not None and i == len(batches) - 1:
                said |= {("weights", name): W for name, W in weights.items()}
            start = None if i else initial
            steps.append(Seen(start, images[batch], given.labels[batch], rate, said))
        return steps

    return see


def _trained(answers: dict[str, np.ndarray]) -> diagnose.Trained:
    prefix = "train/weights/"
    weights = {k.removeprefix(prefix): a for k, a in answers.items() if k.startswith(prefix)}
    return diagnose.Trained(
        answers.get("train/losses"), _float64(weights) or None, answers.get("still/losses")
    )
