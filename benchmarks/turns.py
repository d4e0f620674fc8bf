"""Contenders in processes of their own, which train in turns: one trains, the others wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lockstep.errors import LockstepError
from lockstep.processes.parent import Child, ChildFailed

from .load import busy_seconds, noisy
from .pace import Pace

TRIES = 4
"""How often a measurement is made at most, until nobody disturbs it."""
PACE = Pace()
"""Of this machine, whoever trains."""


class Absent(ChildFailed):
    """A contender whose package is not installed here."""


class Contender:
    """One process; what it cannot do it says as ChildFailed, input to blame as LockstepError."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.own_wait: float | None = None
        """The smallest share of a turn that its threads have waited for a core."""

    def ask(self, do: str, **request: Any) -> Any:
        """One request and its answer (`serve.py` has them all)."""
        try:
            answer = self.child.ask({"do": do, **request})
        except ChildFailed as error:
            raise (LockstepError(str(error)) if error.unusable else error) from None
        if isinstance(answer, dict) and "absent" in answer:
            raise Absent(answer["absent"])
        return answer

    def turn(self, seed: int) -> dict:
        """Train once: what it took, what `others`, seconds of all cores, took meanwhile, and how
        many times its best a fixed piece of work took just before or after, the `pace`."""
        pace, before = PACE.settle(), busy_seconds()
        turn = self.ask("turn", seed=seed)
        after = busy_seconds()
        others = None
        if before is not None and after is not None:
            others = max(0.0, after - before - turn["cpu"])
        return {**turn, "others": others, "pace": max(pace, PACE())}

    def measure(self, seed: int) -> list[dict]:
        """One measurement: turns until a quiet one, of which the quietest `counts`."""
        turns: list[dict] = []
        while len(turns) < TRIES and not (turns and not turns[-1]["noisy"]):
            turn = self.turn(seed)
            turns.append({**turn, "noisy": noisy(turn, self.own_wait or 0.0), "counts": False})
            waited = (turn["waited"] or 0.0) / turn["seconds"]
            self.own_wait = waited if self.own_wait is None else min(self.own_wait, waited)
        min(turns, key=_disturbance)["counts"] = True
        return turns

    def close(self) -> None:
        """End it now; what comes after the block ends it too."""
        self.child.close()


def _disturbance(turn: dict) -> float:
    """Seconds that others took of a turn, as a share of it, and what the machine lacked of pace."""
    return ((turn["others"] or 0.0) + (turn["waited"] or 0.0)) / turn["seconds"] + turn["pace"] - 1


@contextmanager
def contender() -> Iterator[Contender]:
    """A process that is gone when the block ends, however it ends."""
    with Child("benchmarks.serve") as child:
        yield Contender(child)
