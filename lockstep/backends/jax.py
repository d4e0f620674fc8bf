"""The same network in JAX: pure functions, `value_and_grad`, `jit`, `lax.scan`, Optax."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jax.extend.core import Jaxpr, Literal, Var
from optax import OptState

from ..data.datasets import scale
from ..data.order import padded_runs
from ..errors import LockstepError
from ..layouts import Weights, dense_names
from ..recipe import Recipe
from .cache import Kept
from .contract import Backend, Operation, Running, Step

Tree = dict[str, Array]
"""Weights, or what there is one of for each, as JAX's arrays by name."""
Carry = tuple[Tree, OptState]
"""What goes from update to update: the weights and the optimizer's memory."""
Pair = tuple[Array, Array]
Plan = tuple[Array, Array, Array]
"""Of some updates: their batches' indices, their rates, and whether each is wanted."""

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu, "sigmoid": jax.nn.sigmoid}
SLOTS = {"velocity": "trace", "m": "mu", "v": "nu"}
"""The contract's names for an optimizer's memory, and those of Optax."""

CHUNK = 100
"""Updates in one compiled scan. Shapes are compiled in, so every scan has the same length and is
told which of its updates are wanted."""

# --- Pure functions: what they need comes in, what they change comes out --------------------------
# The recipe is static: it is compiled in, once for all networks that share it.


@partial(jax.jit, static_argnames="recipe")
def predict(recipe: Recipe, weights: Tree, images: Array) -> Array:
    """Logits (N, classes) of images (N, inputs)."""
    x = images
    for layer in range(len(recipe.hidden) + 1):
        if layer > 0:
            x = ACTIVATIONS[recipe.activation](x)
        matrix, bias = dense_names(layer)
        x = x @ weights[matrix] + weights[bias]  # (N, out)
    return x


def loss_and_logits(weights: Tree, recipe: Recipe, images: Array, labels: Array) -> Pair:
    """What is minimised, a scalar, and the logits on the way to it."""
    logits = predict(recipe, weights, images)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    if recipe.l2:
        decaying = (weights[name] for name, layout in recipe.layouts.items() if layout.decays)
        loss += recipe.l2 / 2 * sum(jnp.sum(jnp.square(w)) for w in decaying)
    return loss, logits


def optimizer(recipe: Recipe, learning_rate: Array | float) -> optax.GradientTransformation:
    """Optax's own, made anew for each update's rate: it is two pure functions and costs nothing.

    (`optax.inject_hyperparams` also changes a rate, but rounds the betas to the weights' dtype.)
    With `eps_in_sqrt=False` RMSprop is PyTorch's; Adam and momentum are so as they come.
    """
    adam = {"b1": recipe.beta1, "b2": recipe.beta2, "eps": recipe.epsilon}
    match recipe.optimizer:
        case "sgd":
            return optax.sgd(learning_rate)
        case "momentum" | "nesterov":
            return optax.sgd(learning_rate, recipe.momentum, recipe.optimizer == "nesterov")
        case "rmsprop":
            return optax.rmsprop(learning_rate, recipe.rho, recipe.epsilon, eps_in_sqrt=False)
        case "adam":
            return optax.adam(learning_rate, **adam)
    decays = {name: layout.decays for name, layout in recipe.layouts.items()}
    return optax.adamw(learning_rate, **adam, weight_decay=recipe.weight_decay, mask=decays)


@partial(jax.jit, static_argnames="recipe")
def update(
    recipe: Recipe, weights: Tree, memory: OptState, images: Array, labels: Array, rate: Array
) -> tuple[Tree, OptState, Array, Array, Tree]:
    """One update: the new weights and memory; logits, loss and gradients from before it."""
    slope = jax.value_and_grad(loss_and_logits, has_aux=True)
    (loss, logits), gradients = slope(weights, recipe, images, labels)
    moves, memory = optimizer(recipe, rate).update(gradients, memory, weights)
    return optax.apply_updates(weights, moves), memory, logits, loss, gradients


@partial(jax.jit, static_argnames="recipe")
def update_many(
    recipe: Recipe, weights: Tree, memory: OptState, images: Array, labels: Array, plan: Plan
) -> tuple[Carry, Pair]:
    """The updates of a plan: order (CHUNK, batch size), rates (CHUNK,), wanted (CHUNK,) bool.

    Returns the weights and memory after them, and each one's loss and number of right answers.
    """

    def one(carry: Carry, batch: Array, rate: Array) -> tuple[Carry, Pair]:
        pixels, answers = images[batch], labels[batch]
        if pixels.dtype == jnp.uint8:  # what `datasets.scale` does, a batch at a time
            pixels = pixels.astype(recipe.dtype) * scale(np.ones((), np.uint8), recipe.dtype)
        *carried, logits, loss, _ = update(recipe, *carry, pixels, answers, rate)
        return tuple(carried), (loss, jnp.count_nonzero(logits.argmax(axis=1) == answers))

    def none(carry: Carry, batch: Array, rate: Array) -> tuple[Carry, Pair]:
        return carry, (jnp.zeros((), recipe.dtype), jnp.zeros((), int))

    def one_if_wanted(carry: Carry, planned: Plan) -> tuple[Carry, Pair]:
        batch, rate, wanted = planned
        return lax.cond(wanted, one, none, carry, batch, rate)

    return lax.scan(one_if_wanted, (weights, memory), plan)


def add_operations(jaxpr: Jaxpr, names: dict[Var, str], found: list[Operation]) -> None:
    """Add a jaxpr's primitives in their order; a function that it calls is opened in its place.

    `names` has the node that each of its inputs comes from, and gets those of its results;
    "" is a constant, which has none.
    """
    for equation in jaxpr.eqns:
        sources = ["" if isinstance(v, Literal) else names[v] for v in equation.invars]
        called = equation.params.get("jaxpr") or equation.params.get("call_jaxpr")
        if called:
            names.update(zip(called.jaxpr.invars, sources, strict=True))
            add_operations(called.jaxpr, names, found)
            results = [names[variable] for variable in called.jaxpr.outvars]
        else:
            kind, shape = equation.primitive.name, equation.outvars[0].aval.shape
            results = [f"{kind}_{len(found)}"]
            found.append(Operation(results[0], kind, tuple(filter(None, sources)), shape))
        names.update(zip(equation.outvars, results, strict=True))


# --- The contract ---------------------------------------------------------------------------------


class Network(Backend):
    """JAX with Optax, whose optimizers speak PyTorch's dialect."""

    dialect = "torch"

    @classmethod
    def devices(cls, dtype: str) -> Sequence[str]:
        return ("cuda", "cpu") if jax.default_backend() == "gpu" else ("cpu",)

    @classmethod
    def version(cls) -> str:
        return f"JAX {jax.__version__} (Optax {optax.__version__})"

    def build(self) -> None:
        """Nothing but where to compute: the network is the functions above and its weights."""
        if self.formulas:
            raise LockstepError(f"{self.version()} writes Adam and the loss in its own way alone.")
        self.place = jax.devices(self.device)[0]
        self.resident = Kept(self._on_device)

    @contextmanager
    def _as_needed(self) -> Iterator[None]:
        """JAX as this network needs it; afterwards as it was, for whoever else uses it.

        Without x64, JAX makes float32 of every float64, silently. It is on for float32 networks
        too, whose arrays stay float32: Optax computes Adam's 1 - βᵗ in JAX's default precision,
        which as float32 is off by 2e-5 of it where t is small (measured). "highest" forbids TF32.
        """
        exact = jax.enable_x64(True), jax.default_matmul_precision("highest")
        with exact[0], exact[1], jax.default_device(self.place):
            yield

    def _read_weights(self) -> Weights:
        return self._numpy(self.parameters)

    def _write_weights(self, weights: Weights) -> None:
        self.parameters = self._arrays(weights)

    def _numpy(self, named: Tree) -> Weights:
        """A copy of each, in the recipe's order: JAX sorts a dictionary by its keys."""
        return {name: np.array(named[name]) for name in self.recipe.shapes}

    def _arrays(self, named: Weights) -> Tree:
        with self._as_needed():
            return {name: jnp.array(array, self.recipe.dtype) for name, array in named.items()}

    def _count_updates(self) -> int:
        return self.updates

    def _read_memory(self, slot: str) -> Weights:
        return self._numpy(optax.tree.get(self.memory, SLOTS[slot]))

    def _write_memory(self, updates: int, memory: dict[str, Weights]) -> None:
        self.updates = updates
        with self._as_needed():
            self.memory = optimizer(self.recipe, 0.0).init(self.parameters)
            own = {SLOTS[slot]: self._arrays(weights) for slot, weights in memory.items()}
            if "m" in memory:  # Adam alone counts its updates
                own["count"] = jnp.int32(updates)
            self.memory = optax.tree.set(self.memory, **own)

    def forward(self, images: np.ndarray) -> np.ndarray:
        with self._as_needed():
            images = jnp.asarray(self.scaled(images), self.recipe.dtype)
            return np.array(predict(self.recipe, self.parameters, images))

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        dtype, rate = self.recipe.dtype, self.rates(1, learning_rate)[0]
        with self._as_needed():
            batch = jnp.asarray(self.scaled(images), dtype), jnp.asarray(labels, jnp.int32)
            self.parameters, self.memory, logits, loss, gradients = update(
                self.recipe, self.parameters, self.memory, *batch, jnp.asarray(rate, dtype)
            )
        self.updates += 1
        return Step(np.array(logits), float(loss), self._numpy(gradients), self.weights)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """One compiled scan for a hundred updates, the images already in place."""
        rates = self.rates(len(batches), learning_rates)
        runs = []
        with self._as_needed():
            data = self.resident.of(images, labels)
            for order, padded, count in padded_runs(batches, rates, CHUNK):
                plan = order, padded.astype(self.recipe.dtype), np.arange(CHUNK) < count
                (self.parameters, self.memory), columns = update_many(
                    self.recipe, self.parameters, self.memory, *data, plan
                )
                self.updates += count
                runs.append([np.array(column)[:count] for column in columns])
        return Running(*(np.concatenate(column) for column in zip(*runs, strict=True)))

    def _on_device(self, images: np.ndarray, labels: np.ndarray) -> Pair:
        """The training set as JAX's arrays."""
        dtype = jnp.uint8 if images.dtype == np.uint8 else self.recipe.dtype
        return jnp.asarray(images, dtype), jnp.asarray(labels, jnp.int32)

    def graph(self, images: np.ndarray) -> list[Operation]:
        """The jaxpr of `predict`, whose inputs are the weights, sorted by name, and the images."""
        with self._as_needed():
            batch = jnp.asarray(self.scaled(images), self.recipe.dtype)
            jaxpr = predict.trace(self.recipe, self.parameters, batch).jaxpr.jaxpr
        names = dict(zip(jaxpr.invars, [*sorted(self.parameters), "images"], strict=True))
        found = [Operation(name, "input", (), v.aval.shape) for v, name in names.items()]
        add_operations(jaxpr, names, found)
        return found
