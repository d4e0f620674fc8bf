"""One backend beside the network by hand, step by step; in a process of its own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .. import schedules
from ..backends.contract import Backend
from ..backends.numpy import Network as ByHand
from ..data.datasets import Dataset, Split, scale
from ..data.order import epoch_batches
from ..errors import LockstepError
from ..processes.events import OnEvent
from ..recipe import Recipe
from ..recipe import from_dict as recipe_from_dict
from .comparison import Comparison, tolerances
from .trace import Number, numbers_of


def beside(
    network: Backend,
    reference: ByHand,
    batches: Iterable[tuple[np.ndarray, np.ndarray, float]],
    view: str,
    on_step: Callable[[int], None] = lambda step: None,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Step both through the batches (images, labels, learning rate).

    Both start from the same weights with an empty memory; `on_step` gets the number of each
    step done. Returns the tensors' names, and what `Comparison` calls differences and undecided.
    """
    numbers: list[Number] = []
    rows, undecided = [], []
    for step, (images, labels, rate) in enumerate(batches, start=1):
        if view == "synced":
            memory = reference.state
            network.weights = reference.weights  # which clears the memory
            network.state = memory
        undecided.append(view == "synced" and on_a_kink(reference, images))
        ours = numbers_of(reference.step(images, labels, rate), reference)
        theirs = numbers_of(network.step(images, labels, rate), network)
        numbers = numbers or list(ours)
        rows.append([_difference(theirs[number], ours[number]) for number in numbers])
        on_step(step)
    return [str(number) for number in numbers], np.array(rows), np.array(undecided)


def on_a_kink(reference: ByHand, images: np.ndarray) -> bool:
    """Whether rounding decides if some ReLU of this batch is on or off.

    Z is a sum of products whose rounding errors are of the order of ε·(|A|·|W| + |b|). Where |Z| is
    no larger, one network may find it positive and another not, and both be right; the gradient of
    that unit then differs by a whole example's share. One Z in a million or so, in float32.
    """
    if reference.recipe.activation != "relu":
        return False
    network = reference.network
    network.forward(images)
    epsilon = np.finfo(reference.recipe.dtype).eps
    for A, W, b in zip(network.A[:-1], network.W, network.b, strict=False):
        size = np.abs(A) @ np.abs(W) + np.abs(b)
        if ((np.abs(A @ W + b) <= 2 * epsilon * size) & (size > 0)).any():
            return True
    return False


def _difference(theirs: np.ndarray, ours: np.ndarray) -> float:
    if theirs.dtype != ours.dtype:
        raise LockstepError(
            f"The backend computes in {theirs.dtype} where {ours.dtype} was asked for."
        )
    return float(np.abs(theirs - ours).max())


def batches_of(recipe: Recipe, data: Split, steps: int) -> Iterator[tuple]:
    """`steps` batches of scaled images, with labels and learning rate, over as many epochs."""
    rates = schedules.learning_rates(recipe.schedule, recipe.learning_rate, 0, steps, steps)
    for rate, batch in zip(rates, _order(recipe, len(data.labels), steps), strict=True):
        yield scale(data.images[batch], recipe.dtype), data.labels[batch], float(rate)


def _order(recipe: Recipe, count: int, steps: int) -> list[np.ndarray]:
    """The first `steps` batches of indices of a training."""
    order: list[np.ndarray] = []
    epoch = 1
    while len(order) < steps:
        order += epoch_batches(count, recipe.batch_size, recipe.seed, epoch)
        epoch += 1
    return order[:steps]


def work(job: dict, network_class: type[Backend], data: Dataset, on_event: OnEvent) -> None:
    """The child's part: one backend in every trial, in every view that is asked for.

    The job says besides: "trials", each a recipe, its views and a device; "steps", "dialect",
    "tolerance". Each comparison is told as soon as it is there, so that a later one that fails
    takes nothing away.
    """
    for place, (values, views, device) in enumerate(job["trials"]):
        recipe = recipe_from_dict(values, "the job")
        weights = recipe.initial_weights()
        for view in views:
            network = network_class(recipe, weights, device)
            network.on_event = on_event
            dialect = job["dialect"] or network.dialect
            reference = ByHand(dataclasses.replace(recipe, dialect=dialect), weights)
            batches = batches_of(recipe, data.train, job["steps"])
            about = {"title": f"{job['backend']}, {recipe.dtype}, {view}", "steps": job["steps"]}
            step = functools.partial(_tell_step, on_event, about)
            names, differences, undecided = beside(network, reference, batches, view, step)
            who = (job["backend"], network.version(), network.device, dialect, view)
            bounds = tolerances(recipe, view, job["tolerance"])
            found = Comparison(*who, names, differences, undecided, bounds).to_dict()
            on_event({"event": "comparison", "trial": place, "comparison": found})


def _tell_step(on_event: OnEvent, about: dict, step: int) -> None:
    on_event({"event": "step", "step": step, **about})
