"""The race: whole epochs, in rounds, so that what disturbs the machine disturbs everybody."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from lockstep.data.datasets import Dataset
from lockstep.errors import LockstepError
from lockstep.processes.events import OnEvent
from lockstep.processes.parent import ChildFailed

from .field import Trainer, field
from .turns import Absent, Contender, contender

UNEQUAL = 0.01
"""A test accuracy that far below the best says that something else was computed; of a small test
set, three standard errors of the difference."""


def part(words: str, done: bool) -> dict:
    """The event of a part: what is going on, and whether it is over."""
    return {"event": "part", "words": words, "done": done}


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
        except ChildFailed as error:
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
    on_event: OnEvent,
) -> dict:
    """Every contender at every batch size: {"rows", "absent", "failures"}."""
    found: dict[str, Any] = {"rows": [], "absent": {}, "failures": {}}
    for batch_size in batch_sizes:
        job = {"task": "race", "file": file, "batch_size": batch_size, "dataset": dataset}
        left = [name for name in names if name not in found["absent"] | found["failures"]]
        with ExitStack() as stack:
            found["rows"] += _Heat(job, found, on_event, stack).run(left, rounds)
    return found


class _Heat:
    """Everybody at one batch size. Who fails is out from there on, and in `found`."""

    def __init__(self, job: dict, found: dict, on_event: OnEvent, stack: ExitStack) -> None:
        self.job, self.found, self.on_event, self.stack = job, found, on_event, stack
        self.running: dict[str, Contender] = {}
        self.rows: dict[str, dict] = {}

    def run(self, names: Sequence[str], rounds: int) -> list[dict]:
        """Build one after the other, train in turns, there and back, then judge; the rows."""
        for name in names:
            self._attempt(name, "getting ready", self._build)
        for number in range(1, rounds + 1):
            for name in list(self.running)[:: 1 if number % 2 else -1]:
                self._attempt(name, f"round {number} of {rounds}", self._train, number)
        for name in list(self.running):
            self._attempt(name, "judging", self._judge)
        return list(self.rows.values())

    def _attempt(self, name: str, doing: str, act: Callable, *arguments: Any) -> None:
        self.on_event(part(f"batch {self.job['batch_size']}, {doing}: {name}", False))
        try:
            act(name, *arguments)
            self.on_event(part("", True))
            return
        except Absent as error:
            self.found["absent"][name] = why = str(error)
        except (ChildFailed, LockstepError) as error:
            self.found["failures"][name] = why = str(error)
        self.running.pop(name).close()
        self.rows.pop(name)
        self.on_event(part(f"{name} is out: {why}", True))

    def _build(self, name: str) -> None:
        self.running[name] = self.stack.enter_context(contender())
        self.rows[name] = {"contender": name, "batch_size": self.job["batch_size"], "turns": []}
        self.rows[name] |= self.running[name].ask("build", name=name, **self.job)

    def _train(self, name: str, number: int) -> None:
        turns = self.running[name].measure(number)
        self.rows[name]["turns"] += [{"round": number, **turn} for turn in turns]

    def _judge(self, name: str) -> None:
        self.rows[name] |= self.running[name].ask("judge")


def counted(row: dict) -> list[float]:
    """Seconds of the measurement that counts, round by round."""
    return [turn["seconds"] for turn in row["turns"] if turn["counts"]]


def summarise(
    rows: Sequence[dict], reference: str, bars: Sequence[Sequence], test_images: int
) -> list[dict]:
    """Put into each row its median, range, and speed beside the reference; the bars' results.

    A ratio is taken round by round, and its median, lowest and highest are kept. A row whose
    accuracy is `unequal` to the best at its batch size reaches no bar.
    """
    places = {(row["contender"], row["batch_size"]): row for row in rows}
    for row in rows:
        times, accuracy = counted(row), row["accuracy"]
        row |= {"median": statistics.median(times), "low": min(times), "high": max(times)}
        row["noisy"] = sum(turn["noisy"] and turn["counts"] for turn in row["turns"])
        row["repeated"] = len(row["turns"]) - len(times)
        if accuracy is not None:
            best = _best(rows, row)
            error = (2 * best * (1 - best) / test_images) ** 0.5
            row["unequal"] = accuracy < best - max(UNEQUAL, 3 * error)
        else:
            row["unequal"] = False
        row["ratio"] = times_faster(places.get((reference, row["batch_size"])), row)
    found = []
    for ours, against, at in bars:
        for size, bar in ((int(size), bar) for size, bar in at.items()):
            mine, theirs = (places.get((name, size)) for name in (ours, against))
            ratio = times_faster(theirs, mine)
            if mine and ratio:
                reached = ratio["median"] >= bar and not mine["unequal"]
                place = {"ours": ours, "against": against, "batch_size": size}
                found.append({**place, "ratio": ratio, "bar": bar, "reached": reached})
    return found


def _best(rows: Sequence[dict], row: dict) -> float:
    """The best test accuracy at the row's batch size."""
    alike = [other["accuracy"] for other in rows if other["batch_size"] == row["batch_size"]]
    return max(accuracy for accuracy in alike if accuracy is not None)


def times_faster(theirs: dict | None, ours: dict | None) -> dict | None:
    """How many times faster ours is than theirs, round by round: median, lowest, highest."""
    if theirs is None or ours is None:
        return None
    pairs = zip(counted(theirs), counted(ours), strict=True)
    ratios = [slow / quick for slow, quick in pairs]
    return {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
