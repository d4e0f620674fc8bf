"""The public names, documented from their docstrings."""

from __future__ import annotations

import inspect
import typing
from types import ModuleType

import lockstep
from lockstep.backends import contract

TITLES = {
    "The verbs": inspect.isfunction,
    "What they take and raise": inspect.isclass,
    "Modules": inspect.ismodule,
}


def markdown() -> str:
    """A section for each kind of name, and one for what the functions return."""
    named = {name: getattr(lockstep, name) for name in lockstep.__all__}
    parts = []
    for title, belongs in TITLES.items():
        if title == "Modules":
            parts.append("## What they return\n\n" + "\n\n".join(map(_class, returned())))
        here = [(name, thing) for name, thing in named.items() if belongs(thing)]
        here.sort(key=lambda entry: _place(entry[1]))
        parts.append(f"## {title}\n\n" + "\n\n".join(_entry(*pair) for pair in here))
    data = [name for name, thing in named.items() if isinstance(thing, str)]
    parts += [_directive("autodata", f"lockstep.{name}", "annotation") for name in data]
    return "\n\n".join(parts)


def returned() -> list[type]:
    """The package's own classes that public functions return, each once."""
    found: dict[type, None] = {}
    for name in lockstep.__all__:
        thing = getattr(lockstep, name)
        if inspect.isfunction(thing):
            answer = typing.get_type_hints(thing, localns=vars(contract)).get("return")
            for kind in (answer, *typing.get_args(answer)):
                if inspect.isclass(kind) and kind.__module__.startswith("lockstep."):
                    found[kind] = None
    return list(found)


def public(module: ModuleType) -> list[str]:
    """What a module offers: its `__all__`, or what it defines or imports by name on purpose."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(thing) or inspect.isclass(thing))
        and thing.__module__.startswith(module.__name__)
    ]


def _place(thing: object) -> tuple[bool, int]:
    """The verbs in the order of their file, then what else there is in its own."""
    if inspect.isfunction(thing):
        return thing.__module__ != "lockstep.api", thing.__code__.co_firstlineno
    return True, 0


def _entry(name: str, thing: object) -> str:
    if isinstance(thing, ModuleType):
        return _module(name, thing)
    if inspect.isclass(thing):
        return _directive("autoclass", f"lockstep.{name}", "members")
    return _directive("autofunction", f"lockstep.{name}")


def _module(name: str, module: ModuleType) -> str:
    parts = [f"### lockstep.{name}", _directive("automodule", f"lockstep.{name}")]
    for member in public(module):
        kind = "autoclass" if inspect.isclass(getattr(module, member)) else "autofunction"
        options = ("members",) if kind == "autoclass" else ()
        parts.append(_directive(kind, f"lockstep.{name}.{member}", *options))
    return "\n\n".join(parts)


def _class(kind: type) -> str:
    return _directive("autoclass", f"{kind.__module__}.{kind.__name__}", "members")


def _directive(kind: str, name: str, *options: str) -> str:
    lines = [f".. {kind}:: {name}", *(f"   :{option}:" for option in options)]
    return "```{eval-rst}\n" + "\n".join(lines) + "\n```"
