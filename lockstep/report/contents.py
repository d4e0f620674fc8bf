"""What a report shows: each figure with its caption, and the table of its numbers."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from msgspec.structs import replace

from ..proof.comparison import Comparison, Proof
from ..runs.predictions import disagreements
from . import figures, sentences
from .figures.learning import Histories, gap
from .load import Run
from .tables import Column, Table

UNITS = 6
"""How many hidden units are shown as pictures."""
WORST, DISAGREED = 20, 40
"""How many digits a gallery shows."""


class Exhibit(NamedTuple):
    """One figure as it stands on the page, and as files."""

    name: str
    """Of its files."""
    figure: Figure
    title: str
    caption: str
    table: Table | None


def exhibits(evidence: Run) -> Iterator[Exhibit]:
    """Every figure of a report, in the order of the page."""
    return _distinct(
        itertools.chain(
            _learning(evidence),
            _parity(evidence),
            [_costs(evidence)],
            _confusion(evidence),
            _galleries(evidence),
            [_first_layer(evidence)],
        )
    )


def slug(words: str) -> str:
    """A file's name: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", words).strip("-").lower() or "x"


def _distinct(found: Iterable[Exhibit]) -> Iterator[Exhibit]:
    """The same exhibits; where two names became one file's name, the later one is numbered."""
    seen: dict[str, int] = {}
    for exhibit in found:
        seen[exhibit.name] = count = seen.get(exhibit.name, 0) + 1
        yield exhibit if count == 1 else exhibit._replace(name=f"{exhibit.name}--{count}")


def _learning(evidence: Run) -> Iterator[Exhibit]:
    run = evidence.results
    title = run.dataset.title
    histories = {name: result.history for name, result in run.backends.items()}
    several = len(histories) > 1
    beneath = (
        " Beneath: the largest gap between any two, on a logarithmic scale; what is less than 1e-8 "
        "is drawn there."
    ) * several
    yield Exhibit(
        "loss",
        figures.loss_against_epoch(histories, title),
        f"Loss on {title}, epoch by epoch",
        "Loss after each epoch, evaluated with the weights of that moment."
        + " Where the curves cover one another, they learn the same." * several
        + beneath,
        _gaps(histories) if several else sentences.histories(run),
    )
    yield Exhibit(
        "accuracy",
        figures.accuracy_against_epoch(histories, title),
        f"Accuracy on {title}, epoch by epoch",
        "Share of right answers after each epoch, evaluated with the weights of that moment."
        + beneath,
        sentences.histories(run),
    )
    if any(result.repeats for result in run.backends.values()):
        yield Exhibit(
            "accuracy-by-seed",
            figures.accuracy_by_seed(run.backends, title),
            f"Test accuracy of every run on {title}",
            "Every dot is a run from another seed; the bar is the mean with its 95 % interval.",
            sentences.pairs(run),
        )


def _gaps(histories: Histories) -> Table:
    keys = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
    found = [gap(histories, key) for key in keys]
    units = {"loss": "nats", "accuracy": "share"}
    titles = [f"{key.replace('_', ' ')} ({units[key.split('_')[1]]})" for key in keys]
    columns = [Column(title, "{:.2e}".format) for title in titles]
    rows = [(epoch, *map(float, row)) for epoch, row in enumerate(zip(*found, strict=True), 1)]
    return Table("gaps", "Largest gap between any two backends", [Column("epoch"), *columns], rows)


def _parity(evidence: Run) -> Iterator[Exhibit]:
    found = [(proof, comparison) for proof in evidence.proofs for comparison in proof.comparisons]
    labels = list(evidence.results.backends)
    found.sort(key=lambda pair: labels.index(pair[1].backend))  # both precisions side by side
    for proof, comparison in found:
        dtype = proof.recipe.dtype
        yield Exhibit(
            slug(f"parity {comparison.backend} {dtype} {comparison.view}"),
            figures.parity(comparison, dtype),
            f"{comparison.backend} beside NumPy, {dtype}, {comparison.view}",
            _parity_words(comparison, proof),
            sentences.parity([replace(proof, comparisons=[comparison])]),
        )


VIEWS = {
    "synced": "Every step starts from NumPy's weights, so a difference is that step's own.",
    "free": "Both go their own way from the same first weights, so differences may grow.",
    "trained": "The code that trained for the table above, many updates in one call, beside "
    "NumPy's steps, from the same first weights.",
}


def _parity_words(comparison: Comparison, proof: Proof) -> str:
    start = VIEWS[comparison.view]
    if not comparison.first:
        return f"{start} Nothing that is judged is beyond its tolerance{_kinks(comparison)}."
    step, tensor, size = comparison.first.step, comparison.first.tensor, comparison.first.size
    return f"{start} The first beyond its tolerance: {tensor} at step {step}, by {size}."


def _kinks(comparison: Comparison) -> str:
    count = int(comparison.undecided.sum())
    if not count:
        return ""
    return (
        f"; in {count} of {len(comparison.undecided)} steps (triangles) rounding decides whether a "
        "ReLU is on, and of these logits and loss alone are judged"
    )


def _costs(evidence: Run) -> Exhibit:
    run = evidence.results
    hatched = any(result.as_tutorial for result in run.backends.values())
    return Exhibit(
        "time-and-memory",
        figures.time_and_memory(run.backends, run.dataset.title),
        "What each backend cost",
        "Training alone; start-up alone (import, then building and first calls, which may "
        "compile); the largest memory of the process. A dot is a run, the line the median."
        + " Hatched: trained as the framework's tutorials do."
        * hatched,
        sentences.every_run(run),
    )


def _confusion(evidence: Run) -> Iterator[Exhibit]:
    run = evidence.results
    title, classes = run.dataset.title, run.dataset.classes
    matrices = {n: np.array(r.confusion_matrix) for n, r in run.backends.items()}
    for name, matrix in matrices.items():
        yield Exhibit(
            slug(f"confusion {name}"),
            figures.confusion_matrix(matrix, classes, name, title),
            f"Confusion matrix of {name}",
            "Rows are the true classes, columns the answers; mistakes are coloured.",
            sentences.confusion(run),
        )
    if len(matrices) > 1:
        yield Exhibit(
            "confusion-differences",
            figures.confusion_differences(matrices, classes, title),
            "Where the answers differ",
            "Each matrix minus the first one's; an empty cell is the same in both.",
            None,
        )


class Gallery(NamedTuple):
    """Digits worth a look: indices of test images, each with what it is and how it is answered."""

    name: str
    title: str
    indices: list[int]
    captions: list[str]
    total: int
    """How many there are, of which these are shown."""


def galleries(evidence: Run) -> list[Gallery]:
    """Digits on which backends disagree, then those that all of them get wrong."""
    seen, kept = evidence.predictions, {int(index) for index in evidence.predictions.shown}
    classes = {name: seen.classes(name) for name in seen.logits}
    split = [int(index) for index in disagreements(classes)]
    wrong = np.all([answers != seen.labels for answers in classes.values()], axis=0)
    probabilities = [seen.probabilities(name) for name in seen.logits]
    true = np.mean([p[np.arange(len(seen.labels)), seen.labels] for p in probabilities], axis=0)
    worst = sorted(map(int, np.flatnonzero(wrong)), key=lambda index: true[index])
    found = []
    if len(classes) > 1:
        found.append(("disagreements", "They disagree", split, DISAGREED))
    title = "All of them are wrong" if len(classes) > 1 else "It is wrong"
    found.append(("worst", f"{title}; first what they give the truth least", worst, WORST))
    return [
        _gallery(evidence, name, title, [i for i in indices if i in kept][:most], len(indices))
        for name, title, indices, most in found
    ]


def _gallery(evidence: Run, name: str, title: str, indices: list[int], total: int) -> Gallery:
    captions = [caption(evidence, index) for index in indices]
    return Gallery(name, title, indices, captions, total)


def caption(evidence: Run, index: int) -> str:
    """`true 4`, and beneath who answers what: `9: numpy, torch`."""
    classes, seen = evidence.results.dataset.classes, evidence.predictions
    said: dict[str, list[str]] = {}
    for name in seen.logits:
        said.setdefault(classes[int(seen.logits[name][index].argmax())], []).append(name)
    everyone = len(said) == 1 and len(seen.logits) > 1
    lines = [f"{a}: {'all' if everyone else ', '.join(names)}" for a, names in said.items()]
    return "\n".join([f"true {classes[seen.labels[index]]}", *lines])


def _galleries(evidence: Run) -> Iterator[Exhibit]:
    place = {int(index): i for i, index in enumerate(evidence.predictions.shown)}
    for gallery in galleries(evidence):
        if gallery.indices:
            images = evidence.predictions.images[[place[index] for index in gallery.indices]]
            yield Exhibit(
                gallery.name,
                figures.digits(images, gallery.captions, gallery.title, columns=8),
                gallery.title,
                "What each test image is, and what was answered.",
                sentences.answered(
                    evidence.results,
                    evidence.predictions,
                    gallery.indices,
                    gallery.name,
                    gallery.title,
                ),
            )


def _first_layer(evidence: Run) -> Exhibit:
    layers = evidence.first_layers
    first = next(iter(layers.values()))
    fewest = min(matrix.shape[1] for matrix in layers.values())
    size = np.linalg.norm(first[:, :fewest], axis=0)
    units = sorted(int(unit) for unit in np.argsort(-size, kind="stable")[:UNITS])
    starts = {r.initial_weights_sha256 for r in evidence.results.backends.values()}
    same = " The same unit of each started alike." * (len(layers) > 1 and len(starts) == 1)
    what = "hidden units" if evidence.results.recipe.hidden else "classes"
    return Exhibit(
        "first-layer",
        figures.first_layer(layers, f"What {what} look for", units),
        "First-layer weights as pictures",
        f"The {what} with the largest weights, as 28 × 28 pictures: ink where it is red raises "
        f"the unit's input, where it is blue lowers it.{same}",
        Table(
            "units",
            "Length of each unit's weight vector",
            [Column("unit"), *(Column(name, "{:.3f}".format) for name in layers)],
            [(u, *(float(np.linalg.norm(m[:, u])) for m in layers.values())) for u in units],
        ),
    )
