"""The numbers of a run as people read them: one owner for terminal, page, Markdown and CSV."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..proof.comparison import Comparison, Proof
from ..runs.predictions import Predictions
from ..runs.records import BackendResult, Epoch, Results, trainings
from ..statistics import interval, points, significance
from .listings import Approach
from .tables import Column, Table

NOTE = (
    "Training: seconds for all epochs, without evaluation and start-up. Start-up: importing the "
    "framework and its first calls. Peak memory: of the backend's own process, and of that what it "
    "had once the framework was imported. Weights from "
    "NumPy's: the largest difference of any weight after the first epoch (of the first seed). Over "
    "several seeds: mean ± standard deviation."
)
FIGURES = {
    "test_accuracy": "test accuracy",
    "train_accuracy": "training accuracy",
    "test_loss": "test loss",
    "train_loss": "training loss",
    "train_seconds": "training (s)",
    "import_seconds": "import (s)",
    "compile_seconds": "first calls (s)",
    "evaluate_seconds": "evaluation (s)",
    "import_rss_bytes": "memory at import (bytes)",
    "peak_rss_bytes": "peak memory (bytes)",
}
"""What is shown of every run, with its heading."""


def overview(results: Results) -> Table:
    """One row for each training: what the terminal, the page and Markdown show first."""
    heads = ("backend", "test accuracy", "training accuracy", "training", "start-up",
             "peak memory (at import)", "weights from NumPy's")  # fmt: skip
    rows = [
        (
            f"{name} ({result.device})",
            percent(result, "test_accuracy"),
            percent(result, "train_accuracy"),
            seconds(result, "train_seconds"),
            seconds(result, "startup_seconds"),
            memory(result),
            difference(result),
        )
        for name, result in trainings(results.backends).items()
    ]
    return Table("overview", "Every backend at a glance", [Column(head) for head in heads], rows)


def mean_and_deviation(result: BackendResult, figure: str) -> tuple[float, float | None]:
    """Mean and sample standard deviation of a figure over the seeds; None of a single one."""
    values = [getattr(run, figure) for run in result.runs]
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def percent(result: BackendResult, figure: str) -> str:
    """`97.80 %`, or `97.80 ± 0.12 %` over several seeds."""
    mean, deviation = mean_and_deviation(result, figure)
    return f"{100 * mean:.2f}{'' if deviation is None else f' ± {100 * deviation:.2f}'} %"


def seconds(result: BackendResult, figure: str) -> str:
    """`4.71 s`, or with ± over several seeds."""
    mean, deviation = mean_and_deviation(result, figure)
    return f"{mean:.2f}{'' if deviation is None else f' ± {deviation:.2f}'} s"


def memory(result: BackendResult) -> str:
    """`487 MiB (220)`, the peak and what the import took of it; the means over several seeds."""
    peak, imported = (
        mean_and_deviation(result, key)[0] / 2**20 for key in ("peak_rss_bytes", "import_rss_bytes")
    )
    return f"{peak:.0f} MiB ({imported:.0f})"


def difference(result: BackendResult) -> str:
    """`2.1e-06`; a dash for NumPy itself."""
    found = result.weights_difference
    return "-" if found is None else f"{found:.1e}"


def every_run(results: Results) -> Table:
    """One row for each training and seed, with every figure that was measured."""
    shows = dict.fromkeys(("import_rss_bytes", "peak_rss_bytes"), "{:,}".format)
    shows |= dict.fromkeys(("test_accuracy", "train_accuracy"), "{:.2%}".format)
    columns = [Column("backend"), Column("seed"), Column("version")]
    columns += [Column(head, shows.get(key, "{:.4f}".format)) for key, head in FIGURES.items()]
    rows = [
        (name, run.seed, run.version, *(getattr(run, key) for key in FIGURES))
        for name, result in trainings(results.backends).items()
        for run in result.runs
    ]
    return Table("runs", "Every run", columns, rows)


def histories(results: Results) -> Table:
    """One row for each training, seed and epoch."""
    keys = Epoch.__struct_fields__[1:]
    rows = [
        (name, run.seed, row.epoch, *(getattr(row, key) for key in keys))
        for name, result in trainings(results.backends).items()
        for run in result.runs
        for row in run.history
    ]
    shown = [Column(key.replace("_", " "), "{:.4f}".format) for key in keys]
    columns = [Column("backend"), Column("seed"), Column("epoch"), *shown]
    return Table("history", "Loss and accuracy of every epoch", columns, rows)


def of_run(run: Results) -> str:
    """What tells a run from another: network, recipe, versions, machine."""
    versions = ", ".join(result.version for result in run.backends.values())
    machine = f"{run.environment.processor} ({run.environment.cores} cores)"
    return f"{run.recipe.summary()}; {versions}; {machine}"


def pairs(results: Results) -> Table:
    """Each backend beside the first, seed by seed: mean difference of the test accuracy."""
    first, *others = results.backends
    rows = []
    for name in others:
        apart = _paired(results.backends[first], results.backends[name])
        if len(apart) > 1:
            word = significance(apart, _by_seed(results.backends[first]))
            mean = statistics.fmean(apart)
            rows.append((name, first, len(apart), mean, interval(apart), VERDICTS[word]))
    columns = [
        Column("backend"),
        Column("beside"),
        Column("seeds"),
        Column("difference (points)", _signed),
        Column("95 % interval, ±", "{:.2f}".format),
        Column("verdict"),
    ]
    return Table("pairs", "Differences of the test accuracy, seed by seed", columns, rows)


VERDICTS = {"none": "the same", "noise": "not significant", "effect": "significant"}


def _by_seed(result: BackendResult) -> list[float]:
    return [100 * run.test_accuracy for run in result.runs]


def _paired(first: BackendResult, other: BackendResult) -> list[float]:
    """The other's test accuracy minus the first's in points, of every seed that both have."""
    of_seed = {run.seed: run.test_accuracy for run in first.runs}
    return [
        100 * (run.test_accuracy - of_seed[run.seed]) for run in other.runs if run.seed in of_seed
    ]


def noise_sentence(results: Results) -> str:
    """Whether a difference in accuracy is statistically significant, or that this is unknown."""
    others = list(results.backends)[1:]
    if not others:
        return ""
    rows = pairs(results).rows
    compared = {row[0] for row in rows}
    untold = [name for name in others if name not in compared]
    said = [_said_of(rows)] if rows else []
    if untold:
        whom = "" if len(untold) == len(others) else f" of {', '.join(untold)}"
        said.append(
            f"Significance{whom} unknown: at least two common seeds are needed (try --repeats 3)."
        )
    return " ".join(said)


def _said_of(rows: Sequence[Sequence[Any]]) -> str:
    """One sentence about the pairs."""
    beyond = [row for row in rows if row[-1] == VERDICTS["effect"]]
    seeds = min(row[2] for row in rows)
    if beyond:
        said = "; ".join(
            f"{name} is {_signed(mean)} points from {first} (95 % interval ± {half:.2f})"
            for name, first, _, mean, half, _ in beyond
        )
        return f"Statistically significant, over {seeds} seeds: {said}."
    whom = " and ".join([rows[0][1], *(row[0] for row in rows)])
    if all(row[-1] == VERDICTS["none"] for row in rows):
        return f"The test accuracies of {whom} are the same, in each of {seeds} seeds."
    name, first, _, mean, half, _ = max(rows, key=lambda row: abs(row[3]))
    return (
        f"No statistically significant difference in test accuracy: over {seeds} seeds the largest "
        f"is {name}'s, {_signed(mean)} points from {first}'s (95 % interval ± {half:.2f})."
    )


def tutorial_sentences(results: Results) -> list[str]:
    """What it cost each framework to be trained as its tutorials do, and what came of it."""
    return [
        _said_of_tutorial(name, result, result.as_tutorial)
        for name, result in results.backends.items()
        if result.as_tutorial
    ]


def _said_of_tutorial(name: str, fast: BackendResult, as_tutorial: BackendResult) -> str:
    """`torch with DataLoader trains 3.1 times as long as the fast way here, and ends with …`."""
    pairs = zip(fast.runs, as_tutorial.runs, strict=True)
    longer = [slow.train_seconds / quick.train_seconds for quick, slow in pairs]
    several = len(longer) > 1
    spread = f" ({min(longer):.1f} to {max(longer):.1f} over {len(longer)} seeds)" * several
    apart = _paired(fast, as_tutorial)
    if not any(apart):
        end = "ends with the same test accuracy"
    else:
        end = f"its test accuracy ends {_signed(statistics.fmean(apart))} points from it"
        if several:
            word = VERDICTS[significance(apart, _by_seed(fast))]
            end += f" (95 % interval ± {interval(apart):.2f}: {word})"
    return (
        f"{name} with {as_tutorial.tutorial} trains {statistics.median(longer):.1f} times as "
        f"long as the fast way here{spread}, and {end}."
    )


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


STARTS = {
    "initial_weights_sha256": "the first weights",
    "batch_order_sha256": "the order of the batches",
}


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def starts(results: Results) -> list[tuple[str, list[tuple[str, str]]]]:
    """What each training hashed before it began: words, then by whom and the hash, of each hash.

    Of the first seed; the seeds after it follow from it.
    """
    found = []
    for key, words in STARTS.items():
        groups: dict[str, list[str]] = {}
        for name, result in trainings(results.backends).items():
            groups.setdefault(getattr(result, key), []).append(name)
        several = len(results.backends) > 1
        everyone = "the same for all" if several else ""
        told = [(everyone if len(groups) == 1 else listed(who), h) for h, who in groups.items()]
        found.append((words, told))
    return found


def largest_difference(proofs: Sequence[Proof]) -> tuple[float, Proof] | None:
    """The largest difference of any number of any step in the proof that judges most strictly."""
    strict = [p for p in proofs if p.recipe.dtype == "float64" and p.comparisons]
    if not strict:
        return None
    worst = [(max(c.worst() for c in proof.comparisons), proof) for proof in strict]
    return max(worst, key=lambda pair: pair[0])


def parity(proofs: Sequence[Proof]) -> Table:
    """One row for each tensor of each comparison: its largest difference and its tolerance."""
    rows = [
        (c.backend, proof.recipe.dtype, c.view, tensor, *_worst(c, column), _within(c, column))
        for proof in proofs
        for c in proof.comparisons
        for column, tensor in enumerate(c.tensors)
    ]
    columns = [
        Column("backend"),
        Column("precision"),
        Column("view"),
        Column("tensor"),
        Column("largest difference", "{:.1e}".format),
        Column("at step"),
        Column("tolerance", "{:.0e}".format),
        Column("within"),
    ]
    return Table("parity", "The proof, tensor by tensor", columns, rows)


def _worst(comparison: Comparison, column: int) -> tuple[float | None, int, float | None]:
    """The largest difference that counts, the step at which it is, and the bound."""
    values = np.where(comparison.counts[:, column], comparison.differences[:, column], -1.0)
    step = int(np.argmax(np.where(np.isnan(values), np.inf, values)))
    value, bound = float(values[step]), float(comparison.bounds[column])
    return (
        value if np.isfinite(value) else None,
        comparison.step_of(step),
        bound if np.isfinite(bound) else None,
    )


def _within(comparison: Comparison, column: int) -> str:
    judged = comparison.differences[comparison.counts[:, column], column]
    return "yes" if (judged <= comparison.bounds[column]).all() else "NO"


def confusion(results: Results) -> Table:
    """One row for each cell that holds something."""
    classes = results.dataset.classes
    rows = [
        (name, classes[true], classes[answer], count)
        for name, result in results.backends.items()
        for true, row in enumerate(result.confusion_matrix)
        for answer, count in enumerate(row)
        if count
    ]
    heads = ("backend", "true class", "answer", "images")
    return Table("confusion", "Confusion matrices", [Column(head) for head in heads], rows)


def by_class(results: Results) -> Table:
    """Precision and recall of each class."""
    classes = results.dataset.classes
    rows = [
        (name, label, precision, recall)
        for name, result in results.backends.items()
        for label, precision, recall in zip(classes, result.precision, result.recall, strict=True)
    ]
    share = "{:.2%}".format
    columns = [
        Column("backend"),
        Column("class"),
        Column("precision", share),
        Column("recall", share),
    ]
    return Table("classes", "Precision and recall of each class", columns, rows)


def answered(
    results: Results, seen: Predictions, indices: Sequence[int], name: str, title: str
) -> Table:
    """One row for each of some test images: what it is, and what each backend answers."""
    classes = results.dataset.classes
    answers = {backend: seen.classes(backend) for backend in results.backends}
    rows = [
        (int(i), classes[seen.labels[i]], *(classes[answers[b][i]] for b in answers))
        for i in indices
    ]
    heads = ("test image", "true class", *answers)
    return Table(name, title, [Column(head) for head in heads], rows)


def most_mistakes(counts: Sequence[Sequence[int]]) -> int:
    """The largest number off the diagonal, at least 1: what the deepest colour stands for."""
    return max(1, *(n for i, row in enumerate(counts) for j, n in enumerate(row) if i != j))


def code(approaches: Sequence[Approach]) -> Table:
    """Lines of code of each approach, part by part; what tutorials do comes last."""
    rows = [
        (approach.backend, listing.parts, listing.file, ", ".join(listing.names), listing.lines)
        for approach in approaches
        for listing in approach.listings + approach.tutorial
    ]
    heads = ("backend", "what for", "file", "functions", "lines of code")
    return Table("code", "Lines of code for one step", [Column(head) for head in heads], rows)


EXPLANATION_NOTE = (
    "Step: the largest difference of a weight after so many updates; loss: of a batch's loss along "
    "the training; both medians over the seeds. Accuracies: left minus right, in percentage "
    "points, mean ± standard deviation over the seeds; reported: the training accuracy that each "
    "program prints. Noise: no more than another seed does, or an interval that holds 0."
)


def accuracy_words(values: Sequence[float], verdict: str) -> str:
    """The difference with what can be said of it: `0`, `+0.31 ± 0.05`, `noise (−0.02 ± 0.11)`."""
    if verdict == "none":
        return "0"
    return f"noise ({points(values)})" if verdict == "noise" else points(values)


def explanation_columns(explanation: Mapping[str, Any]) -> tuple[str, ...]:
    """The head of the table of rungs."""
    steps = (f"step {step}" for step in explanation["ladder"][0]["weights"])
    return ("aligned", "change", *steps, "loss", "test accuracy", "reported accuracy")


def explanation_row(rung: Mapping[str, Any]) -> tuple[str, ...]:
    """One rung's cells: what EXPLANATION_NOTE says, in the order of the columns."""
    weights = (f"{statistics.median(values):.1e}" for values in rung["weights"].values())
    return (
        rung["title"],
        rung["change"],
        *weights,
        f"{statistics.median(rung['loss']):.1e}",
        accuracy_words(rung["accuracy"], rung["accuracy_verdict"]),
        accuracy_words(rung["reported"], rung["reported_verdict"]),
    )
