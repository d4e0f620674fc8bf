"""What a child is told of a backend's work: which backend, recipe, data and device."""

from __future__ import annotations

from ..data.datasets import Dataset
from ..recipe import Recipe, from_dict
from .child import Request


def job(
    backend: str, recipe: Recipe, data: Dataset, device: str, as_tutorial: bool = False
) -> Request:
    """What every job says; each task documents what its own says besides."""
    return {
        "backend": backend,
        "as_tutorial": as_tutorial,
        "recipe": recipe.to_dict(),
        "dataset": {
            "name": data.name,
            "folder": data.folder and str(data.folder.resolve()),
            "validation": data.validation,
        },
        "device": device,
    }


def recipe_of(job: Request) -> Recipe:
    """The recipe that a job carries."""
    return from_dict(job["recipe"], "the job")
