"""What is raced in `epochs.py`: each trains 784-128-10, ReLU, Adam, for one epoch when called.

A contender takes the batch size, images (N, 784) float32 and labels (N,), and returns a function
that trains one epoch in an order drawn from a seed; the first call compiles. This project's own are
its backends' `train_epoch`; the others are written as their framework's documentation would.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Epoch = Callable[[int], None]
HIDDEN, CLASSES, RATE = 128, 10, 1e-3


def lockstep(name: str, threads: int | None = None):
    """One of this project's backends."""

    def contender(batch_size: int, images: np.ndarray, labels: np.ndarray) -> Epoch:
        from lockstep import backend, batches
        from lockstep.recipe import Recipe

        Network = backend.load(name)
        if threads:
            Network.cores = threads
        recipe = Recipe(batch_size=batch_size)
        network = Network(recipe, recipe.initial_weights(), "cpu")

        def epoch(seed: int) -> None:
            order = batches.epoch_batches(len(images), batch_size, 0, seed)
            network.train_epoch(images, labels, order)

        return epoch

    return contender


def jax_scan(batch_size: int, images: np.ndarray, labels: np.ndarray) -> Epoch:
    """The whole epoch is one compiled `lax.scan`; the last, smaller batch is left out (0.05 %)."""
    import jax
    import jax.numpy as jnp
    import optax

    optimizer = optax.adam(RATE)
    key = jax.random.key(0)
    weights = {
        "W1": jax.random.normal(key, (images.shape[1], HIDDEN)) * np.sqrt(2 / images.shape[1]),
        "b1": jnp.zeros(HIDDEN),
        "W2": jax.random.normal(key, (HIDDEN, CLASSES)) * np.sqrt(2 / HIDDEN),
        "b2": jnp.zeros(CLASSES),
    }
    x, y = jnp.asarray(images), jnp.asarray(labels, jnp.int32)

    def loss(weights, batch):
        hidden = jax.nn.relu(x[batch] @ weights["W1"] + weights["b1"])
        logits = hidden @ weights["W2"] + weights["b2"]
        return optax.softmax_cross_entropy_with_integer_labels(logits, y[batch]).mean()

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

    state = [(weights, optimizer.init(weights))]

    def epoch(seed: int) -> None:
        state[0], losses = one(state[0], jax.random.key(seed))
        losses.block_until_ready()

    return epoch


def torch_loader(batch_size: int, images: np.ndarray, labels: np.ndarray) -> Epoch:
    """The loop of the quickstart: a DataLoader over tensors, a step for each batch."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    data = TensorDataset(torch.tensor(images), torch.tensor(labels, dtype=torch.long))
    loader = DataLoader(data, batch_size=batch_size, shuffle=True)
    model = nn.Sequential(nn.Linear(images.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=RATE)

    def epoch(seed: int) -> None:
        torch.manual_seed(seed)
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

    return epoch


def keras_fit(batch_size: int, images: np.ndarray, labels: np.ndarray) -> Epoch:
    """`compile` and `fit`, on TensorFlow."""
    import keras

    layers = keras.layers
    model = keras.Sequential([layers.Dense(HIDDEN, activation="relu"), layers.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(RATE), loss=loss)
    return lambda seed: model.fit(images, labels, batch_size=batch_size, verbose=0) and None


def numpy_obvious(batch_size: int, images: np.ndarray, labels: np.ndarray) -> Epoch:
    """As a textbook writes it: new arrays for everything, Adam weight by weight."""
    rng = np.random.default_rng(0)
    sizes = (images.shape[1], HIDDEN), (HIDDEN, CLASSES)
    theta = []
    for n_in, n_out in sizes:
        matrix = rng.normal(0, np.sqrt(2 / n_in), (n_in, n_out)).astype(np.float32)
        theta += [matrix, np.zeros(n_out, np.float32)]
    m, v = ([np.zeros_like(w) for w in theta] for _ in range(2))
    onehot, t = np.eye(CLASSES, dtype=np.float32)[labels], 0

    def epoch(seed: int) -> None:
        nonlocal t
        order = np.random.default_rng(seed).permutation(len(images))
        for start in range(0, len(order), batch_size):
            x, y = (a[order[start : start + batch_size]] for a in (images, onehot))
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

    return epoch


CONTENDERS = {
    "numba, 2 threads": lockstep("numba", 2),
    "numba, 1 thread": lockstep("numba", 1),
    "JAX, lax.scan over the epoch": jax_scan,
    "PyTorch, DataLoader": torch_loader,
    "Keras, fit": keras_fit,
    "NumPy, the obvious way": numpy_obvious,
    "lockstep numpy": lockstep("numpy"),
    "lockstep torch": lockstep("torch"),
    "lockstep tensorflow": lockstep("tensorflow"),
    "lockstep jax": lockstep("jax"),
}
