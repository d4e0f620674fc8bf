"""Why two programs that look the same differ: align one thing at a time, then undo one alone.

The ladder starts from two programs as everyone writes them; on each rung the left one takes over
one more choice of the right one, until no number differs but by rounding. The reverse, from there,
gives the left program one of its own choices back, alone, which ranks what matters. Everything is
done from several seeds, because a different seed is a difference too.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data.datasets import Dataset
from ..errors import LockstepError, one_of
from ..layouts import largest_difference
from ..processes import jobs, parent
from ..processes.events import Event, OnEvent, nobody
from ..recipe import Recipe
from . import child
from .choices import AS_EVERYONE_WRITES_IT, Choices
from .conclusion import Explanation
from .ladder import Difference, Rung, ladder, undone


def explain(
    left: str,
    right: str,
    recipe: Recipe,
    data: Dataset,
    seeds: int = 3,
    steps: int | None = None,
    device: str = "cpu",
    on_event: OnEvent = nobody,
) -> Explanation:
    """Train both frameworks' programs on every rung, from every seed, each in its own process.

    `steps` None is one epoch. The recipe's optimizer must be Adam; its epsilon, initialization and
    dtype are the programs' own choices, its seed is the first of the seeds.
    """
    for name in (left, right):
        one_of(AS_EVERYONE_WRITES_IT, name, "program to explain")
    _check(left, right, recipe, seeds)
    steps = steps or -(-len(data.train.labels) // recipe.batch_size)
    left_program, right_program = AS_EVERYONE_WRITES_IT[left], AS_EVERYONE_WRITES_IT[right]
    rungs = ladder(left_program, right_program, device == "cuda")
    reverse = undone(left_program, rungs[-1].left, rungs[-1].right, device == "cuda")
    every_seed = tuple(recipe.seed + i for i in range(seeds))
    job = {
        **jobs.job(left, recipe, data, device),
        "seeds": every_seed,
        "steps": steps,
        "checkpoints": sorted({min(step, steps) for step in (1, 100, steps)}),
    }
    with tempfile.TemporaryDirectory() as folder:
        versions, measured, right_alone = _measure(
            left, right, [*rungs, *reverse], job, folder, on_event
        )
    reverse = sorted(measured[len(rungs) :], key=lambda rung: -rung.apart)
    return Explanation(
        left,
        right,
        versions,
        data.title,
        recipe,
        steps,
        every_seed,
        tuple(measured[: len(rungs)]),
        tuple(reverse),
        tuple(100 * outcome.test_accuracy for outcome in right_alone),
        tuple(100 * outcome.reported_accuracy for outcome in right_alone),
    )


def _check(left: str, right: str, recipe: Recipe, seeds: int) -> None:
    if left == right:
        raise LockstepError(f"{left} and {right} are one program; name two frameworks.")
    if recipe.optimizer != "adam":
        raise LockstepError(
            f"The recipe's optimizer is {recipe.optimizer}; the programs that everyone writes, and "
            "that explain compares, use adam."
        )
    if seeds < 1:
        raise LockstepError(f"{seeds} seeds are too few; at least 1 is needed.")


@dataclass(frozen=True)
class _Outcome:
    """One program trained from one seed: "losses", and weights as "100/dense0.weight"."""

    arrays: dict[str, np.ndarray]
    test_accuracy: float
    reported_accuracy: float


def _measure(
    left: str, right: str, rungs: list[Rung], job: dict[str, Any], folder: str, on_event: OnEvent
) -> tuple[dict[str, str], list[Rung], list[_Outcome]]:
    """Both versions, the rungs with their differences, the right program's first outcomes.

    Neither process knows of the other. The right one is first, since the left one starts from the
    weights and follows the order that it leaves; the left one's weights are compared as they come,
    so that only one set of them is on disk.
    """
    found: dict[tuple[Choices, int], _Outcome] = {}
    pairs: dict[tuple[Choices, Choices, int], Difference] = {}
    versions = {}

    def keep(program: Choices, seed: int, outcome: _Outcome) -> None:
        found[program, seed] = outcome

    def compare(program: Choices, seed: int, outcome: _Outcome) -> None:
        for rung in rungs:
            if rung.left == program:
                reference = found[rung.right, seed]
                pairs[program, rung.right, seed] = _difference(outcome, reference)

    for side, name, use in (("right", right, keep), ("left", left, compare)):
        programs = list(dict.fromkeys(getattr(rung, side) for rung in rungs))
        this_job = {**job, "backend": name, "folder": folder}
        versions[name] = _train(this_job, programs, use, on_event)
    measured = [
        dataclasses.replace(
            rung, differences=tuple(pairs[rung.left, rung.right, seed] for seed in job["seeds"])
        )
        for rung in rungs
    ]
    return versions, measured, [found[rungs[0].right, seed] for seed in job["seeds"]]


def _train(
    job: dict[str, Any],
    programs: list[Choices],
    use: Callable[[Choices, int, _Outcome], None],
    on_event: OnEvent,
) -> str:
    """Train all programs of one framework in its process, use each outcome; its version."""
    from safetensors.numpy import load_file

    count = len(programs) * len(job["seeds"])
    done = 0

    def listen(event: Event) -> None:
        nonlocal done
        if event["event"] == "ready":
            words = f"{event['version']}: {len(programs)} programs, {len(job['seeds'])} seeds"
            on_event({"event": "note", "words": words})
            return
        file = Path(event["file"])
        outcome = _Outcome(load_file(file), event["test_accuracy"], event["reported_accuracy"])
        file.unlink()
        use(programs[event["program"]], event["seed"], outcome)
        done += 1
        if done % len(job["seeds"]) == 0:
            trained = f"{done // len(job['seeds'])} of {count // len(job['seeds'])}"
            on_event({"event": "note", "words": f"  {trained} programs trained"})

    whole = {**job, "programs": list(map(dataclasses.asdict, programs))}
    try:
        result = parent.send(child.__name__, whole, listen)
    except parent.ChildFailed as error:
        raise LockstepError(f"{job['backend']} failed: {error}") from None
    return result["version"]


def _difference(left: _Outcome, right: _Outcome) -> Difference:
    steps = sorted({int(name.split("/")[0]) for name in left.arrays if "/" in name})
    weights = {}
    for step in steps:
        one, other = (
            {name: array for name, array in outcome.arrays.items() if name.startswith(f"{step}/")}
            for outcome in (left, right)
        )
        weights[step] = largest_difference(one, other)
    return Difference(
        weights,
        float(np.abs(left.arrays["losses"] - right.arrays["losses"]).max()),
        100 * (left.test_accuracy - right.test_accuracy),
        100 * (left.reported_accuracy - right.reported_accuracy),
    )
