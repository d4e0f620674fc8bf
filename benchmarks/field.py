"""Who races: this project's own trainers, the floors beneath them, and those of a user's file."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lockstep.backends import registry
from lockstep.errors import LockstepError

from . import floors


class Trainer(NamedTuple):
    """What a contender gives; `benchmarks/__init__.py` says what each is called with."""

    epoch: Callable[[int], Any]
    predict: Callable[[np.ndarray], np.ndarray] | None = None
    """None for a floor, which learns nothing."""


Build = Callable[[int, np.ndarray, np.ndarray], Any]


class Field(NamedTuple):
    """Everybody in the race, and how they are compared."""

    contenders: dict[str, Build]
    reference: str
    bars: dict[tuple[str, str], dict[int, float]]


def own(name: str, threads: int | None = None) -> Build:
    """A backend's `train_epoch`, on pixels as `lockstep train` hands them over."""

    def build(batch_size: int, images: np.ndarray, labels: np.ndarray) -> Trainer:
        from lockstep.data import order
        from lockstep.recipe import Recipe
        from lockstep.training import loop

        if name not in registry.installed():
            raise ModuleNotFoundError(f"{registry.install_command([name])} adds it", name=name)
        Network: Any = registry.load(name)
        if threads:
            Network.cores = threads
        recipe = Recipe(batch_size=batch_size)
        network = Network(recipe, recipe.initial_weights(), "cpu")

        def epoch(seed: int) -> None:
            network.train_epoch(
                images, labels, order.epoch_batches(len(images), batch_size, seed, 1)
            )

        return Trainer(epoch, lambda images: loop.logits(network, images).argmax(axis=1))

    return build


OWN: dict[str, Build] = {
    "lockstep numba, 2 threads": own("numba", 2),
    "lockstep numba, 1 thread": own("numba", 1),
    **{f"lockstep {name}": own(name) for name in registry.names() if name != "numba"},
    "floor: matrix products": floors.products_of_an_epoch,
    "floor: Adam's memory traffic": floors.traffic_of_an_epoch,
}


def field(file: str | None) -> Field:
    """This project's own, and those of the file."""
    if file is None:
        return Field(OWN, "lockstep numpy", {})
    theirs = _module(Path(file))
    contenders = getattr(theirs, "CONTENDERS", None)
    if not isinstance(contenders, dict) or not all(map(callable, contenders.values())):
        raise LockstepError(f"{file} has no CONTENDERS = {{name: function}}.")
    everybody = {**OWN, **contenders}
    reference = getattr(theirs, "REFERENCE", "lockstep numpy")
    bars = getattr(theirs, "BARS", {})
    for pair, at in bars.items():
        sizes = [*at, *at.values()] if isinstance(at, dict) else [None]
        if len(pair) != 2 or not all(isinstance(size, int | float) for size in sizes):
            raise LockstepError(f"{file} has BARS that are no {{(name, against): {{32: 2.0}}}}.")
    for name in (reference, *(name for pair in bars for name in pair)):
        if name not in everybody:
            raise LockstepError(f"{file} compares with {name!r}, which is no contender.")
    return Field(everybody, reference, bars)


def _module(file: Path) -> Any:
    """The file, run."""
    spec = importlib.util.spec_from_file_location("contenders", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise LockstepError(f"There is no Python file {file}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
