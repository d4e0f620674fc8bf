"""What a measurement leaves on disk: bench.json, its tables and its figure.

    schema, kind ("race", "growth" or "target"), name, created, command
    environment    `lockstep.runs.machine.environment()`
    load           {"before", "after"}: the machine's load averages; "watched": whether others'
                   use of the cores could be told from the measured process' own
    dataset        name, title, training and test images
    settings       what was asked for
    rows           one for each thing measured, every single measurement in it
    absent, failures   name → why

and what the kind has besides; `race.py`, `growth.py` and `target.py` say what their rows hold.
"""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import Any

from lockstep.data.datasets import Dataset
from lockstep.errors import LockstepError, reason
from lockstep.report import figures
from lockstep.runs import files, machine

from . import tables
from .load import busy_seconds

SCHEMA = 1
"""The version of the shape above; a change that a reader must know of raises it."""
KINDS = ("race", "growth", "target")


def begin(kind: str, name: str, command: str, data: Dataset) -> dict[str, Any]:
    """What is known before anything is measured."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "name": name,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "command": command,
        "environment": machine.environment(),
        "load": {"before": _load(), "watched": busy_seconds() is not None},
        "dataset": {
            "name": data.name,
            "title": data.title,
            "train": len(data.train.labels),
            "test": len(data.test.labels),
        },
    }


def keep(record: dict, out: Path) -> Path:
    """Write what was measured, then its tables and its figure. Returns the run's folder."""
    record["load"]["after"] = _load()
    with files.new_run(out, record["name"]) as folder:
        files.write_json(folder / "bench.json", record)
    run = out / record["name"]
    files.write_whole(run / "bench.md", tables.markdown(record))
    figures.save(tables.figure(record), run / "figures" / record["kind"])
    return run


def load(path: Path) -> dict[str, Any]:
    """Read a bench.json."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LockstepError(f"Cannot read {path}: {reason(error)}.") from None
    except ValueError as error:
        raise LockstepError(f"{path} is truncated or not JSON ({error}).") from None
    found = record.get("schema") if isinstance(record, dict) else None
    if found != SCHEMA or record.get("kind") not in KINDS:
        raise LockstepError(
            f"{path} is no measurement of schema {SCHEMA}, which is what this version reads."
        )
    return record


def _load() -> list[float] | None:
    """Programs that wanted to run, on average over 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None
