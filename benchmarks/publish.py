"""Publish what was measured in docs/benchmarks.md: `python -m benchmarks.publish [RUN …]`.

Each run that is named becomes the one that is kept, with its numbers in `benchmarks/results/` and
its figure in `docs/`. The page shows the tables of those kept, between `<!-- bench: NAME -->` and
`<!-- /bench -->`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from lockstep.cli.exit import exit_code
from lockstep.errors import LockstepError
from lockstep.report import figures
from lockstep.runs import files

from . import record, tables

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"


def name_of(measured: dict) -> str:
    """What a measurement is called here: race, growth, to-97, to-98."""
    kind = measured["kind"]
    return f"to-{measured['settings']['percent']}" if kind == "target" else kind


def keep(run: Path) -> None:
    """Make a run the one whose figures the page shows."""
    measured = record.load(run / "bench.json")
    name = name_of(measured)
    files.write_whole(KEPT / f"{name}.json", compact(measured))
    _, svg = figures.save(tables.figure(measured), PAGE.with_name(f"bench-{name}"))
    svg.unlink()  # the page shows the PNG


def compact(measured: dict) -> str:
    """JSON with a line for each field and each row, and six digits of every number.

    So a measurement that is made again changes as many lines as it has rows, and git keeps the
    digits that mean something.
    """
    rows = ",\n  ".join(json.dumps(_rounded(row)) for row in measured["rows"])
    fields = [f"{json.dumps(key)}: {json.dumps(_rounded(value), ensure_ascii=False)}"
              for key, value in measured.items() if key != "rows"]  # fmt: skip
    return "{\n " + ",\n ".join(fields) + f',\n "rows": [\n  {rows}\n ]\n}}\n'


def _rounded(value: Any) -> Any:
    """The value with every number in it rounded to six digits."""
    match value:
        case float():
            return float(f"{value:.6g}")
        case dict():
            return {key: _rounded(part) for key, part in value.items()}
        case list() | tuple():
            return [_rounded(part) for part in value]
    return value


def written(page: str) -> str:
    """The page with the tables of what is kept."""

    def filled(match: re.Match) -> str:
        measured = record.load(KEPT / f"{match[1]}.json")
        parts = [table.markdown() for table in tables.tables(measured)]
        parts += [f"{name} is absent: {why}." for name, why in measured["absent"].items()]
        parts += [f"{name} failed: {why}." for name, why in measured["failures"].items()]
        parts += [tables.circumstances(measured), tables.versions(measured)]
        body = "\n\n".join(filter(None, parts))
        return f"<!-- bench: {match[1]} -->\n{body}\n<!-- /bench -->"

    return re.sub(r"<!-- bench: (\S+) -->\n.*?<!-- /bench -->", filled, page, flags=re.DOTALL)


def main() -> None:
    """Keep the runs that are named, then write the page."""
    for run in map(Path, sys.argv[1:]):
        if not run.is_dir():
            raise LockstepError(f"There is no run {run}.")
        keep(run)
    files.write_whole(PAGE, written(PAGE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(exit_code(main))
