"""The flags that several commands share, and what is made of them."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
from argparse import Namespace
from pathlib import Path
from typing import Any

from .. import recipe
from ..backends import registry
from ..backends.contract import DEVICES
from ..data import datasets
from ..data.datasets import Dataset
from ..errors import LockstepError, one_of
from ..recipe import Recipe
from ..runs import files

MOST_STEPS = 100_000
FROM_THE_DATA = ("inputs", "classes")
"""Settings of a recipe that no flag sets: the dataset decides them."""
RECIPE = [f for f in dataclasses.fields(Recipe) if f.name not in FROM_THE_DATA]
AROUND_UPDATES = (
    "rotation", "scaling", "shear", "shift", "elastic", "elastic_smoothness", "average",
)  # fmt: skip
"""What a training does around its updates; commands that compare updates have no flag for it."""
FLAGS = {"learning_rate": "--lr"}
"""Where a flag is not called as the recipe's field."""
KINDS: dict[str, tuple[type, str]] = {"int": (int, "N"), "float": (float, "X")}
"""How a flag of this type is read, and what its help calls the value; others are text."""


def add_recipe(
    command: argparse.ArgumentParser,
    title: str = "the recipe",
    plain: bool = False,
    **defaults: Any,
) -> None:
    """A flag for each setting of a recipe; `defaults` are the command's own.

    `plain` leaves out what `require_plain` refuses.
    """
    group = command.add_argument_group(title)
    group.add_argument(
        "--recipe", metavar="FILE", help="a TOML file with settings, or a name in recipes/"
    )
    for field in RECIPE:
        if plain and field.name in AROUND_UPDATES:
            continue
        default = defaults.get(field.name, field.default)
        words = field.metadata["words"]
        if default is not None:
            shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
            words += f" (default: {shown})"
        text = str, "SIZES" if field.name == "hidden" else "NAME"
        kind, metavar = KINDS.get(str(field.type), text)
        flag = FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
        group.add_argument(
            flag, dest=field.name, type=kind, metavar=metavar, help=words.replace("%", "%%")
        )


def add_place(command: argparse.ArgumentParser) -> None:
    """Which data, and on which device."""
    group = command.add_argument_group("data and device")
    add_dataset(group)
    group.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda or mps (default: auto)"
    )


def add_dataset(group: argparse._ArgumentGroup) -> None:
    """Which data."""
    known = f"{', '.join(datasets.NAMES[:-1])} or {datasets.NAMES[-1]}"
    group.add_argument("--dataset", metavar="NAME", help=f"{known} (default: mnist)")
    group.add_argument("--data-dir", metavar="DIR", help="folder with the dataset's four files")


def add_run(command: argparse.ArgumentParser) -> None:
    """What the run is called, and where it is kept."""
    add = command.add_argument_group("the run").add_argument
    add("--name", help="name of the run's folder (default: from dataset and time)")
    add("--out", default="runs", metavar="DIR", help="where runs are kept (default: runs)")
    add("--quiet", action="store_true", help="print errors only")


def recipe_of(options: Namespace, **defaults: Any) -> Recipe:
    """The command's defaults, the recipe file's settings over them, and the flags over both."""
    settings = defaults | (recipe.read_toml(options.recipe) if options.recipe else {})
    for field in RECIPE:
        value = getattr(options, field.name, None)
        if value is not None:
            settings[field.name] = recipe.parse_sizes(value) if field.name == "hidden" else value
    return recipe.from_dict(settings, options.recipe or "the recipe")


def require_plain(chosen: Recipe, command: str) -> None:
    """Raise if the recipe asks for what only `train` and `compare` do around the updates."""
    if chosen.distorts or chosen.average:
        raise LockstepError(
            f"`{command}` takes the images and weights as they are; leave rotation, scaling, "
            "shear, shift, elastic and average out of the recipe."
        )


def backends_of(options: Namespace) -> tuple[str, ...]:
    """The backends named, in that order, or every installed one."""
    if options.backends is None:
        return registry.installed()
    chosen = tuple(dict.fromkeys(name.strip() for name in options.backends.split(",")))
    for name in chosen:
        one_of(registry.names(), name, "backend")
    return chosen


def data_of(options: Namespace, chosen: Recipe) -> Dataset:
    """The dataset, if the recipe's network fits it and the device may exist."""
    if options.device != "auto":
        one_of(DEVICES, options.device, "device")
    found = datasets.load(options.dataset, options.data_dir)
    inputs, classes = found.train.images.shape[1], len(found.classes)
    if (chosen.inputs, chosen.classes) != (inputs, classes):
        raise LockstepError(
            f"The recipe has {chosen.inputs} inputs and {chosen.classes} classes; {found.title} "
            f"has {inputs} and {classes}. Leave both out of the recipe."
        )
    return found


def name_of(options: Namespace, default: str) -> str:
    """The run's name, checked before anything long begins."""
    if options.name is None:
        files.require_folder(Path(options.out))
        return default
    files.check_free(Path(options.out), options.name)
    return str(options.name)


def now() -> str:
    """The local time, as it stands in a run's name."""
    return f"{datetime.datetime.now():%Y%m%d-%H%M%S}"


def require_steps(steps: int | None, flag: str = "--steps", least: int = 1) -> None:
    """Raise unless so many steps can be compared."""
    if steps is not None and not least <= steps <= MOST_STEPS:
        raise LockstepError(f"{flag} is {steps}; it must be {least} to {MOST_STEPS:,}.")
