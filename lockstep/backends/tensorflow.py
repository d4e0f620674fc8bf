"""The same network in TensorFlow: Keras layers, Keras loss, Keras optimizer."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data.order import padded_runs
from ..errors import LockstepError
from ..layouts import Weights
from ..recipe import Recipe
from .cache import Kept
from .contract import Backend, Formulas, Operation, Running, Step, optimizer_slots


@contextmanager
def keras_on_tensorflow() -> Iterator[None]:
    """Keras, imported in this block, lets TensorFlow compute: it reads that from the environment.

    Raises LockstepError if it has been imported before, with another backend.
    """
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        yield
    finally:
        del os.environ["KERAS_BACKEND"]
        if before is not None:
            os.environ["KERAS_BACKEND"] = before
    if keras.config.backend() != "tensorflow":
        raise LockstepError(
            f"Keras computes with {keras.config.backend()} in this process, and stays with what "
            "it was imported with; set KERAS_BACKEND=tensorflow before Keras is imported."
        )


with keras_on_tensorflow():
    import keras
    import tensorflow as tf
    from keras.src.backend.common import global_state
    from tensorflow import Tensor
    from tensorflow.python.eager import context

SLOTS = {"velocity": "momentum", "m": "momentum", "v": "velocity"}
"""The contract's names for an optimizer's memory, and those of Keras."""

CHUNK = 500
"""Updates in one compiled loop, an epoch of MNIST in batches of 128 or more (with 100, an
epoch of batches of 32 takes a seventh longer). Shapes are compiled in, so every loop has the same
length and is told how many of its updates to do."""

HEADS = {
    "logits": keras.activations.linear,
    "softmax": keras.activations.softmax,  # whose logits Keras' loss takes back when it can
    "clipped": lambda logits: tf.identity(keras.activations.softmax(logits)),  # here it cannot
}
"""What stands between the last layer and the loss, for each loss form of `Formulas`."""


# --- The process' own settings, which a network needs otherwise -----------------------------------


def settings() -> tuple[str, keras.DTypePolicy | None, bool, int]:
    """As they are: Keras' default dtype, twice; TF32; and what TensorFlow logs."""
    return (
        keras.config.floatx(),
        global_state.get_global_attribute("dtype_policy"),  # None until somebody asks for it
        tf.config.experimental.tensor_float_32_execution_enabled(),
        tf.get_logger().level,
    )


def set_all(floatx: str, policy: keras.DTypePolicy | None, tf32: bool, log_level: int) -> None:
    keras.config.set_floatx(floatx)
    global_state.set_global_attribute("dtype_policy", policy)
    tf.config.experimental.enable_tensor_float_32_execution(tf32)
    tf.get_logger().setLevel(log_level)


@contextmanager
def as_needed(dtype: str, tf32: bool = False) -> Iterator[None]:
    """Settings for a network of this dtype; afterwards as they were, for whoever else uses them.

    Keras reads floatx when it builds and when it traces: for the optimizer's learning rate, its
    constants and the means of `fit`. TensorFlow would use TF32 on a GPU, and a proof, which
    builds many networks, needs no advice about retracing. Initializers draw from Python's `random`.
    """
    before, drawn = settings(), random.getstate()
    set_all(dtype, keras.DTypePolicy(dtype), tf32, logging.ERROR)
    try:
        yield
    finally:
        set_all(*before)
        random.setstate(drawn)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """As after `keras.utils.set_random_seed(seed)`; afterwards all go on drawing where they were.

    That is Python's `random`, from which initializers take their seeds, and TensorFlow's seed, by
    which `fit` shuffles. The latter is set from within: `tf.random.set_seed` would start every
    random operation of the process anew.
    """
    state, drawn = vars(context.context()), random.getstate()
    before = {name: state.get(name) for name in ("_seed", "_rng")}
    random.seed(seed)
    state.update(_seed=seed, _rng=random.Random(seed))
    try:
        yield
    finally:
        state.update(before)
        random.setstate(drawn)


# --- Keras, where it is to compute or to tell as it usually does not ------------------------------


class ImitatingAdam(keras.optimizers.Adam):
    """Keras' own Adam, fed with the learning rate and the epsilon that make it another's."""

    epsilon: float

    def __init__(self, recipe: Recipe, formulas: Formulas) -> None:
        super().__init__(recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)
        self.recipe, self.formulas = recipe, formulas

    def update_step(
        self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor
    ) -> None:
        """Keras computes lr·√k₂/k₁ · m/(√v + ε), k = 1 - βᵗ with betas rounded to float32.

        With exact betas the rate is to be lr·√c₂/c₁, and an epsilon outside is ε·√c₂.
        """
        dtype = variable.dtype
        t = tf.cast(self.iterations + 1, tf.float64)
        betas = self.formulas.correction_betas(self.recipe)
        c1, c2 = (tf.cast(1 - tf.constant(beta, tf.float64) ** t, dtype) for beta in betas)
        if self.formulas.betas == "exact":
            own_betas = (tf.cast(beta, dtype) for beta in (self.beta_1, self.beta_2))
            k1, k2 = (1 - beta ** tf.cast(t, dtype) for beta in own_betas)
            learning_rate *= (tf.sqrt(c2) / c1) / (tf.sqrt(k2) / k1)
        epsilon = self.epsilon
        if self.formulas.epsilon == "outside":
            self.epsilon = epsilon * tf.sqrt(c2)
        super().update_step(gradient, variable, learning_rate)
        self.epsilon = epsilon


class Scribe(keras.Model):
    """A model that learns nothing and writes down the batches that `fit` brings it."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[np.ndarray] = []

    def train_step(self, data: Tensor) -> dict[str, float]:
        self.seen.append(data.numpy())
        return {"loss": 0.0}  # `fit` wants something to report


class Diary(keras.callbacks.Callback):
    """Sets the learning rate of each batch where it changes, and keeps what `fit` tells after."""

    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.rates = rates
        self.told: list[dict[str, float]] = []

    def on_train_begin(self, logs: object = None) -> None:
        self.model.optimizer.learning_rate.assign(self.rates[0])

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        if batch and self.rates[batch] != self.rates[batch - 1]:
            self.model.optimizer.learning_rate.assign(self.rates[batch])

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        self.told.append(logs)


class Network(Backend):
    """Keras on TensorFlow: `Sequential`, `SparseCategoricalCrossentropy(from_logits=True)`.

    Keras writes Adam in a dialect of its own, which `by_hand.optimizers.Adam` explains.
    """

    dialect = "keras"

    @classmethod
    def devices(cls, dtype: str) -> Sequence[str]:
        return ("cuda", "cpu") if tf.config.list_physical_devices("GPU") else ("cpu",)

    @classmethod
    def version(cls) -> str:
        return f"TensorFlow {tf.__version__} (Keras {keras.__version__})"

    @classmethod
    def own_weights(cls, recipe: Recipe, seed: int) -> Weights:
        """What `Dense` draws after `keras.utils.set_random_seed(seed)`."""
        with as_needed("float32"), seeded(seed):
            layers = [keras.layers.Dense(size, dtype="float32") for size in recipe.sizes[1:]]
            drawn = keras.Sequential([keras.Input((recipe.inputs,)), *layers]).get_weights()
        return {n: a.astype(recipe.dtype) for n, a in zip(recipe.shapes, drawn, strict=True)}

    @classmethod
    def own_batches(cls, count: int, batch_size: int, epochs: int, seed: int) -> list[np.ndarray]:
        """The order in which `fit` goes after `set_random_seed(seed)`, written down by a model."""
        with as_needed("float32"), seeded(seed):
            scribe = Scribe()
            scribe.compile(run_eagerly=True)
            scribe.fit(np.arange(count), batch_size=batch_size, epochs=epochs, verbose=0)
        return scribe.seen

    def build(self) -> None:
        recipe = self.recipe
        activations = [recipe.activation] * len(recipe.hidden) + [None]
        self.head = HEADS[self.formulas.loss] if self.formulas else keras.activations.linear
        with self._as_needed():
            layers = [
                keras.layers.Dense(size, activation)
                for size, activation in zip(recipe.sizes[1:], activations, strict=True)
            ]
            self.model = keras.Sequential([keras.Input((recipe.inputs,)), *layers])
            self.loss = keras.losses.SparseCategoricalCrossentropy(
                from_logits=self.head is keras.activations.linear
            )
            layouts, variables = recipe.layouts, self.model.trainable_variables
            self.variables = dict(zip(layouts, variables, strict=True))
            self.decaying = [v for name, v in self.variables.items() if layouts[name].decays]
            self.optimizer = self._new_optimizer()
            self.optimizer.build(variables)
        self._one = tf.function(self._update)
        self._many = tf.function(self._loop, jit_compile=True)
        self._logits = tf.function(self.model)
        self.resident = Kept(self._on_device)

    @contextmanager
    def _as_needed(self) -> Iterator[None]:
        """The process' settings for this network, and its device."""
        tf32 = self.formulas.tf32 if self.formulas else False
        device = tf.device("/GPU:0" if self.device == "cuda" else "/CPU:0")
        with as_needed(self.recipe.dtype, tf32), device:
            yield

    def _new_optimizer(self) -> keras.optimizers.Optimizer:
        recipe, lr = self.recipe, self.recipe.learning_rate
        adam = {"beta_1": recipe.beta1, "beta_2": recipe.beta2, "epsilon": recipe.epsilon}
        match recipe.optimizer:
            case "sgd":
                return keras.optimizers.SGD(lr)
            case "momentum" | "nesterov":
                nesterov = recipe.optimizer == "nesterov"
                return keras.optimizers.SGD(lr, recipe.momentum, nesterov)
            case "rmsprop":
                return keras.optimizers.RMSprop(lr, recipe.rho, epsilon=recipe.epsilon)
            case "adam" if self.formulas:
                return ImitatingAdam(recipe, self.formulas)
            case "adam":
                return keras.optimizers.Adam(lr, **adam)
        optimizer = keras.optimizers.AdamW(lr, weight_decay=recipe.weight_decay, **adam)
        others = [v for name, v in self.variables.items() if not recipe.layouts[name].decays]
        optimizer.exclude_from_weight_decay(others)
        return optimizer

    def _read_weights(self) -> Weights:
        return {name: variable.numpy() for name, variable in self.variables.items()}

    def _write_weights(self, weights: Weights) -> None:
        for name, variable in self.variables.items():
            variable.assign(weights[name])

    def _slot(self, slot: str) -> Iterable[tuple[str, keras.Variable]]:
        """The optimizer's own variables for one of the contract's names, by weight.

        Keras makes them for one weight after the other, and names them by the weight and the slot.
        """
        suffix = f"_{SLOTS[slot]}"
        own = [v for v in self.optimizer.variables if v.path.endswith(suffix)]
        return zip(self.recipe.shapes, own, strict=True)

    def _count_updates(self) -> int:
        return int(self.optimizer.iterations.numpy())

    def _read_memory(self, slot: str) -> Weights:
        return {name: variable.numpy() for name, variable in self._slot(slot)}

    def _write_memory(self, updates: int, memory: dict[str, Weights]) -> None:
        self.optimizer.iterations.assign(updates)
        for slot in optimizer_slots(self.recipe):
            for name, variable in self._slot(slot):
                variable.assign(memory[slot][name] if memory else np.zeros(variable.shape))

    def _update(
        self, images: Tensor, labels: Tensor, learning_rate: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Forward, loss, backward, apply, as a custom Keras training step has it."""
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            loss = self.loss(labels, self.head(logits))
            if self.recipe.l2:
                loss += self.recipe.l2 / 2 * tf.add_n([tf.reduce_sum(v**2) for v in self.decaying])
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.learning_rate.assign(learning_rate)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return logits, loss, gradients

    def _loop(
        self, images: Tensor, labels: Tensor, order: Tensor, rates: Tensor, count: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`count` updates in one compiled loop; order (CHUNK, batch size), rates (CHUNK,)."""
        losses = tf.TensorArray(self.recipe.dtype, size=len(order))
        correct = tf.TensorArray(tf.int64, size=len(order))
        i = tf.constant(0)
        while i < count:  # over tf.range(count), XLA would compile anew for every count
            pixels, answers = tf.gather(images, order[i]), tf.gather(labels, order[i])
            if pixels.dtype == tf.uint8:  # what `datasets.scale` does, a batch at a time
                pixels = tf.cast(pixels, self.recipe.dtype) * self.scaled(np.ones((), np.uint8))
            logits, loss, _ = self._update(pixels, answers, rates[i])
            right = tf.argmax(logits, axis=1, output_type=tf.int32) == answers
            losses = losses.write(i, loss)
            correct = correct.write(i, tf.math.count_nonzero(right))
            i += 1
        return losses.stack(), correct.stack()

    def forward(self, images: np.ndarray) -> np.ndarray:
        with self._as_needed():
            return self._logits(tf.constant(self.scaled(images), self.recipe.dtype)).numpy()

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        dtype, rate = self.recipe.dtype, self.rates(1, learning_rate)[0]
        with self._as_needed():
            logits, loss, gradients = self._one(
                tf.constant(self.scaled(images), dtype),
                tf.constant(labels, tf.int32),
                tf.constant(rate, dtype),
            )
        named = {n: g.numpy() for n, g in zip(self.recipe.shapes, gradients, strict=True)}
        return Step(logits.numpy(), float(loss), named, self.weights)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """Not `fit`: one XLA-compiled loop for hundreds of updates, the images already in place."""
        rates = self.rates(len(batches), learning_rates)
        runs = [self._run(images, labels, *run) for run in padded_runs(batches, rates, CHUNK)]
        return Running(*(np.concatenate(column) for column in zip(*runs, strict=True)))

    def _run(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        order: np.ndarray,
        rates: np.ndarray,
        count: int,
    ) -> Running:
        """The first `count` updates of a run, which may be none."""
        with self._as_needed():
            data = self.resident.of(images, labels)
            plan = (tf.constant(order), tf.constant(rates, self.recipe.dtype), tf.constant(count))
            losses, correct = self._many(*data, *plan)
            return Running(losses.numpy()[:count], correct.numpy()[:count])

    def warm_up(
        self, images: np.ndarray, labels: np.ndarray, batches: Sequence[np.ndarray]
    ) -> None:
        """Compile the loop for each batch size, and let it do none of its updates."""
        for order, rates, _ in padded_runs([batches[0], batches[-1]], np.zeros(2), CHUNK):
            self._run(images, labels, order, rates, 0)

    def _on_device(self, images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
        """The training set as tensors."""
        dtype = tf.uint8 if images.dtype == np.uint8 else self.recipe.dtype
        return tf.constant(images, dtype), tf.constant(labels, tf.int32)

    def graph(self, images: np.ndarray) -> list[Operation]:
        """The `tf.Graph` of the function that computes the logits, traced for this shape."""
        spec = tf.TensorSpec(images.shape, self.recipe.dtype)
        with self._as_needed():
            operations = self._logits.get_concrete_function(spec).graph.get_operations()
        return [
            Operation(o.name, o.type, tuple(i.op.name for i in o.inputs), tuple(o.outputs[0].shape))
            for o in operations
            if o.outputs  # the last does nothing, and has none
        ]


class TutorialNetwork(Network):
    """Keras as its tutorials train: `compile`, then `fit`."""

    tutorial = "fit"
    _scaled: tuple[Any, Any] = (None, None)
    warm_up = Backend.warm_up

    def build(self) -> None:
        super().build()
        for kernel in self.decaying if self.recipe.l2 else ():
            kernel.regularizer = self._penalty  # as Dense(kernel_regularizer=…) sets it
        with self._as_needed():
            self.model.compile(self.optimizer, self.loss, metrics=["accuracy"])

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """`fit`, on images that are in our order; only the last batch may be of another size.

        It tells means over the epoch so far. The batches' own follow from them; in float32 they
        are as near as those means are exact, some 1e-4 late in an epoch.
        """
        order = np.concatenate(batches)
        diary = Diary(self.rates(len(batches), learning_rates).tolist())
        with self._as_needed():
            self.model.fit(
                self._kept(images)[order], labels[order], batch_size=len(batches[0]),
                shuffle=False, callbacks=[diary], verbose=0,
            )  # fmt: skip
        sizes = np.array([len(batch) for batch in batches])
        means = np.array([(logs["loss"], logs["accuracy"]) for logs in diary.told])
        losses, correct = np.diff(means.T * sizes.cumsum(), prepend=0.0)
        losses = (losses / sizes).astype(self.recipe.dtype)
        return Running(losses, np.rint(correct).astype(np.int64))

    def _kept(self, images: np.ndarray) -> np.ndarray:
        """The images scaled, once however often the same array comes."""
        if self._scaled[0] is not images:
            self._scaled = (images, self.scaled(images))
        return self._scaled[1]

    def _penalty(self, kernel: keras.Variable) -> Tensor:
        """`keras.regularizers.L2(l2 / 2)`, which would round that number to float32."""
        return self.recipe.l2 / 2 * tf.reduce_sum(kernel**2)
