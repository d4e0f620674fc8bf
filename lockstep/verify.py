"""The proof: a framework beside the network by hand, step by step, every number of every step.

Two views. *Synced*: every step starts from NumPy's weights and optimizer memory, so a difference is
that step's own. *Free*: each goes its own way from the same start, so differences may grow.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from . import schedules, worker
from .backend import REFERENCE, Backend, Step
from .backends.numpy import Network as ByHand
from .batches import OrderHash, epoch_batches
from .datasets import Dataset, Split, scale
from .errors import LockstepError, TrainingFailed
from .recipe import Recipe, weights_sha256
from .recipe import from_dict as recipe_from_dict

SCHEMA = 1
VIEWS = ("synced", "free")
KINDS = ("logits", "loss", "gradient", "weight", "memory")
"""What a step computes, in the order in which it is computed."""

FLOAT64 = {"logits": 1e-12, "loss": 1e-12, "gradient": 1e-13, "weight": 1e-12, "memory": 1e-13}
TOLERANCES: dict[tuple[str, str], dict[str, float]] = {
    ("float64", "synced"): FLOAT64,
    ("float64", "free"): FLOAT64,
    ("float32", "synced"): {
        "logits": 2e-5,
        "loss": 2e-6,
        "gradient": 1e-6,
        "weight": 1e-5,
        "memory": 1e-6,
    },
    ("float32", "free"): dict.fromkeys(KINDS, np.inf),
}
"""Largest absolute difference that still is rounding. Measured over an epoch of MNIST in float64:
logits 3e-14, weights 6e-14, gradients and memory 3e-16. In float32 the rounding error of a gradient
near 0 is divided by √v, which is as small, so weights differ by more than gradients; and a free
trajectory drifts by more than any bound: it is shown, not judged."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One backend beside the network by hand in one view."""

    backend: str
    version: str
    device: str
    dialect: str
    view: str
    tensors: list[str]
    """E.g. "logits", "loss", "gradient dense1.weight", "weight dense0.bias", in computed order."""
    differences: np.ndarray
    """(steps, tensors): the largest absolute difference; NaN where either is no number."""
    undecided: np.ndarray
    """(steps,) bool: steps in which a ReLU stands on its kink. Their logits and loss are judged,
    what follows from the backward pass is only shown."""
    tolerances: dict[str, float]

    @property
    def bounds(self) -> np.ndarray:
        """The tolerance of each tensor, (tensors,)."""
        return np.array([self.tolerances[kind_of(tensor)] for tensor in self.tensors])

    @property
    def judged(self) -> bool:
        """Whether there is a bound and a step to hold to it; free float32 is only shown."""
        return bool(np.isfinite(self.bounds).any() and not self.undecided.all())

    @property
    def counts(self) -> np.ndarray:
        """(steps, tensors) bool: which differences count."""
        forward = np.isin(self.tensors, ("logits", "loss"))
        return ~self.undecided[:, None] | forward

    @property
    def first(self) -> tuple[int, str, float] | None:
        """Step (from 1), tensor and size of the first difference out of tolerance, or None."""
        beyond = ~(self.differences <= self.bounds)  # NaN is beyond every bound
        beyond &= self.counts
        if not beyond.any():
            return None
        step, tensor = divmod(int(beyond.argmax()), len(self.tensors))
        return step + 1, self.tensors[tensor], float(self.differences[step, tensor])

    @property
    def same(self) -> bool:
        """Whether every number of every step is within its tolerance."""
        return self.first is None

    def worst(self, kind: str | None = None) -> float:
        """The largest difference that counts, of one kind of tensor or of all."""
        columns = np.array([kind in (None, kind_of(tensor)) for tensor in self.tensors])
        return float(self.differences[self.counts & columns].max(initial=0))

    def to_dict(self) -> dict:
        """Plain values for JSON; `from_dict` reads them back. A difference of NaN is null."""
        finite = [[d if np.isfinite(d) else None for d in row] for row in self.differences.tolist()]
        bounds = {k: v if np.isfinite(v) else None for k, v in self.tolerances.items()}
        first = None
        if self.first:
            step, tensor, size = self.first
            first = {
                "step": step,
                "tensor": tensor,
                "difference": size if np.isfinite(size) else None,
            }
        return {
            **{f: getattr(self, f) for f in ("backend", "version", "device", "dialect", "view")},
            "tensors": self.tensors,
            "differences": finite,
            "undecided": self.undecided.tolist(),
            "tolerances": bounds,
            "judged": self.judged,
            "same": self.same,
            "first": first,
        }


def from_dict(values: dict) -> Comparison:
    """A comparison from what `to_dict` gave."""
    fields = {f.name: values[f.name] for f in dataclasses.fields(Comparison)}
    fields["differences"] = np.array(values["differences"], float)  # null becomes NaN
    fields["undecided"] = np.array(values["undecided"], bool)
    fields["tolerances"] = {
        kind: np.inf if bound is None else bound for kind, bound in values["tolerances"].items()
    }
    return Comparison(**fields)


class Proof(NamedTuple):
    """What `verify` found."""

    recipe: Recipe
    dataset: str
    steps: int
    initial_weights_sha256: str
    batch_order_sha256: str
    comparisons: list[Comparison]
    failures: dict[str, str]

    @property
    def same(self) -> bool:
        """Whether all ran, something was judged, and nothing that was judged is different."""
        judged = any(c.judged for c in self.comparisons)
        return judged and not self.failures and all(c.same for c in self.comparisons)

    def to_dict(self) -> dict:
        """Plain values for JSON."""
        return {
            "schema": SCHEMA,
            **self._asdict(),
            "recipe": self.recipe.to_dict(),
            "comparisons": [c.to_dict() for c in self.comparisons],
            "same": self.same,
            "verdict": verdict(self),
        }


def proof_from_dict(values: dict) -> Proof:
    """A proof from what `Proof.to_dict` gave."""
    fields = {name: values[name] for name in Proof._fields}
    fields["recipe"] = recipe_from_dict(values["recipe"])
    fields["comparisons"] = [from_dict(comparison) for comparison in values["comparisons"]]
    return Proof(**fields)


def kind_of(tensor: str) -> str:
    """The kind of a tensor by its name: "gradient dense1.weight" is a gradient."""
    return tensor.split()[0]


# --- In the worker: one backend -------------------------------------------------------------------


def beside(
    network: Backend,
    reference: ByHand,
    batches: Iterable[tuple[np.ndarray, np.ndarray, float]],
    view: str,
    tell: Callable[[int], None] = lambda step: None,
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Step both through the batches (images, labels, learning rate).

    Both start from the same weights with an empty memory; `tell` gets the number of each step done.
    Returns the tensors' names, and what `Comparison` calls differences and undecided.
    """
    names: list[str] = []
    rows, undecided = [], []
    for step, (images, labels, rate) in enumerate(batches, start=1):
        if view == "synced":
            memory = reference.state
            network.weights = reference.weights  # which clears the memory
            network.state = memory
        undecided.append(view == "synced" and on_a_kink(reference, images))
        ours = _numbers(reference.step(images, labels, rate), reference)
        theirs = _numbers(network.step(images, labels, rate), network)
        names = names or list(ours)
        rows.append([_difference(theirs[name], ours[name]) for name in names])
        tell(step)
    return names, np.array(rows), np.array(undecided)


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


def _numbers(step: Step, network: Backend) -> dict[str, np.ndarray]:
    """Every tensor of a step under its name, in the order in which it was computed."""
    numbers = {"logits": step.logits, "loss": np.array(step.loss)}
    for name in reversed(step.gradients):  # the backward pass starts at the last layer
        numbers[f"gradient {name}"] = step.gradients[name]
    numbers |= {f"weight {name}": array for name, array in step.weights.items()}
    memory = {f"memory {name}": array for name, array in network.state.items()}
    return numbers | {name: a for name, a in memory.items() if name != "memory updates"}


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


class Trial(NamedTuple):
    """What is proved: a recipe, in some views, on a device."""

    recipe: Recipe
    views: tuple[str, ...]
    device: str = "auto"


def work(job: dict, network_class: type[Backend], data: Dataset, tell: Callable) -> None:
    """The worker's part: one backend in every trial, in every view that is asked for.

    The job says besides: "trials", each a recipe, its views and a device; "steps", "dialect",
    "tolerance". Each comparison is told as soon as it is there, so that a later one that fails
    takes nothing away.
    """
    for place, (values, views, device) in enumerate(job["trials"]):
        recipe = recipe_from_dict(values, "the job")
        weights = recipe.initial_weights()
        for view in views:
            network = network_class(recipe, weights, device)
            network.tell = tell
            dialect = job["dialect"] or network.dialect
            reference = ByHand(dataclasses.replace(recipe, dialect=dialect), weights)
            batches = batches_of(recipe, data.train, job["steps"])
            step = functools.partial(_tell_step, tell, f"{recipe.dtype}, {view}")
            names, differences, undecided = beside(network, reference, batches, view, step)
            about = (job["backend"], network.version(), network.device, dialect, view)
            bounds = tolerances(recipe, view, job["tolerance"])
            found = Comparison(*about, names, differences, undecided, bounds).to_dict()
            tell({"event": "comparison", "trial": place, "comparison": found})


def _tell_step(tell: Callable, title: str, step: int) -> None:
    tell({"event": "step", "title": title, "step": step})


# --- In the parent: all of them -------------------------------------------------------------------


ADAPTIVE = ("rmsprop", "adam", "adamw")
"""Optimizers that divide a gradient by its own size, and with it the rounding error of one that is
as small as epsilon: in float32 such a weight may move by a tenth of the learning rate, rightly
(seen: 0.03 of it, in a layer of 2,048). What the formula does is judged in float64."""


def tolerances(recipe: Recipe, view: str, given: float | None = None) -> dict[str, float]:
    """The tolerance of each kind of tensor; one that is given counts for all."""
    if given is not None:
        return dict.fromkeys(KINDS, given)
    bounds = TOLERANCES[recipe.dtype, view]
    if recipe.dtype == "float32" and recipe.optimizer in ADAPTIVE:
        return bounds | {"weight": max(bounds["weight"], recipe.learning_rate / 10)}
    return bounds


def verify(
    recipe: Recipe,
    backends: tuple[str, ...],
    data: Dataset,
    steps: int = 100,
    views: tuple[str, ...] = VIEWS,
    dialect: str | None = None,
    tolerance: float | None = None,
    device: str = "auto",
    tell: Callable[[str, dict], None] = lambda backend, event: None,
) -> Proof:
    """Hold each backend against the network by hand, each in a process of its own.

    Without a dialect, NumPy speaks each backend's own. `tell` gets the backend and each event.
    """
    trials = [Trial(recipe, views, device)]
    return prove(trials, backends, data, steps, dialect, tolerance, tell)[0]


def prove(
    trials: Sequence[Trial],
    backends: tuple[str, ...],
    data: Dataset,
    steps: int,
    dialect: str | None = None,
    tolerance: float | None = None,
    tell: Callable[[str, dict], None] = lambda backend, event: None,
) -> list[Proof]:
    """`verify` for several trials; a framework is imported once for all. Raises if all fail."""
    found: list[list[Comparison]] = [[] for _ in trials]
    failures: dict[str, worker.WorkerFailed] = {}

    def listen(backend: str, event: dict) -> None:
        if event["event"] == "comparison":
            found[event["trial"]].append(from_dict(event["comparison"]))
        else:
            tell(backend, event)

    for backend in (b for b in backends if b != REFERENCE):
        job = {
            **worker.job("verify", backend, trials[0].recipe, data, trials[0].device),
            "trials": [(recipe.to_dict(), views, device) for recipe, views, device in trials],
            "steps": steps,
            "dialect": dialect,
            "tolerance": tolerance,
        }
        try:
            worker.run(job, functools.partial(listen, backend), worker.ONE_THREAD)
        except worker.WorkerFailed as error:
            failures[backend] = error
    if failures and not any(found):
        kind = LockstepError if all(e.unusable for e in failures.values()) else TrainingFailed
        raise kind(" ".join(f"{name} failed: {error}" for name, error in failures.items()))
    words = {name: str(error) for name, error in failures.items()}
    return [
        _proof(trial.recipe, data, steps, comparisons, words)
        for trial, comparisons in zip(trials, found, strict=True)
    ]


def _proof(
    recipe: Recipe, data: Dataset, steps: int, found: list[Comparison], failures: dict[str, str]
) -> Proof:
    order_hash = OrderHash()
    order_hash.add(_order(recipe, len(data.train.labels), steps))
    start = weights_sha256(recipe.initial_weights())
    return Proof(recipe, data.title, steps, start, order_hash.hexdigest(), found, failures)


def verdict(proof: Proof) -> str:
    """One sentence for each thing that a reader must know, the verdict first."""
    different = [c for c in proof.comparisons if not c.same]
    judged = [c for c in proof.comparisons if c.judged]
    sentences = []
    if judged and not different:
        *most, last = dict.fromkeys(c.backend for c in judged)
        names = f"{', '.join(most)} or {last}" if most else last
        sentences.append(
            f"The same: over {proof.steps} steps in {proof.recipe.dtype}, no number of {names} "
            f"differs from NumPy's by more than {max(c.worst() for c in judged):.1e}."
        )
    for c in different:
        step, tensor, size = c.first or (0, "", 0.0)
        bound = c.tolerances[kind_of(tensor)]
        sentences.append(
            f"Not the same: {c.backend} ({c.view}) first differs at step {step} in {tensor}, by "
            f"{size:.1e}; the tolerance is {bound:.0e}."
        )
    for c in proof.comparisons:
        if c.undecided.any():
            sentences.append(
                f"{c.backend}: in {c.undecided.sum()} of {proof.steps} synced steps rounding "
                "decides whether a ReLU is on; of these only logits and loss are judged."
            )
        if c.undecided.all():
            sentences.append(f"{c.backend}: no {c.view} step could be judged; try --dtype float64.")
        elif not c.judged:
            sentences.append(
                f"On its own trajectory {c.backend} drifts by {c.worst('weight'):.1e} in a weight "
                f"within {proof.steps} steps of {proof.recipe.dtype}; that is shown, not judged."
            )
    sentences += [f"{backend} failed: {why}" for backend, why in proof.failures.items()]
    return " ".join(sentences)
