"""The ladder ends where no number differs, each rung does what theory says, noise stays noise."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from conftest import absent, lockstep
from safetensors.numpy import load_file

from lockstep.backends import registry
from lockstep.backends.contract import Formulas
from lockstep.backends.numpy import Network as ByHand
from lockstep.data import datasets
from lockstep.data.order import epoch_batches
from lockstep.differences import explain, ladder, trainer
from lockstep.differences.choices import AS_EVERYONE_WRITES_IT
from lockstep.differences.conclusion import Explanation
from lockstep.differences.ladder import Difference, Rung
from lockstep.errors import LockstepError
from lockstep.layouts import largest_difference
from lockstep.processes import jobs
from lockstep.recipe import Recipe
from lockstep.report import figures, terminal

pytestmark = pytest.mark.costly

RECIPE = Recipe(batch_size=128)
STEPS = 60


# --- What the frameworks can be told --------------------------------------------------------------


@pytest.mark.parametrize("name", AS_EVERYONE_WRITES_IT)
def test_a_frameworks_own_formulas_spelt_out_are_its_own(name, digits):
    program = dataclasses.replace(AS_EVERYONE_WRITES_IT[name], dtype="float64")
    recipe = program.recipe(Recipe(hidden=(16,), batch_size=32))
    weights = recipe.initial_weights()
    own, spelt = (registry.load(name)(recipe, weights, "cpu", f) for f in (None, program.formulas))
    _train(own, digits)
    _train(spelt, digits)
    assert largest_difference(own.weights, spelt.weights) < 1e-13


@pytest.mark.parametrize("framework", [n for n in AS_EVERYONE_WRITES_IT if n != "numpy"])
@pytest.mark.parametrize("place", ["outside", "hat"])
@pytest.mark.parametrize("betas", ["exact", "float32"])
def test_every_framework_imitates_every_adam(framework, place, betas, digits):
    recipe = Recipe(hidden=(16,), batch_size=32, dtype="float64")
    formulas = Formulas("logits", place, betas, tf32=False)
    weights = recipe.initial_weights()
    networks = [registry.load(n)(recipe, weights, "cpu", formulas) for n in (framework, "numpy")]
    for network in networks:
        _train(network, digits)
    assert largest_difference(*(network.weights for network in networks)) < 1e-13


def test_a_backend_that_cannot_imitate_says_so():
    recipe = Recipe(hidden=(16,))
    formulas = Formulas("logits", "hat", "exact", tf32=False)
    with pytest.raises(LockstepError, match="writes Adam and the loss in its own way alone"):
        registry.load("jax")(recipe, recipe.initial_weights(), "cpu", formulas)


def test_frameworks_agree_on_probabilities_that_are_clipped(digits):
    """Where the clip bites: weights so large that many a probability is 0 or 1."""
    recipe = Recipe(hidden=(16,), batch_size=32, dtype="float64")
    weights = {name: 20 * array for name, array in recipe.initial_weights().items()}
    trained = {}
    for name, loss in itertools.product(("torch", "tensorflow"), ("clipped", "logits")):
        formulas = Formulas(loss, "outside", "exact", tf32=False)
        network = registry.load(name)(recipe, weights, "cpu", formulas)
        _train(network, digits)
        trained[name, loss] = network.weights
    clipped = trained["torch", "clipped"]
    # Saturated, so gradients are near 0, and Adam divides them by their own size.
    assert largest_difference(clipped, trained["tensorflow", "clipped"]) < 1e-9
    assert largest_difference(clipped, trained["torch", "logits"]) > 1e-4


def _train(network, digits, count=10):
    images = datasets.scale(digits.train.images, "float64")
    order = epoch_batches(len(images), network.recipe.batch_size, 0, 1)[:count]
    return network.train_epoch(images, digits.train.labels, order)


# --- The programs are what everyone writes --------------------------------------------------------


def trained(name, data, tmp_path, seed=0):
    """The program as everyone writes it, by the worker's own code: accuracies and weights."""
    job = {
        **jobs.job(name, RECIPE, data, "cpu"),
        "programs": [dataclasses.asdict(AS_EVERYONE_WRITES_IT[name])],
        "seeds": [seed],
        "steps": STEPS,
        "checkpoints": [STEPS],
        "folder": str(tmp_path),
    }
    events = []
    trainer.work(job, registry.load(name), data, events.append)
    arrays = load_file(events[-1]["file"])
    return events[-1], {n.split("/")[1]: a for n, a in arrays.items() if "/" in n}


def test_the_keras_program_is_the_tutorials_fit(mnist, tmp_path):
    if "tensorflow" not in registry.installed():
        absent("tensorflow is not installed")
    event, weights = trained("tensorflow", mnist, tmp_path, seed=3)
    import keras

    keras.utils.set_random_seed(3)
    layers = [keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((784,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    images = datasets.scale(mnist.train.images, "float32")
    history = model.fit(
        images, mnist.train.labels, batch_size=128, steps_per_epoch=STEPS, verbose=0
    ).history
    tutorial = dict(zip(RECIPE.shapes, model.get_weights(), strict=True))
    assert largest_difference(weights, tutorial) < 1e-3  # float32; another seed is 0.2 away
    assert event["reported_accuracy"] == pytest.approx(history["accuracy"][0], abs=3 / 7680)


def test_the_torch_program_is_the_tutorials_loop(mnist, tmp_path):
    if "torch" not in registry.installed():
        absent("torch is not installed")
    _, weights = trained("torch", mnist, tmp_path, seed=3)
    import torch
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    images = torch.from_numpy(datasets.scale(mnist.train.images, "float32"))
    labels = torch.from_numpy(mnist.train.labels.astype("int64"))
    generator = torch.Generator().manual_seed(3)
    loader = DataLoader(TensorDataset(images, labels), 128, shuffle=True, generator=generator)
    optimizer, loss = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss()
    for x, y in itertools.islice(loader, STEPS):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    arrays = (parameter.detach().numpy().T for parameter in model.parameters())
    tutorial = dict(zip(RECIPE.shapes, arrays, strict=True))
    assert largest_difference(weights, tutorial) < 1e-3


# --- The ladder on true MNIST ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(mnist) -> Explanation:
    return explain.explain("tensorflow", "torch", RECIPE, mnist, seeds=2, steps=STEPS)


def rung(rungs, aspect) -> Rung:
    return next(rung for rung in rungs if rung.aspect == aspect)


def test_the_ladder_goes_from_everyones_programs_to_the_same_program(found):
    aspects = ["weights", "biases", "order", "loss", "epsilon", "place", "betas", "metric", "dtype"]
    assert [rung.aspect for rung in found.ladder] == ["nothing", *aspects]
    assert found.ladder[0].apart > 0.1
    assert found.ladder[-1].worst <= 1e-12 and found.aligned
    last = found.ladder[-1].differences
    assert all(d.loss <= 1e-12 and d.accuracy == 0 and d.reported == 0 for d in last)
    assert "no weight ever differs by more than" in found.conclusion


def test_what_is_undone_alone_matters_where_theory_says_so(found):
    assert {rung.aspect for rung in found.undone} == {*_aspects(found), "clipped"}
    assert found.undone == tuple(sorted(found.undone, key=lambda rung: -rung.apart))
    for aspect in ("weights", "biases", "order"):
        assert rung(found.undone, aspect).apart > 1e-2
    for aspect in ("epsilon", "place", "betas"):
        assert rung(found.undone, aspect).apart > 1e-7
    assert 1e-9 < rung(found.undone, "dtype").apart < 1e-2
    for aspect in ("loss", "metric"):  # Keras takes the logits back out of its softmax
        assert rung(found.undone, aspect).worst <= 1e-12


def _aspects(found):
    return [rung.aspect for rung in found.ladder[1:]]


def test_the_metric_changes_what_is_reported_and_no_weight(found):
    before, after = found.ladder[-3:-1]
    assert after.aspect == "metric"
    for one, other in zip(before.differences, after.differences, strict=True):
        assert one.weights == pytest.approx(other.weights, rel=1e-6)
        assert one.accuracy == other.accuracy
    undone = rung(found.undone, "metric")
    for difference in undone.differences:
        assert difference.accuracy == 0
        assert difference.reported < -3  # the running mean lags behind


def test_betas_move_the_first_step_by_what_a_pocket_calculator_says(found):
    """g/√g² is ±1 at the first step, so each weight moves by lr times the corrections' quotient."""
    exact, rounded = (0.9, 0.999), (float(np.float32(0.9)), float(np.float32(0.999)))
    factors = [math.sqrt(1 - beta2) / (1 - beta1) for beta1, beta2 in (exact, rounded)]
    expected = 1e-3 * abs(factors[1] / factors[0] - 1)
    for difference in rung(found.undone, "betas").differences:
        assert difference.weights[1] == pytest.approx(expected, rel=1e-5)
    assert 6e-9 < expected < 8e-9


@pytest.mark.parametrize("aspect", ["epsilon", "place"])
def test_epsilon_moves_the_first_step_by_what_the_gradient_says(found, aspect, mnist):
    """lr·g/(|g| + ε) at the first step; with the hat, ε weighs 1/√(1 - β₂) times more."""
    other = {"epsilon": 1e-7, "place": 1e-8 / math.sqrt(1 - 0.999)}[aspect]
    torch = registry.load("torch")
    for seed, difference in enumerate(rung(found.undone, aspect).differences):
        recipe = dataclasses.replace(RECIPE, dtype="float64")
        weights = {n: a.astype("float64") for n, a in torch.own_weights(RECIPE, seed).items()}
        batch = torch.own_batches(60000, 128, 1, seed)[0]
        images = datasets.scale(mnist.train.images[batch], "float64")
        step = ByHand(recipe, weights).step(images, mnist.train.labels[batch])
        g = np.concatenate([array.ravel() for array in step.gradients.values()])
        expected = 1e-3 * np.abs(g / (np.abs(g) + 1e-8) - g / (np.abs(g) + other)).max()
        assert difference.weights[1] == pytest.approx(expected, rel=1e-6)


BACK = pytest.param(("torch", "tensorflow"), marks=pytest.mark.slow)


@pytest.mark.parametrize("pair", [BACK, ("numpy", "tensorflow")])
def test_the_ladder_ends_in_the_other_direction_and_by_hand(pair, digits):
    found = explain.explain(*pair, Recipe(hidden=(16,), batch_size=128), digits, seeds=1, steps=12)
    assert found.aligned and found.ladder[0].apart > 1e-2


def test_an_alignment_that_does_nothing_is_caught(digits, monkeypatch):
    align = ladder.align

    def forgetful(left, right, aspect):
        return (left, right) if aspect == "betas" else align(left, right, aspect)

    monkeypatch.setattr(ladder, "align", forgetful)
    recipe = Recipe(hidden=(16,), batch_size=128)
    found = explain.explain("numpy", "tensorflow", recipe, digits, seeds=1, steps=3)
    assert not found.aligned and found.ladder[-1].worst > 1e-9
    assert "an alignment does nothing" in found.conclusion
    assert "Undone alone" not in found.conclusion


def test_tf32_is_a_rung_where_there_is_a_cuda_device_and_is_undone_in_float32():
    left, right = AS_EVERYONE_WRITES_IT["tensorflow"], AS_EVERYONE_WRITES_IT["torch"]
    assert "tf32" not in [rung.aspect for rung in ladder.ladder(left, right)]
    rungs = ladder.ladder(left, right, cuda=True)
    assert rung(rungs, "tf32").change == "on → off"
    undone = rung(ladder.undone(left, rungs[-1].left, right, cuda=True), "tf32")
    assert undone.left.tf32 and undone.left.dtype == undone.right.dtype == "float32"


@pytest.mark.cuda
def test_tf32_moves_weights_more_than_float32_does(mnist):
    if not all("cuda" in registry.load(n).devices("float32") for n in ("tensorflow", "torch")):
        pytest.skip("no CUDA device here")
    found = explain.explain("tensorflow", "torch", RECIPE, mnist, 1, STEPS, device="cuda")
    tf32, float32 = (rung(found.undone, aspect).differences[0] for aspect in ("tf32", "dtype"))
    assert tf32.weights[STEPS] > 10 * float32.weights[STEPS]


# --- What is said of the numbers ------------------------------------------------------------------


def planted(undone: dict[str, list[float]], by_seed=(97.0, 97.2, 96.8), last=1e-15, reported=0.0):
    """An explanation with these differences of test accuracy, undone alone, in points."""
    program = AS_EVERYONE_WRITES_IT["torch"]
    seeds = len(by_seed)

    def row(aspect, weights, accuracies, told=0.0):
        differences = tuple(
            Difference({1: weights, 100: weights, 469: weights}, weights, accuracy, told)
            for accuracy in accuracies
        )
        title = ladder.ASPECTS.get(aspect, aspect)
        return Rung(aspect, title, "a → b", program, program, differences)

    rungs = [row("nothing", 0.3, [0.1] * seeds), row("dtype", last, [0.0] * seeds)]
    rows = [row(aspect, 1e-2, accuracies) for aspect, accuracies in undone.items()]
    rows.append(row("metric", last, [0.0] * seeds, reported))
    versions = {"tensorflow": "TensorFlow 2", "torch": "PyTorch 2"}
    return Explanation(
        "tensorflow",
        "torch",
        versions,
        "MNIST",
        RECIPE,
        469,
        tuple(range(seeds)),
        tuple(rungs),
        tuple(rows),
        by_seed,
        by_seed,
    )


def test_an_effect_within_the_spread_is_called_noise_and_is_not_claimed():
    conclusion = planted({"weights": [0.1, -0.05, 0.12], "betas": [0.1, 0.1, 0.1]}).conclusion
    assert "None of them alone does anything to the test accuracy beyond noise" in conclusion
    assert "another seed by itself moves it by 0.20 points" in conclusion
    assert "changed beyond noise" not in conclusion


def test_an_effect_beyond_the_spread_is_claimed_alone():
    conclusion = planted({"weights": [1.0, 1.1, 0.9], "betas": [0.1, -0.2, 0.05]}).conclusion
    assert "changed beyond noise by initial weights alone (+1.00 ± 0.10 points)" in conclusion
    assert "betas' precision alone" not in conclusion


def test_nothing_is_claimed_while_the_ladder_does_not_end():
    found = planted({"weights": [1.0, 1.1, 0.9]}, last=3e-4)
    assert not found.aligned
    assert "a weight still differs by 3.0e-04" in found.conclusion
    assert "initial weights" not in found.conclusion


def test_one_seed_claims_nothing():
    found = planted({"weights": [5.0]}, by_seed=(97.0,))
    assert found.accuracy_verdict(found.undone[0]) == "unknown"
    assert "A single seed cannot say" in found.conclusion
    assert "which one seed cannot tell from noise" in found.conclusion


def test_a_metric_is_said_to_move_no_weight_only_if_it_moves_what_is_reported():
    assert "with the very same weights" in planted({}, reported=-4.0).conclusion
    assert "very same weights" not in planted({}, reported=0.0).conclusion
    assert "No weight is moved by metric." in planted({}).conclusion


# --- Table, figure, files -------------------------------------------------------------------------


def test_the_table_shows_the_means_and_ends_in_the_conclusion(capsys):
    found = planted({"weights": [1.0, 1.1, 0.9]})
    terminal.print_explanation(found.to_dict())
    out = capsys.readouterr().out
    assert "initial weights" in out and "+1.00 ± 0.10" in out and "1.0e-02" in out
    assert found.conclusion.split()[-1] in out


def test_the_figure_draws_every_seed_of_every_rung(tmp_path):
    found = planted({"weights": [1.0, 1.1, 0.9], "order": [0.1, 0.0, -0.1]}).to_dict()
    figure = figures.ladder(found)
    for axes, rungs in zip(figure.axes, (found["ladder"], found["undone"]), strict=True):
        drawn = [line.get_xdata() for line in axes.lines if line.get_markersize() == 3]
        expected = [values for rung in rungs for values in rung["weights"].values()]
        assert [list(values) for values in drawn] == expected
        words = [label.get_text() for label in axes.get_yticklabels()]
        assert [word.split("\n")[0] for word in words] == [rung["title"] for rung in rungs]
    png, svg = figures.save(figure, tmp_path / "explain")
    ElementTree.parse(svg)
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_run_leaves_the_numbers_and_the_figure(tmp_path):
    if "torch" not in registry.installed():
        absent("torch is not installed")
    done = lockstep(
        "explain", "numpy", "torch", "--dataset", "digits", "--hidden", "16", "--seed", "7",
        "--seeds", "2", "--steps", "12", "--name", "why", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "why"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == {
        "explain.json",
        "figures/explain.png",
        "figures/explain.svg",
    }
    content = json.loads((folder / "explain.json").read_text(encoding="utf-8"))
    assert content["seeds"] == [7, 8] and content["aligned"] is True
    assert content["conclusion"].split()[:4] == ["As", "everyone", "writes", "them,"]
    assert [row["aspect"] for row in content["ladder"]][:2] == ["nothing", "weights"]
    assert len(content["ladder"][0]["weights"]["12"]) == 2
    assert "PyTorch" in done.stdout


@pytest.mark.parametrize(
    ("pair", "settings", "seeds", "words"),
    [
        (("torch", "torch"), {}, 3, "are one program"),
        (("torch", "nympy"), {}, 3, "did you mean 'numpy'"),
        (("torch", "numpy"), {"optimizer": "sgd"}, 3, "use adam"),
        (("torch", "numpy"), {}, 0, "at least 1"),
    ],
)
def test_what_cannot_be_explained_is_refused_in_a_sentence(pair, settings, seeds, words, digits):
    with pytest.raises(LockstepError, match=words):
        explain.explain(*pair, Recipe(**settings), digits, seeds)


def test_a_training_that_diverges_is_a_sentence_too(digits):
    recipe = Recipe(hidden=(16,), batch_size=128, learning_rate=1e300)
    with pytest.raises(LockstepError, match="torch failed: The training diverged"):
        explain.explain("numpy", "torch", recipe, digits, 1, 5)
