"""Epochs: train one backend's network, evaluate it after each, keep the history and the time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec.structs import replace

from .. import schedules
from ..backends.contract import Backend, Running
from ..data import distortions
from ..data.datasets import Dataset, Split
from ..data.order import OrderHash, epoch_batches
from ..layouts import Weights, weights_sha256
from ..processes.child import Request
from ..processes.events import OnEvent, nobody
from ..processes.jobs import recipe_of
from ..recipe import Recipe
from ..runs.machine import peak_rss_bytes
from ..runs.records import BackendResult, Epoch
from ..runs.typed import plain
from ..runs.weights import save_weights
from . import metrics

if TYPE_CHECKING:  # TensorBoard may not be installed
    from .tensorboard import Board

PORTIONS = 20
"""How often an epoch is interrupted to say how far it is; training as tutorials do never is."""


def work(
    job: Request, network_class: type[Backend], data: Dataset, on_event: OnEvent
) -> dict[str, Any]:
    """A child's task: build, train, and write where the job says; gives a BackendResult as JSON.

    The job says besides: "weights", "first_epoch_weights" and "test_logits", each a path or None;
    it may say "tensorboard", the folder for the events.
    """
    recipe = recipe_of(job)
    weights = recipe.initial_weights()
    building = Stopwatch()
    with building():
        network = network_class(recipe, weights, job["device"])
    on_event({"event": "ready", "version": network.version(), "device": network.device})
    network.on_event = on_event

    with _board(job) as board:
        trained = train(network, data, on_event, board)
        if board:  # after the memory was measured
            board.write_graph(network.graph(data.test.images[: recipe.batch_size]))
    result = replace(
        trained.result,
        import_seconds=job["import_seconds"],
        import_rss_bytes=job["import_rss_bytes"],
        compile_seconds=building.seconds + trained.result.compile_seconds,
    )
    if job["weights"]:
        network.save(Path(job["weights"]))
    if job["first_epoch_weights"]:
        save_weights(Path(job["first_epoch_weights"]), trained.first_epoch_weights, recipe)
    if job["test_logits"]:
        np.save(job["test_logits"], trained.test_logits, allow_pickle=False)
    return plain(result)


class Trained(NamedTuple):
    """What a training gives."""

    result: BackendResult
    first_epoch_weights: Weights
    test_logits: np.ndarray
    """(N, classes), with the weights of the end."""


def _board(job: Request) -> AbstractContextManager[Board | None]:
    """What writes the events for TensorBoard, where the job asks for them."""
    if "tensorboard" not in job:
        return nullcontext()
    from . import tensorboard

    return tensorboard.opened(Path(job["tensorboard"]))


class Stopwatch:
    """Seconds of wall-clock time, summed over the blocks it is held around."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start


def train(
    network: Backend,
    data: Dataset,
    on_event: OnEvent = nobody,
    board: Board | None = None,
) -> Trained:
    """Train as the network's recipe says.

    Timing is honest: training, evaluation and first calls (compilation) are separate figures, and
    writing to the board is in none of them.
    """
    recipe = network.recipe
    initial_sha256 = weights_sha256(network.weights)
    compiling, training, evaluating = Stopwatch(), Stopwatch(), Stopwatch()
    with compiling():
        first, _ = batches_and_rates(recipe, len(data.train.labels), epoch=1)
        network.warm_up(*data.train, first)
        network.forward(data.test.images[:1])
        distort(network, data.train.images[:1], epoch=1)

    history: list[Epoch] = []
    order_hash, average = OrderHash(), Average(recipe)
    for epoch in range(1, recipe.epochs + 1):
        order, rates = batches_and_rates(recipe, len(data.train.labels), epoch)
        order_hash.add(order)
        before = training.seconds
        running, updates = _train_epoch(
            network, data.train, order, rates, epoch, training, average, on_event
        )
        with evaluating(), average.standing_in(network):
            train_score = metrics.evaluate(logits(network, data.train.images), data.train.labels)
            test_logits = logits(network, data.test.images)
            test_score = metrics.evaluate(test_logits, data.test.labels)
        more = {**running, "seconds": training.seconds - before}
        entry = metrics.history_entry(epoch, train_score, test_score, **more)
        history.append(entry)
        metrics.require_numbers(entry, recipe.learning_rate)
        on_event({"event": "epoch", **plain(entry)})
        if board:
            sizes = np.array([len(batch) for batch in order])
            board.write_epoch(entry, updates, sizes, rates[-1], network.weights)
        if epoch == 1:
            first_epoch_weights = network.weights
    if average.count:
        network.weights = average.mean

    measured = {
        "compile_seconds": compiling.seconds,
        "train_seconds": training.seconds,
        "evaluate_seconds": evaluating.seconds,
        "initial_weights_sha256": initial_sha256,
        "batch_order_sha256": order_hash.hexdigest(),
    }
    result = _result(network, data, history, test_logits, measured)
    return Trained(result, first_epoch_weights, test_logits)


def _result(
    network: Backend,
    data: Dataset,
    history: list[Epoch],
    test_logits: np.ndarray,
    measured: dict[str, Any],
) -> BackendResult:
    """What is known of a training at its end; of the import, `work` knows."""
    matrix = metrics.confusion_matrix(test_logits, data.test.labels, network.recipe.classes)
    precision, recall = metrics.precision_recall(matrix)
    last = history[-1]
    return BackendResult(
        version=network.version(),
        device=network.device,
        dialect=network.dialect,
        seed=network.recipe.seed,
        history=history,
        train_loss=last.train_loss,
        train_accuracy=last.train_accuracy,
        test_loss=last.test_loss,
        test_accuracy=last.test_accuracy,
        confusion_matrix=matrix.tolist(),
        precision=precision.tolist(),
        recall=recall.tolist(),
        import_seconds=0.0,
        import_rss_bytes=0,
        peak_rss_bytes=peak_rss_bytes(),
        notes=network.notes or None,
        tutorial=network.tutorial or None,
        **measured,
    )


def distort(network: Backend, images: np.ndarray, epoch: int) -> np.ndarray:
    """The training images as an epoch (from 1) of the network's recipe shows them."""
    if not network.recipe.distorts:
        return images
    return distortions.distorted(network.recipe, images, epoch, network.resample)


class Average:
    """The mean of a network's weights over the last share of its training, if the recipe asks.

    Averaged weights lie in the middle of what the last updates wander around (Polyak & Juditsky
    1992; Izmailov et al. 2018). They are taken PORTIONS times an epoch.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.begin = recipe.epochs * (1 - recipe.average)
        self.mean: Weights = {}
        self.count = 0

    def add(self, network: Backend, epochs_done: float) -> None:
        """Take the weights in, if it is time."""
        if epochs_done <= self.begin:
            return
        self.count += 1
        for name, now in network.weights.items():
            mean = self.mean.setdefault(name, np.zeros_like(now))
            mean += (now - mean) / now.dtype.type(self.count)

    @contextmanager
    def standing_in(self, network: Backend) -> Iterator[None]:
        """Within the block the network has the mean's weights, if there are any yet."""
        if not self.count:
            yield
            return
        with network.restored():
            network.weights = self.mean
            yield


def batches_and_rates(
    recipe: Recipe, count: int, epoch: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """The batches of one epoch (from 1) over `count` images, and each one's learning rate."""
    order = epoch_batches(count, recipe.batch_size, recipe.seed, epoch)
    steps = len(order)
    first, total = (epoch - 1) * steps, recipe.epochs * steps
    rates = schedules.learning_rates(recipe.schedule, recipe.learning_rate, first, steps, total)
    return order, rates


def _train_epoch(
    network: Backend,
    train_set: Split,
    order: list[np.ndarray],
    rates: np.ndarray,
    epoch: int,
    training: Stopwatch,
    average: Average,
    on_event: OnEvent,
) -> tuple[dict[str, float], Running]:
    """One epoch in portions: the running means, weighted by batch size, and every update."""
    with training():
        shown = distort(network, train_set.images, epoch)
    loss_sum, right, seen = 0.0, 0, 0
    portions = []
    portion = len(order) if network.tutorial else -(-len(order) // PORTIONS)
    for start in range(0, len(order), portion):
        part = order[start : start + portion]
        share = epoch - 1 + (start + len(part)) / len(order)
        with training():
            now = rates[start : start + portion]
            running = network.train_epoch(shown, train_set.labels, part, now)
            average.add(network, share)
        portions.append(running)
        sizes = np.array([len(batch) for batch in part])
        loss_sum += float(running.losses @ sizes)
        right += int(running.correct.sum())
        seen += int(sizes.sum())
        progress = {"running_loss": loss_sum / seen, "running_accuracy": right / seen}
        on_event({"event": "running", "epoch": epoch, "epochs_done": share, **progress})
    return progress, Running(*(np.concatenate(column) for column in zip(*portions, strict=True)))


def logits(network: Backend, images: np.ndarray, chunk: int = 2_000) -> np.ndarray:
    """Forward in chunks, so that evaluation needs little memory; (N, classes)."""
    parts = [network.forward(images[i : i + chunk]) for i in range(0, len(images), chunk)]
    return np.concatenate(parts)
