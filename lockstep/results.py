"""What a run leaves on disk, written whole or not at all.

runs/<name>/results.json                    Results, below
runs/<name>/proof.json                      {"proofs": `verify.Proof.to_dict`s, "failed": why none}
runs/<name>/answers.safetensors             what each backend answered on the test set (`answers`)
runs/<name>/report.html                     the page for people
runs/<name>/figures/*.png, *.svg            the same figures as files
runs/<name>/tables/*.csv                    the numbers behind them
runs/<name>/weights/<backend>.safetensors   the trained weights, with the recipe
runs/<name>/tensorboard/<backend>/train, …/validation
                                            with --tensorboard: events (`lockstep/tensorboard.py`);
                                            those of an idiom in <backend>-<idiom>, those of later
                                            seeds in …-seed<seed>
"""

import contextlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from . import __version__
from .errors import LockstepError, reason
from .recipe import Recipe, Weights, from_dict

SCHEMA = 3
"""The version of the shape below; a change that a reader must know of raises it."""


class Epoch(TypedDict):
    """One row of a history. Losses are in nats, accuracies from 0 to 1."""

    epoch: int
    train_loss: float
    """Over the whole training set, evaluated after the epoch."""
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    running_loss: NotRequired[float]
    """Mean over the epoch's examples while the weights moved: what Keras' `fit` prints."""
    running_accuracy: NotRequired[float]
    seconds: NotRequired[float]
    """Of training alone; evaluation is apart."""


class BackendResult(TypedDict):
    """How one backend did with one seed."""

    version: str
    device: str
    dialect: str
    seed: int
    history: list[Epoch]
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    confusion_matrix: list[list[int]]
    """Test set; rows are the true classes, columns the answers."""
    precision: list[float]
    recall: list[float]
    import_seconds: float
    """Importing the framework."""
    compile_seconds: float
    """Building the network and its first calls, which may compile."""
    startup_seconds: float
    """The two together."""
    train_seconds: float
    evaluate_seconds: float
    import_rss_bytes: int
    """The largest resident memory of the backend's process once the framework was imported."""
    peak_rss_bytes: int
    """And at the end: import, data, training and evaluation."""
    initial_weights_sha256: str
    batch_order_sha256: str
    notes: NotRequired[str]
    """What a reader should know about how it computed, `Backend.notes`."""
    weights_difference: NotRequired[float]
    """Largest difference of a weight from NumPy's, after the first epoch."""
    repeats: NotRequired[list["BackendResult"]]
    """With --repeats: the same for every seed, this one (the first) included."""
    idiom: NotRequired[str]
    """What it trained with, as the framework's tutorials do, `Backend.idiom`."""
    idiomatic: NotRequired["BackendResult"]
    """With --fit idiomatic: how the same training went as the tutorials do it."""


def runs_of(result: BackendResult) -> list[BackendResult]:
    """One result for each seed."""
    return result.get("repeats", [result])


def trainings(backends: Mapping[str, BackendResult]) -> dict[str, BackendResult]:
    """Every way in which they were trained, by its label; an idiom follows its backend."""
    found = {}
    for name, result in backends.items():
        found[name] = result
        if "idiomatic" in result:
            idiomatic = result["idiomatic"]
            found[training_label(name, idiomatic["idiom"])] = idiomatic
    return found


def training_label(backend: str, idiom: str) -> str:
    """`torch, DataLoader`: what a training by an idiom is called."""
    return f"{backend}, {idiom}"


class DatasetInfo(TypedDict):
    """Which data: the title that labels everything, and each file's hash."""

    name: str
    title: str
    classes: list[str]
    train: int
    test: int
    sha256: dict[str, str]


class Results(TypedDict):
    """The content of results.json."""

    schema: int
    name: str
    created: str
    """Local time, ISO 8601."""
    command: str
    dataset: DatasetInfo
    recipe: dict
    environment: dict
    backends: dict[str, BackendResult]
    failures: dict[str, str]
    """Backend → the sentence that says why it has no result."""


def load(path: str | Path) -> Results:
    """Read a run's results, from its folder or from the file itself."""
    path = Path(path)
    file = path / "results.json" if path.is_dir() else path
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise LockstepError(f"Cannot read the results {file}: {reason(error)}.") from None
    except ValueError as error:
        raise LockstepError(f"{file} is truncated or not JSON ({error}).") from None
    found = results.get("schema") if isinstance(results, dict) else None
    if found != SCHEMA:
        raise LockstepError(
            f"{file} has results of schema {found!r}; this version reads {SCHEMA}. Make the run "
            "again, or read it with the version that wrote it."
        )
    missing = sorted(set(Results.__annotations__) - set(results))
    if missing:
        raise LockstepError(f"{file} lacks {', '.join(missing)}; make the run again.")
    _check_backends(results["backends"], file)
    return results


def _check_backends(backends: object, file: Path) -> None:
    """Raise unless there is a backend and each has all its figures."""
    if not isinstance(backends, dict) or not backends:
        raise LockstepError(f"{file} has no backend's results; make the run again.")
    for name, result in backends.items():
        runs = _every_result(result)
        missing = sorted(
            {key for run in runs for key in BackendResult.__required_keys__ - set(run)}
        )
        if not missing and "idiom" not in result.get("idiomatic", {"idiom": ""}):
            missing = ["idiom"]
        if missing:
            raise LockstepError(f"{file} lacks {missing[0]} of {name}; make the run again.")
        for key in (key for key, kind in BackendResult.__annotations__.items() if kind is float):
            if not all(isinstance(run.get(key, 0), int | float) for run in runs):
                raise LockstepError(f"{key} of {name} in {file} is no number; make the run again.")


def _every_result(result: object) -> list[dict]:
    """A backend's result, those of its seeds, and those of its idiom; {} for what is none."""
    if not isinstance(result, dict):
        return [{}]
    found = [result, *result.get("repeats", [])]
    if "idiomatic" in result:
        found += _every_result(result["idiomatic"])
    return found


WIDEST = {"avx512f": "AVX-512", "avx2": "AVX2"}
"""Linux' flags for sets of vector instructions, widest first, and their names."""


def environment() -> dict:
    """The machine and the versions that a reader needs to make sense of the figures."""
    return {
        "lockstep": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    """The processor's name; Linux keeps it in a file, elsewhere `platform` knows."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return _named_in(cpuinfo) or platform.processor()


def _named_in(cpuinfo: str) -> str:
    """The first processor's name and its widest registers, which the name alone may not tell."""
    first = cpuinfo.strip().split("\n\n")[0].splitlines()
    fields = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)
    }
    flags = fields.get("flags", "").split()
    widest = [title for flag, title in WIDEST.items() if flag in flags][:1]
    return ", ".join([fields["model name"], *widest]) if "model name" in fields else ""


def peak_rss_bytes() -> int:
    """The largest resident memory that this process has had.

    Linux: VmHWM, because `ru_maxrss` there starts from the parent's peak. macOS counts `ru_maxrss`
    in bytes. Windows: the peak working set.
    """
    if sys.platform == "linux":
        lines = Path("/proc/self/status").read_text().splitlines()
        sizes = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")]
        if sizes:  # some sandboxes leave the line out
            return sizes[0]
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    unit = 1024 if sys.platform == "linux" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def check_free(out: Path, name: str) -> Path:
    """The folder that a run of this name will be, if it may be called so and is not there yet."""
    plain = Path(name).name == name and not name.startswith(".") and 0 < len(name) <= 200
    plain &= all(character.isprintable() for character in name if ord(character) < 128)
    if not plain:
        raise LockstepError(f"A run cannot be called {name[:80]!r}; use a plain folder name.")
    final = out / name
    try:
        str(final).encode()
        exists = final.exists()
    except UnicodeEncodeError:
        raise LockstepError(f"{str(final)!r} is not a name in UTF-8; use a plain one.") from None
    except OSError as error:  # --out may be too long
        raise LockstepError(f"A run cannot be called {final}: {reason(error)}.") from None
    if exists:
        raise LockstepError(f"The run {final} exists already; choose another --name, or remove it.")
    require_folder(out)
    return final


def require_folder(out: Path) -> None:
    """Raise if this is something other than a folder, or if it cannot become one."""
    place = next(path for path in (out, *out.resolve().parents) if path.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        raise LockstepError(f"Cannot write into {out}: {place} is not a folder to write into.")


@contextlib.contextmanager
def new_run(out: Path, name: str) -> Iterator[Path]:
    """A folder to write a run into; it gets its name when the block ends well, else it is gone."""
    final = check_free(out, name)
    partial = out / f".{name}.partial"
    try:
        out.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except FileExistsError:
        raise LockstepError(
            f"Another run is being written as {final}; choose another --name. If none is, remove "
            f"what it has left: {partial}."
        ) from None
    except OSError as error:
        raise LockstepError(f"Cannot write into {out}: {reason(error)}.") from None
    try:
        yield partial
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file that nobody ever sees half; its folder is made if need be."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    except OSError as error:
        raise LockstepError(f"Cannot write {path}: {reason(error)}.") from None
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: object, indent: int | None = 1) -> None:
    """Write readable JSON; NaN, which JSON has not, is refused."""
    text = json.dumps(content, indent=indent, allow_nan=False, ensure_ascii=False)
    write_whole(path, text + "\n")


def save_weights(path: Path, weights: Weights, recipe: Recipe) -> None:
    """Write weights with their recipe as one safetensors file, whole or not at all."""
    from safetensors.numpy import save

    write_whole(path, save(weights, {"recipe": json.dumps(recipe.to_dict())}))


def load_weights(path: Path) -> tuple[Weights, Recipe]:
    """Read what `save_weights` has written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            recipe = from_dict(json.loads(file.metadata()["recipe"]), str(path))
            return {name: file.get_tensor(name) for name in file.keys()}, recipe  # noqa: SIM118
    except OSError as error:
        raise LockstepError(f"Cannot read the weights {path}: {reason(error)}.") from None
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise LockstepError(f"{path} is not a weights file that Lockstep has written.") from None
