"""One framework's program, choice by choice: as everyone writes it, and as another would have it.

What goes through here: a program's `Choices` become the framework's own network, weights and batch
order; it trains for some steps; weights at checkpoints, losses and accuracies come out. All of this
runs in the child's process. `explain.py`, in the parent's, says which programs, and compares them.
"""

from __future__ import annotations

import functools
import gc
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from .. import schedules
from ..backends.contract import Backend, Formulas
from ..data.datasets import Dataset, Split, scale
from ..errors import LockstepError
from ..layouts import Weights
from ..processes.events import OnEvent
from ..processes.jobs import recipe_of
from ..recipe import Recipe
from ..training import loop, metrics
from .choices import Choices


def work(
    job: dict[str, Any], network_class: type[Backend], data: Dataset, on_event: OnEvent
) -> dict[str, Any]:
    """The child's task: train every program of the job from every seed.

    The job says besides: "programs" [Choices as dict], "seeds", "steps", "checkpoints", "folder".
    Each training ends with {"event": "trained", "program": index, "seed", "file", "test_accuracy",
    "reported_accuracy"}; the file holds "losses" (steps,) and, after each checkpoint, the weights
    as "100/dense0.weight". What the framework itself draws is left in the folder for the programs
    that come after.
    """
    recipe, folder = recipe_of(job), Path(job["folder"])
    on_event({"event": "ready", "version": network_class.version(), "device": job["device"]})
    _leave_own(network_class, recipe, len(data.train.labels), job)

    programs = [Choices(**program) for program in job["programs"]]

    @functools.lru_cache(maxsize=1)
    def scaled(dtype: str) -> tuple[Split, Split]:
        train_set, test_set = (
            Split(scale(part.images, dtype), part.labels) for part in (data.train, data.test)
        )
        return train_set, test_set

    def compiled(index: int) -> tuple[str, float, Formulas]:
        """Programs that are alike in this share a network, and so its compilation."""
        return (programs[index].dtype, programs[index].epsilon, programs[index].formulas)

    for _, alike in itertools.groupby(sorted(range(len(programs)), key=compiled), compiled):
        trainer: _Trainer | None = None
        for index in alike:
            program = programs[index]
            trainer = trainer or _Trainer(
                network_class, program, recipe, scaled(program.dtype), job
            )
            for seed in job["seeds"]:
                file = folder / f"{job['backend']}-{index}-{seed}.safetensors"
                told = trainer.train(program, seed, file)
                on_event({"event": "trained", "program": index, "seed": seed, **told})
        trainer = None
        gc.collect()  # a framework's graphs refer to one another, and to half a gigabyte of images
    return {"version": network_class.version()}


def _leave_own(
    network_class: type[Backend], recipe: Recipe, count: int, job: dict[str, Any]
) -> None:
    """Write down what the framework itself draws, for every program that wants it."""
    epochs = -(-job["steps"] // -(-count // recipe.batch_size))
    for seed in job["seeds"]:
        weights = network_class.own_weights(recipe, seed)
        batches = network_class.own_batches(count, recipe.batch_size, epochs, seed)
        own = {"order": np.concatenate(batches), **weights}
        save_file(own, _own_file(Path(job["folder"]), job["backend"], seed))


def _own_file(folder: Path, backend: str, seed: int) -> Path:
    return folder / f"own-{backend}-{seed}.safetensors"


class _Trainer:
    """One network of the framework, and the programs that differ only in what goes into it."""

    def __init__(
        self,
        network_class: type[Backend],
        program: Choices,
        recipe: Recipe,
        sets: tuple[Split, Split],
        job: dict[str, Any],
    ) -> None:
        self.job = job
        self.recipe = program.recipe(recipe)
        self.train_set, self.test_set = sets
        weights, device = self.recipe.initial_weights(), job["device"]
        self.network = network_class(self.recipe, weights, device, program.formulas)

    def train(self, program: Choices, seed: int, file: Path) -> dict[str, Any]:
        """Train from the seed, leave weights and losses in the file; what there is to tell."""
        network, steps = self.network, self.job["steps"]
        network.weights = self._initial_weights(program, seed)
        order = self._order(program, seed)
        name, rate = self.recipe.schedule, self.recipe.learning_rate
        rates = schedules.learning_rates(name, rate, 0, steps, steps)
        kept: Weights = {}
        losses, correct, start = [], [], 0
        for stop in self.job["checkpoints"]:
            running = network.train_epoch(*self.train_set, order[start:stop], rates[start:stop])
            losses.append(running.losses)
            correct.append(running.correct)
            kept |= {f"{stop}/{weight}": array for weight, array in network.weights.items()}
            start = stop
        save_file({"losses": np.concatenate(losses), **kept}, file)
        if not np.isfinite(losses[-1]).all():
            raise LockstepError("The training diverged; lower the learning rate.")
        test_logits = loop.logits(network, self.test_set.images)
        return {
            "file": str(file),
            "test_accuracy": metrics.evaluate(test_logits, self.test_set.labels).accuracy,
            "reported_accuracy": self._reported(program, order, np.concatenate(correct)),
        }

    def _own(self, backend: str, seed: int) -> dict[str, np.ndarray]:
        return load_file(_own_file(Path(self.job["folder"]), backend, seed))

    def _initial_weights(self, program: Choices, seed: int) -> Weights:
        weights, biases = self._own(program.weights, seed), self._own(program.biases, seed)
        chosen = {
            name: (biases if layout.is_bias else weights)[name]
            for name, layout in self.recipe.layouts.items()
        }
        return {name: array.astype(program.dtype) for name, array in chosen.items()}

    def _order(self, program: Choices, seed: int) -> list[np.ndarray]:
        """The first batches of indices; an epoch's last batch is smaller, everywhere."""
        count, size = len(self.train_set.labels), self.recipe.batch_size
        seen = self._own(program.order, seed)["order"]
        epochs = seen.reshape(-1, count)
        batches = [epoch[i : i + size] for epoch in epochs for i in range(0, count, size)]
        return batches[: self.job["steps"]]

    def _reported(self, program: Choices, order: list[np.ndarray], correct: np.ndarray) -> float:
        """The training accuracy that the program prints after its last epoch, whole or not."""
        if program.metric == "evaluated":
            logits = loop.logits(self.network, self.train_set.images)
            return metrics.evaluate(logits, self.train_set.labels).accuracy
        epoch = -(-len(self.train_set.labels) // self.recipe.batch_size)
        start = (len(order) - 1) // epoch * epoch
        return float(correct[start:].sum() / sum(len(batch) for batch in order[start:]))
