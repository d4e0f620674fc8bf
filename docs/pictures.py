"""Make the pictures that the README and the documentation show.

    python docs/pictures.py                    docs/same.png: the proof, a minute on two cores
    python docs/pictures.py runs/readme        docs/report.png, docs/time-and-memory.png
    python docs/pictures.py runs/explain       docs/explain.png

Where the two runs come from:

    lockstep compare --repeats 3 --fit tutorial --name readme
    lockstep explain tensorflow torch --name explain

`docs/bench-*.png` are written by the benchmarks, together with their tables.
A photograph of the report needs what the tests need: Playwright and Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

import lockstep
from lockstep.backends.registry import ROWS
from lockstep.cli.exit import exit_code
from lockstep.data.datasets import Dataset
from lockstep.errors import LockstepError
from lockstep.proof.beside import batches_of
from lockstep.proof.comparison import FLOAT64
from lockstep.report.figures.style import INK, QUIET, png, styled
from lockstep.runs.files import write_whole

HERE = Path(__file__).parent
TOLERANCE = min(FLOAT64.values())
"""The strictest in float64, that of gradients; weights and logits have ten times as much."""
LOWEST = 3e-17
"""Where the axis of the differences begins."""
BATCH, STEPS = 128, 469
"""One epoch of MNIST: 60,000 images in batches of 128."""


# --- The proof ------------------------------------------------------------------------------------


@styled
def same(
    loss: dict[str, list[float]], differences: dict[str, np.ndarray], mistaken: np.ndarray
) -> Figure:
    """Above, the loss of each batch; below, how far each framework is from NumPy at each step.

    `loss` has a value for each of the steps; `differences` and `mistaken` the largest one of any
    number, (steps,). `mistaken` shows that a difference would be seen.
    """
    figure = Figure(figsize=(8.6, 5.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    steps = np.arange(1, STEPS + 1)
    _losses(above, steps, loss)
    _differences(below, steps, differences, mistaken)
    title = "One epoch of MNIST in five programs: the same numbers, to rounding"
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=13)
    return figure


def _losses(axes: Axes, steps: np.ndarray, loss: dict[str, list[float]]) -> None:
    """The curves lie on one another, so each is narrower than the one beneath it."""
    for (name, values), width in zip(loss.items(), np.linspace(7.5, 1.1, len(loss)), strict=True):
        row = ROWS[name]
        axes.plot(steps, values, color=row.color, linewidth=width, label=row.label)
    axes.set_ylim(0, None)
    axes.set_title("Loss of each batch (nats): five curves on one another")
    legend = axes.legend(loc="upper right", ncols=len(loss), handlelength=1.4)
    for line in legend.get_lines():
        line.set_linewidth(4)


def _differences(
    axes: Axes, steps: np.ndarray, differences: dict[str, np.ndarray], mistaken: np.ndarray
) -> None:
    """Every framework below the tolerance; a formula that is not the same, far above it."""
    axes.axhspan(LOWEST, TOLERANCE, color="#f4f4f4")
    axes.axhline(TOLERANCE, color=INK, linewidth=1.2, linestyle=(0, (5, 3)))
    for place, (name, values) in enumerate(differences.items()):
        row = ROWS[name]
        axes.plot(
            steps, values, color=row.color, linewidth=1.5, marker=row.marker, markersize=5.5,
            markeredgecolor="white", markevery=(12 * place + 12, 60),
        )  # fmt: skip
    axes.plot(steps, mistaken, color=QUIET, linewidth=1.5)
    axes.set_yscale("log")
    powers = range(-16, 1, 4)
    axes.set_yticks([10.0**p for p in powers], [f"1e{p}" if p else "1" for p in powers])
    axes.minorticks_off()
    axes.set_ylim(LOWEST, 30)
    axes.set_xlim(0, STEPS + 1)
    axes.set_xlabel(f"step (a batch of {BATCH} images), in float64")
    axes.set_title(
        "Largest difference from NumPy of any logit, loss, gradient, weight or optimizer memory"
    )
    largest, labels = max(map(np.max, differences.values())), [ROWS[n].label for n in differences]
    for height, words, ink in (
        (3e-3, "for contrast: PyTorch's Adam beside Keras' Adam, which adds ε elsewhere", QUIET),
        (1e-12, f"tolerance: {TOLERANCE:.0e}", INK),
        (2e-16, f"{', '.join(labels)}: at most {largest:.1e}", INK),
    ):
        axes.text(STEPS - 4, height, words, color=ink, fontsize=9.5, ha="right", va="center")


def prove() -> Figure:
    """Train for an epoch with every backend, each on its own trajectory, and compare the steps."""
    recipe = lockstep.Recipe(dtype="float64", batch_size=BATCH)
    data = lockstep.load_dataset("mnist")
    alone = {"steps": STEPS, "views": ["free"], "device": "cpu"}
    proof = lockstep.verify(recipe, None, data, **alone)
    # Keras and PyTorch add Adam's ε in two places; beside the wrong one, torch is not the same.
    mistaken = lockstep.verify(recipe, ["torch"], data, dialect="keras", **alone)
    print(proof.verdict, mistaken.verdict, sep="\n")
    if not proof.same or mistaken.same:
        raise LockstepError("This is not what the picture says, so it was not drawn.")
    loss = {name: _loss_of(name, recipe, data) for name in lockstep.installed_backends()}
    largest = {c.backend: c.differences.max(axis=1) for c in proof.comparisons}
    return same(loss, largest, mistaken.comparisons[0].differences.max(axis=1))


def _loss_of(name: str, recipe: lockstep.Recipe, data: Dataset) -> list[float]:
    """The loss of each batch before its update."""
    network = lockstep.load_backend(name)(recipe, recipe.initial_weights(), "cpu")
    return [network.step(*batch).loss for batch in batches_of(recipe, data.train, STEPS)]


# --- Pictures of runs -----------------------------------------------------------------------------


def of_run(run: Path) -> None:
    """Take the pictures of a finished run that the documentation shows."""
    if (run / "explain.json").is_file():
        shutil.copy(run / "figures" / "explain.png", HERE)
    elif (run / "results.json").is_file():
        shutil.copy(run / "figures" / "time-and-memory.png", HERE)
        picture = photograph(run / "report.html")
        picture.quantize(256, dither=Image.Dither.NONE).save(HERE / "report.png", optimize=True)
    else:
        raise LockstepError(f"{run} is no run of `compare` or `explain`.")


def photograph(page: Path) -> Image.Image:
    """The top of a report in light, and its confusion matrices in dark, side by side."""
    from playwright.sync_api import sync_playwright

    width, height = 1180, 1480
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        shots = []
        for scheme, part in (("light", "header"), ("dark", "#confusion")):
            size = {"width": width, "height": height}
            shown = browser.new_page(viewport=size, color_scheme=scheme)
            shown.goto(page.resolve().as_uri())
            shown.locator(part).evaluate("part => part.scrollIntoView()")
            shots.append(Image.open(io.BytesIO(shown.screenshot())).convert("RGB"))
        browser.close()
    both = Image.new("RGB", (2 * width, height))
    for place, shot in enumerate(shots):
        both.paste(shot, (place * width, 0))
    return both.resize((width * 3 // 2, height * 3 // 4), Image.Resampling.LANCZOS)


def main() -> None:
    """The proof's picture, or those of the runs that are named."""
    for run in sys.argv[1:]:
        of_run(Path(run))
    if len(sys.argv) == 1:
        write_whole(HERE / "same.png", png(prove()))


if __name__ == "__main__":
    sys.exit(exit_code(main))
