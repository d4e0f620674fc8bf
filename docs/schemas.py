"""Write the JSON Schemas of what a run leaves on disk: `python docs/schemas.py`.

Every type, bound and description in docs/reference/schemas comes out of the package's records; a
test holds the files to what this makes.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import textwrap
from itertools import pairwise
from pathlib import Path

import msgspec

from lockstep.proof.comparison import Proofs
from lockstep.runs.records import Results

FOLDER = Path(__file__).parent / "reference" / "schemas"
FILES = {"results.schema.json": Results, "proof.schema.json": Proofs}


def schema(kind: type) -> str:
    """The schema of a file, with each docstring in the place of what it describes."""
    (whole,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for name, part in parts.items():
        owner = vars(sys.modules[kind.__module__])[name]
        part["additionalProperties"] = False
        part["description"] = _one_line(owner.__doc__.partition("\n\n")[0])
        described = _described(owner)
        for field, content in part["properties"].items():
            if content.get("default", "") is None:
                del content["default"]  # that it may be absent, "required" says
            if field in described:
                content["description"] = described[field]
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": kind.__name__}
    return json.dumps({**draft, **whole, "$defs": parts}, indent=1, ensure_ascii=False) + "\n"


def _described(kind: type) -> dict[str, str]:
    """Field → what the source says of it: the docstring beneath it, or the words of a setting."""
    if dataclasses.is_dataclass(kind):
        return {field.name: field.metadata["words"] for field in dataclasses.fields(kind)}
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: _one_line(below.value.value)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def _one_line(words: str) -> str:
    return " ".join(words.split())


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, kind in FILES.items():
        (FOLDER / name).write_text(schema(kind), encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")
