"""Measure how Keras on TensorFlow and PyTorch differ, and write docs/differences.md from it.

Every cell comes out of the installed frameworks: nothing on the page is remembered.
`python docs/differences.py` renews the page; a test holds the page to what this measures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch
from keras import layers, optimizers
from torch import nn, optim

PAGE = Path(__file__).with_name("differences.md")
ROWS: list[Callable[[], tuple[str, str, str]]] = []


def row(measure: Callable[[], tuple[str, str, str]]) -> Callable[[], tuple[str, str, str]]:
    """Enter a measurement into the page: it returns topic, Keras' cell, PyTorch's cell."""
    ROWS.append(measure)
    return measure


# --- One weight under given gradients: what an optimizer's formula does ---------------------------


def keras_path(optimizer, gradients, rates=None, start=1.0) -> list[float]:
    """The path of one float64 weight."""
    weight = keras.Variable(start, dtype="float64")
    optimizer.build([weight])
    path = []
    for i, gradient in enumerate(gradients):
        if rates:
            optimizer.learning_rate = rates[i]
        optimizer.apply([tf.constant(gradient, "float64")], [weight])
        path.append(float(weight.numpy()))
    return path


def torch_path(make, gradients, rates=None, start=1.0) -> list[float]:
    """The path of one float64 weight; `make` takes the parameters."""
    weight = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = make([weight])
    path = []
    for i, gradient in enumerate(gradients):
        if rates:
            optimizer.param_groups[0]["lr"] = rates[i]
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        path.append(weight.item())
    return path


def which(value: float, candidates: dict[str, float], tolerance: float = 1e-9) -> str:
    """The name of the one candidate that a measured value equals."""
    found = [name for name, expected in candidates.items() if abs(value - expected) < tolerance]
    if len(found) != 1:
        raise AssertionError(f"{value} is {found or 'none'} of {candidates}")
    return found[0]


# --- Layers ---------------------------------------------------------------------------------------


def _dense() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    keras.utils.set_random_seed(0)
    torch.manual_seed(0)
    layer = layers.Dense(128)
    layer.build((None, 784))
    linear = nn.Linear(784, 128)
    theirs = (parameter.detach().numpy() for parameter in linear.parameters())
    return (*layer.get_weights(), *theirs)


@row
def initial_weights():
    kernel, bias, weight, torch_bias = _dense()
    cells = (
        f"uniform within ±{abs(w).max():.4f}, bias {'0' if not b.any() else 'drawn too'}"
        for w, b in ((kernel, bias), (weight, torch_bias))
    )
    return "first weights of a dense layer 784 → 128", *cells


@row
def layout():
    kernel, _, weight, _ = _dense()
    return "shape of that layer's weight", f"{kernel.shape} (in, out)", f"{weight.shape} (out, in)"


@row
def softmax_twice():
    """Logits (0, 120) and the label 0: the loss is 120, unless a probability is clipped."""
    logits = tf.constant([[0.0, 120.0]])
    loss = keras.losses.SparseCategoricalCrossentropy()
    in_graph = tf.function(lambda z: loss(tf.constant([0]), keras.activations.softmax(z)))(
        logits
    ).numpy()
    z, y = torch.tensor([[0.0, 120.0]]), torch.tensor([0])
    softmaxed = nn.CrossEntropyLoss()(torch.softmax(z, 1), y).item()
    return (
        "a softmax layer before the loss, at a loss of 120",
        f"{in_graph:.4g}: the logits are recovered",
        f"{softmaxed:.4g}: the softmax is applied twice",
    )


@row
def batch_norm():
    ours, theirs = layers.BatchNormalization(), nn.BatchNorm1d(1)
    data = np.array([[0.0], [2.0]], "float32")
    ours(data, training=True)
    theirs(torch.from_numpy(data))
    kept = 1 - ours.momentum
    variances = {"biased (1/N)": 1.0, "unbiased (1/(N-1))": 2.0}
    keras_kind = which(
        (float(ours.moving_variance.numpy()[0]) - (1 - kept)) / kept, variances, 1e-3
    )
    torch_kind = which((theirs.running_var.item() - 0.9) / 0.1, variances, 1e-3)
    return (
        "batch normalisation: share of the new, ε, running variance",
        f"{kept:.2g}, {ours.epsilon:g}, {keras_kind}",
        f"{theirs.momentum:g}, {theirs.eps:g}, {torch_kind}",
    )


@row
def layer_norm():
    return (
        "layer normalisation: ε",
        f"{layers.LayerNormalization().epsilon:g}",
        (f"{nn.LayerNorm(1).eps:g}"),
    )


@row
def leaky_relu():
    return (
        "leaky ReLU: slope below 0",
        f"{layers.LeakyReLU().negative_slope:g}",
        (f"{nn.LeakyReLU().negative_slope:g}"),
    )


# --- Optimizers -----------------------------------------------------------------------------------


@row
def learning_rates():
    weight = [nn.Parameter(torch.zeros(1))]
    names = ("SGD", "RMSprop", "Adam", "AdamW")
    keras_rates = (float(getattr(optimizers, name)().learning_rate.numpy()) for name in names)
    torch_rates = (getattr(optim, name)(weight).param_groups[0]["lr"] for name in names)
    cells = (
        ", ".join(f"{name} {rate:.3g}" for name, rate in zip(names, rates, strict=True))
        for rates in (keras_rates, torch_rates)
    )
    return "default learning rates", *cells


@row
def adam_epsilon():
    """Step 1 with g = 1, ε = 1, β₂ = ¾: √v = ½ and √v̂ = 1, so the two places differ widely."""
    numbers = {"keras": 1 - 0.5 / (0.5 + 1), "torch": 1 - 1 / (1 + 1)}
    places = {"keras": "m / (√v + ε), the paper's ε-hat", "torch": "m̂ / (√v̂ + ε), Algorithm 1"}
    ours = keras_path(optimizers.Adam(1.0, 0.5, 0.75, epsilon=1.0), [1.0])[0]
    theirs = torch_path(lambda p: optim.Adam(p, 1.0, (0.5, 0.75), 1.0), [1.0])[0]
    default = optim.Adam([nn.Parameter(torch.zeros(1))]).defaults["eps"]
    return (
        "Adam: where ε stands, and its default",
        f"{places[which(ours, numbers)]}; {optimizers.Adam().epsilon:g}",
        f"{places[which(theirs, numbers)]}; {default:g}",
    )


@row
def adam_betas():
    """Two float64 steps of gradient 1: how far the weight is from the formula with exact betas."""
    exact = 1.0
    m = v = 0.0
    for t in (1, 2):
        m, v = m + 0.1 * (1 - m), v + 0.001 * (1 - v)
        rate = 0.5 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        exact -= rate * m / (np.sqrt(v) + 1e-30)
    ours = keras_path(optimizers.Adam(0.5, epsilon=1e-30), [1.0, 1.0])[-1]
    theirs = torch_path(lambda p: optim.Adam(p, 0.5, eps=1e-30), [1.0, 1.0])[-1]
    cells = (
        "exact"
        if abs(value - exact) < 1e-14
        else "rounded to float32 in the bias corrections: "
        f"{abs(value - exact):.0e} off after two steps of 0.5"
        for value in (ours, theirs)
    )
    return "Adam in float64: β₁ = 0.9 and β₂ = 0.999 are", *cells


@row
def momentum():
    """Gradient 1, momentum 0.9; the rate is cut from 0.1 to 0.001 at step 5."""
    rates, gradients = [0.1] * 4 + [0.001] * 3, [1.0] * 7
    ours = keras_path(optimizers.SGD(0.1, momentum=0.9), gradients, rates, start=0.0)
    theirs = torch_path(lambda p: optim.SGD(p, 0.1, momentum=0.9), gradients, rates, start=0.0)
    if abs(ours[3] - theirs[3]) > 1e-6:
        raise AssertionError("the paths should part only at the cut")
    return (
        "SGD momentum: path of a weight whose rate is cut from 0.1 to 0.001 after step 4",
        f"v ← μv - lr·g, w ← w + v: from {ours[3]:.3f} to {ours[-1]:.3f} in 3 steps more",
        f"v ← μv + g, w ← w - lr·v: from {theirs[3]:.3f} to {theirs[-1]:.3f}",
    )


@row
def rmsprop_epsilon():
    """Step 1 with g = 2, ρ = ¾, ε = 3: v = 1."""
    numbers = {"g / √(v + ε)": 1 - 2 / 2, "g / (√v + ε)": 1 - 2 / 4}
    ours = keras_path(optimizers.RMSprop(1.0, 0.75, epsilon=3.0), [2.0])[0]
    theirs = torch_path(lambda p: optim.RMSprop(p, 1.0, 0.75, 3.0), [2.0])[0]
    alpha = optim.RMSprop([nn.Parameter(torch.zeros(1))]).defaults["alpha"]
    return (
        "RMSprop: where ε stands, and the default ρ",
        f"{which(ours, numbers)}; {optimizers.RMSprop().rho:g}",
        f"{which(theirs, numbers)}; {alpha:g}",
    )


@row
def weight_decay():
    """Adam with decay ½ at w = 1, gradient 0, lr = 0.1: w shrinks by 0.05, or takes a full step."""
    numbers = {"decoupled: w shrinks by lr·decay·w": 0.95, "added to the gradient, as L2": 0.9}
    ours = keras_path(optimizers.Adam(0.1, weight_decay=0.5), [0.0])[0]
    theirs = torch_path(lambda p: optim.Adam(p, 0.1, weight_decay=0.5), [0.0])[0]
    default = optim.AdamW([nn.Parameter(torch.zeros(1))]).defaults["weight_decay"]
    return (
        "`weight_decay` of Adam, and AdamW's default",
        f"{which(ours, numbers, 1e-6)}; {optimizers.AdamW().weight_decay:g}",
        f"{which(theirs, numbers, 1e-6)}; {default:g}",
    )


# --- Training -------------------------------------------------------------------------------------


class _Batches(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


def _fit(x, y, **options):
    """A linear Keras model trained for one epoch with rate ¼; its history and count of batches."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, kernel_initializer="zeros")])
    model.compile(optimizers.SGD(0.25), "mse", metrics=["mse"])
    counter = _Batches()
    history = model.fit(x, y, verbose=0, callbacks=[counter], **options)
    return model, history.history, counter.count


@row
def shuffling():
    """Ten images numbered 0 to 9: are they seen in that order?"""
    keras.utils.set_random_seed(0)
    x = np.arange(10, dtype="float32").reshape(-1, 1)
    paths = [_fit(x, x, batch_size=1, **o)[1]["loss"] for o in ({}, {"shuffle": False})]
    keras_cell = "shuffled" if paths[0] != paths[1] else "in order"
    loader = torch.utils.data.DataLoader(torch.arange(10))
    order = [int(item) for item in loader]
    torch_cell = "in order" if order == list(range(10)) else "shuffled"
    return (
        "order of the training data, and batch size, unless told",
        f"`fit`: {keras_cell}, 32",
        f"`DataLoader`: {torch_cell}, {loader.batch_size}",
    )


@row
def last_batch():
    x = np.zeros((10, 1), "float32")
    count = _fit(x, x, batch_size=4)[2]
    loader = torch.utils.data.DataLoader(torch.zeros(10), batch_size=4)
    word = {3: "kept", 2: "dropped"}
    return "the last, smaller batch", word[count], word[len(list(loader))]


@row
def running_metrics():
    """Two batches with target 1: loss 1, then, the bias at ½, loss ¼; afterwards it is at ¾."""
    x, y = np.zeros((2, 1), "float32"), np.ones((2, 1), "float32")
    _, history, _ = _fit(x, y, batch_size=1, shuffle=False)
    kinds = {"the mean while the weights move": 0.625, "evaluated after the epoch": 0.0625}
    return "training loss of an epoch", which(history["loss"][0], kinds, 1e-6), "what one writes"


@row
def tf32():
    matmul = "on" if torch.backends.cuda.matmul.allow_tf32 else "off"
    convolution = "on" if torch.backends.cudnn.allow_tf32 else "off"
    keras_cell = "on" if tf.config.experimental.tensor_float_32_execution_enabled() else "off"
    return (
        "TF32 on an NVIDIA GPU",
        f"matrix products {keras_cell}",
        f"matrix products {matmul}, cuDNN {convolution}",
    )


HEAD = """# How the frameworks differ

The same words mean different things. This table lists what Keras on TensorFlow and PyTorch do
unless told otherwise. `python docs/differences.py` measures every cell on the installed frameworks
and writes this page; a test fails when the frameworks change. `lockstep verify` speaks both
dialects. The formulas are in `lockstep/by_hand/optimizers.py`.

"""


def page() -> str:
    """The whole page, measured anew."""
    versions = f"Keras {keras.__version__} on TensorFlow {tf.__version__}"
    torch_version = torch.__version__.split("+")[0]
    lines = [f"| | {versions} | PyTorch {torch_version} |", "|---|---|---|"]
    lines += [f"| {' | '.join(measure())} |" for measure in ROWS]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
