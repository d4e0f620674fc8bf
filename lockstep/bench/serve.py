"""A contender's process: it builds one trainer, and trains when it is told to.

A request is a line of JSON on stdin, and so is its answer on stdout, {"result": …}, or
{"failed": sentence, "absent": whether a package is missing, "unusable": …}:

    {"do": "narrow", "cores": 1}      use that many cores alone; before anything is imported
    {"do": "names", "file": path}     → {"contenders", "reference", "bars": [[ours, theirs, {…}]]}
    {"do": "build", "task", …}        → what the task's module tells; the job is the task's
    {"do": "turn", "seed": 3}         → {"seconds", "cpu", "waited"}
    {"do": "judge"}                   → {"accuracy", "peak_rss_bytes", "versions"}

Nothing but an epoch is inside the seconds.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import LockstepError
from ..worker import teller
from .load import waited_seconds  # nothing here may import NumPy: see "narrow"


class Server:
    """What has been built, and the data that it learns."""

    trainer: Any = None
    data: Any = None

    def narrow(self, cores: int) -> None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])

    def names(self, file: str | None) -> dict:
        from .contenders import field

        found = field(file)
        bars = [(*pair, bars) for pair, bars in found.bars.items()]
        return {"contenders": list(found.contenders), "reference": found.reference, "bars": bars}

    def build(self, task: str, dataset: dict, **job: Any) -> dict:
        """Make the trainer and let it train once, which may compile."""
        from .. import datasets

        if self.data is None:
            folder = dataset["folder"]
            self.data = datasets.read(dataset["name"], folder and Path(folder))
        self.trainer = None
        gc.collect()  # a framework's graphs refer to one another
        start = time.perf_counter()
        self.trainer, told = import_module(f"lockstep.bench.{task}").build(self.data, **job)
        return {"build_seconds": time.perf_counter() - start, **told}

    def turn(self, seed: int) -> dict:
        waited, cpu, start = waited_seconds(), time.process_time(), time.perf_counter()
        self.trainer.epoch(seed)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        if waited is not None:
            waited = (waited_seconds() or 0.0) - waited
        return {"seconds": seconds, "cpu": cpu, "waited": waited}

    def judge(self) -> dict:
        """How much of the test set it has learned, by its own answers."""
        import numpy as np

        from ..results import peak_rss_bytes

        told: dict[str, Any] = {"accuracy": None, "versions": _versions()}
        told["peak_rss_bytes"] = peak_rss_bytes()  # before the test set is asked for
        if self.trainer.predict:
            images, labels = self.data.test
            answers = np.asarray(self.trainer.predict(images))
            if answers.shape != labels.shape:
                raise LockstepError(f"predict gave {answers.shape}, not {labels.shape} classes.")
            told["accuracy"] = float(np.mean(answers == labels))
        return told


def _versions() -> dict[str, str]:
    """Every module in use that says its version."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        version = vars(module).get("__version__")  # `getattr` may make a lazy module import more
        if isinstance(version, str) and "." not in name and name not in sys.stdlib_module_names:
            found[name] = version
    return found


def main() -> int:
    """Answer until nobody asks any more."""
    tell, server = teller(), Server()
    requests = os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # who reads finds nothing
    for line in requests:
        request = json.loads(line)
        try:
            answer = {"result": getattr(server, request.pop("do"))(**request)}
        except LockstepError as error:
            answer = {"failed": str(error), "unusable": True}
        except ImportError as error:
            answer = {"failed": _absent(error), "absent": True}
        except Exception as error:  # a contender's own failure, in its own words
            lines = str(error).strip().splitlines() or [""]
            answer = {"failed": f"{type(error).__name__}: {lines[0]}".rstrip(": ")}
        try:
            tell(answer)
        except BrokenPipeError:
            return 1  # nobody listens any more
    return 0


def _absent(error: ImportError) -> str:
    known = error.name and f"{error.name} is not installed"
    return "; ".join(filter(None, (known, str(error).removesuffix("."))))


if __name__ == "__main__":
    raise SystemExit(main())
