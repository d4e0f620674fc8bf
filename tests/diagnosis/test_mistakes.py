"""Every classic mistake, planted in a student's program, is named; and nothing else is."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from students import judged, source

from lockstep.backends.numpy import Network
from lockstep.diagnosis import mistakes
from lockstep.diagnosis.reference import Reference, Seen
from lockstep.diagnosis.verdict import Verdict
from lockstep.proof.trace import numbers_of
from lockstep.recipe import OPTIMIZER_NUMBERS, Recipe

W0, B0, W1, B1 = "dense0.weight", "dense0.bias", "dense1.weight", "dense1.bias"
ADAM_LINE = "return W - learning_rate * m_hat / (np.sqrt(v_hat) + EPSILON)"
V_LINE = 'kept["v"] = MOMENTUM * kept["v"] + dW\n'
DZ = "dZ = (P - Y) / N"
LOSS = "loss = -np.log(P[np.arange(N), y]).mean()"
RETURN = 'return {"loss": loss, "gradients": gradients, "weights": new}'
ONLY_GRADIENTS = (RETURN, 'return {"gradients": gradients}')
ONLY_WEIGHTS = (RETURN, 'return {"weights": new}')
ONLY_LOSS = (RETURN, 'return {"loss": loss}')


def recipe_of(**changes) -> Recipe:
    plain = {"hidden": (16,), "activation": "tanh", "optimizer": "sgd", "dtype": "float64"}
    return Recipe(**{**plain, **changes})


FORWARD_LINE = "Z.append(A[i] @ W[i] + b[i])"
FORWARD_TRANSPOSED = "M = W[i].T if i == 1 else W[i]\n        Z.append(A[i] @ M + b[i])"
NEW = "    new = {name"
NEW_WITHOUT_BIASES = """    new = dict(weights)
    for name in [name for name in weights if name.endswith("weight")]:
        new[name] = update(name, weights[name], gradients[name], learning_rate)
    _ = {name"""
NEW_ACCUMULATED = """    for name in gradients:
        accumulated[name] = accumulated.get(name, 0) + gradients[name]
    gradients = dict(accumulated)
    new = {name"""
SGD_LINE = "return W - learning_rate * dW\n"
ROLL_LINE = 'return W - learning_rate * kept["v"]'
KERAS_EPSILON = """m_hat = m_hat * np.sqrt(1 - BETA2**t)
    return W - learning_rate * m_hat / (np.sqrt(kept["v"]) + EPSILON)"""
HALF = """    X = X.astype(np.float16)
    weights = {n: w.astype(np.float16) for n, w in weights.items()}
    W = [weights"""
SKIP = """    for batch in batches:
        if len(batch) < 32:
            continue
"""
ADAM = {"optimizer": "adam"}
ADAMW = {"optimizer": "adamw"}
SQUARE = {"hidden": (12, 12)}
ROUND = """
def rounded(X, bits):
    X = np.ascontiguousarray(X, np.float32)
    drop = 24 - bits
    whole = X.view(np.uint32).astype(np.uint64)
    odd = (whole >> np.uint64(drop)) & np.uint64(1)
    whole = (whole + odd + np.uint64(2 ** (drop - 1) - 1)) >> np.uint64(drop) << np.uint64(drop)
    return whole.astype(np.uint32).view(np.float32)

def softmax(Z):"""


def operands(bits: int):
    return [
        ("def softmax(Z):", ROUND.lstrip()),
        (
            "Z.append(A[i] @ W[i] + b[i])",
            f"Z.append(rounded(A[i], {bits}) @ rounded(W[i], {bits}) + b[i])",
        ),
        ("= A[i].T @ dZ", f"= rounded(A[i].T, {bits}) @ rounded(dZ, {bits})"),
        ("dA = dZ @ W[i].T", f"dA = rounded(dZ, {bits}) @ rounded(W[i].T, {bits})"),
    ]


# What the recipe is, what is changed, and then: the first tensor, its step, the mistake (or those
# that nothing can tell apart: a velocity that is a mean is one with a smaller learning rate).
PLANTED = {
    "1/N missing": ({}, [(DZ, "dZ = P - Y")], W1, 1, "mean over the batch missing"),
    "1/N missing with l2": (
        {"l2": 1e-2}, [(DZ, "dZ = P - Y")], W1, 1, "mean over the batch missing",
    ),
    "1/N missing, weights alone returned": (
        {}, [(DZ, "dZ = P - Y"), ONLY_WEIGHTS], W1, 1, "mean over the batch missing",
    ),
    "1/N missing under Adam, weights alone returned": (
        ADAM, [(DZ, "dZ = P - Y"), ONLY_WEIGHTS], W1, 1, "mean over the batch missing",
    ),
    "1/N missing in biases": (
        {}, [("dZ.sum(axis=0)", "dZ.sum(axis=0) * N")], B1, 1, "mean over the batch missing",
    ),
    "1/N doubled": (
        {}, [("A[i].T @ dZ", "A[i].T @ dZ / N"), ("dZ.sum(axis=0)", "dZ.mean(axis=0)")],
        W1, 1, "mean over the batch doubled",
    ),
    "sign": ({}, [(DZ, "dZ = (Y - P) / N")], W1, 1, "sign of the gradient"),
    "uphill": ({}, [(SGD_LINE, SGD_LINE.replace("-", "+"))],
               W1, 1, "update adds"),
    "gradient transposed": (
        SQUARE,
        [("= A[i].T @ dZ +", "= (A[i].T @ dZ if i != 1 else (A[i].T @ dZ).T) +")],
        W1, 1, "gradient transposed",
    ),
    "gradient transposed and reshaped": (
        {}, [("= A[i].T @ dZ +", "= (dZ.T @ A[i]).reshape(W[i].shape) +")],
        W1, 1, "gradient transposed",
    ),
    "weights transposed": (
        SQUARE,
        [
            (FORWARD_LINE, FORWARD_TRANSPOSED),
            ("= A[i].T @ dZ +", "= (A[i].T @ dZ if i != 1 else dZ.T @ A[i]) +"),
            ("dA = dZ @ W[i].T", "dA = dZ @ (W[i] if i == 1 else W[i].T)"),
        ],
        "", 1, "weights transposed",
    ),
    "carried back by W": (
        SQUARE, [("dA = dZ @ W[i].T", "dA = dZ @ (W[i] if i == 1 else W[i].T)")],
        W0, 1, "carried back without the transpose",
    ),
    "second softmax": ({}, [("P = softmax(Z[last])", "P = softmax(softmax(Z[last]))")],
                       "", 1, "second softmax"),
    "second softmax, chained": (
        {},
        [
            ("P = softmax(Z[last])", "Q = softmax(Z[last])\n    P = softmax(Q)"),
            (DZ, DZ + "\n    dZ = Q * dZ - Q * (Q * dZ).sum(axis=1, keepdims=True)"),
        ],
        "", 1, "second softmax",
    ),
    "softmax over the batch": (
        {}, [("E.sum(axis=1, keepdims=True)", "E.sum(axis=0, keepdims=True)"),
             ("Z.max(axis=1, keepdims=True)", "Z.max(axis=0, keepdims=True)")],
        "", 1, "softmax over the batch",
    ),
    "Adam's t counts tensors": (
        ADAM,
        [("    kept = memory.set", "    global t\n    t += 1\n    kept = memory.set"),
         ("    global t\n    t += 1\n    X, y", "    X, y")],
        W1, 1, "Adam's t counts tensors",
    ),
    "no off-diagonal": ({}, [(DZ, "dZ = -Y / P / N * P * (1 - P)")],
                        W1, 1, "softmax's derivative without the off-diagonal"),
    "derivative missing": ({}, [("dZ = dA * g_derivative(A[i])", "dZ = dA")],
                           W0, 1, "activation's derivative missing"),
    "derivative at Z": ({}, [("g_derivative(A[i])", "g_derivative(Z[i - 1])")],
                        W0, 1, "activation's derivative taken at Z"),
    "sigmoid's derivative at Z": (
        {"activation": "sigmoid"}, [("g_derivative(A[i])", "g_derivative(Z[i - 1])")],
        W0, 1, "activation's derivative taken at Z",
    ),
    "derivative at A": ({}, [("g_derivative(A[i])", "(1 - np.tanh(A[i]) ** 2)")],
                        W0, 1, "activation's derivative taken at A"),
    "W2 updated before dA1": (
        {}, [("dA = dZ @ W[i].T",
              'dA = dZ @ (W[i] - learning_rate * gradients[f"dense{i}.weight"]).T')],
        W0, 1, "updated before it is used",
    ),
    "W2 updated before dA1, Adam": (
        ADAM,
        [("dA = dZ @ W[i].T",
          'name = f"dense{i}.weight"\n'
          "            kept = dict(memory.get(name, {'m': 0 * W[i], 'v': 0 * W[i]}))\n"
          "            new = update(name, W[i], gradients[name], learning_rate)\n"
          "            memory[name] = kept\n"
          "            dA = dZ @ new.T")],
        W0, 1, "updated before it is used",
    ),
    "bias not updated": (
        {}, [(NEW, NEW_WITHOUT_BIASES)],
        B1, 1, "bias not updated",
    ),
    "bias gradient of one example": ({}, [("dZ.sum(axis=0)", "dZ[0]")],
                                     B1, 1, "bias gradient not summed"),
    "bias gradient summed over all": (
        {}, [("dZ.sum(axis=0)", "np.ones(dZ.shape[1]) * dZ.sum()")],
        B1, 1, "bias gradient not summed over the batch alone",
    ),
    "gradients accumulated": (
        {}, [(NEW, NEW_ACCUMULATED)],
        W1, 2, "gradients accumulated",
    ),
    "learning rate": ({}, [(SGD_LINE, SGD_LINE.replace("W - ", "W - 3 * "))],
                      W1, 1, "learning rate"),
    "learning rate, Adam": (ADAM, [(ADAM_LINE, ADAM_LINE.replace("W - ", "W - 0.1 * "))],
                            W1, 1, "learning rate"),
    "no bias correction": (
        ADAM,
        [("m_hat = kept[\"m\"] / (1 - BETA1**t)", 'm_hat = kept["m"]'),
         ("v_hat = kept[\"v\"] / (1 - BETA2**t)", 'v_hat = kept["v"]')],
        W1, 1, "Adam without bias correction of m and v",
    ),
    "epsilon under the root": (ADAM, [("(np.sqrt(v_hat) + EPSILON)", "np.sqrt(v_hat + EPSILON)")],
                               W1, 1, "epsilon under the root"),
    "epsilon as Keras": (
        ADAM,
        [(ADAM_LINE, KERAS_EPSILON)],
        W1, 1, "epsilon before the correction",
    ),
    "epsilon's value": (ADAM, [(ADAM_LINE, ADAM_LINE.replace("EPSILON", "1e-7"))],
                        W1, 1, "epsilon 1e-07"),
    "rmsprop's epsilon": (
        {"optimizer": "rmsprop"},
        [('dW / (np.sqrt(kept["v"]) + EPSILON)', 'dW / np.sqrt(kept["v"] + EPSILON)')],
        W1, 1, "epsilon under the root",
    ),
    "moments swapped": (
        ADAM,
        [('BETA1 * kept["m"] + (1 - BETA1) * dW', 'BETA2 * kept["m"] + (1 - BETA2) * dW'),
         ('BETA2 * kept["v"] + (1 - BETA2) * dW**2', 'BETA1 * kept["v"] + (1 - BETA1) * dW**2'),
         ("(1 - BETA1**t)", "(1 - BETA2**t )"), ("(1 - BETA2**t)", "(1 - BETA1**t)")],
        W1, 2, "Adam's moments swapped",
    ),
    "nesterov for momentum": (
        {"optimizer": "momentum"},
        [(ROLL_LINE, 'return W - learning_rate * (dW + MOMENTUM * kept["v"])')],
        W1, 1, "optimizer nesterov",
    ),
    "momentum for nesterov": (
        {"optimizer": "nesterov"},
        [('(dW + MOMENTUM * kept["v"])', 'kept["v"]')], W1, 1, "optimizer momentum",
    ),
    "momentum as a mean": (
        {"optimizer": "momentum"}, [(V_LINE, V_LINE.replace("+ dW", "+ (1 - MOMENTUM) * dW"))],
        W1, 1, ("learning rate", "momentum averaged"),
    ),
    "momentum forgotten": ({"optimizer": "momentum"}, [(V_LINE, 'kept["v"] = dW\n')],
                           W1, 2, "optimizer sgd"),
    "momentum as Keras": (
        {"optimizer": "momentum", "schedule": "cut"},
        [(V_LINE, V_LINE.replace("+ dW", "+ learning_rate * dW")),
         ('return W - learning_rate * kept["v"]', 'return W - kept["v"]')],
        W1, 6, "momentum's other dialect",
    ),
    "decay coupled": (
        ADAMW,
        [("W = W - learning_rate * DECAY * W", "dW = dW + DECAY * W")],
        W1, 1, "weight decay coupled",
    ),
    "decay on biases": (ADAMW, [(' and name.endswith("weight")', "")],
                        B1, 2, "weight decay on biases"),
    "decay missing": (ADAMW, [("- learning_rate * DECAY * W", "")], W1, 1, "weight decay missing"),
    "l2 decoupled": (
        {**ADAM, "l2": 1e-2},
        [(" + L2 * W[i]", ""),
         (ADAM_LINE, ADAM_LINE.replace("W - ", "W - learning_rate * L2 * W * (W.ndim > 1) - "))],
        W1, 1, "L2 penalty decoupled",
    ),
    "l2 on biases": (
        {"l2": 1e-2}, [("= dZ.sum(axis=0)", "= dZ.sum(axis=0) + L2 * b[i]")],
        B1, 2, "L2 penalty on biases",
    ),
    "l2 missing in the gradient": ({"l2": 1e-2}, [(" + L2 * W[i]", "")],
                                   W1, 1, "L2 penalty is missing"),
    "labels shifted": ({}, [("X, y = images, labels", "X, y = images, (labels + 1) % 10")],
                       "", 1, "labels shifted by +1 class"),
    "labels rolled": ({}, [("X, y = images, labels", "X, y = images, np.roll(labels, 1)")],
                      "", 1, "labels shifted by +1 place"),
    "inputs scaled twice": ({}, [("X, y = images, labels", "X, y = images / 255, labels")],
                            "", 1, "inputs scaled twice"),
    "inputs not scaled, inside step": (
        {}, [("X, y = images, labels", "X, y = images * 255, labels"), ONLY_GRADIENTS],
        W1, 1, "inputs not scaled",
    ),
    "inputs standardised, inside step": (
        {}, [("X, y = images, labels", "X, y = (images - 0.1307) / 0.3081, labels")],
        "", 1, "inputs standardised by MNIST's numbers",
    ),
    "loss summed": ({}, [(LOSS, LOSS.replace("mean", "sum"))], "", 1, "loss summed"),
    "loss clipped": (
        {}, [(LOSS, "loss = -np.log(np.clip(P[np.arange(N), y], 1e-12, 1)).mean()")],
        "", 11, "log of clipped probabilities",
    ),
    "loss clipped at 1e-7, alone": (
        {}, [(LOSS, "loss = -np.log(np.maximum(P[np.arange(N), y], 1e-7)).mean()"), ONLY_LOSS],
        "", 11, "log of clipped probabilities",
    ),
    "loss with epsilon": ({}, [(LOSS, "loss = -np.log(P[np.arange(N), y] + 1e-8).mean()")],
                          "", 1, "log of clipped probabilities"),
    "broadcast in the loss": ({}, [(LOSS, "loss = -np.log(P[np.arange(N), y[:, None]]).mean()")],
                              "", 1, "broadcast (N,1) against (N,)"),
    "broadcast in the index": (
        {}, [(DZ, "dZ = P.copy()\n    dZ[np.arange(N), y[:, None]] -= 1\n    dZ /= N")],
        W1, 1, "broadcast (N,1) against (N,)",
    ),
    "bfloat16 operands": ({}, operands(8), "", 1, "bfloat16 rounding"),
    "TF32 operands": ({}, operands(11), W1, 1, ("float16 rounding", "TF32 rounding")),
    "float16 throughout": (
        {},
        [("    W = [weights", HALF)],
        "", 1, "float16 rounding",
    ),
}  # fmt: skip


@pytest.mark.parametrize("plant", PLANTED)
def test_a_planted_mistake_is_found_and_named(plant, tmp_path, digits):
    changes, lines, tensor, step, name = PLANTED[plant]
    recipe = recipe_of(**changes)
    verdict = judged(tmp_path / "student.py", source(recipe, *lines), recipe, digits)
    first = verdict.findings[0]
    assert first.names == ((name,) if isinstance(name, str) else name), verdict.diagnosis
    assert (first.tensor, first.step) == (tensor, step), verdict.diagnosis
    assert len(verdict.findings) == 1, [f.diagnosis for f in verdict.findings]
    assert first.sentences[0] in verdict.diagnosis and not verdict.same


PREPARED = {
    "images.astype(float)": "inputs not scaled",
    "(images / 255 - 0.1307) / 0.3081": "inputs standardised by MNIST's numbers",
    "(images - images.mean()) / images.std()": "inputs standardised",
    "images / 127.5 - 1": "inputs to -1…1",
}


@pytest.mark.parametrize("expression", PREPARED)
def test_wrongly_prepared_pixels(expression, tmp_path, digits):
    recipe = recipe_of()
    text = source(recipe) + f"\n\ndef prepare(images):\n    return {expression}\n"
    (first,) = judged(tmp_path / "student.py", text, recipe, digits).findings
    assert (first.names, first.kind) == ((PREPARED[expression],), "images")


TRAINED = {
    "if len(batch) < 32:\n            continue": "last batch dropped",
    "batch = np.arange(len(images))[len(losses) % 5 * 32 :][:32]": "order ignored",
    "batch = batches[5 * (len(losses) // 5) + 4 - len(losses) % 5]": "order reversed",
    "batch = batches[len(losses) % 5]": "order repeated",
    "rng = np.random.default_rng(9 + len(losses) // 5)\n        "
    "batch = rng.permutation(len(images))[len(losses) % 5 * 32 :][:32]": "order differs",
}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("line", TRAINED)
def test_training_in_another_order(line, optimizer, tmp_path, digits):
    recipe = recipe_of(optimizer=optimizer)
    loop = "    for batch in batches:\n"
    text = source(recipe, (loop, f"{loop}        {line}\n"), train=True)
    (first,) = judged(tmp_path / "student.py", text, recipe, digits).findings
    assert first.names == (TRAINED[line],)


def test_a_dropped_batch_shows_in_the_weights_alone(tmp_path, digits):
    recipe = recipe_of()
    changes = [
        ("    for batch in batches:\n", SKIP),
        ('return {"losses": losses, "weights": weights}', 'return {"weights": weights}'),
    ]  # fmt: skip
    text = source(recipe, *changes, train=True)
    (first,) = judged(tmp_path / "student.py", text, recipe, digits).findings
    assert (first.names, first.tensor) == (("last batch dropped",), W1)


# --- What must not be named -----------------------------------------------------------------------

UNEXPLAINED = {
    "one tensor 1.7 times": ("dZ.sum(axis=0)", "dZ.sum(axis=0) * (1.7 if i == 0 else 1)"),
    "everything 1.7 times": (DZ, "dZ = 1.7 * (P - Y) / N"),
    "noise": (DZ, "dZ = (P - Y) / N + 1e-3 * np.random.default_rng(t).normal(size=P.shape)"),
    "a little noise": (DZ, DZ + " * (1 + 1e-7 * np.random.default_rng(t).normal(size=P.shape))"),
    "loss halved": (LOSS, LOSS + "\n    loss = loss / 2"),
    "two in one": (DZ, "dZ = 3 * (Y - P)"),
    "now and then": (DZ, "dZ = (P - Y) / (N if t % 3 else 1)"),
    "learning rate that moves": (
        "return W - learning_rate * dW\n", "return W - learning_rate * dW * (1 + t / 10)\n",
    ),
    "one tensor's learning rate": (
        "return W - learning_rate * dW\n",
        "return W - learning_rate * dW * (1.7 if name == 'dense0.weight' else 1)\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("plant", UNEXPLAINED)
def test_what_no_classic_mistake_explains_is_left_unexplained(plant, tmp_path, digits):
    recipe = recipe_of()
    text = source(recipe, UNEXPLAINED[plant])
    findings = judged(tmp_path / "student.py", text, recipe, digits).findings
    assert [finding.names for finding in findings] == [()]
    assert findings[0].diagnosis.startswith("unexplained: ")
    assert findings[0].difference > 0


def test_what_the_numbers_do_not_tell_apart_is_told_as_either(tmp_path, digits):
    """With plain descent and weights alone: the gradient's sign, or the update's."""
    recipe = recipe_of()
    text = source(recipe, (DZ, "dZ = (Y - P) / N"), ONLY_WEIGHTS)
    (first,) = judged(tmp_path / "student.py", text, recipe, digits).findings
    assert set(first.names) == {"sign of the gradient", "update adds"}
    assert "either" in first.diagnosis and "do not tell" in first.diagnosis


def test_mistakes_in_different_parts_of_a_step_are_each_named(tmp_path, digits):
    recipe = recipe_of(**ADAM)
    lines = [(LOSS, LOSS.replace("mean", "sum")), (DZ, "dZ = P - Y"),
             (ADAM_LINE, ADAM_LINE.replace("learning_rate", "0.1 * learning_rate"))]  # fmt: skip
    findings = judged(tmp_path / "student.py", source(recipe, *lines), recipe, digits).findings
    assert [f.names for f in findings] == [
        ("loss summed",),
        ("mean over the batch missing",),
        ("learning rate",),
    ]


# --- No false alarm -------------------------------------------------------------------------------


@st.composite
def recipes(draw):
    return Recipe(
        hidden=tuple(draw(st.lists(st.integers(1, 24), max_size=3))),
        activation=draw(st.sampled_from(["tanh", "relu", "sigmoid"])),
        initialization=draw(st.sampled_from(["glorot", "he", "pytorch"])),
        optimizer=draw(st.sampled_from(sorted(OPTIMIZER_NUMBERS))),
        schedule=draw(st.sampled_from(["constant", "cosine"])),
        batch_size=draw(st.integers(1, 40)),
        l2=draw(st.sampled_from([0.0, 0.0, 1e-3, 0.1])),
        seed=draw(st.integers(0, 1000)),
        dtype=draw(st.sampled_from(["float64", "float32"])),
    )


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@example(  # eight float32 updates of a tiny move each: the weights' own rounding adds up
    recipe=Recipe(hidden=(9, 1, 2), activation="sigmoid", optimizer="momentum", batch_size=1),
    part="all",
)
@given(recipe=recipes(), part=st.sampled_from(["all", "weights", "gradients", "loss"]))
def test_a_right_program_is_never_accused(recipe, part, tmp_path_factory, digits):
    only = {"weights": [ONLY_WEIGHTS], "gradients": [ONLY_GRADIENTS], "loss": [ONLY_LOSS]}
    text = source(recipe, *only.get(part, []), train=part == "all")
    path = tmp_path_factory.getbasetemp() / "right.py"
    verdict = judged(path, text, recipe, digits, steps=4)
    assert verdict.same, verdict.diagnosis
    assert verdict.precision == recipe.dtype


# --- The program that mistakes are made in -------------------------------------------------------


@pytest.mark.parametrize("dialect", ["torch", "keras"])
@pytest.mark.parametrize("optimizer", OPTIMIZER_NUMBERS)
def test_the_program_in_small_lines_is_the_network_by_hand(optimizer, dialect, batch):
    recipe = recipe_of(hidden=(12, 8), optimizer=optimizer, dialect=dialect, l2=1e-2)
    network = Network(recipe, recipe.initial_weights())
    steps = [
        Seen(None if i else network.weights, *batch, recipe.learning_rate / (i + 1), {})
        for i in range(5)
    ]
    for seen, numbers in zip(steps, Reference(recipe).run(steps), strict=True):
        right = numbers_of(network.step(*batch, seen.rate), network)
        parts = [number for number in right if number.kind in ("loss", "gradient", "weight")]
        assert set(numbers) == set(parts)
        for number in parts:
            assert np.abs(numbers[number] - right[number]).max() < 1e-13, number


def test_every_mistake_of_the_catalogue_makes_a_difference(batch):
    """A mistake that computes what is right could never be named."""
    for optimizer in OPTIMIZER_NUMBERS:
        recipe = recipe_of(hidden=(12, 12), optimizer=optimizer, l2=1e-2, schedule="cut")
        rates = [recipe.learning_rate, recipe.learning_rate / 10]
        weights = dataclasses.replace(recipe, initialization="pytorch").initial_weights()
        weights["dense2.weight"] = weights["dense2.weight"] * 100
        steps = [Seen(None if i else weights, *batch, rates[i > 1], {}) for i in range(4)]
        right = list(Reference(recipe).run(steps))
        case = mistakes.Case(recipe, steps, right, frozenset(recipe.shapes))
        for kind in mistakes.CATALOGUE:
            for program in kind.variants(case):
                if isinstance(program, mistakes.loss.Clipped) and program.epsilon < 1e-8:
                    continue  # shows only where probabilities are smaller than here
                assert any(
                    np.abs(number - other[key]).max() > 0
                    for number, other in zip(right, program.run(steps), strict=True)
                    for key, number in number.items()
                ), program.name


def test_rounding_to_a_format_is_numpys_own():
    numbers = np.random.default_rng(0).normal(size=1000)
    half = mistakes.FORMATS[1]
    assert np.array_equal(half.rounded(numbers), numbers.astype(np.float16).astype(float))
    long = dataclasses.replace(half, name="float32", bits=24)
    assert np.array_equal(long.rounded(numbers), numbers.astype(np.float32).astype(float))


def test_a_verdict_is_plain_values(tmp_path, digits):
    import json

    recipe = recipe_of()
    text = source(recipe, (DZ, "dZ = P - Y"))
    verdict = judged(tmp_path / "student.py", text, recipe, digits)
    assert isinstance(verdict, Verdict)
    plain = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert plain["findings"][0]["names"] == ["mean over the batch missing"]
    assert "32 times too large at step 1, everywhere" in plain["findings"][0]["diagnosis"]
