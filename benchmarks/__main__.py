"""`python -m benchmarks`: one measurement, kept as a run."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from pathlib import Path

from lockstep.backends import registry
from lockstep.cli import options as shared
from lockstep.cli.exit import exit_code
from lockstep.cli.main import Parser
from lockstep.cli.progress import Progress
from lockstep.data import datasets
from lockstep.data.datasets import Dataset
from lockstep.errors import FAILED, LockstepError, TrainingFailed
from lockstep.recipe import parse_sizes

from . import growth, race, record, tables, target


def parser() -> Parser:
    """What is measured, how, on which data."""
    top = Parser(
        prog="python -m benchmarks",
        description="This project beside what a user would pick instead.",
    )
    add = top.add_argument_group("what is measured (else the race: whole epochs)").add_argument
    add("--growth", action="store_true", help="how cost grows with width, depth, batch, …")
    add("--to", metavar="PERCENT", help="time to a test accuracy: 97 or 98")
    add = top.add_argument_group("how").add_argument
    add("--with", dest="file", metavar="FILE", help="race those of a Python file too")
    add("--only", metavar="WORDS", help="those whose names hold one of these, e.g. numba,jax")
    add("--rounds", type=int, metavar="N", help="of the race (default: 5)")
    add("--batch-sizes", metavar="SIZES", help="of the race (default: 32,128)")
    add("--seeds", type=int, metavar="N", help="with --to (default: 8)")
    shared.add_dataset(top.add_argument_group("data"))
    shared.add_run(top)
    return top


def run(options: Namespace) -> int:
    """The race, how cost grows, or the time to an accuracy."""
    if options.growth and options.to:
        raise LockstepError("--growth and --to are two measurements; ask for one.")
    kind = "growth" if options.growth else "target" if options.to else "race"
    for flag, belongs in (("file", "race"), ("rounds", "race"), ("batch_sizes", "race"),
                          ("seeds", "target")):  # fmt: skip
        if getattr(options, flag) is not None and kind != belongs:
            said = {"file": "with"}.get(flag, flag.replace("_", "-"))
            raise LockstepError(f"--{said} says nothing about this measurement; leave it out.")
    name = shared.name_of(options, f"bench-{options.to or kind}-{shared.now()}")
    found = datasets.load(options.dataset, options.data_dir)
    measure = {"race": _race, "growth": _growth, "target": _target}[kind]
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    begun = record.begin(kind, name, command, found)
    settings, measured = measure(options, found)
    kept = {**begun, "settings": settings, **measured}
    folder = record.keep(kept, Path(options.out))
    if not options.quiet:
        print(f"{tables.markdown(kept)}\nFigure: {folder / 'figures' / kind}.png")
    for failed, why in kept["failures"].items():
        print(f"lockstep: {failed} failed: {why}", file=sys.stderr)
    for absent, why in kept["absent"].items():
        print(f"lockstep: {absent} is absent: {why}", file=sys.stderr)
    return FAILED if kept["failures"] else 0


def _race(options: Namespace, data: Dataset) -> tuple[dict, dict]:
    rounds = _at_least_one("rounds", options.rounds, 5)
    sizes = tuple(dict.fromkeys(parse_sizes(options.batch_sizes or "32,128")))
    for size in sizes:
        _at_least_one("batch-sizes", size, size)
    names, about = race.choose(options.file, options.only)
    parts = len(sizes) * len(names) * (rounds + 2)
    with Progress(options.quiet, stderr=True, total=parts) as progress:
        found = race.race(options.file, names, sizes, rounds, _dataset_job(data), progress)
    if not found["rows"]:
        reasons = {**found["absent"], **found["failures"]}.items()
        raise TrainingFailed(" ".join(f"{name}: {why}." for name, why in reasons))
    found["reference"] = about["reference"]
    found["bars"] = race.summarise(
        found["rows"], about["reference"], about["bars"], len(data.test.labels)
    )
    return {"rounds": rounds, "batch_sizes": list(sizes), "file": options.file}, found


def _growth(options: Namespace, data: Dataset) -> tuple[dict, dict]:
    backends = _named_like(options.only)
    places = len(growth.places(backends))
    with Progress(options.quiet, stderr=True, total=places) as progress:
        found = growth.measure(backends, _dataset_job(data), progress)
    found["axes"] = {axis: list(at) for axis, at in growth.AXES.items()}
    found["wide"] = growth.beside_the_floor(found["rows"])
    return {"rounds": growth.ROUNDS, "seconds": growth.SECONDS}, found


def _target(options: Namespace, data: Dataset) -> tuple[dict, dict]:
    seeds = _at_least_one("seeds", options.seeds, 8)
    recipe = target.recipe_for(options.to)
    backends = _named_like(options.only)
    if not options.quiet:
        print(f"{recipe.summary()}\non {data.title}: {len(data.train.labels):,} training images\n")
    with Progress(options.quiet) as progress:
        found = target.measure(recipe, backends, seeds, data, progress)
    found["bar"] = target.bar(options.to, found["rows"])
    return {"percent": options.to, "seeds": seeds, "recipe": recipe.to_dict()}, found


def _named_like(only: str | None) -> tuple[str, ...]:
    """The installed backends, or those named."""
    chosen = tuple(dict.fromkeys(only.split(","))) if only else registry.installed()
    for name in chosen:
        registry.require(name)
    return chosen


def _at_least_one(flag: str, value: int | None, default: int) -> int:
    value = default if value is None else value
    if value < 1:
        raise LockstepError(f"--{flag} is {value}; at least 1 is needed.")
    return value


def _dataset_job(data: Dataset) -> dict:
    return {"name": data.name, "folder": data.folder and str(data.folder.resolve())}


def main(arguments: list[str] | None = None) -> int:
    """Parse and measure; exit codes are those of `lockstep`."""
    return exit_code(lambda: run(parser().parse_args(arguments)))


if __name__ == "__main__":
    raise SystemExit(main())
