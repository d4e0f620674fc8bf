"""Typed records on disk: plain values out and in, with every type and shape checked on the way in.

What is wrong with a file is said in one sentence: the file, the field, and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from .. import recipe
from ..errors import LockstepError, reason


def _list_of(items: dict[str, Any]) -> msgspec.Meta:
    """What the JSON Schema says of an array."""
    return msgspec.Meta(extra_json_schema={"type": "array", "items": items})


Matrix = Annotated[
    NDArray[np.float64], _list_of({"type": "array", "items": {"type": ["number", "null"]}})
]
"""Numbers (rows, columns); on disk a list of rows, with null for NaN and infinity."""
Flags = Annotated[NDArray[np.bool_], _list_of({"type": "boolean"})]
"""Booleans (n,); on disk a list."""


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of what lies on disk; a field with a default may be absent there.

    The record that is a whole file has the version of its shape as tag, the field "schema".
    """


R = TypeVar("R", bound=Record)


def plain(record: Record) -> Any:
    """What JSON can hold: dictionaries, lists, text and numbers."""
    return msgspec.to_builtins(record, enc_hook=_plain_array)


def typed(values: Any, kind: type[R]) -> R:
    """The record that `plain` gave; raises msgspec.ValidationError where a type or shape is not."""
    return msgspec.convert(values, kind, dec_hook=_typed_array)


def _plain_array(array: Any) -> Any:
    if isinstance(array, np.generic):
        return array.item()
    values = array.astype(object)
    values[~np.isfinite(array)] = None
    return values.tolist()


def _typed_array(kind: Any, values: Any) -> np.ndarray:
    try:
        if kind == NDArray[np.bool_]:
            return np.array(msgspec.convert(values, list[bool]), bool)
        rows = msgspec.convert(values, list[list[float | None]])
    except msgspec.ValidationError as error:  # as another error, msgspec adds where the array is
        raise ValueError(str(error).partition(" - at ")[0]) from None
    if len(set(map(len, rows))) != 1:
        raise ValueError("Expected rows of one length")
    return np.array(rows, float)  # None becomes NaN


def read(file: Path, kind: type[R], what: str, remedy: str = "make the run again") -> R:
    """The record that a file holds; `what` names it where it cannot be read."""
    try:
        values = msgspec.json.decode(file.read_bytes())
    except OSError as error:
        raise LockstepError(f"Cannot read the {what} {file}: {reason(error)}.") from None
    except (ValueError, RecursionError) as error:  # nested too deep
        raise LockstepError(f"{file} is truncated or not JSON ({error}); {remedy}.") from None
    known = kind.__struct_config__.tag
    found = values.get("schema") if isinstance(values, dict) else None
    if found != known:
        raise LockstepError(
            f"{file} is of schema {found!r:.40}; this version reads {known}. Make the run again, "
            "or read it with the version that wrote it."
        )
    try:
        for settings in _recipes(values):
            recipe.from_dict(settings)  # it refuses an unknown setting, which msgspec does not
        return typed(values, kind)
    except LockstepError as error:
        raise LockstepError(f"{file}: {error}") from None
    except msgspec.ValidationError as error:
        raise LockstepError(_sentence(error, values, kind, file, remedy)) from None


def _recipes(values: Any) -> Iterator[dict[str, Any]]:
    """Every recipe in plain values, wherever it lies."""
    if isinstance(values, dict):
        if isinstance(values.get("recipe"), dict):
            yield values["recipe"]
        values = list(values.values())
    for value in values if isinstance(values, list) else []:
        yield from _recipes(value)


NOUNS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}
"""What a reader calls msgspec's types."""


def _sentence(
    error: msgspec.ValidationError, values: Any, kind: type[Record], file: Path, remedy: str
) -> str:
    """What msgspec has to say of a field, in words; `backends.torch.seed` is how it is named."""
    problem, _, path = str(error).partition(" - at `$")
    field = _field(path.rstrip("`"), str(error), values, kind)
    if named := re.fullmatch(r"Object missing required field `(.+)`", problem):
        return f"{file} lacks {_joined(field, named[1])}; {remedy}."
    if named := re.fullmatch(r"Object contains unknown field `(.+)`", problem, re.DOTALL):
        return f"{file} has the unknown field {_joined(field, _printable(named[1]))}; {remedy}."
    nouns = re.sub(
        r"`([a-z |]+)`",
        lambda types: " or ".join(NOUNS.get(name, name) for name in types[1].split(" | ")),
        problem,
    )
    words = nouns[:1].lower() + nouns[1:].replace(" of length >= 1", " that is not empty")
    return f"{field or 'the whole'} in {file} is wrong: {words}; {remedy}."


def _field(path: str, text: str, values: Any, kind: type[Record]) -> str:
    """`backends.torch.history[0].seed`; msgspec writes `[...]` for the key of a dictionary."""
    found, here = "", values
    for name, place in re.findall(r"\.(\w+)|\[(\d+|\.{3})\]", path):
        if place and place != "...":
            found, here = f"{found}[{place}]", here[int(place)]
        else:
            name = name or _wrong_key(here, text, values, kind)
            found, here = _joined(found, _printable(name)), here[name]
    return found


def _wrong_key(mapping: dict[str, Any], text: str, values: Any, kind: type[Record]) -> str:
    """The key of the entry that is wrong: with it alone in the mapping the error is the same."""
    for key, value in list(mapping.items()):
        others = {k: mapping.pop(k) for k in list(mapping) if k != key}
        try:
            typed(values, kind)
        except msgspec.ValidationError as error:
            if str(error) == text:
                return key
        mapping.clear()
        mapping.update(others | {key: value})
    return next(iter(mapping))


def _joined(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _printable(name: str) -> str:
    return name if name.isprintable() else repr(name)
