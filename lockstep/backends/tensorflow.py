"""The same network in TensorFlow: Keras layers, Keras loss, Keras optimizer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np

# Both are read when the libraries are imported: which framework computes for Keras, and how much
# TensorFlow's C++ core writes to stderr (2: errors only).
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import tensorflow as tf

from ..data.order import padded_runs
from ..layouts import Weights
from ..recipe import Recipe
from .cache import Kept
from .contract import Backend, Formulas, Operation, Running, Step, optimizer_slots

tf.get_logger().setLevel("ERROR")  # a proof builds many networks: no advice about retracing

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


class ImitatingAdam(keras.optimizers.Adam):
    """Keras' own Adam, fed with the learning rate and the epsilon that make it another's."""

    epsilon: float

    def __init__(self, recipe: Recipe, formulas: Formulas) -> None:
        super().__init__(recipe.learning_rate, recipe.beta1, recipe.beta2, recipe.epsilon)
        self.recipe, self.formulas = recipe, formulas

    def update_step(self, gradient, variable, learning_rate):
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

    def train_step(self, data):
        self.seen.append(data.numpy())
        return {"loss": 0.0}  # `fit` wants something to report


class Diary(keras.callbacks.Callback):
    """Sets the learning rate of each batch where it changes, and keeps what `fit` tells after."""

    def __init__(self, rates: list[float]) -> None:
        super().__init__()
        self.rates = rates
        self.told: list[dict] = []

    def on_train_begin(self, logs=None):
        self.model.optimizer.learning_rate.assign(self.rates[0])

    def on_train_batch_begin(self, batch, logs=None):
        if batch and self.rates[batch] != self.rates[batch - 1]:
            self.model.optimizer.learning_rate.assign(self.rates[batch])

    def on_train_batch_end(self, batch, logs=None):
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
        """What `Dense` draws after `keras.utils.set_random_seed(seed)`, which is global."""
        keras.utils.set_random_seed(seed)
        layers = [keras.layers.Dense(size, dtype="float32") for size in recipe.sizes[1:]]
        keras.Sequential([keras.Input((recipe.inputs,)), *layers])
        drawn = (array for layer in layers for array in layer.get_weights())
        return {n: a.astype(recipe.dtype) for n, a in zip(recipe.shapes, drawn, strict=True)}

    @classmethod
    def own_batches(cls, count: int, batch_size: int, epochs: int, seed: int) -> list[np.ndarray]:
        """The order in which `fit` goes after `set_random_seed(seed)`, written down by a model."""
        keras.utils.set_random_seed(seed)
        scribe = Scribe()
        scribe.compile(run_eagerly=True)
        scribe.fit(np.arange(count), batch_size=batch_size, epochs=epochs, verbose=0)
        return scribe.seen

    def build(self) -> None:
        recipe = self.recipe
        keras.config.set_floatx(recipe.dtype)  # the optimizer's learning rate is kept in it
        # Each layer is told its dtype: without, Keras goes by the first floatx it ever saw.
        activations = [recipe.activation] * len(recipe.hidden) + [None]
        layers = [
            keras.layers.Dense(size, activation, dtype=recipe.dtype)
            for size, activation in zip(recipe.sizes[1:], activations, strict=True)
        ]
        with self._placed():
            self.model = keras.Sequential(
                [keras.Input((recipe.inputs,), dtype=recipe.dtype), *layers]
            )
        self.head = HEADS[self.formulas.loss] if self.formulas else keras.activations.linear
        self.loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=self.head is keras.activations.linear, dtype=recipe.dtype
        )
        tf32 = (
            self.formulas.tf32 if self.formulas else False
        )  # its own default would round on a GPU
        tf.config.experimental.enable_tensor_float_32_execution(tf32)
        self.variables = dict(zip(recipe.shapes, self.model.trainable_variables, strict=True))
        layouts = recipe.layouts
        self.decaying = [v for name, v in self.variables.items() if layouts[name].decays]
        with self._placed():
            self.optimizer = self._new_optimizer()
            self.optimizer.build(self.model.trainable_variables)
        self._one = tf.function(self._update)
        self._many = tf.function(self._loop, jit_compile=True)
        self._logits = tf.function(self.model)
        self.resident = Kept(self._on_device)

    def _placed(self):
        return tf.device("/GPU:0" if self.device == "cuda" else "/CPU:0")

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

    def _update(self, images, labels, learning_rate):
        """Forward, loss, backward, apply, as a custom Keras training step has it."""
        keras.config.set_floatx(self.recipe.dtype)  # read while this is traced, for constants
        with tf.GradientTape() as tape:
            logits = self.model(images, training=True)
            loss = self.loss(labels, self.head(logits))
            if self.recipe.l2:
                loss += self.recipe.l2 / 2 * tf.add_n([tf.reduce_sum(v**2) for v in self.decaying])
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.learning_rate.assign(learning_rate)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        return logits, loss, gradients

    def _loop(self, images, labels, order, rates, count):
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
        with self._placed():
            return self._logits(tf.constant(self.scaled(images), self.recipe.dtype)).numpy()

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        dtype, rate = self.recipe.dtype, self.rates(1, learning_rate)[0]
        with self._placed():
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

    def _run(self, images, labels, order: np.ndarray, rates: np.ndarray, count: int) -> Running:
        """The first `count` updates of a run, which may be none."""
        with self._placed():
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

    def _on_device(self, images: np.ndarray, labels: np.ndarray) -> tuple:
        """The training set as tensors."""
        dtype = tf.uint8 if images.dtype == np.uint8 else self.recipe.dtype
        return tf.constant(images, dtype), tf.constant(labels, tf.int32)

    def graph(self, images: np.ndarray) -> list[Operation]:
        """The `tf.Graph` of the function that computes the logits, traced for this shape."""
        spec = tf.TensorSpec(images.shape, self.recipe.dtype)
        operations = self._logits.get_concrete_function(spec).graph.get_operations()
        return [
            Operation(o.name, o.type, tuple(i.op.name for i in o.inputs), tuple(o.outputs[0].shape))
            for o in operations
            if o.outputs  # the last does nothing, and has none
        ]


class TutorialNetwork(Network):
    """Keras as its tutorials train: `compile`, then `fit`."""

    tutorial = "fit"
    _scaled: tuple = (None, None)
    warm_up = Backend.warm_up

    def build(self) -> None:
        super().build()
        for kernel in self.decaying if self.recipe.l2 else ():
            kernel.regularizer = self._penalty  # as Dense(kernel_regularizer=…) sets it
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
        keras.config.set_floatx(self.recipe.dtype)  # that of the means
        with self._placed():
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

    def _penalty(self, kernel):
        """`keras.regularizers.L2(l2 / 2)`, which would round that number to float32."""
        return self.recipe.l2 / 2 * tf.reduce_sum(kernel**2)
