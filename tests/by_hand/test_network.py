"""The network by hand, held against hand-computed cases, finite differences, PyTorch and SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import log_softmax as scipy_log_softmax

from lockstep.by_hand import activations, losses, optimizers
from lockstep.by_hand.gradients import check_gradients
from lockstep.by_hand.network import Network
from lockstep.by_hand.step import step

EPS = np.finfo(float).eps


def network(sizes=(12, 9, 5), activation="tanh", l2=0.0, seed=1, scheme="pytorch"):
    return Network(sizes, activation, l2, "float64").initialize(scheme, seed)


def examples(n=7, inputs=12, classes=5, seed=2):
    rng = np.random.default_rng(seed)
    return rng.random((n, inputs)), rng.integers(0, classes, n)


# --- by hand ---


def test_a_tiny_network_computed_on_paper():
    """1-1-2, tanh; X = 1, W1 = 0, b1 = 0: A1 = 0, so the logits are b2 = (0, ln 3), P = (¼, ¾)."""
    net = Network((1, 1, 2), "tanh", dtype="float64")
    net.W[1][...] = [[1.0, -1.0]]
    net.b[1][...] = [0.0, math.log(3)]
    X, y = np.array([[1.0]]), np.array([0])
    Z = net.forward(X)
    assert np.allclose(losses.softmax(Z), [[0.25, 0.75]], rtol=2 * EPS)
    assert net.loss(Z, y) == pytest.approx(math.log(4), rel=2 * EPS)
    net.backward(Z, y)
    # dZ2 = P - Y = (-¾, ¾); dA1 = dZ2·W2ᵀ = -1.5; tanh'(0) = 1, so dW1 = db1 = -1.5; dW2 = 0.
    assert np.allclose(net.db[1], [-0.75, 0.75], rtol=4 * EPS)
    assert np.allclose(net.dW[1], [[0, 0]])
    assert np.allclose([net.dW[0][0, 0], net.db[0][0]], -1.5, rtol=4 * EPS)


def test_the_course_network_has_101770_weights():
    """784·128 + 128 + 128·10 + 10, as Keras' tutorial prints for the same network."""
    assert Network((784, 128, 10)).theta.size == 101_770


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_each_derivative_is_the_slope_of_its_activation(name):
    g, derivative = activations.ACTIVATIONS[name]
    Z = np.array([-3.0, -0.7, -1e-3, 1e-3, 0.4, 2.5])
    slope = (g(Z + 1e-6) - g(Z - 1e-6)) / 2e-6
    assert np.allclose(derivative(g(Z)), slope, atol=1e-9)


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        assert activations.sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_cross_entropy_is_exact_at_logits_of_ten_thousand():
    Z = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert losses.cross_entropy(Z, np.array([0, 1])) == 0.0
        assert losses.cross_entropy(Z, np.array([1, 0])) == 2e4
        assert np.isfinite(losses.cross_entropy_derivative(Z, np.array([1, 0]))).all()
    assert np.allclose(losses.log_softmax(Z), scipy_log_softmax(Z, axis=1), rtol=EPS)


# --- finite differences, and the check of the check ---


@pytest.mark.parametrize("activation", activations.ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(12, 5), (12, 9, 5), (12, 9, 7, 6, 5)])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_backward_agrees_with_finite_differences(activation, sizes, l2):
    assert check_gradients(network(sizes, activation, l2), *examples(), samples=40) < 1e-6


@pytest.mark.parametrize("tensor", ["dW1", "db1", "dW2", "db2"])
def test_a_derivative_off_by_a_tenth_of_a_percent_is_found(tensor):
    net = network()
    right = net.backward

    def wrong(Z, y):
        right(Z, y)
        {"dW": net.dW, "db": net.db}[tensor[:2]][int(tensor[2]) - 1][...] *= 1.001
        return net.gradient

    net.backward = wrong
    with pytest.raises(ArithmeticError, match=rf"{tensor} is wrong at \[\d"):
        check_gradients(net, *examples())


def test_a_gradient_check_in_float32_is_refused():
    with pytest.raises(ValueError, match="float64"):
        check_gradients(Network((12, 5)), *examples())


def test_a_gradient_check_leaves_the_weights_alone():
    net = network()
    before = net.theta.copy()
    check_gradients(net, *examples())
    assert (net.theta == before).all()


# --- initial weights ---


@pytest.mark.parametrize(
    ("scheme", "deviation"),
    [
        ("glorot", math.sqrt(2 / (784 + 300))),
        ("he", math.sqrt(2 / 784)),
        ("lecun", math.sqrt(1 / 784)),
        ("pytorch", 1 / math.sqrt(3 * 784)),
    ],
)
def test_initial_weights_have_the_published_spread(scheme, deviation):
    W = Network((784, 300), dtype="float64").initialize(scheme, 0).W[0]
    n = W.size
    assert abs(W.mean()) < 4 * deviation / math.sqrt(n)
    assert W.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * n))


@pytest.mark.parametrize(("scheme", "limit"), [("glorot", 0.0811), ("pytorch", 0.0357)])
def test_uniform_limits_for_784_128_are_the_frameworks_own(scheme, limit):
    W = Network((784, 128)).initialize(scheme, 0).W[0]
    assert abs(W).max() == pytest.approx(limit, rel=2e-3)


def test_float32_and_float64_start_from_the_same_numbers():
    single, double = (Network((20, 10), dtype=d).initialize() for d in ("float32", "float64"))
    assert (single.theta == double.theta.astype("float32")).all()


# --- optimizers ---


def one_weight(optimizer, gradients, dialect="torch", **numbers):
    """The path of θ = 1 under given gradients."""
    net = Network((1, 1), dtype="float64")
    net.W[0][...] = 1.0
    move = optimizers.OPTIMIZERS[optimizer](dialect=dialect, **numbers)
    path = []
    for gradient in gradients:
        net.gradient[...] = [gradient, 0.0]
        move.update(net)
        path.append(net.theta[0])
    return path


def test_gradient_descent_by_hand():
    net = Network((1, 1), dtype="float64")
    net.gradient[...] = [2.0, -4.0]
    optimizers.Optimizer(0.5).update(net)
    assert net.theta.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("dialect", ["torch", "keras"])
def test_momentum_by_hand(dialect):
    """μ = ½ (exact in float32), lr = 1: velocities 1, 1.5, 1.75; Nesterov adds μv to g."""
    numbers = {"learning_rate": 1.0, "momentum": 0.5, "dialect": dialect}
    assert one_weight("momentum", [1, 1, 1], **numbers) == [0.0, -1.5, -3.25]
    assert one_weight("nesterov", [1, 1, 1], **numbers) == [-0.5, -2.25, -4.125]


def test_rmsprop_by_hand():
    """ρ = ¾, g = 2: v = 1; ε = 3 is added to √v, or to v under the root."""
    numbers = {"learning_rate": 1.0, "rho": 0.75, "epsilon": 3.0}
    assert one_weight("rmsprop", [2], **numbers) == [1 - 2 / 4]
    assert one_weight("rmsprop", [2], "keras", **numbers) == [1 - 2 / 2]


def test_the_first_step_of_adam_is_the_learning_rate():
    """m̂ = g and v̂ = g², so θ moves by lr·g/(|g| + ε), whatever g is (the paper, section 2.1)."""
    for gradient in (1e-3, 1.0, 1e3):
        (theta,) = one_weight("adam", [gradient], learning_rate=0.1, epsilon=1e-12)
        assert theta == pytest.approx(0.9, abs=1e-9)


def test_epsilon_weighs_more_in_the_keras_dialect():
    """At step 1, √v = √(1-β₂)·|g|: ε is added to that, or to |g|."""
    g, epsilon, numbers = 1.0, 1.0, {"learning_rate": 1.0, "beta1": 0.5, "beta2": 0.75}
    (torch,) = one_weight("adam", [g], epsilon=epsilon, **numbers)
    (keras,) = one_weight("adam", [g], "keras", epsilon=epsilon, **numbers)
    assert torch == pytest.approx(1 - 1 / (1 + 1), rel=4 * EPS)
    assert keras == pytest.approx(1 - 0.5 / (0.5 + 1), rel=4 * EPS)


def test_adamw_shrinks_weights_and_not_biases():
    net = Network((1, 1), dtype="float64")
    net.theta[...] = 1.0
    optimizers.Adam(learning_rate=0.5, weight_decay=0.5).update(net)  # the gradient is 0
    assert net.theta.tolist() == [0.75, 1.0]


def test_what_is_remembered_of_a_dark_pixel_ends_at_zero_and_is_never_subnormal():
    """After one derivative of 1, m is 0.1·0.9ᵗ: 1e-31 at t = 656, subnormal in float32 from 808."""
    net, adam = Network((1, 1)), optimizers.Adam()
    net.gradient[...] = 1
    for _ in range(1000):
        adam.update(net)
        net.gradient[...] = 0
        least = np.abs(adam.memory["m"]).min()
        assert least == 0 or least >= np.finfo("float32").tiny
    assert least == 0
    assert adam.memory["v"] == pytest.approx(0.001 * 0.999**999, rel=1e-4)


# --- what cannot be used ---


@pytest.mark.parametrize(
    ("X", "y", "words"),
    [
        (np.zeros((0, 12)), np.zeros(0, int), "empty batch"),
        (np.zeros((3, 11)), np.zeros(3, int), r"shape \(3, 11\)"),
        (np.zeros(12), np.zeros(1, int), r"shape \(12,\)"),
        (np.full((3, 12), np.nan), np.zeros(3, int), "NaN"),
        (np.full((3, 12), np.inf), np.zeros(3, int), "NaN or infinity"),
        (np.zeros((3, 12)), np.array([0, 5, 1]), "label 5"),
        (np.zeros((3, 12)), np.array([0, -1, 1]), "label -1"),
        (np.zeros((3, 12)), np.zeros(2, int), r"shape \(2,\)"),
        (np.zeros((3, 12)), np.zeros(3), "float64"),
    ],
)
def test_bad_batches_are_refused_before_anything_moves(X, y, words):
    net = network()
    before = net.theta.copy()
    with pytest.raises(ValueError, match=words):
        step(net, optimizers.Optimizer(), X, y)
    assert (net.theta == before).all()
