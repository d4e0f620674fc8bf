"""One backend beside the network by hand, in one of three views; in a process of its own.

*Synced*: every step starts from NumPy's weights and optimizer memory, so a difference is that
step's own. *Free*: each goes its own way from the same start, so differences may grow. *Trained*:
likewise, but the backend trains in its fast way, `train_epoch`, many updates in one call: the code
that a training runs, compiled as it is there.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from .. import schedules
from ..backends.contract import Backend
from ..backends.numpy import Network as ByHand
from ..data.datasets import Dataset, Split, scale
from ..data.order import epoch_batches
from ..errors import LockstepError
from ..processes.child import Request
from ..processes.events import OnEvent
from ..recipe import Recipe
from ..recipe import from_dict as recipe_from_dict
from ..runs.typed import plain
from .comparison import Comparison, tolerances
from .trace import Number, left_by, numbers_of

Batch = tuple[np.ndarray, np.ndarray, float]
"""Images, labels, learning rate."""
PORTION = 20
"""Updates in one call of `train_epoch`, beside as many steps of the network by hand."""


def beside(
    network: Backend,
    reference: ByHand,
    batches: Iterable[Batch],
    view: str,
    on_step: Callable[[int], None] = lambda step: None,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Step both through the batches.

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


def beside_training(
    network: Backend,
    reference: ByHand,
    data: Split,
    steps: int,
    on_step: Callable[[int], None] = lambda step: None,
) -> tuple[list[str], np.ndarray, tuple[int, ...]]:
    """Train the network in its fast way, and step the reference, over the same batches.

    The images go in as a training hands them over: pixels, which the backend scales. Returns the
    tensors' names; their largest differences, a row for each PORTION: of the losses of all its
    steps, and of weights and memory after the last; and that last step of each row.
    """
    recipe, count = network.recipe, len(data.labels)
    network.warm_up(*data, epoch_batches(count, recipe.batch_size, recipe.seed, 1))
    order, rates = order_of(recipe, count, steps), rates_of(recipe, steps)
    rows, ends = [], []
    for start in range(0, steps, PORTION):
        part = slice(start, start + PORTION)
        losses = network.train_epoch(*data, order[part], rates[part]).losses.astype(np.float64)
        ours = [
            reference.step(data.images[batch], data.labels[batch], float(rate))
            for batch, rate in zip(order[part], rates[part], strict=True)
        ]
        apart = [_difference(losses, np.array([step.loss for step in ours]))]
        theirs, right = left_by(network), left_by(reference)
        rows.append(apart + [_difference(theirs[number], right[number]) for number in right])
        ends.append(start + len(losses))
        on_step(ends[-1])
    return ["loss", *map(str, right)], np.array(rows), tuple(ends)


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


def batches_of(recipe: Recipe, data: Split, steps: int) -> Iterator[Batch]:
    """`steps` batches of scaled images, with labels and learning rate, over as many epochs."""
    for rate, batch in zip(
        rates_of(recipe, steps), order_of(recipe, len(data.labels), steps), strict=True
    ):
        yield scale(data.images[batch], recipe.dtype), data.labels[batch], float(rate)


def rates_of(recipe: Recipe, steps: int) -> np.ndarray:
    """Each one's learning rate, (steps,) float64."""
    return schedules.learning_rates(recipe.schedule, recipe.learning_rate, 0, steps, steps)


def order_of(recipe: Recipe, count: int, steps: int) -> list[np.ndarray]:
    """The first `steps` batches of indices of a training."""
    order: list[np.ndarray] = []
    epoch = 1
    while len(order) < steps:
        order += epoch_batches(count, recipe.batch_size, recipe.seed, epoch)
        epoch += 1
    return order[:steps]


def work(job: Request, network_class: type[Backend], data: Dataset, on_event: OnEvent) -> None:
    """The child's part: one backend in every trial, in every view that is asked for.

    The job says besides: "trials", each a recipe, its views and a device; "steps", "dialect",
    "tolerance". Each comparison is told as soon as it is there, {"event": "comparison", "trial":
    index, "comparison"}, so that a later one that fails takes nothing away.
    """
    for place, (values, views, device) in enumerate(job["trials"]):
        recipe = recipe_from_dict(values, "the job")
        weights = recipe.initial_weights()
        for view in views:
            network = network_class(recipe, weights, device)
            network.on_event = on_event
            dialect = job["dialect"] or network.dialect
            reference = ByHand(dataclasses.replace(recipe, dialect=dialect), weights)
            about = {"title": f"{job['backend']}, {recipe.dtype}, {view}", "steps": job["steps"]}
            step = functools.partial(_tell_step, on_event, about)
            at: tuple[int, ...] = ()
            if view == "trained":
                names, differences, at = beside_training(
                    network, reference, data.train, job["steps"], step
                )
                undecided = np.zeros(len(at), bool)
            else:
                batches = batches_of(recipe, data.train, job["steps"])
                names, differences, undecided = beside(network, reference, batches, view, step)
            who = (job["backend"], network.version(), network.device, dialect, view)
            bounds = tolerances(recipe, view, job["tolerance"])
            found = Comparison(*who, names, differences, undecided, bounds, at)
            on_event({"event": "comparison", "trial": place, "comparison": plain(found)})


def _difference(theirs: np.ndarray, ours: np.ndarray) -> float:
    """The largest absolute difference of two arrays."""
    if theirs.dtype != ours.dtype:
        raise LockstepError(
            f"The backend computes in {theirs.dtype} where {ours.dtype} was asked for."
        )
    return float(np.abs(theirs - ours).max())


def _tell_step(on_event: OnEvent, about: dict[str, Any], step: int) -> None:
    on_event({"event": "step", "step": step, **about})
