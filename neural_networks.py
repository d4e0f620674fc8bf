"""One neural network by hand: forward, loss, backward, update; the network is NumPy alone.

A batch X of N digits runs through dense layers and comes out as one number, the loss; the chain
rule carries the loss back to every weight; an optimizer moves the weights a little; again.
For the two-layer network of the course, where dW1 means the derivative of the loss by W1:

    forward                                     backward
    Z1 = X·W1 + b1            (N, 128)          dZ2 = (softmax(Z2) - Y) / N       (N, 10)
    A1 = tanh(Z1)             (N, 128)          dW2 = A1ᵀ·dZ2                     (128, 10)
    Z2 = A1·W2 + b2           (N, 10)           db2 = sum of dZ2 over the batch   (10,)
    P  = softmax(Z2)          (N, 10)           dA1 = dZ2·W2ᵀ                     (N, 128)
    loss = -mean log P[label]                   dZ1 = dA1 * tanh'(Z1)             (N, 128)
                                                dW1 = Xᵀ·dZ1                      (784, 128)
                                                db1 = sum of dZ1 over the batch   (128,)

`python neural_networks.py` trains it on MNIST, and borrows the loading and the pictures from
Lockstep; `--help` lists what can be changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

Array = np.ndarray

# --- Activations, each beside its derivative ------------------------------------------------------
# The derivatives take A = g(Z), what the forward pass has kept, rather than Z.


def tanh(Z: Array) -> Array:
    """Hyperbolic tangent, into (-1, 1)."""
    return np.tanh(Z)


def tanh_derivative(A: Array) -> Array:
    """tanh'(Z) = 1 - tanh(Z)²."""
    return 1 - A * A


def relu(Z: Array) -> Array:
    """Rectified linear unit: what is positive passes, the rest becomes 0."""
    return np.maximum(Z, 0)


def relu_derivative(A: Array) -> Array:
    """relu'(Z) = 1 where Z > 0, else 0; at Z = 0 we take 0, as the frameworks do."""
    return A > 0


def sigmoid(Z: Array) -> Array:
    """Logistic function 1 / (1 + exp(-Z)), through tanh so that no exp can overflow."""
    return 0.5 * (1 + np.tanh(0.5 * Z))


def sigmoid_derivative(A: Array) -> Array:
    """sigmoid'(Z) = sigmoid(Z) (1 - sigmoid(Z))."""
    return A * (1 - A)


ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "tanh": (tanh, tanh_derivative),
    "relu": (relu, relu_derivative),
    "sigmoid": (sigmoid, sigmoid_derivative),
}

# --- The loss -------------------------------------------------------------------------------------


def log_softmax(Z: Array) -> Array:
    """Logarithm of the softmax of each row; Z and result (N, classes).

    The row's maximum is taken out first, so the largest exponent is exp(0): logits of ±10,000
    overflow nothing (Goodfellow et al., Deep Learning, section 4.1).
    """
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def softmax(Z: Array) -> Array:
    """Turn each row of logits into probabilities that sum to 1; Z and result (N, classes).

    Here too the row's maximum is taken out first.
    """
    P = np.exp(Z - Z.max(axis=1, keepdims=True))
    P /= P.sum(axis=1, keepdims=True)
    return P


def cross_entropies(Z: Array, y: Array) -> Array:
    """-log P[label] of each example (N,), in nats; logits Z (N, classes), labels y (N,)."""
    return -log_softmax(Z)[np.arange(len(y)), y]


def cross_entropy(Z: Array, y: Array) -> float:
    """Mean of `cross_entropies` over the batch."""
    return float(cross_entropies(Z, y).mean())


def cross_entropy_derivative(Z: Array, y: Array) -> Array:
    """dZ = (softmax(Z) - Y) / N, where Y is y one-hot; result (N, classes).

    Softmax and logarithm cancel to this difference (Bishop, PRML, equation 4.109). The 1/N is the
    mean over the batch: without it every gradient below is N times too large.
    """
    Y = y[:, np.newaxis] == np.arange(Z.shape[1])  # one-hot: true where the label is
    dZ = softmax(Z)
    dZ -= Y
    dZ /= len(y)
    return dZ


# --- Initial weights ------------------------------------------------------------------------------


def glorot(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """U(±√(6 / (n_in + n_out))), bias 0: Glorot & Bengio 2010, eq. 16. What Keras does."""
    limit = np.sqrt(6 / (n_in + n_out))
    return rng.uniform(-limit, limit, (n_in, n_out)), np.zeros(n_out)


def he(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """N(0, 2 / n_in), bias 0: He et al. 2015, eq. 10; made for ReLU, which halves the variance."""
    return rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)), np.zeros(n_out)


def lecun(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """N(0, 1 / n_in), bias 0: LeCun et al. 1998, Efficient BackProp, eq. 16; made for tanh."""
    return rng.normal(0, np.sqrt(1 / n_in), (n_in, n_out)), np.zeros(n_out)


def pytorch(rng: np.random.Generator, n_in: int, n_out: int) -> tuple[Array, Array]:
    """U(±1/√n_in), the bias too: what torch.nn.Linear draws when it is made."""
    limit = 1 / np.sqrt(n_in)
    return rng.uniform(-limit, limit, (n_in, n_out)), rng.uniform(-limit, limit, n_out)


INITIALIZATIONS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "glorot": glorot,
    "he": he,
    "lecun": lecun,
    "pytorch": pytorch,
}

# --- The network ----------------------------------------------------------------------------------


def aligned_zeros(count: int, dtype: str | np.dtype) -> Array:
    """Zeros (count,) that begin at a cache line; numbers that straddle two take longer to load."""
    size, line = np.dtype(dtype).itemsize, 64
    memory = np.zeros(count * size + line, np.uint8)
    start = -memory.ctypes.data % line
    return memory[start : start + count * size].view(dtype)


class Network:
    """Dense layers of the given sizes, e.g. (784, 128, 10); the activation between, logits out.

    All weights and biases stand in one vector `theta`, all their derivatives in `gradient`; the
    matrices W[0], b[0], W[1], … and dW[0], db[0], … are views into the two. So the formulas below
    speak of matrices while an optimizer moves everything in one sweep over memory.
    (Python counts from 0: W[0] is the W1 of the formulas.)
    """

    def __init__(
        self,
        sizes: Iterable[int],
        activation: str = "tanh",
        l2: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        self.sizes = tuple(sizes)
        self.g, self.g_derivative = ACTIVATIONS[activation]
        self.l2 = l2
        count = sum((i + 1) * o for i, o in pairwise(self.sizes))
        self.theta, self.gradient = aligned_zeros(count, dtype), aligned_zeros(count, dtype)
        self.W, self.b = self.views(self.theta)
        self.dW, self.db = self.views(self.gradient)

    def views(self, vector: Array) -> tuple[list[Array], list[Array]]:
        """Cut the vector into each layer's matrix (in, out) and bias (out,), copying nothing."""
        matrices, biases, end = [], [], 0
        for n_in, n_out in pairwise(self.sizes):
            start, middle, end = end, end + n_in * n_out, end + (n_in + 1) * n_out
            matrices.append(vector[start:middle].reshape(n_in, n_out))
            biases.append(vector[middle:end])
        return matrices, biases

    def initialize(self, scheme: str = "glorot", seed: int = 0) -> Network:
        """Draw every layer's weights; float32 and float64 start from the same drawn numbers."""
        rng = np.random.default_rng(seed)
        for W, b in zip(self.W, self.b, strict=True):
            W[...], b[...] = INITIALIZATIONS[scheme](rng, *W.shape)
        return self

    def forward(self, X: Array) -> Array:
        """Logits (N, classes) of a batch X (N, inputs); keeps X, A1, A2, … for `backward`."""
        A = self._checked(X)  # (N, inputs)
        self.A = [A]
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            Z = A @ W  # (N, in)·(in, out) → (N, out)
            Z += b
            A = self.g(Z)
            self.A.append(A)
        return A @ self.W[-1] + self.b[-1]  # logits: no activation, the softmax is in the loss

    def loss(self, Z: Array, y: Array) -> float:
        """What training minimises: cross-entropy of the logits, plus l2/2 · sum of W² if asked."""
        return cross_entropy(Z, y) + self.penalty()

    def penalty(self) -> float:
        """l2/2 · sum of W²; biases are free."""
        return self.l2 / 2 * sum(float(np.vdot(W, W)) for W in self.W) if self.l2 else 0.0

    def backward(self, Z: Array, y: Array) -> Array:
        """Fill dW and db with the loss's derivatives, from the last layer to the first.

        Z are the logits of the last `forward`, y the labels (N,). Returns `gradient`. The chain
        rule in matrix form: Nielsen, Neural Networks and Deep Learning, BP1 to BP4.
        """
        dZ = cross_entropy_derivative(Z, self._checked_labels(y, len(Z)))  # (N, classes)
        for layer in reversed(range(len(self.W))):
            A = self.A[layer]  # what this layer took in: (N, in)
            np.matmul(A.T, dZ, out=self.dW[layer])  # (in, N)·(N, out) → (in, out)
            dZ.sum(axis=0, out=self.db[layer])
            if self.l2:
                self.dW[layer] += self.l2 * self.W[layer]
            if layer > 0:  # nobody asks for the derivative by the pixels
                dA = dZ @ self.W[layer].T  # (N, out)·(out, in) → (N, in)
                dZ = dA * self.g_derivative(A)
        return self.gradient

    def step(self, X: Array, y: Array, optimizer: Optimizer) -> tuple[Array, float]:
        """One update: forward, backward, move. Returns the logits and the loss before it.

        The loss is for whoever watches: what moves the weights is its derivative alone.
        """
        Z = self.forward(X)
        self.backward(Z, y)
        loss = self.loss(Z, y)
        optimizer.update(self)
        return Z, loss

    def _checked(self, X: Array) -> Array:
        X = np.asarray(X, self.theta.dtype)
        if X.ndim != 2 or X.shape[1] != self.sizes[0]:
            raise ValueError(f"X has shape {X.shape}; the first layer takes (N, {self.sizes[0]}).")
        if len(X) == 0:
            raise ValueError("X is an empty batch: there is no mean loss over no examples.")
        # NaN and infinity survive a sum of squares, which is quick; but large numbers overflow it.
        if not np.isfinite(np.vdot(X, X)) and not np.isfinite(X).all():
            raise ValueError("X holds NaN or infinity; clean the inputs before training.")
        return X

    def _checked_labels(self, y: Array, n: int) -> Array:
        y = np.asarray(y)
        if y.shape != (n,) or y.dtype.kind not in "iu":
            raise ValueError(f"y is {y.dtype} of shape {y.shape}; it must be integers ({n},).")
        if y.min() < 0 or y.max() >= self.sizes[-1]:
            bad = y[(y < 0) | (y >= self.sizes[-1])][0]
            raise ValueError(f"y holds the label {bad}; labels are 0 to {self.sizes[-1] - 1}.")
        return y


# --- Optimizers: each moves network.theta by network.gradient -------------------------------------


class Optimizer:
    """Gradient descent: θ ← θ - lr·g. The others refine this one line.

    `memory` holds what an optimizer remembers between updates, each array shaped as theta, and
    `t` counts the updates done. The formulas treat every weight alike, whatever layer it is in,
    so they go over theta a block at a time: what is small enough stays in the processor's cache.
    """

    SLOTS: tuple[str, ...] = ()
    """The names in `memory`."""
    BLOCK = 1 << 17
    """Weights in a block."""

    def __init__(self, learning_rate: float = 0.1) -> None:
        self.learning_rate = learning_rate
        self.memory: dict[str, Array] = {}
        self.t = 0

    def prepare(self, network: Network) -> None:
        """Make the memory that `network` needs: zeros before the first update."""
        for name in self.SLOTS:
            if name not in self.memory:
                self.memory[name] = aligned_zeros(network.theta.size, network.theta.dtype)

    def update(self, network: Network) -> None:
        """Move the weights once, in place."""
        self.prepare(network)
        self.t += 1
        for start in range(0, network.theta.size, self.BLOCK):
            block = slice(start, start + self.BLOCK)
            memory = [self.memory[name][block] for name in self.SLOTS]
            self.move(network.theta[block], network.gradient[block], memory)
        if self.t % 64 == 0:
            for remembered in self.memory.values():
                forget_what_is_nearly_zero(remembered)

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        """Move these weights (n,) by their derivatives g and what is remembered of them."""
        theta -= self.learning_rate * g


def forget_what_is_nearly_zero(memory: Array) -> None:
    """Below about 1e-31 in float32, what an optimizer remembers becomes 0.

    The memory of a pixel that is rarely lit shrinks with every step until it is a subnormal number,
    with which processors compute more slowly, many times on some. The bound is as far above those
    as rounding is below 1, so once in a while is enough. (Its root, 3e-16, is nothing beside Adam's
    ε.)
    """
    kind = np.finfo(memory.dtype)
    memory[np.abs(memory) < kind.tiny / kind.eps] = 0


class Momentum(Optimizer):
    """A ball that rolls: it keeps the share μ of its velocity v (Polyak 1964).

    "torch"    v ← μv + g        θ ← θ - lr·v      with `nesterov`: θ ← θ - lr·(g + μv)
    "keras"    v ← μv - lr·g     θ ← θ + v         with `nesterov`: θ ← θ + μv - lr·g

    Nesterov's takes the slope where the ball is about to be (Sutskever et al. 2013). The two
    dialects walk the same path while lr is constant; when it is cut, Keras' ball keeps its speed.
    """

    SLOTS = ("velocity",)

    def __init__(
        self,
        learning_rate: float = 0.01,
        momentum: float = 0.9,
        nesterov: bool = False,
        dialect: str = "torch",
    ) -> None:
        super().__init__(learning_rate)
        self.momentum = as_in_tensorflow(momentum) if dialect == "keras" else momentum
        self.nesterov = nesterov
        self.dialect = dialect

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        (v,) = memory
        v *= self.momentum
        if self.dialect == "torch":
            v += g
            theta -= self.learning_rate * (g + self.momentum * v if self.nesterov else v)
        else:
            v -= self.learning_rate * g
            theta += self.momentum * v - self.learning_rate * g if self.nesterov else v


class RMSprop(Optimizer):
    """Each weight's step is divided by the size of its recent gradients (Hinton 2012, lecture 6e).

    v ← ρv + (1 - ρ)g²
    "torch"    θ ← θ - lr·g / (√v + ε)
    "keras"    θ ← θ - lr·g / √(v + ε)      ε under the root weighs far more where v is small
    """

    SLOTS = ("v",)

    def __init__(
        self,
        learning_rate: float = 1e-3,
        rho: float = 0.9,
        epsilon: float = 1e-8,
        dialect: str = "torch",
    ) -> None:
        super().__init__(learning_rate)
        self.rho, self.epsilon, self.dialect = rho, epsilon, dialect

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        (v,) = memory
        v *= self.rho
        v += (1 - self.rho) * (g * g)
        if self.dialect == "torch":
            theta -= self.learning_rate * g / (np.sqrt(v) + self.epsilon)
        else:
            theta -= self.learning_rate * g / np.sqrt(v + self.epsilon)


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015): every weight has a step size of its own.

        m ← β₁m + (1 - β₁)g            the mean of recent gradients
        v ← β₂v + (1 - β₂)g²           the mean of their squares
        m̂ = m / c₁, v̂ = v / c₂         c = 1 - βᵗ: both start at 0 and are too small at first
        θ ← θ - lr · m̂ / (√v̂ + ε)

    Two dialects of the last line are in use. "torch" is the paper's Algorithm 1, above. "keras" is
    the variant at the end of the paper's section 2: θ ← θ - lr·√c₂/c₁ · m / (√v + ε), whose ε
    weighs 1/√c₂ times more (32 times, at the first step).

    `weight_decay` makes it AdamW (Loshchilov & Hutter 2019): weights, not biases, shrink by
    lr·weight_decay before the move, untouched by m and v.
    """

    SLOTS = ("m", "v")

    def __init__(
        self,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        dialect: str = "torch",
    ) -> None:
        super().__init__(learning_rate)
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.correction1, self.correction2 = beta1, beta2  # the betas of c₁ and c₂
        self.weight_decay = weight_decay
        self.dialect = dialect
        if dialect == "keras":
            self.correction1, self.correction2 = as_in_tensorflow(beta1), as_in_tensorflow(beta2)
            self.weight_decay = as_in_tensorflow(weight_decay)

    def update(self, network: Network) -> None:
        if self.weight_decay:
            for W in network.W:
                W *= 1 - self.learning_rate * self.weight_decay
        super().update(network)

    def move(self, theta: Array, g: Array, memory: list[Array]) -> None:
        m, v = memory
        c1, c2 = 1 - self.correction1**self.t, 1 - self.correction2**self.t
        # Both dialects as one formula: √c₂ is taken out of the fraction, and ε follows or stays.
        rate = self.learning_rate * math.sqrt(c2) / c1
        epsilon = self.epsilon * math.sqrt(c2) if self.dialect == "torch" else self.epsilon

        # In place, in one scratch array: new arrays for every product would cost a third more.
        scratch = g - m
        scratch *= 1 - self.beta1
        m += scratch  # m + (1 - β₁)(g - m)
        np.multiply(g, g, out=scratch)
        scratch -= v
        scratch *= 1 - self.beta2
        v += scratch  # v + (1 - β₂)(g² - v)
        np.sqrt(v, out=scratch)
        scratch += epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        theta -= scratch


def as_in_tensorflow(number: float) -> float:
    """The number as Keras on TensorFlow computes with it, whatever the network's precision.

    `tf.cast(0.999, tf.float64)` makes a float32 of the Python number first: 0.99900001287. In Keras
    3.15 that happens to Adam's betas in the bias corrections (not in the moments), to SGD's
    momentum and to AdamW's weight decay; not to epsilon, nor to the learning rate.
    """
    return float(np.float32(number))


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": Optimizer,
    "momentum": Momentum,
    "nesterov": lambda **numbers: Momentum(nesterov=True, **numbers),
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": Adam,
}


# --- The gradient check: is the backward pass right? ----------------------------------------------


def numerical_derivative(
    loss: Callable[[], float], theta: Array, i: int | tuple[int, ...], h: float = 1e-5
) -> float:
    """Slope of `loss` along theta[i] by central difference, (L(θ+h) - L(θ-h)) / 2h.

    The error shrinks with h², until rounding (about 1e-16 / h) takes over: in float64 the two meet
    at h = 1e-5, where either is about 1e-11. theta is put back as it was.
    """
    before = theta[i]
    theta[i] = before + h
    above = loss()
    theta[i] = before - h
    below = loss()
    theta[i] = before
    return (above - below) / (2 * h)


def compare_with_slopes(
    loss: Callable[[], float],
    tensors: Iterable[tuple[str, Array, Array]],
    samples: int,
    tolerance: float,
    seed: int,
) -> float:
    """Hold derivatives against `numerical_derivative`, on `samples` random entries of each tensor.

    `tensors` are (name, θ, dθ): `loss` must depend on θ, which is moved in place, and dθ is what
    somebody says its derivative is. Returns the largest difference, relative to the largest
    derivative of its tensor; raises ArithmeticError at the first that is above `tolerance`.
    """
    rng, worst = np.random.default_rng(seed), 0.0
    for name, theta, derivative in tensors:
        scale = max(float(np.abs(derivative).max()), np.finfo(float).tiny)
        for position in rng.choice(theta.size, min(samples, theta.size), replace=False):
            i = tuple(int(k) for k in np.unravel_index(position, theta.shape))
            slope = numerical_derivative(loss, theta, i)
            error = abs(derivative[i] - slope) / scale
            if not error <= tolerance:  # nor is NaN
                raise ArithmeticError(
                    f"{name} is wrong at {list(i)}: backward says {derivative[i]:.9g}, finite "
                    f"differences say {slope:.9g}."
                )
            worst = max(worst, error)
    return worst


def check_gradients(
    network: Network, X: Array, y: Array, samples: int = 20, tolerance: float = 1e-6, seed: int = 0
) -> float:
    """Compare `backward` with finite differences on `samples` random entries of every W and b.

    Returns the largest difference, relative to the largest derivative of its tensor. Raises
    ArithmeticError naming the first tensor that is off by more than `tolerance`. The network must
    be float64: in float32 rounding hides a wrong derivative.
    """
    if network.theta.dtype != np.float64:
        raise ValueError("A gradient check needs a float64 network: Network(..., dtype='float64').")

    def loss() -> float:
        return network.loss(network.forward(X), y)

    network.backward(network.forward(X), y)
    dW, db = network.views(network.gradient.copy())
    tensors = []
    for layer, (W, b) in enumerate(zip(network.W, network.b, strict=True)):
        tensors += [(f"dW{layer + 1}", W, dW[layer]), (f"db{layer + 1}", b, db[layer])]
    return compare_with_slopes(loss, tensors, samples, tolerance, seed)


# --- The course's program: train on MNIST, show, save two pictures --------------------------------


def parse_arguments(arguments: list[str] | None = None):
    """The program's flags, as an argparse.Namespace."""
    import argparse

    from lockstep.cli import Parser

    parser = Parser(
        prog="neural_networks.py",
        description="Train a network by hand on MNIST: tanh, softmax, cross-entropy, mini-batch "
        "gradient descent, every derivative written out.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--hidden", default="128", metavar="SIZES", help="hidden sizes, e.g. 128 or 256,64")
    add("--activation", default="tanh", choices=ACTIVATIONS, help="between the layers")
    add("--initialization", default="glorot", choices=INITIALIZATIONS, help="first weights")
    add("--optimizer", default="sgd", choices=OPTIMIZERS, help="how the weights move")
    add("--lr", type=float, help="learning rate (default: the optimizer's usual one)")
    add("--batch-size", type=int, default=32, metavar="N", help="examples in one update")
    add("--epochs", type=int, default=10, metavar="N", help="passes over the training set")
    add("--seed", type=int, default=0, help="of the first weights and of the order")
    add("--data-dir", metavar="DIR", help="folder with the four MNIST files (default: find them)")
    add("--out", default="runs/by-hand", metavar="DIR", help="where the pictures go")
    return parser.parse_args(arguments)


def train_course_network(options) -> None:
    """Load, train, evaluate after each epoch, show the result, save the pictures."""
    from pathlib import Path

    from lockstep import batches, datasets, metrics, recipe, results
    from lockstep.report import figures, text

    settings = recipe.Recipe(
        hidden=recipe.parse_sizes(options.hidden),
        activation=options.activation,
        initialization=options.initialization,
        optimizer=options.optimizer,
        learning_rate=options.lr,
        batch_size=options.batch_size,
        epochs=options.epochs,
        seed=options.seed,
    )
    results.require_folder(Path(options.out))
    data = datasets.load(data_dir=options.data_dir)
    X, y = datasets.scale(data.train.images), data.train.labels
    X_test, y_test = datasets.scale(data.test.images), data.test.labels

    network = Network(settings.sizes, settings.activation, settings.l2)
    network.initialize(settings.initialization, settings.seed)
    optimizer = OPTIMIZERS[settings.optimizer](learning_rate=settings.learning_rate)
    print(f"{settings.summary()} on {data.title}, {len(X):,} digits")

    history = []
    for epoch in range(1, settings.epochs + 1):
        for batch in batches.epoch_batches(len(X), settings.batch_size, settings.seed, epoch):
            network.step(X[batch], y[batch], optimizer)
        train = metrics.evaluate(network.forward(X), y)
        test = metrics.evaluate(network.forward(X_test), y_test)
        history.append(metrics.history_entry(epoch, train, test))
        metrics.require_numbers(history[-1], settings.learning_rate)
        print(text.epoch_line(history[-1], settings.epochs))

    matrix = metrics.confusion_matrix(network.forward(X_test), y_test, settings.classes)
    print(f"\ntraining accuracy {train.accuracy:.2%}, test accuracy {test.accuracy:.2%}\n")
    print(text.confusion_table(matrix, data.classes))
    for name, figure in {
        "loss": figures.loss_against_epoch({"numpy": history}, data.title),
        "confusion": figures.confusion_matrix(matrix, data.classes, "by hand", data.title),
    }.items():
        print("saved", figures.save(figure, Path(options.out) / name)[0])


def main(arguments: list[str] | None = None) -> int:
    """The command: parse, train; bad input is one sentence and exit code 2, Ctrl-C 130."""
    from lockstep.errors import exit_code

    return exit_code(lambda: train_course_network(parse_arguments(arguments)))


if __name__ == "__main__":
    raise SystemExit(main())
