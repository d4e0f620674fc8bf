"""The proof: a framework beside the network by hand, step by step, every number of every step.

`beside.py` says in which views; here every backend gets a process of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from ..backends.registry import REFERENCE
from ..data.datasets import Dataset
from ..data.order import OrderHash
from ..errors import LockstepError, TrainingFailed
from ..layouts import weights_sha256
from ..processes import jobs, parent
from ..processes.events import Event, OnEvent, nobody
from ..recipe import Recipe
from ..runs.typed import typed
from . import child
from .beside import order_of
from .comparison import STEPPED, Comparison, Proof


class Trial(NamedTuple):
    """What is proved: a recipe, in some views, on a device."""

    recipe: Recipe
    views: tuple[str, ...]
    device: str = "auto"


def verify(
    recipe: Recipe,
    backends: tuple[str, ...],
    data: Dataset,
    steps: int = 100,
    views: tuple[str, ...] = STEPPED,
    dialect: str | None = None,
    tolerance: float | None = None,
    device: str = "auto",
    on_event: OnEvent = nobody,
) -> Proof:
    """Compare each backend with the network by hand, each in its own process.

    Without a dialect, NumPy speaks each backend's own.
    """
    trials = [Trial(recipe, views, device)]
    return prove(trials, backends, data, steps, dialect, tolerance, on_event)[0]


def prove(
    trials: Sequence[Trial],
    backends: tuple[str, ...],
    data: Dataset,
    steps: int,
    dialect: str | None = None,
    tolerance: float | None = None,
    on_event: OnEvent = nobody,
) -> list[Proof]:
    """`verify` for several trials; a framework is imported once for all. Raises if all fail."""
    others = [name for name in backends if name != REFERENCE]
    if not others:
        raise LockstepError("There is no backend to compare with NumPy; name one or more others.")
    if steps < 1:
        raise LockstepError(f"{steps} steps are too few to compare; at least 1 is needed.")
    found: list[list[Comparison]] = [[] for _ in trials]
    failures: dict[str, parent.ChildFailed] = {}

    def listen(backend: str, event: Event) -> None:
        if event["event"] == "comparison":
            found[event["trial"]].append(typed(event["comparison"], Comparison))
        else:
            on_event({"backend": backend, **event})

    for backend in others:
        job = {
            **jobs.job(backend, trials[0].recipe, data, trials[0].device),
            "trials": [(recipe.to_dict(), views, device) for recipe, views, device in trials],
            "steps": steps,
            "dialect": dialect,
            "tolerance": tolerance,
        }
        try:
            parent.send(
                child.__name__, job, functools.partial(listen, backend), settings=parent.ONE_THREAD
            )
        except parent.ChildFailed as error:
            failures[backend] = error
    if failures and not any(found):
        kind = LockstepError if all(e.unusable for e in failures.values()) else TrainingFailed
        raise kind(" ".join(f"{name} failed: {error}" for name, error in failures.items()))
    words = {name: str(error) for name, error in failures.items()}
    return [
        _proof(trial.recipe, data, steps, comparisons, words)
        for trial, comparisons in zip(trials, found, strict=True)
    ]


def _proof(
    recipe: Recipe, data: Dataset, steps: int, found: list[Comparison], failures: dict[str, str]
) -> Proof:
    order_hash = OrderHash()
    order_hash.add(order_of(recipe, len(data.train.labels), steps))
    start = weights_sha256(recipe.initial_weights())
    return Proof(recipe, data.title, steps, start, order_hash.hexdigest(), found, failures)
