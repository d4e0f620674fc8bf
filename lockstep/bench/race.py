"""The race: whole epochs, in rounds, so that what disturbs the machine disturbs everybody."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from ..datasets import Dataset
from ..errors import LockstepError
from ..worker import WorkerFailed
from .contenders import Trainer, field
from .turns import Absent, Contender, contender

UNEQUAL = 0.01
"""A test accuracy that far below the best says that something else was computed."""

Tell = Callable[[str, bool], None]
"""Hears what is going on, and whether a step of the way is done."""


def build(data: Dataset, file: str | None, name: str, batch_size: int) -> tuple[Trainer, dict]:
    """In the contender's process: build, and train one epoch that is not timed."""
    made = field(file).contenders[name](batch_size, *data.train)
    trainer = Trainer(*made) if isinstance(made, tuple) and len(made) == 2 else None
    if trainer is None or not callable(trainer.epoch):
        raise TypeError("a contender's function has to return epoch, predict")
    trainer.epoch(0)
    return trainer, {}


def choose(file: str | None, only: str | None) -> tuple[list[str], dict]:
    """The contenders whose names hold one of these words (with commas), and what `names` tells."""
    with contender() as lister:
        try:
            about = lister.ask("names", file=file)
        except WorkerFailed as error:
            raise LockstepError(f"{file} cannot be run: {error}.") from None
    words = only.lower().split(",") if only else [""]
    chosen = [n for n in about["contenders"] if any(word in n.lower() for word in words)]
    for word in words:
        if not any(word in name.lower() for name in about["contenders"]):
            known = "; ".join(about["contenders"])
            raise LockstepError(f"No contender's name holds {word!r}. There are: {known}.")
    return chosen, about


def race(
    file: str | None,
    names: Sequence[str],
    batch_sizes: Sequence[int],
    rounds: int,
    dataset: dict,
    tell: Tell,
) -> dict:
    """Every contender at every batch size: {"rows", "absent", "failures"}."""
    found: dict[str, Any] = {"rows": [], "absent": {}, "failures": {}}
    for batch_size in batch_sizes:
        _race(file, names, batch_size, rounds, dataset, tell, found)
    return found


def _race(
    file: str | None,
    names: Sequence[str],
    batch_size: int,
    rounds: int,
    dataset: dict,
    tell: Tell,
    found: dict,
) -> None:
    """One batch size. Who fails is out of the race from there on."""
    with ExitStack() as stack:
        running: dict[str, Contender] = {}
        rows: dict[str, dict] = {}

        def attempt(name: str, doing: str, act: Callable[..., None], *arguments: Any) -> None:
            tell(f"batch {batch_size}, {doing}: {name}", False)
            try:
                act(name, *arguments)
            except Absent as error:
                found["absent"][name] = str(error)
            except (WorkerFailed, LockstepError) as error:
                found["failures"][name] = str(error)
            else:
                tell("", True)
                return
            running.pop(name).close()
            rows.pop(name)
            tell(f"{name} is out: {found['absent'].get(name) or found['failures'][name]}", True)

        def build(name: str) -> None:
            job = {"file": file, "name": name, "batch_size": batch_size, "dataset": dataset}
            rows[name] |= running[name].ask("build", task="race", **job)

        def train(name: str, number: int) -> None:
            turns = running[name].measure(number)
            rows[name]["turns"] += [{"round": number, **turn} for turn in turns]

        def judge(name: str) -> None:
            rows[name] |= running[name].ask("judge")

        for name in names:
            if name not in found["absent"] and name not in found["failures"]:
                running[name] = stack.enter_context(contender())
                rows[name] = {"contender": name, "batch_size": batch_size, "turns": []}
                attempt(name, "getting ready", build)
        for number in range(1, rounds + 1):
            for name in list(running) if number % 2 else list(running)[::-1]:
                attempt(name, f"round {number} of {rounds}", train, number)
        for name in list(running):
            attempt(name, "judging", judge)
        found["rows"] += rows.values()


def counted(row: dict) -> list[float]:
    """Seconds of the measurement that counts, round by round."""
    return [turn["seconds"] for turn in row["turns"] if turn["counts"]]


def summarise(rows: Sequence[dict], reference: str, bars: Sequence[Sequence]) -> list[dict]:
    """Put into each row its median, range, and speed beside the reference; the bars' results.

    A ratio is taken round by round, and its median, lowest and highest are kept. A row whose
    accuracy is more than UNEQUAL below the best at its batch size is `unequal`, and reaches no bar.
    """
    by_place = {(row["contender"], row["batch_size"]): row for row in rows}
    accuracies: dict[int, list[float]] = {row["batch_size"]: [] for row in rows}
    for row in rows:
        accuracies[row["batch_size"]] += [row["accuracy"]] * (row["accuracy"] is not None)
    for row in rows:
        times = counted(row)
        row |= {"median": statistics.median(times), "low": min(times), "high": max(times)}
        row["noisy"] = sum(turn["noisy"] and turn["counts"] for turn in row["turns"])
        row["repeated"] = len(row["turns"]) - len(times)
        accuracy = row["accuracy"]
        row["unequal"] = (
            accuracy is not None and accuracy < max(accuracies[row["batch_size"]]) - UNEQUAL
        )
        row["ratio"] = times_faster(by_place.get((reference, row["batch_size"])), row)
    found = []
    for ours, against, at in bars:
        for size in sorted({row["batch_size"] for row in rows}):
            mine, theirs = (by_place.get((name, size)) for name in (ours, against))
            bar = {int(key): value for key, value in at.items()}.get(size)
            if mine and theirs and bar:
                ratio = times_faster(theirs, mine)
                reached = bool(ratio and ratio["median"] >= bar) and not mine["unequal"]
                place = {"ours": ours, "against": against, "batch_size": size}
                found.append({**place, "ratio": ratio, "bar": bar, "reached": reached})
    return found


def times_faster(theirs: dict | None, ours: dict) -> dict | None:
    """How many times faster ours is than theirs, round by round: median, lowest, highest."""
    if theirs is None:
        return None
    pairs = zip(counted(theirs), counted(ours), strict=True)
    ratios = [slow / quick for slow, quick in pairs]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
