"""What each command does: `cli.py` parses its options, and calls the function of its name."""

from __future__ import annotations

import datetime
import json
import math
import shlex
import sys
import webbrowser
from argparse import Namespace
from importlib.util import find_spec
from pathlib import Path

from . import backend, datasets, recipe, results
from .datasets import Dataset
from .errors import FAILED, LockstepError, TrainingFailed, one_of
from .recipe import Recipe

RECIPE_FLAGS = (
    "hidden",
    "activation",
    "optimizer",
    "learning_rate",
    "schedule",
    "l2",
    "batch_size",
    "epochs",
    "seed",
    "dtype",
    "dialect",
)
MOST_STEPS = 100_000
PROOF_STEPS = 200
"""How many updates the proof at the end of `compare` follows."""


def compare(options: Namespace) -> int:
    """Train all the backends that are chosen; say how to get those that are not installed."""
    chosen = _chosen_backends(options)
    code = _train_and_show(options, chosen, PROOF_STEPS)
    absent = [name for name in backend.names() if name not in (*chosen, *backend.installed())]
    if absent and not options.backends and not options.quiet:
        print(f"Not installed: {', '.join(absent)}. {backend.install_command(absent)} adds them.")
    return code


def train(options: Namespace) -> int:
    """Train one backend."""
    backend.require(options.backend)
    return _train_and_show(options, (options.backend,), proof_steps=0)


def _train_and_show(options: Namespace, backends: tuple[str, ...], proof_steps: int) -> int:
    """Train, print the table, say where the report is; 1 if a backend failed.

    `proof_steps` is how long the proof is unless the options say.
    """
    from .compare import compare
    from .progress import Progress
    from .report import text

    if options.repeats < 1:
        raise LockstepError(f"--repeats is {options.repeats}; at least 1 run is needed.")
    proof_steps = proof_steps if options.proof is None else options.proof
    if not 0 <= proof_steps <= MOST_STEPS:
        raise LockstepError(f"--proof is {proof_steps}; it must be 0 to {MOST_STEPS:,} updates.")
    if options.tensorboard and not find_spec("tensorboard"):
        add = backend.install_command(["tensorboard"])
        raise LockstepError(f"TensorBoard is not installed here; {add} adds it.")
    plan = _recipe(options)
    idiomatic = _idiomatic(options, backends)
    if idiomatic and plan.average:
        raise LockstepError("An idiom averages no weights; leave average out of the recipe.")
    name = _run_name(options, "")
    data = _data(options, plan)
    data = data if options.validation is None else data.validated(options.validation)
    name = name or f"{data.name}-{_now()}"
    if not options.quiet:
        print(f"{plan.summary()}\non {data.title}: {len(data.train.labels):,} training images\n")
    progress = Progress.quiet() if options.quiet else Progress.for_terminal()
    compared = compare(
        plan, backends, data, Path(options.out), name, options.device, options.repeats, progress,
        proof_steps, options.tensorboard, idiomatic,
    )  # fmt: skip
    if not options.quiet:
        print()
        text.print_comparison(compared.results)
        text.print_proofs(compared.proofs)
        print(f"\nReport: {compared.folder / 'report.html'}")
        if options.tensorboard:
            print(f"TensorBoard: {shlex.join(['tensorboard', '--logdir', str(compared.folder)])}")
    for failed, why in compared.results["failures"].items():
        print(f"lockstep: {failed} failed: {why}", file=sys.stderr)
    for complaint in text.proof_complaints(compared.proofs, compared.proof_failed):
        print(f"lockstep: {complaint}", file=sys.stderr)
    return 0 if compared.well else FAILED


def _idiomatic(options: Namespace, backends: tuple[str, ...]) -> bool:
    """Whether frameworks are to train as their tutorials do too; one of them must have a way."""
    if one_of(("fast", "idiomatic"), options.fit, "way to train") == "fast":
        return False
    if not any(map(backend.idiom, backends)):
        others = ", ".join(filter(backend.idiom, backend.names()))
        raise LockstepError(
            f"{' and '.join(backends)} can train one way only; --fit idiomatic is for {others}."
        )
    return True


def verify(options: Namespace) -> int:
    """The proof for every framework, or for a file of one's own; or the file to start from."""
    if options.template:
        from .own import write_template

        write_template(Path(options.template))
        print(f"Wrote {options.template}; `lockstep verify {options.template}` checks it.")
        return 0
    if options.steps is not None and not 1 <= options.steps <= MOST_STEPS:
        raise LockstepError(f"--steps is {options.steps}; it must be 1 to {MOST_STEPS:,}.")
    return _verify_file(options) if options.file else _verify_frameworks(options)


def _verify_frameworks(options: Namespace) -> int:
    from . import verify
    from .progress import proving
    from .report import text

    plan = _recipe(options, dtype="float64")  # where rounding leaves a bug no place to hide
    _require_plain(plan, "verify")
    views = (one_of(verify.VIEWS, options.view, "view"),) if options.view else verify.VIEWS
    if options.tolerance is not None and not 0 <= options.tolerance < math.inf:
        raise LockstepError(f"--tolerance is {options.tolerance}; it must be 0 or more, finite.")
    chosen = tuple(name for name in _chosen_backends(options) if name != backend.REFERENCE)
    if not chosen:
        absent = [name for name in backend.names() if name not in backend.installed()]
        add = backend.install_command(absent or backend.names()[1:])
        raise LockstepError(f"There is nothing to hold against numpy; {add} adds frameworks.")
    data = _data(options, plan)
    steps = options.steps or 100
    with proving(steps, options.quiet) as tell:
        proof = verify.verify(
            plan, chosen, data, steps, views, options.dialect, options.tolerance,
            options.device, tell,
        )  # fmt: skip
    if options.json:
        print(json.dumps(proof.to_dict(), indent=1, allow_nan=False))
    elif not options.quiet:
        text.print_proof(proof)
    for name, why in proof.failures.items():
        print(f"lockstep: {name} failed: {why}", file=sys.stderr)
    return 0 if proof.same else FAILED


def _verify_file(options: Namespace) -> int:
    for flag in ("backends", "view", "tolerance"):
        if getattr(options, flag) is not None:
            raise LockstepError(f"--{flag} says nothing about a file of your own; leave it out.")
    from .own import TEMPLATE_SETTINGS, check
    from .report.verdict import print_verdict

    plan = _recipe(options, **TEMPLATE_SETTINGS)
    if not 0 < options.time_limit < math.inf:
        raise LockstepError(f"--time-limit is {options.time_limit}; it must be above 0 seconds.")
    data = _data(options, plan)
    verdict = check(Path(options.file), plan, data, options.steps or 10, options.time_limit)
    if options.json:
        print(json.dumps(verdict.to_dict(), indent=1, allow_nan=False))
    elif not options.quiet:
        print(f"{options.file} beside the network by hand: {plan.summary()}, on {data.title}")
        print_verdict(verdict)
    return 0 if verdict.same else FAILED


def explain(options: Namespace) -> int:
    """The ladder from two programs as everyone writes them to the same numbers, and back."""
    from .explain import run_explain
    from .report import text

    plan = _recipe(options, batch_size=128)
    _require_plain(plan, "explain")
    if options.steps is not None and not 1 <= options.steps <= MOST_STEPS:
        raise LockstepError(f"--steps is {options.steps}; it must be 1 to {MOST_STEPS:,}.")
    for name in (options.left, options.right):
        backend.require(name)
    name = _run_name(options, f"explain-{options.left}-{options.right}-{_now()}")
    data = _data(options, plan)

    def tell(line: str) -> None:
        if not options.quiet:
            print(line, flush=True)

    device = "cpu" if options.device == "auto" else options.device
    found, folder = run_explain(
        options.left, options.right, plan, data, Path(options.out), name,
        options.seeds, options.steps, device, tell,
    )  # fmt: skip
    if not options.quiet:
        text.print_explanation(found.to_dict())
        print(f"\nFigure: {folder / 'figures' / 'explain.png'}")
    return 0 if found.aligned else FAILED


def report(options: Namespace) -> int:
    """Build a run's page again from its files, or a page of several runs as one comparison."""
    from .report import evidence, page
    from .report.markdown import markdown

    kind = one_of(("html", "md"), options.format, "format of a report")
    out = Path(options.out)
    folders = [_folder_of(name, out) for name in options.runs]
    if kind == "md":
        for flag in ("open", "name"):
            if getattr(options, flag):
                raise LockstepError(f"--{flag} is for a page; leave it out with --format md.")
        print(markdown(evidence.load(folders)), end="")
        return 0
    if len(folders) == 1:
        if options.name:
            raise LockstepError("--name is for a page of several runs; one run has its own.")
        path = page.write(evidence.load(folders), folders[0])
    else:
        name = _run_name(options, f"report-{_now()}")
        found = evidence.load(folders)
        with results.new_run(out, name) as folder:
            page.write(found, folder)
        path = out / name / "report.html"
    if not options.quiet:
        print(f"Report: {path}")
    if options.open:
        webbrowser.open(path.resolve().as_uri())
    return 0


def _folder_of(run: str, out: Path) -> Path:
    """The folder of a run that is given by its folder, by a file in it, or by its name."""
    for path in (Path(run), out / run):
        folder = path.parent if path.is_file() else path
        if folder.is_dir():
            if not (folder / "results.json").is_file():
                raise LockstepError(
                    f"{folder} holds no results.json, so it is no run that `compare` or `train` "
                    "has made; name one, or several for one page."
                )
            return folder
    raise LockstepError(f"There is no run {run!r}, neither as a folder nor in {out}.")


def bench(options: Namespace) -> int:
    """One measurement, kept as a run: the race, how cost grows, or the time to an accuracy."""
    if options.growth and options.to:
        raise LockstepError("--growth and --to are two measurements; ask for one.")
    kind = "growth" if options.growth else "target" if options.to else "race"
    for flag, belongs in (("file", "race"), ("rounds", "race"), ("batch_sizes", "race"),
                          ("seeds", "target")):  # fmt: skip
        if getattr(options, flag) is not None and kind != belongs:
            said = {"file": "with"}.get(flag, flag.replace("_", "-"))
            raise LockstepError(f"--{said} says nothing about this measurement; leave it out.")
    name = _run_name(options, f"bench-{options.to or kind}-{_now()}")
    found = datasets.load(options.dataset, options.data_dir)

    from .bench import record
    from .report import bench as shown

    measure = {"race": _bench_race, "growth": _bench_growth, "target": _bench_target}[kind]
    begun = record.begin(kind, name, shlex.join(["lockstep", *sys.argv[1:]]), found)
    settings, measured = measure(options, found)
    kept = {**begun, "settings": settings, **measured}
    folder = record.keep(kept, Path(options.out))
    if not options.quiet:
        print(f"{shown.markdown(kept)}\nFigure: {folder / 'figures' / kind}.png")
    for failed, why in kept["failures"].items():
        print(f"lockstep: {failed} failed: {why}", file=sys.stderr)
    for absent, why in kept["absent"].items():
        print(f"lockstep: {absent} is absent: {why}", file=sys.stderr)
    return FAILED if kept["failures"] else 0


def _bench_race(options: Namespace, data: Dataset) -> tuple[dict, dict]:
    from .bench import race
    from .progress import counting

    rounds = _at_least_one("rounds", options.rounds, 5)
    sizes = tuple(dict.fromkeys(recipe.parse_sizes(options.batch_sizes or "32,128")))
    for size in sizes:
        _at_least_one("batch-sizes", size, size)
    names, about = race.choose(options.file, options.only)
    steps = len(sizes) * len(names) * (rounds + 2)
    with counting(steps, options.quiet) as tell:
        found = race.race(options.file, names, sizes, rounds, _dataset_job(data), tell)
    if not found["rows"]:
        reasons = {**found["absent"], **found["failures"]}.items()
        raise TrainingFailed(" ".join(f"{name}: {why}." for name, why in reasons))
    found["reference"] = about["reference"]
    found["bars"] = race.summarise(
        found["rows"], about["reference"], about["bars"], len(data.test.labels)
    )
    return {"rounds": rounds, "batch_sizes": list(sizes), "file": options.file}, found


def _bench_growth(options: Namespace, data: Dataset) -> tuple[dict, dict]:
    from .bench import growth
    from .progress import counting

    backends = _named_like(options.only)
    with counting(len(growth.plan(backends)), options.quiet) as tell:
        found = growth.measure(backends, _dataset_job(data), tell)
    found["axes"] = {axis: list(at) for axis, at in growth.AXES.items()}
    found["wide"] = growth.beside_the_floor(found["rows"])
    return {"rounds": growth.ROUNDS, "seconds": growth.SECONDS}, found


def _bench_target(options: Namespace, data: Dataset) -> tuple[dict, dict]:
    from .bench import target
    from .progress import Progress

    seeds = _at_least_one("seeds", options.seeds, 8)
    plan = target.recipe_for(options.to)
    backends = _named_like(options.only)
    if not options.quiet:
        print(f"{plan.summary()}\non {data.title}: {len(data.train.labels):,} training images\n")
    with Progress.quiet() if options.quiet else Progress.for_terminal() as progress:
        found = target.measure(plan, backends, seeds, data, progress)
    found["bar"] = target.bar(options.to, found["rows"])
    return {"percent": options.to, "seeds": seeds, "recipe": plan.to_dict()}, found


def _named_like(only: str | None) -> tuple[str, ...]:
    """The installed backends, or those named."""
    chosen = tuple(dict.fromkeys(only.split(","))) if only else backend.installed()
    for name in chosen:
        backend.require(name)
    return chosen


def _at_least_one(flag: str, value: int | None, default: int) -> int:
    value = default if value is None else value
    if value < 1:
        raise LockstepError(f"--{flag} is {value}; at least 1 is needed.")
    return value


def _dataset_job(data: Dataset) -> dict:
    return {"name": data.name, "folder": data.folder and str(data.folder.resolve())}


def data(options: Namespace) -> int:
    """Show which datasets are here and whether their hashes hold, or download one."""
    from .report import text

    if options.fetch is not None:
        from .download import fetch

        name = one_of(datasets.SOURCES, options.fetch, "dataset to download")
        if options.data_dir:
            raise LockstepError("--fetch downloads into the cache folder; leave --data-dir out.")
        folder = fetch(name, datasets.cache_folder(name))
        datasets.read(name, folder)
        print(f"{datasets.SOURCES[name].title} is in {folder}")
        return 0
    given = Path(options.data_dir) if options.data_dir else None
    rows = [row for name in datasets.SOURCES for row in datasets.inventory(name, given)]
    text.print_inventory(rows)
    return FAILED if any(row.bad for row in rows) else 0


# --- What the options have in common --------------------------------------------------------------


def _chosen_backends(options: Namespace) -> tuple[str, ...]:
    """The backends named, in that order, or every installed one."""
    if not options.backends:
        return backend.installed()
    chosen = tuple(dict.fromkeys(options.backends.split(",")))
    for name in chosen:
        one_of(backend.names(), name, "backend")
    return chosen


def _recipe(options: Namespace, **defaults) -> Recipe:
    """The command's defaults, the recipe file's settings over them, and the flags over both."""
    settings = defaults | (recipe.read_toml(options.recipe) if options.recipe else {})
    for flag in RECIPE_FLAGS:
        value = getattr(options, flag)
        if value is not None:
            settings[flag] = recipe.parse_sizes(value) if flag == "hidden" else value
    return recipe.from_dict(settings, options.recipe or "the recipe")


def _require_plain(plan: Recipe, command: str) -> None:
    """Raise if the recipe asks for what only `train` and `compare` do around the updates."""
    if plan.distorts or plan.average:
        raise LockstepError(
            f"`{command}` takes the images and weights as they are; leave rotation, scaling, "
            "shear, shift, elastic and average out of the recipe."
        )


def _run_name(options: Namespace, default: str) -> str:
    """The run's name, checked before anything long begins."""
    if options.name is None:
        results.require_folder(Path(options.out))
        return default
    results.check_free(Path(options.out), options.name)
    return options.name


def _data(options: Namespace, plan: Recipe) -> Dataset:
    """The dataset, if the recipe's network fits it and the device may exist."""
    if options.device != "auto":
        one_of(backend.DEVICES, options.device, "device")
    found = datasets.load(options.dataset, options.data_dir)
    inputs, classes = found.train.images.shape[1], len(found.classes)
    if (plan.inputs, plan.classes) != (inputs, classes):
        raise LockstepError(
            f"The recipe has {plan.inputs} inputs and {plan.classes} classes; {found.title} has "
            f"{inputs} and {classes}. Leave both out of the recipe."
        )
    return found


def _now() -> str:
    return f"{datetime.datetime.now():%Y%m%d-%H%M%S}"
