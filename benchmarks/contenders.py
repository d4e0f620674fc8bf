"""What a user would pick instead: `python -m benchmarks --with` this file races them.

Each trains 784-128-10, ReLU, Adam 0.001, for one epoch when called, as its own documentation would
write it, or in the fastest way that we could find in the same framework. `benchmarks/__init__.py`
says what a contender is. Pixels are scaled before anything is timed.
"""

from __future__ import annotations

import numpy as np

INPUTS, HIDDEN, CLASSES, RATE = 784, 128, 10, 1e-3
UNROLLED = 5
"""Steps that PyTorch compiles as one."""


def scaled(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def first_weights() -> list[np.ndarray]:
    """W1, b1, W2, b2 after He."""
    rng, theta = np.random.default_rng(0), []
    for n_in, n_out in (INPUTS, HIDDEN), (HIDDEN, CLASSES):
        matrix = rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)).astype(np.float32)
        theta += [matrix, np.zeros(n_out, np.float32)]
    return theta


# --- PyTorch --------------------------------------------------------------------------------------


def torch_model():
    from torch import nn

    return nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


def torch_predict(model):
    import torch

    def predict(images):
        with torch.inference_mode():
            return model(torch.tensor(scaled(images))).argmax(1).numpy()

    return predict


def torch_loader(batch_size, images, labels):
    """The loop of the quickstart: a DataLoader over tensors, four lines for each batch."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.tensor(scaled(images)), torch.tensor(labels, dtype=torch.long))
    loader = DataLoader(data, batch_size=batch_size, shuffle=True)
    model = torch_model()
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=RATE)

    def epoch(seed):
        torch.manual_seed(seed)
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

    return epoch, torch_predict(model)


def torch_in_memory(batch_size, images, labels):
    """No DataLoader: tensors permuted once an epoch and cut into batches; Adam fused."""
    import torch
    from torch import nn

    x, y = torch.tensor(scaled(images)), torch.tensor(labels, dtype=torch.long)
    model = torch_model()
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), RATE, fused=True)

    def epoch(seed):
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        xs, ys = x[order].split(batch_size), y[order].split(batch_size)
        for batch_x, batch_y in zip(xs, ys, strict=True):
            optimizer.zero_grad()
            loss(model(batch_x), batch_y).backward()
            optimizer.step()

    return epoch, torch_predict(model)


def torch_compiled(batch_size, images, labels):
    """Forward, backward and Adam of several steps in a row, compiled as one function."""
    import torch
    from torch.nn import functional

    x, y = torch.tensor(scaled(images)), torch.tensor(labels, dtype=torch.long)
    theta = [torch.tensor(array) for array in first_weights()]
    m, v = ([torch.zeros_like(w) for w in theta] for _ in range(2))

    def logits(theta, x):
        return functional.relu(x @ theta[0] + theta[1]) @ theta[2] + theta[3]

    def loss(theta, x, y):
        return functional.cross_entropy(logits(theta, x), y)

    gradients = torch.func.grad(loss)

    def steps(theta, m, v, xs, ys, corrections):
        for x, y, (rate, epsilon) in zip(xs, ys, corrections, strict=True):
            g = gradients(theta, x, y)
            m = [a + 0.1 * (b - a) for a, b in zip(m, g, strict=True)]
            v = [a + 0.001 * (b * b - a) for a, b in zip(v, g, strict=True)]
            theta = [
                w - rate * a / (b.sqrt() + epsilon) for w, a, b in zip(theta, m, v, strict=True)
            ]
        return theta, m, v

    compiled, t = torch.compile(steps), 0

    def epoch(seed):
        nonlocal theta, m, v, t
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        whole = len(x) // batch_size * batch_size
        xs, ys = (a[order[:whole]].view(-1, batch_size, *a.shape[1:]) for a in (x, y))
        times = torch.arange(t + 1, t + 1 + len(xs), dtype=torch.float64)
        root = (1 - 0.999**times).sqrt()
        corrections = torch.stack([RATE * root / (1 - 0.9**times), 1e-8 * root], 1).float()
        for k in range(0, len(xs), UNROLLED):
            part = slice(k, k + UNROLLED)
            run = compiled if len(xs[part]) == UNROLLED else steps  # the last few, and once
            theta, m, v = run(theta, m, v, xs[part], ys[part], corrections[part])
        t += len(xs)
        if whole < len(x):  # the last, smaller batch
            t += 1
            root = (1 - 0.999**t) ** 0.5
            last = torch.tensor([[RATE * root / (1 - 0.9**t), 1e-8 * root]])
            theta, m, v = steps(theta, m, v, x[None, order[whole:]], y[None, order[whole:]], last)

    return epoch, lambda images: logits(theta, torch.tensor(scaled(images))).argmax(1).numpy()


# --- Keras on TensorFlow --------------------------------------------------------------------------


def keras_fit(batch_size, images, labels, **options):
    """`compile` and `fit`."""
    import os

    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    layers, x, y = keras.layers, scaled(images), labels.astype(np.int64)
    model = keras.Sequential([layers.Dense(HIDDEN, activation="relu"), layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss=loss, **options)

    def epoch(seed):
        keras.utils.set_random_seed(seed)
        model.fit(x, y, batch_size=batch_size, verbose=0)

    return epoch, lambda images: model.predict(scaled(images), verbose=0).argmax(1)


def keras_best(batch_size, images, labels):
    """`fit` with the two options that its documentation gives for speed."""
    return keras_fit(batch_size, images, labels, steps_per_execution=100, jit_compile=True)


# --- JAX ------------------------------------------------------------------------------------------


def jax_scan(batch_size, images, labels):
    """The whole epoch is one compiled `lax.scan`; the last, smaller batch is left out (0.05 %)."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.adam(RATE)
    x, y = jnp.asarray(scaled(images)), jnp.asarray(labels, jnp.int32)
    weights = dict(zip(("W1", "b1", "W2", "b2"), map(jnp.asarray, first_weights()), strict=True))

    def logits(weights, x):
        hidden = jax.nn.relu(x @ weights["W1"] + weights["b1"])
        return hidden @ weights["W2"] + weights["b2"]

    def loss(weights, batch):
        answers = logits(weights, x[batch])
        return optax.softmax_cross_entropy_with_integer_labels(answers, y[batch]).mean()

    def step(carry, batch):
        weights, memory = carry
        value, slope = jax.value_and_grad(loss)(weights, batch)
        moves, memory = optimizer.update(slope, memory)
        return (optax.apply_updates(weights, moves), memory), value

    @jax.jit
    def one(carry, key):
        count = len(images) // batch_size
        order = jax.random.permutation(key, len(images))[: count * batch_size]
        return jax.lax.scan(step, carry, order.reshape(count, batch_size))

    state = (weights, optimizer.init(weights))

    def epoch(seed):
        nonlocal state
        state, losses = one(state, jax.random.key(seed))
        losses.block_until_ready()

    return epoch, lambda images: np.asarray(logits(state[0], scaled(images)).argmax(1))


# --- Without a framework --------------------------------------------------------------------------


def scikit_learn(batch_size, images, labels):
    """`MLPClassifier`, an epoch at a time: `partial_fit` goes over the data once."""
    from sklearn.neural_network import MLPClassifier

    x, y, classes = scaled(images), labels, np.arange(CLASSES)
    model = MLPClassifier((HIDDEN,), alpha=0, batch_size=batch_size, random_state=0)

    def epoch(seed):
        model.partial_fit(x, y, classes=classes)

    return epoch, lambda images: model.predict(scaled(images))


def numpy_obvious(batch_size, images, labels):
    """As a textbook writes it: new arrays for everything, Adam weight by weight."""
    x_all, onehot, t = scaled(images), np.eye(CLASSES, dtype=np.float32)[labels], 0
    theta = first_weights()
    m, v = ([np.zeros_like(w) for w in theta] for _ in range(2))

    def epoch(seed):
        nonlocal t
        order = np.random.default_rng(seed).permutation(len(x_all))
        for start in range(0, len(order), batch_size):
            x, y = (a[order[start : start + batch_size]] for a in (x_all, onehot))
            W1, b1, W2, b2 = theta
            A = np.maximum(x @ W1 + b1, 0)
            Z = A @ W2 + b2
            P = np.exp(Z - Z.max(axis=1, keepdims=True))
            P /= P.sum(axis=1, keepdims=True)
            dZ2 = (P - y) / len(x)
            dZ1 = dZ2 @ W2.T * (A > 0)
            t += 1
            for k, g in enumerate((x.T @ dZ1, dZ1.sum(axis=0), A.T @ dZ2, dZ2.sum(axis=0))):
                m[k] = 0.9 * m[k] + 0.1 * g
                v[k] = 0.999 * v[k] + 0.001 * g**2
                m_hat, v_hat = m[k] / (1 - 0.9**t), v[k] / (1 - 0.999**t)
                theta[k] = theta[k] - RATE * m_hat / (np.sqrt(v_hat) + 1e-8)

    def predict(images):
        W1, b1, W2, b2 = theta
        return (np.maximum(scaled(images) @ W1 + b1, 0) @ W2 + b2).argmax(axis=1)

    return epoch, predict


# --- tinygrad -------------------------------------------------------------------------------------


def tinygrad_jit(batch_size, images, labels):
    """`TinyJit` over a step, as in its beautiful_mnist.py; the last, smaller batch is left out."""
    from tinygrad import Context, Tensor, TinyJit, nn

    try:
        Tensor([1.0]).realize()
    except RuntimeError as error:
        raise ImportError(f"tinygrad has {error}; on a CPU it needs clang or LLVM") from error

    class Model:
        def __init__(self):
            self.first, self.last = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, CLASSES)

        def __call__(self, x):
            return self.last(self.first(x).relu())

    x, y, model = Tensor(scaled(images)), Tensor(labels.astype(np.int32)), Model()
    optimizer = nn.optim.Adam(nn.state.get_parameters(model), lr=RATE)

    @TinyJit
    @Context(TRAINING=1)
    def step(batch):
        optimizer.zero_grad()
        loss = model(x[batch]).sparse_categorical_crossentropy(y[batch]).backward()
        return loss.realize(*optimizer.schedule_step())

    def epoch(seed):
        order = np.random.default_rng(seed).permutation(len(images)).astype(np.int32)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            loss = step(Tensor(order[start : start + batch_size]).realize())
        loss.item()  # waits for the last of them

    return epoch, lambda images: model(Tensor(scaled(images))).argmax(axis=1).numpy()


CONTENDERS = {
    "JAX, scan over the epoch": jax_scan,
    "PyTorch, DataLoader": torch_loader,
    "PyTorch, tensors in memory": torch_in_memory,
    "PyTorch, steps compiled": torch_compiled,
    "Keras, fit": keras_fit,
    "Keras, fit at its fastest": keras_best,
    "scikit-learn, MLPClassifier": scikit_learn,
    "tinygrad, TinyJit": tinygrad_jit,
    "NumPy, the obvious way": numpy_obvious,
}
REFERENCE = "JAX, scan over the epoch"
BARS = {
    ("lockstep numba, 2 threads", "JAX, scan over the epoch"): {32: 2.0, 128: 2.0},
    ("lockstep numba, 2 threads", "PyTorch, DataLoader"): {32: 10.0, 128: 5.0},
    ("lockstep numba, 2 threads", "Keras, fit"): {32: 16.0, 128: 9.0},
    ("lockstep numba, 1 thread", "JAX, scan over the epoch"): {32: 1.3, 128: 1.3},
    ("lockstep numpy", "NumPy, the obvious way"): {32: 1.25, 128: 1.1},
    ("lockstep torch", "PyTorch, DataLoader"): {32: 3.0, 128: 2.0},
    ("lockstep tensorflow", "Keras, fit"): {32: 7.0, 128: 4.5},
}
