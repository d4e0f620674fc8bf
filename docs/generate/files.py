"""What results.json holds, from the classes of `lockstep/runs/records.py`.

Each class is a table: a row for a field, its meaning the string that stands under the field. That
is the shape of a TypedDict and of a msgspec Struct alike.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import NamedTuple

from lockstep.runs import records

from .markdown import code, table


class Field(NamedTuple):
    """One key of a JSON object."""

    name: str
    kind: str
    words: str


def classes() -> Iterator[tuple[str, str, list[Field]]]:
    """Name, first sentence and fields of every class of the module that has fields."""
    for node in ast.parse(inspect.getsource(records)).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            fields = list(_fields(node))
            if fields:
                yield node.name, (ast.get_docstring(node) or "").split("\n\n")[0], fields


def markdown() -> str:
    """A section for each class, the outermost first."""
    return "\n\n".join(
        f"### {name}\n\n{words}\n\n" + table(("key", "type", "meaning"), map(_row, fields))
        for name, words, fields in reversed(list(classes()))
    )


def _fields(node: ast.ClassDef) -> Iterator[Field]:
    """Every annotated name, with the string that follows it."""
    following = [*node.body[1:], None]
    for statement, after in zip(node.body, following, strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            words = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                words = str(after.value.value)
            yield Field(statement.target.id, ast.unparse(statement.annotation), words)


def _row(field: Field) -> tuple[str, str, str]:
    kind, optional = field.kind.replace("'", ""), ""
    if kind.startswith("NotRequired["):
        kind, optional = kind[len("NotRequired[") : -1], "may be absent"
    words = "; ".join(filter(None, (optional, field.words)))
    return code(field.name), code(kind), words
