"""Publish what was measured in docs/benchmarks.md: `python -m benchmarks.publish [RUN …]`.

Each run that is named becomes the one that is kept, in `benchmarks/results/`,
with its figure in `docs/`. The page has the tables of those kept, between
`<!-- bench: NAME -->` and `<!-- /bench -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

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
    files.write_json(KEPT / f"{name}.json", measured)
    _, svg = figures.save(tables.figure(measured), PAGE.with_name(f"bench-{name}"))
    svg.unlink()  # the page shows the PNG


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
