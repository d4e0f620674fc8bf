"""Results as lines and tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.datasets import Entry
from ..diagnosis.verdict import Verdict
from ..proof.comparison import Comparison, Proof
from ..runs.records import Results
from .sentences import (
    EXPLANATION_NOTE,
    explanation_columns,
    explanation_row,
    overview,
    tutorial_sentences,
)

if TYPE_CHECKING:  # Rich is imported when something is printed
    from rich.console import Console
    from rich.table import Table


def epoch_line(entry: Mapping[str, Any], epochs: int) -> str:
    """`epoch 3/10   train loss 0.1812, accuracy 94.93%   test loss …   0.71 s`."""
    parts = [f"epoch {entry['epoch']:>{len(str(epochs))}}/{epochs}"]
    for part in ("train", "test"):
        loss, accuracy = entry[f"{part}_loss"], entry[f"{part}_accuracy"]
        parts.append(f"{part} loss {loss:.4f}, accuracy {accuracy:.2%}")
    if "seconds" in entry:
        parts.append(f"{entry['seconds']:.2f} s")
    return "   ".join(parts)


def print_comparison(results: Results) -> None:
    """The table at the end of a run: one row a training; beneath, what there is to say of them."""
    from rich.markup import escape
    from rich.table import Table

    found = overview(results)
    table = Table(title=f"{escape(results.dataset.title)}", title_justify="left")
    for i, head in enumerate(found.heads):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in found.cells:
        table.add_row(*map(escape, row))
    console = new_console()
    console.print(table)
    for backend, result in results.backends.items():
        if result.notes:
            console.print(f"{escape(backend)}: {escape(result.notes)}", soft_wrap=True)
    for sentence in tutorial_sentences(results):
        console.print(escape(sentence), soft_wrap=True, highlight=False)
    for backend, why in results.failures.items():
        console.print(f"[bold]{escape(backend)} failed:[/] {escape(why)}", soft_wrap=True)


def print_proofs(proofs: Sequence[Proof]) -> None:
    """What the proofs at the end of a run say, a paragraph each."""
    for proof in proofs:
        print(f"\n{proof.verdict}")


def proof_complaints(proofs: Sequence[Proof], failed: str | None) -> list[str]:
    """A line for stderr for each proof that is missing or finds a difference, or none."""
    differing = [proof.verdict for proof in proofs if not proof.same]
    return differing + ([f"there is no proof: {failed}"] if failed else [])


def print_proof(proof: Proof) -> None:
    """Each comparison as a grid tensor × step, then the verdict."""
    console = new_console()
    console.print(f"{proof.recipe.summary()}\n{proof.steps} steps on {proof.dataset}\n")
    for comparison in proof.comparisons:
        console.print(_grid(comparison))
    console.print(proof.verdict, soft_wrap=True, markup=False)


def _grid(comparison: Comparison) -> Table:
    """Rows are tensors, columns stretches of steps; a cell is the largest difference in it."""
    from rich.table import Table
    from rich.text import Text

    steps = len(comparison.differences)
    table = Table(
        title=f"{comparison.backend} ({comparison.version} on {comparison.device}) beside NumPy in "
        f"its dialect, {comparison.dialect}: {comparison.view}",
        title_justify="left",
    )
    table.add_column("largest difference")
    stretches = _stretches(steps)
    for first, last in stretches:
        step = comparison.step_of(last - 1)
        table.add_column(f"step {step}" if first == last else f"…{step}", justify="right")
    table.add_column("tolerance", justify="right")
    for name, column, bound in zip(
        comparison.tensors, comparison.differences.T, comparison.bounds, strict=True
    ):
        largest = [column[first - 1 : last].max() for first, last in stretches]
        cells = [Text(f"{d:.0e}", style="" if d <= bound else "bold red") for d in largest]
        table.add_row(name, *cells, f"{bound:.0e}" if np.isfinite(bound) else "shown")
    return table


def _stretches(steps: int) -> list[tuple[int, int]]:
    """Steps 1, 2, then up to 5, 10, 20, 50, …: (first, last), both counted from 1."""
    ends = [e * 10**power for power in range(7) for e in (1, 2, 5) if e * 10**power < steps]
    return list(zip([1, *(end + 1 for end in ends)], [*ends, steps], strict=True))


def print_explanation(explanation: Mapping[str, Any]) -> None:
    """The ladder, the reverse and the conclusion, from `Explanation.to_dict`."""
    from rich.markup import escape
    from rich.table import Table

    console = new_console()
    columns = explanation_columns(explanation)
    pair = f"{explanation['left']} and {explanation['right']} on {explanation['dataset']}"
    for rungs, title, first in (
        (explanation["ladder"], f"{pair}: aligned one after the other", "aligned"),
        (explanation["undone"], "All aligned, one undone alone", "undone"),
    ):
        table = Table(title=escape(title), title_justify="left")
        for i, column in enumerate((first, *columns[1:])):
            table.add_column(column, justify="left" if i < 2 else "right")
        for rung in rungs:
            table.add_row(*map(escape, explanation_row(rung)))
        console.print(table)
    for paragraph in (EXPLANATION_NOTE, explanation["conclusion"]):
        console.print(f"\n{escape(paragraph)}")


def print_inventory(entries: Sequence[Entry]) -> None:
    """The table of `lockstep data`: what is here, where, and whether its hashes hold."""
    from rich.markup import escape
    from rich.table import Table

    table = Table("dataset", "file", "state", "where")
    for entry in entries:
        where = escape(str(entry.path)) if entry.path else ""
        table.add_row(entry.title, entry.file, escape(entry.state), where)
    new_console().print(table)


def new_console(stderr: bool = False) -> Console:
    """A console of rich's, which folds no table in a pipe, and whose reader may leave."""
    from rich.console import Console

    class Leaving(Console):
        def on_broken_pipe(self) -> None:
            """Not rich's way, which is exit code 1: `cli.exit` has another for `| head`."""
            raise BrokenPipeError

    console = Leaving(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = 140
    return console


WORDS = {"loss": "the loss", "images": "the prepared pixels"}


def verdict_lines(verdict: Verdict) -> list[str]:
    """The verdict first, then each finding: where, by how much, why."""
    judged = f"{verdict.compared} tensors over {verdict.steps} steps, in {verdict.precision}"
    if verdict.same:
        return [f"The same: {judged}, are the network by hand's to rounding."]
    said = [f"Not the same ({judged})."]
    for finding in verdict.findings:
        where = WORDS.get(finding.kind, f"{finding.kind}s of {finding.tensor}")
        step = f" at step {finding.step}" if finding.step else ""
        off = "" if finding.difference is None else f", off by {finding.difference:.3g}"
        off += "" if finding.relative is None else f", {finding.relative:.3g} of its size"
        said += ["", f"First wrong: {where}{step}{off}.", f"Why: {finding.diagnosis}"]
    return said


def print_verdict(verdict: Verdict) -> None:
    """Print it; long sentences are left to the terminal to fold."""
    print("\n".join(verdict_lines(verdict)))
