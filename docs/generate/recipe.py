"""The recipe's reference, from the fields of `lockstep.Recipe`."""

from __future__ import annotations

import dataclasses

from lockstep import recipe
from lockstep.cli import options
from lockstep.recipe import Recipe

from .markdown import code, table


def rows() -> list[tuple[str, str, str, str]]:
    """Field, default, meaning and flag of every setting."""
    flagged = {field.name for field in options.RECIPE}
    found = []
    for field in dataclasses.fields(Recipe):
        flag = options.FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
        flag = code(flag) if field.name in flagged else "the data decides"
        found.append((code(field.name), _default(field.default), field.metadata["words"], flag))
    return found


def markdown() -> str:
    """The table of all settings."""
    return table(("setting", "default", "meaning", "flag"), rows())


def optimizers_markdown() -> str:
    """Which numbers each optimizer takes, and the learning rate that it has unless told."""
    rates = recipe.USUAL_LEARNING_RATE
    rows = [
        (code(name), f"{rates[name]:g}", ", ".join(map(code, numbers)))
        for name, numbers in recipe.OPTIMIZER_NUMBERS.items()
    ]
    return table(("optimizer", "usual learning rate", "takes besides"), rows)


def named_markdown() -> str:
    """Every named recipe as it lies in `recipes/`."""
    return "\n\n".join(
        f"### {name}\n\n```toml\n{path.read_text(encoding='utf-8').strip()}\n```"
        for name, path in recipe.named_recipes().items()
    )


def _default(value: object) -> str:
    if value is None:
        return "it depends"
    return code(list(value) if isinstance(value, tuple) else value)
