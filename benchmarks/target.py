"""Time to a test accuracy, with rules.

The recipe was chosen on a validation split of the training set; the seeds are new; the test set is
used once, for what the trained network is worth; every training is a fresh process, and the
backends take turns. A row is one backend's: "backend", "version", and for each seed "seed",
"test_accuracy", "train_seconds", "startup_seconds", "whole_seconds" (of the process, from its
start to its result), "peak_rss_bytes".
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from lockstep import recipe
from lockstep.data.datasets import Dataset
from lockstep.errors import LockstepError, one_of
from lockstep.processes import jobs, parent
from lockstep.processes.events import OnEvent
from lockstep.recipe import Recipe
from lockstep.runs.records import BackendResult
from lockstep.runs.typed import typed
from lockstep.training import child

BARS = {"97": 0.2, "98": 0.7}
"""Seconds of training in which the network by hand is to reach so many percent, every time."""
AMBITIOUS = "numba"
"""Whose bars these are."""
FIRST_SEED = 1000
"""Nothing was chosen by looking at these."""
KEPT = ("test_accuracy", "train_seconds", "startup_seconds", "peak_rss_bytes")


def recipe_for(percent: str) -> Recipe:
    """The named recipe that gets there."""
    one_of(BARS, percent, "target accuracy")
    name = f"to-{percent}"
    return recipe.from_dict(recipe.read_toml(name), f"the recipe {name}")


def measure(
    chosen: Recipe, backends: Sequence[str], seeds: int, data: Dataset, on_event: OnEvent
) -> dict:
    """Every backend from every seed: {"rows", "absent", "failures"}."""
    rows: dict[str, dict] = {name: {"backend": name, "runs": []} for name in backends}
    failures: dict[str, str] = {}
    for repeat in range(seeds):
        seeded = dataclasses.replace(chosen, seed=FIRST_SEED + repeat)
        for name in [name for name in backends if name not in failures]:
            begins = {"label": name, "recipe": seeded, "repeat": repeat, "repeats": seeds}
            on_event({"event": "training", **begins})
            try:
                rows[name]["runs"].append(_train(name, seeded, data, on_event, rows[name]))
                on_event({"event": "trained"})
            except parent.ChildFailed as error:
                failures[name] = str(error)
                on_event({"event": "failed", "message": str(error)})
    good = [row for name, row in rows.items() if name not in failures]
    if not good:
        raise LockstepError(" ".join(f"{name} failed: {why}." for name, why in failures.items()))
    return {"rows": good, "absent": {}, "failures": failures}


def bar(percent: str, rows: Sequence[dict]) -> dict:
    """Whether the network by hand is there in time, from every seed."""
    runs = [run for row in rows if row["backend"] == AMBITIOUS for run in row["runs"]]
    accurate = [run["test_accuracy"] >= int(percent) / 100 for run in runs]
    quick = [run["train_seconds"] <= BARS[percent] for run in runs]
    reached = bool(runs) and all(accurate) and all(quick)
    return {"backend": AMBITIOUS, "seconds": BARS[percent], "reached": reached}


def _train(name: str, seeded: Recipe, data: Dataset, on_event: OnEvent, row: dict) -> dict:
    """One training in a process of its own."""
    nothing = dict.fromkeys(("weights", "first_epoch_weights", "test_logits"))
    start = time.perf_counter()
    job = jobs.job(name, seeded, data, "cpu") | nothing
    result = typed(parent.send(child.__name__, job, on_event), BackendResult)
    whole = time.perf_counter() - start
    row["version"] = result.version
    return {"seed": seeded.seed, **{k: getattr(result, k) for k in KEPT}, "whole_seconds": whole}
