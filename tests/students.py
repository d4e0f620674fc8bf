"""Programs as students write them: plain NumPy, apart from Lockstep's own code, to plant mistakes.

`SOURCE` is right for every recipe in the "torch" dialect; a mistake replaces a line of it.
"""

from __future__ import annotations

from pathlib import Path

from lockstep.data.datasets import Dataset
from lockstep.diagnosis import check, runner, verdict
from lockstep.diagnosis.given import Given
from lockstep.recipe import Recipe

SOURCE = """
import numpy as np

CLASSES = 10
memory, accumulated = {}, {}
t = 0


def g(Z):
    if ACTIVATION == "relu":
        return np.where(Z > 0, Z, 0)
    return np.tanh(Z) if ACTIVATION == "tanh" else 1 / (1 + np.exp(-Z))


def g_derivative(A):
    if ACTIVATION == "relu":
        return (A > 0) * 1
    return 1 - A**2 if ACTIVATION == "tanh" else A * (1 - A)


def softmax(Z):
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)


def update(name, W, dW, learning_rate):
    kept = memory.setdefault(name, {"m": 0 * W, "v": 0 * W})
    if OPTIMIZER == "sgd":
        return W - learning_rate * dW
    if OPTIMIZER in ("momentum", "nesterov"):
        kept["v"] = MOMENTUM * kept["v"] + dW
        if OPTIMIZER == "nesterov":
            return W - learning_rate * (dW + MOMENTUM * kept["v"])
        return W - learning_rate * kept["v"]
    if OPTIMIZER == "rmsprop":
        kept["v"] = RHO * kept["v"] + (1 - RHO) * dW**2
        return W - learning_rate * dW / (np.sqrt(kept["v"]) + EPSILON)
    if OPTIMIZER == "adamw" and name.endswith("weight"):
        W = W - learning_rate * DECAY * W
    kept["m"] = BETA1 * kept["m"] + (1 - BETA1) * dW
    kept["v"] = BETA2 * kept["v"] + (1 - BETA2) * dW**2
    m_hat = kept["m"] / (1 - BETA1**t)
    v_hat = kept["v"] / (1 - BETA2**t)
    return W - learning_rate * m_hat / (np.sqrt(v_hat) + EPSILON)


def step(weights, images, labels, learning_rate):
    global t
    t += 1
    X, y = images, labels
    N, last = len(X), len(weights) // 2 - 1
    W = [weights[f"dense{i}.weight"] for i in range(last + 1)]
    b = [weights[f"dense{i}.bias"] for i in range(last + 1)]
    A, Z = [X], []
    for i in range(last + 1):
        Z.append(A[i] @ W[i] + b[i])
        if i < last:
            A.append(g(Z[i]))
    P = softmax(Z[last])
    loss = -np.log(P[np.arange(N), y]).mean()
    loss = loss + L2 / 2 * sum((M**2).sum() for M in W)
    Y = np.eye(CLASSES, dtype=X.dtype)[y]
    dZ = (P - Y) / N
    gradients = {}
    for i in reversed(range(last + 1)):
        gradients[f"dense{i}.weight"] = A[i].T @ dZ + L2 * W[i]
        gradients[f"dense{i}.bias"] = dZ.sum(axis=0)
        if i > 0:
            dA = dZ @ W[i].T
            dZ = dA * g_derivative(A[i])
    new = {name: update(name, w, gradients[name], learning_rate) for name, w in weights.items()}
    return {"loss": loss, "gradients": gradients, "weights": new}
"""

TRAIN = """

def train(weights, images, labels, batches, learning_rate):
    global t
    memory.clear()
    t = 0
    losses = []
    for batch in batches:
        done = step(weights, images[batch], labels[batch], learning_rate)
        weights = done["weights"]
        losses.append(done["loss"])
    return {"losses": losses, "weights": weights}
"""


def source(recipe: Recipe, *changes: tuple[str, str], train: bool = False) -> str:
    """The right program for this recipe, with lines replaced; each must be there, once."""
    text = SOURCE + (TRAIN if train else "")
    for right, wrong in changes:
        assert text.count(right) == 1, f"{right!r} is there {text.count(right)} times"
        text = text.replace(right, wrong)
    constants = {
        "ACTIVATION": recipe.activation,
        "OPTIMIZER": recipe.optimizer,
        "L2": recipe.l2,
        "DECAY": recipe.weight_decay,
        "MOMENTUM": recipe.momentum,
        "RHO": recipe.rho,
        "BETA1": recipe.beta1,
        "BETA2": recipe.beta2,
        "EPSILON": recipe.epsilon,
    }
    return "\n".join(f"{name} = {value!r}" for name, value in constants.items()) + text


def judged(
    path: Path, text: str, recipe: Recipe, data: Dataset, steps: int = 10
) -> verdict.Verdict:
    """The verdict on a program, run in this process: what runs is trusted here."""
    path.write_text(text, encoding="utf-8")
    program = runner.UserProgram(path, recipe)
    given = Given(recipe, data.train.images, data.train.labels, steps)
    answers, broken = runner.gathered(program, given)
    result = {"forms": program.forms, "dialect": program.dialect, "broken": broken}
    return check.verdict_on(given, answers, result)
