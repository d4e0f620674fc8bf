"""The command line: `lockstep compare`, `train`, `data`. Only what a command needs is imported."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import __version__
from .errors import FAILED, LockstepError, exit_code, one_of

COMMANDS = ("compare", "train", "verify", "data")
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


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence, as every other complaint here."""

    def error(self, message: str):
        raise LockstepError(f"{message}; see `{self.prog} --help`.")


def parser() -> Parser:
    """All commands and their flags; nothing heavy is imported for it."""
    top = Parser(
        prog="lockstep",
        description="One neural network, every framework, the same numbers.",
        epilog="`lockstep COMMAND --help` lists a command's flags.",
    )
    top.add_argument("--version", action="version", version=f"lockstep {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    compare = commands.add_parser("compare", help="train every installed backend and compare them")
    compare.add_argument(
        "--backends", metavar="NAMES", help="e.g. numpy,torch (default: every installed one)"
    )
    compare.set_defaults(run=_compare)

    train = commands.add_parser("train", help="train one backend")
    train.add_argument("backend", metavar="BACKEND", help="numpy, torch, tensorflow or jax")
    train.set_defaults(run=_train)
    for command in (compare, train):
        _add_recipe_flags(command)
        _add_run_flags(command)

    verify = commands.add_parser("verify", help="prove that the frameworks compute the same")
    _add_verify_flags(verify)
    _add_recipe_flags(verify)
    verify.set_defaults(run=_verify)

    data = commands.add_parser("data", help="show which datasets are here, or download one")
    data.add_argument("--fetch", metavar="NAME", help="download a dataset into the cache folder")
    _add_data_dir(data)
    data.set_defaults(run=_data)
    return top


def _add_recipe_flags(command: argparse.ArgumentParser) -> None:
    recipe = command.add_argument_group("the recipe (default: 784-128-10, ReLU, Adam 0.001)")
    recipe.add_argument("--recipe", metavar="FILE", help="settings from a TOML file; flags win")
    recipe.add_argument("--hidden", metavar="SIZES", help="hidden sizes, e.g. 128 or 128,64")
    recipe.add_argument("--activation", metavar="NAME", help="relu, tanh or sigmoid")
    recipe.add_argument("--optimizer", metavar="NAME", help="sgd, momentum, …, adam, adamw")
    recipe.add_argument("--lr", dest="learning_rate", type=float, metavar="X", help="learning rate")
    recipe.add_argument("--schedule", metavar="NAME", help="constant, cut, linear or cosine")
    recipe.add_argument("--l2", type=float, metavar="X", help="L2 penalty on the weights (0)")
    recipe.add_argument("--batch-size", type=int, metavar="N", help="images in one update (32)")
    recipe.add_argument("--epochs", type=int, metavar="N", help="passes over the training set (5)")
    recipe.add_argument("--seed", type=int, metavar="N", help="of weights and batch order (0)")
    recipe.add_argument("--dtype", metavar="NAME", help="float32 or float64")
    recipe.add_argument("--dialect", metavar="NAME", help="the network by hand's: torch or keras")
    data = command.add_argument_group("data and device")
    data.add_argument("--dataset", metavar="NAME", help="mnist, fashion-mnist, kmnist or digits")
    _add_data_dir(data)
    data.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or mps")


def _add_run_flags(command: argparse.ArgumentParser) -> None:
    run = command.add_argument_group("the run")
    run.add_argument("--repeats", type=int, default=1, metavar="N", help="train with N seeds (1)")
    run.add_argument("--name", help="of the run's folder (default: dataset and time)")
    run.add_argument("--out", default="runs", metavar="DIR", help="where runs are kept (runs)")
    run.add_argument("--quiet", action="store_true", help="print nothing but complaints")


def _add_verify_flags(command: argparse.ArgumentParser) -> None:
    proof = command.add_argument_group("the proof")
    proof.add_argument(
        "--backends", metavar="NAMES", help="held against numpy (default: every installed one)"
    )
    proof.add_argument("--steps", type=int, default=100, metavar="N", help="updates (100)")
    proof.add_argument("--view", metavar="NAME", help="synced or free (default: both)")
    proof.add_argument(
        "--tolerance", type=float, metavar="X", help="largest difference that is the same"
    )
    proof.add_argument("--quiet", action="store_true", help="the exit code alone")
    proof.add_argument("--json", action="store_true", help="print every difference as JSON")


def _add_data_dir(command) -> None:
    command.add_argument("--data-dir", metavar="DIR", help="folder with the dataset's four files")


def _recipe(options: argparse.Namespace, **defaults):
    """The command's defaults, the recipe file's settings over them, and the flags over both."""
    from . import recipe

    settings = defaults | (recipe.read_toml(options.recipe) if options.recipe else {})
    for flag in RECIPE_FLAGS:
        value = getattr(options, flag)
        if value is not None:
            settings[flag] = recipe.parse_sizes(value) if flag == "hidden" else value
    return recipe.from_dict(settings, options.recipe or "the recipe")


def _compare(options: argparse.Namespace) -> int:
    from . import backend

    chosen = _chosen_backends(options)
    code = _run(options, chosen)
    absent = [name for name in backend.names() if name not in (*chosen, *backend.installed())]
    if absent and not options.backends and not options.quiet:
        print(f"Not installed: {', '.join(absent)}. {backend.install_command(absent)} adds them.")
    return code


def _chosen_backends(options: argparse.Namespace) -> tuple[str, ...]:
    """The backends named, in that order, or every installed one."""
    from . import backend

    if not options.backends:
        return backend.installed()
    chosen = tuple(dict.fromkeys(options.backends.split(",")))
    for name in chosen:
        one_of(backend.names(), name, "backend")
    return chosen


def _train(options: argparse.Namespace) -> int:
    from . import backend

    return _run(options, (one_of(backend.names(), options.backend, "backend"),))


def _run(options: argparse.Namespace, backends: tuple[str, ...]) -> int:
    """Train, print the table, say where the report is; 1 if a backend failed."""
    from . import backend, compare, datasets
    from .progress import Progress
    from .report import text

    recipe = _recipe(options)
    if options.device != "auto":
        one_of(backend.DEVICES, options.device, "device")
    if options.repeats < 1:
        raise LockstepError(f"--repeats is {options.repeats}; at least 1 run is needed.")
    data = datasets.load(options.dataset, options.data_dir)
    if not options.quiet:
        print(f"{recipe.summary()}\non {data.title}: {len(data.train.labels):,} training images\n")
    results, folder = compare.compare(
        recipe,
        backends,
        data,
        Path(options.out),
        options.name,
        options.device,
        options.repeats,
        Progress.quiet() if options.quiet else Progress.for_terminal(),
    )
    if not options.quiet:
        print()
        text.print_comparison(results)
        if results["backends"]:
            print(f"\nReport: {folder / 'report.html'}")
    for name, why in results["failures"].items():
        print(f"lockstep: {name} failed: {why}", file=sys.stderr)
    return FAILED if results["failures"] else 0


def _verify(options: argparse.Namespace) -> int:
    """Hold every framework against NumPy; 0 the same, 1 not, 2 unusable."""
    import json

    from . import backend, datasets, verify
    from .progress import proving
    from .report import text

    recipe = _recipe(options, dtype="float64")  # where rounding leaves a bug no place to hide
    if options.steps < 1:
        raise LockstepError(f"--steps is {options.steps}; at least 1 is needed.")
    views = (one_of(verify.VIEWS, options.view, "view"),) if options.view else verify.VIEWS
    chosen = tuple(name for name in _chosen_backends(options) if name != backend.REFERENCE)
    if not chosen:
        absent = [name for name in backend.names() if name not in backend.installed()]
        add = backend.install_command(absent or backend.names()[1:])
        raise LockstepError(f"There is nothing to hold against numpy; {add} adds frameworks.")
    data = datasets.load(options.dataset, options.data_dir)
    with proving(options.steps, options.quiet) as tell:
        proof = verify.verify(
            recipe,
            chosen,
            data,
            options.steps,
            views,
            options.dialect,
            options.tolerance,
            options.device,
            tell,
        )
    if options.json:
        print(json.dumps(proof.to_dict(), indent=1, allow_nan=False))
    elif not options.quiet:
        text.print_proof(proof)
    return 0 if proof.same else FAILED


def _data(options: argparse.Namespace) -> int:
    from . import datasets
    from .report import text

    if options.fetch:
        from .download import fetch

        name = one_of(datasets.SOURCES, options.fetch, "dataset to download")
        folder = fetch(name, datasets.cache_folder(name))
        datasets.read(name, folder)
        print(f"{datasets.SOURCES[name].title} is in {folder}")
        return 0
    given = Path(options.data_dir) if options.data_dir else None
    rows = [row for name in datasets.SOURCES for row in datasets.inventory(name, given)]
    text.print_inventory(rows)
    return FAILED if any(row.bad for row in rows) else 0


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; the exit code says how it went (0 well, 1 in part, 2 not usable)."""
    arguments = sys.argv[1:] if arguments is None else arguments

    def command() -> int:
        if arguments and not arguments[0].startswith("-"):
            one_of(COMMANDS, arguments[0], "command")
        options = parser().parse_args(arguments)
        return options.run(options)

    return exit_code(command)
