"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import LockstepError, reason


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
