"""How cost grows: one thing larger and larger, everything else as in the race at batch 128.

The floor is what a trainer of dense matrices cannot do without: the products of an update, and the
memory that Adam passes over (`floors.py`), measured in the same rounds. A row is one contender at
one place: "contender", "axis" and "at" (the place), "settings", "images" of one turn, and "turns".
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from lockstep.data.datasets import Dataset
from lockstep.errors import LockstepError
from lockstep.processes.events import OnEvent
from lockstep.processes.parent import ChildFailed
from lockstep.recipe import Recipe

from . import floors
from .field import Trainer
from .race import counted, part
from .turns import Contender, contender

AXES: dict[str, dict[int, dict]] = {
    "hidden units": {n: {"hidden": (n,)} for n in (128, 256, 512, 1024, 2048, 4096)},
    "hidden layers": {n: {"hidden": (128,) * n} for n in (1, 2, 3, 4)},
    "batch size": {n: {"batch_size": n} for n in (16, 32, 128, 512, 4096)},
    "training images": {n: {"images": n} for n in (6_000, 60_000, 600_000)},
    "cores": {n: {"cores": n} for n in (1, 2)},
}
"""Each thing that grows: its places, and what is not as in BASE there."""
WIDE, WIDE_BATCHES = (1024, 2048, 4096), (32, 128)
"""Where the trainers by hand are compared with the floor."""
BY_HAND, BAR = ("numpy", "numba"), 1.3
PRODUCTS, TRAFFIC = "floor: matrix products", "floor: Adam's memory traffic"
BASE = {"hidden": (128,), "batch_size": 128, "images": None, "cores": 2}
"""Without a number of images, as many batches as SECONDS take."""
SECONDS, ROUNDS = 0.3, 3


def build(
    data: Dataset, who: str, hidden: list, batch_size: int, images: int | None, cores: int
) -> tuple[Trainer, dict]:
    """In the contender's process: what trains so many images, or for SECONDS."""
    recipe = Recipe(hidden=tuple(hidden), batch_size=batch_size)
    if who == PRODUCTS:
        run = floors.products(recipe.sizes, batch_size)
    elif who == TRAFFIC:
        run = floors.traffic(recipe.sizes, cores)
    else:
        run = _updates(data, who, recipe)
    updates = -(-images // batch_size) if images else _enough(run)
    run(updates)
    return Trainer(lambda seed: run(updates)), {"images": updates * batch_size}


def _updates(data: Dataset, who: str, recipe: Recipe) -> Callable[[int], None]:
    """Trains so many batches; of more than the images give, they come again.

    The backend is told to expect whole epochs, for which PyTorch compiles.
    """
    from lockstep.backends import registry

    network: Any = registry.load(who)(recipe, recipe.initial_weights(), "cpu")
    rng, size = np.random.default_rng(0), recipe.batch_size
    images = len(data.train.labels)
    network.warm_up(*data.train, [np.arange(size) % images] * -(-images // size))

    def run(updates: int) -> None:
        order = rng.permutation(updates * size) % images
        network.train_epoch(*data.train, list(order.reshape(updates, size)))

    return run


def _enough(run: Callable[[int], None]) -> int:
    """How many updates take SECONDS; the first few may compile."""
    run(4)
    updates, seconds = 4, 0.0
    while True:
        start = time.perf_counter()
        run(updates)
        seconds = time.perf_counter() - start
        if seconds > SECONDS / 4:
            return max(2, round(updates * SECONDS / seconds))
        updates *= 4


def places(backends: Sequence[str]) -> list[tuple[dict, list[str], list[dict]]]:
    """What to measure, each once: the settings, by whom, and the places that it stands for."""
    everybody = [*backends, PRODUCTS, TRAFFIC]
    found: dict[str, tuple[dict, list[str], list[dict]]] = {}
    for axis in AXES:
        if axis == "cores" and not hasattr(os, "sched_setaffinity"):
            continue
        for at, changed in AXES[axis].items():
            settings = BASE | changed
            entry = found.setdefault(str(settings), (settings, everybody, []))
            entry[2].append({"axis": axis, "at": at})
    for batch in WIDE_BATCHES:
        for width in WIDE:
            settings = BASE | {"hidden": (width,), "batch_size": batch}
            who = [name for name in everybody if name in (*BY_HAND, PRODUCTS, TRAFFIC)]
            entry = found.setdefault(str(settings), (settings, who, []))
            entry[2].append({"axis": f"wide, batch {batch}", "at": width})
    return list(found.values())


def measure(backends: Sequence[str], dataset: dict, on_event: OnEvent) -> dict:
    """Every place, everybody in turns: {"rows", "absent", "failures"}."""
    rows: list[dict] = []
    failures: dict[str, str] = {}
    for cores in AXES["cores"]:
        with ExitStack() as stack:
            running: dict[str, Contender] = {}
            for settings, who, where in places(backends):
                if settings["cores"] == cores:
                    found = _measure(settings, who, dataset, running, stack, failures, on_event)
                    rows += [{**row, **place} for place in where for row in found]
    if not rows:
        raise LockstepError(" ".join(f"{name}: {why}." for name, why in failures.items()))
    return {"rows": rows, "absent": {}, "failures": failures}


def _measure(
    settings: dict,
    who: Sequence[str],
    dataset: dict,
    running: dict[str, Contender],
    stack: ExitStack,
    failures: dict[str, str],
    on_event: OnEvent,
) -> list[dict]:
    """One place: everybody builds, then trains in turns. Who fails there is out of it there."""
    rows: dict[str, dict] = {}
    shown = " ".join(f"{key} {value}" for key, value in settings.items() if value)
    for name in who:
        on_event(part(f"{shown}: {name}", False))
        try:
            if name not in running:
                running[name] = stack.enter_context(contender())
                if hasattr(os, "sched_setaffinity"):
                    running[name].ask("narrow", cores=settings["cores"])
            built = running[name].ask("build", task="growth", dataset=dataset, who=name, **settings)
            rows[name] = {"contender": name, "settings": settings, "turns": [], **built}
        except (ChildFailed, LockstepError) as error:
            failures[f"{name}, {shown}"] = str(error)
            running.pop(name).close()
    for number in range(1, ROUNDS + 1):
        for name in list(rows):
            try:
                turns = running[name].measure(number)
            except ChildFailed as error:
                failures[f"{name}, {shown}"] = str(error)
                running.pop(name).close()
                rows.pop(name)
            else:
                rows[name]["turns"] += [{"round": number, **turn} for turn in turns]
    on_event(part("", True))
    return [{**row, "us_per_image": per_image(row)} for row in rows.values()]


def per_image(row: dict) -> float:
    """Microseconds for an image, median of the rounds."""
    return 1e6 * statistics.median(counted(row)) / row["images"]


def beside_the_floor(rows: Sequence[dict]) -> list[dict]:
    """For each wide network: how many times the floor's time each trainer by hand takes."""
    found = []
    for batch in WIDE_BATCHES:
        for width in WIDE:
            here = {
                row["contender"]: np.array(counted(row)) / row["images"]
                for row in rows
                if (row["axis"], row["at"]) == (f"wide, batch {batch}", width)
            }
            if PRODUCTS in here and TRAFFIC in here:
                floor = here[PRODUCTS] + here[TRAFFIC]
                for name in (name for name in BY_HAND if name in here):
                    ratios = here[name] / floor
                    found.append({
                        "contender": name, "batch_size": batch, "hidden": width,
                        "floor": 1e6 * float(np.median(floor)), "bar": BAR,
                        "took": 1e6 * float(np.median(here[name])),
                        "ratio": {"median": float(np.median(ratios)),
                                  "low": float(ratios.min()), "high": float(ratios.max())},
                        "reached": bool(np.median(ratios) <= BAR),
                    })  # fmt: skip
    return found
