"""A finished run without training: every file that a report reads, with numbers chosen by hand."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from lockstep.data.datasets import Split
from lockstep.proof import comparison
from lockstep.recipe import Recipe
from lockstep.runs import files, predictions, records
from lockstep.runs.typed import plain
from lockstep.runs.weights import save_weights
from lockstep.training import metrics

EVIL = '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1">"\'&{{7*7}}'
RECIPE = Recipe(epochs=3)
CLASSES = list("0123456789")


def result(labels, logits, seed=0, shift=0.0) -> records.BackendResult:
    """A backend's result whose matrix and accuracy are those of the logits; `shift` in points."""
    matrix = metrics.confusion_matrix(logits, labels)
    accuracy = float(np.trace(matrix) / matrix.sum()) + shift / 100
    precision, recall = metrics.precision_recall(matrix)
    history = [
        records.Epoch(
            epoch=epoch,
            train_loss=0.3 / epoch,
            train_accuracy=0.95,
            test_loss=0.4 / epoch,
            test_accuracy=accuracy,
            running_loss=0.5 / epoch,
            running_accuracy=0.9,
            seconds=1.5,
        )
        for epoch in (1, 2, 3)
    ]
    return records.BackendResult(
        version="NumPy 2",
        device="cpu",
        dialect="torch",
        seed=seed,
        history=history,
        train_loss=0.1,
        train_accuracy=0.95,
        test_loss=0.4 / 3,
        test_accuracy=accuracy,
        confusion_matrix=matrix.tolist(),
        precision=precision.tolist(),
        recall=recall.tolist(),
        import_seconds=0.25,
        compile_seconds=0.5,
        train_seconds=4.5 + seed,
        evaluate_seconds=0.2,
        import_rss_bytes=200 << 20,
        peak_rss_bytes=300 << 20,
        initial_weights_sha256="a" * 64,
        batch_order_sha256="b" * 64,
    )


def combined(seeds):
    """Several seeds' results as one backend's."""
    return replace(seeds[0], repeats=seeds) if len(seeds) > 1 else seeds[0]


def seeds_of(*figures):
    """One backend's result of seeds 0, 1, …: figures of each, whatever else there is the same."""
    labels = np.arange(10)
    one = result(labels, logits_of(labels, {}))
    return combined([replace(one, seed=seed, **given) for seed, given in enumerate(figures)])


def results(backends, recipe=RECIPE, name="run", title="MNIST", test=10) -> records.Results:
    """A run's results with these backends."""
    return records.Results(
        name=name,
        created="2026-01-01T00:00:00",
        command=f"lockstep compare --name {name}",
        dataset=records.DatasetInfo(
            name="x", title=title, classes=CLASSES, train=60000, test=test, sha256={}
        ),
        recipe=recipe,
        environment=records.Environment(
            lockstep="0", python="3", numpy="2", system="a", machine="b", processor="c", cores=2
        ),
        backends=backends,
        failures={},
    )


def proof(backends, dtype="float64", view="free", planted=None) -> comparison.Proof:
    """Every difference 1e-16, of `planted` = (backend, step, column, size) another."""
    recipe = Recipe(dtype=dtype)
    names = ["logits", "loss", *(f"gradient {name}" for name in reversed(recipe.shapes))]
    names += [f"weight {name}" for name in recipe.shapes]
    comparisons = []
    for backend in backends:
        differences = np.full((30, len(names)), 1e-16)
        if planted and planted[0] == backend:
            differences[planted[1] - 1, planted[2]] = planted[3]
        undecided = np.arange(30) == 6 if view == "synced" else np.zeros(30, bool)
        about = (backend, f"{backend} 1.0", "cpu", "torch", view)
        bounds = comparison.tolerances(recipe, view)
        comparisons.append(comparison.Comparison(*about, names, differences, undecided, bounds))
    return comparison.Proof(recipe, "MNIST", 30, "c" * 64, "d" * 64, comparisons, {})


def logits_of(labels, wrong, sure=4.0):
    """Logits that answer right, but for `wrong` = {index: answer}."""
    answered = labels.copy()
    for index, answer in wrong.items():
        answered[index] = answer
    return sure * np.eye(10, dtype=np.float32)[answered]


def write(
    folder,
    test: Split,
    wrong,
    name="run",
    seeds=1,
    title="MNIST",
    planted=None,
    recipe=RECIPE,
    first_seed=0,
    start="a",
    tutorials=None,
):
    """Write a run's files; `wrong` says per backend which test images it answers how.

    With `seeds` the later ones are 0.1 points worse for every seed. `start` makes the hash of the
    first weights. `tutorials` = {backend: tutorial} trained so as well, three times as long.
    Returns the folder.
    """
    labels = test.labels
    logits = {backend: logits_of(labels, mistakes) for backend, mistakes in wrong.items()}
    backends = {}
    for backend, values in logits.items():
        every = [result(labels, values, first_seed + i, -0.1 * i) for i in range(seeds)]
        every = [replace(found, initial_weights_sha256=start * 64) for found in every]
        backends[backend] = combined(every)
        if backend in (tutorials or {}):
            slow = [
                replace(r, tutorial=tutorials[backend], train_seconds=3 * r.train_seconds)
                for r in every
            ]
            backends[backend] = replace(backends[backend], as_tutorial=combined(slow))
    run = results(backends, recipe, name, title, len(labels))
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "results.json", plain(run))
    predictions.save(folder / "predictions.safetensors", predictions.collect(test, logits))
    weights = recipe.initial_weights()
    for backend in backends:
        save_weights(folder / "weights" / f"{backend}.safetensors", weights, recipe)
    others = [backend for backend in backends if backend != "numpy"]
    proofs = [proof(others, "float32", "synced"), proof(others, planted=planted)]
    files.write_json(folder / "proof.json", plain(comparison.Proofs(proofs=proofs)))
    return folder
