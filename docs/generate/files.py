"""What results.json holds, from the classes of `lockstep/runs/records.py`.

Each class is a table: a row for a field, its meaning the string that stands under the field.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from itertools import pairwise
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
    body = ast.parse(inspect.getsource(records)).body
    aliases = {
        node.targets[0].id: node.value
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)
    }
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            fields = list(_fields(node, aliases))
            if fields:
                yield node.name, (ast.get_docstring(node) or "").split("\n\n")[0], fields


def markdown() -> str:
    """A section for each class, the outermost first."""
    return "\n\n".join(
        f"### {name}\n\n{words}\n\n" + table(("key", "type", "meaning"), map(_row, fields))
        for name, words, fields in reversed(list(classes()))
    )


def _fields(node: ast.ClassDef, aliases: dict[str, ast.expr]) -> Iterator[Field]:
    """Every annotated name, with the string that follows it."""
    for statement, after in pairwise([*node.body, ast.Pass()]):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            words = after.value.value if _is_string(after) else ""
            kind = ast.unparse(_Plain(aliases).visit(statement.annotation)).replace("'", "")
            yield Field(statement.target.id, kind, words)


def _is_string(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class _Plain(ast.NodeTransformer):
    """Takes off a type what only a validator reads: other names for it, and bounds."""

    def __init__(self, aliases: dict[str, ast.expr]) -> None:
        self.aliases = aliases

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.visit(self.aliases[node.id]) if node.id in self.aliases else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        if isinstance(node.value, ast.Name) and node.value.id == "Annotated":
            return self.visit(node.slice.elts[0])
        return self.generic_visit(node)


def _row(field: Field) -> tuple[str, str, str]:
    kind, optional, _ = field.kind.partition(" | None")
    return code(field.name), code(kind) + (", optional" if optional else ""), field.words
