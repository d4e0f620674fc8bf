"""Weights on disk: one safetensors file, which says its recipe."""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import LockstepError, reason
from ..layouts import Weights
from ..recipe import Recipe, from_dict
from .files import write_whole


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
