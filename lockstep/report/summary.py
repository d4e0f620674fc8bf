"""The figures of a run as people read them: one owner for the terminal, the page and Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from ..results import BackendResult, Results

COLUMNS = (
    "backend",
    "test accuracy",
    "training accuracy",
    "training",
    "start-up",
    "peak memory",
    "weights from NumPy's",
)
NOTE = (
    "Training: seconds for all epochs, without evaluation and start-up. Start-up: importing the "
    "framework and its first calls. Peak memory: of the backend's own process. Weights from "
    "NumPy's: the largest difference of any weight after the first epoch (of the first seed). Over "
    "several seeds: mean ± standard deviation."
)


def rows(results: Results) -> list[tuple[str, ...]]:
    """One row of cells for each backend, in the order of COLUMNS."""
    return [
        (
            f"{name} ({result['device']})",
            percent(result, "test_accuracy"),
            percent(result, "train_accuracy"),
            seconds(result, "train_seconds"),
            seconds(result, "startup_seconds"),
            f"{mean_and_deviation(result, 'peak_rss_bytes')[0] / 2**20:.0f} MiB",
            difference(result),
        )
        for name, result in results["backends"].items()
    ]


def mean_and_deviation(result: BackendResult, figure: str) -> tuple[float, float | None]:
    """Mean and sample standard deviation of a figure over the seeds; None of a single one."""
    values = [run[figure] for run in result.get("repeats", [result])]
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def percent(result: BackendResult, figure: str) -> str:
    """`97.80 %`, or `97.80 ± 0.12 %` over several seeds."""
    mean, deviation = mean_and_deviation(result, figure)
    return f"{100 * mean:.2f}{'' if deviation is None else f' ± {100 * deviation:.2f}'} %"


def seconds(result: BackendResult, figure: str) -> str:
    """`4.71 s`, or with ± over several seeds."""
    mean, deviation = mean_and_deviation(result, figure)
    return f"{mean:.2f}{'' if deviation is None else f' ± {deviation:.2f}'} s"


def difference(result: BackendResult) -> str:
    """`2.1e-06`; a dash for NumPy itself."""
    return f"{result['weights_difference']:.1e}" if "weights_difference" in result else "-"


def largest_difference(results: Results) -> float | None:
    """The largest difference of any backend's weights from NumPy's, or None if it stands alone."""
    measured = results["backends"].values()
    return max(
        (r["weights_difference"] for r in measured if "weights_difference" in r), default=None
    )


# --- What `explain` has found; each takes rows of `Explanation.to_dict` ---------------------------

EXPLANATION_NOTE = (
    "Step: the largest difference of a weight after so many updates; loss: of a batch's loss along "
    "the training; both medians over the seeds. Accuracies: left minus right, in percentage "
    "points, mean ± standard deviation over the seeds; reported: the training accuracy that each "
    "program prints. Noise: no more than another seed does, or an interval that holds 0."
)


def points(values: Sequence[float]) -> str:
    """`+0.31 ± 0.05`: mean and sample standard deviation over the seeds, in percentage points."""
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):+.2f}{spread}".replace("-", "−")


def accuracy_words(values: Sequence[float], verdict: str) -> str:
    """The difference with what can be said of it: `0`, `+0.31 ± 0.05`, `noise (−0.02 ± 0.11)`."""
    if verdict == "none":
        return "0"
    return f"noise ({points(values)})" if verdict == "noise" else points(values)


def explanation_columns(explanation: Mapping) -> tuple[str, ...]:
    """The head of the table of rungs."""
    steps = (f"step {step}" for step in explanation["ladder"][0]["weights"])
    return ("aligned", "change", *steps, "loss", "test accuracy", "reported accuracy")


def explanation_row(rung: Mapping) -> tuple[str, ...]:
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
