"""Why two programs that look the same differ: align one thing at a time, then undo one alone.

The ladder starts from two programs as everyone writes them; on each rung the left one takes over
one more choice of the right one, until no number differs but by rounding. The reverse, from there,
gives the left program one of its own choices back, alone, which ranks what matters. Everything is
done from several seeds, because a different seed is a difference too.
"""

from __future__ import annotations

import dataclasses
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from . import results, worker
from .datasets import Dataset
from .errors import LockstepError, one_of
from .noise import verdict
from .programs import AS_EVERYONE_WRITES_IT, Program
from .recipe import Recipe, largest_difference
from .report.summary import points

SCHEMA = 1
TOLERANCE = 1e-12
"""No weight of two programs that are the same differs by more, in float64."""

ASPECTS = {
    "weights": "initial weights",
    "biases": "initial biases",
    "order": "batch order",
    "loss": "loss form",
    "epsilon": "epsilon",
    "place": "epsilon's place",
    "betas": "betas' precision",
    "tf32": "TF32 products",
    "metric": "metric",
    "dtype": "precision",
}
"""What is aligned, in this order: each a field of Program, with its name for people."""


@dataclass(frozen=True)
class Difference:
    """What lies between the two programs, trained from one seed."""

    weights: dict[int, float]
    """After so many steps, the largest absolute difference of a weight."""
    loss: float
    """The largest absolute difference of a batch's loss along the training, in nats."""
    accuracy: float
    """Test accuracy at the end, left minus right, in percentage points."""
    reported: float
    """The training accuracy that each program reports, left minus right, likewise."""


@dataclass(frozen=True)
class Rung:
    """Two programs, what was changed to get there, and their difference for each seed."""

    aspect: str
    """A key of ASPECTS; "nothing" and "clipped" are the two rungs beside."""
    title: str
    change: str
    left: Program
    right: Program
    differences: tuple[Difference, ...] = ()

    @property
    def apart(self) -> float:
        """The largest difference of a weight at the end, median over the seeds."""
        return statistics.median(d.weights[max(d.weights)] for d in self.differences)

    @property
    def worst(self) -> float:
        """The largest difference of a weight after any number of steps, whatever the seed."""
        return max(max(d.weights.values()) for d in self.differences)


@dataclass(frozen=True)
class Explanation:
    """The ladder, the reverse, and how much another seed changes by itself."""

    left: str
    right: str
    versions: dict[str, str]
    data: str
    recipe: Recipe
    steps: int
    seeds: tuple[int, ...]
    ladder: tuple[Rung, ...]
    undone: tuple[Rung, ...]
    """What matters most comes first: by the weights at the end."""
    test_accuracies: tuple[float, ...]
    """Of the right program as everyone writes it, for each seed, in percent."""
    reported_accuracies: tuple[float, ...]

    @property
    def aligned(self) -> bool:
        """Whether the ladder ends where it should: no weight differs by more than TOLERANCE."""
        return self.ladder[-1].worst <= TOLERANCE

    def accuracy_verdict(self, rung: Rung) -> str:
        """What can be said of the difference in test accuracy: a word of `noise.verdict`."""
        return verdict([d.accuracy for d in rung.differences], self.test_accuracies)

    def reported_verdict(self, rung: Rung) -> str:
        """The same of the reported training accuracy."""
        return verdict([d.reported for d in rung.differences], self.reported_accuracies)

    @property
    def conclusion(self) -> str:
        """One paragraph that says what the numbers say, and no more."""
        sentences = (_start, _end, _ranking, _effects, _reports)
        return " ".join(filter(None, (sentence(self) for sentence in sentences)))

    def to_dict(self) -> dict:
        """Plain values, for JSON, the table and the figure."""
        return {
            "schema": SCHEMA,
            "left": self.left,
            "right": self.right,
            "versions": self.versions,
            "dataset": self.data,
            "recipe": self.recipe.to_dict(),
            "steps": self.steps,
            "seeds": list(self.seeds),
            "tolerance": TOLERANCE,
            "aligned": self.aligned,
            "test_accuracies": list(self.test_accuracies),
            "reported_accuracies": list(self.reported_accuracies),
            "ladder": [self._row(rung) for rung in self.ladder],
            "undone": [self._row(rung) for rung in self.undone],
            "conclusion": self.conclusion,
        }

    def _row(self, rung: Rung) -> dict:
        found = rung.differences
        return {
            "aspect": rung.aspect,
            "title": rung.title,
            "change": rung.change,
            "left": dataclasses.asdict(rung.left),
            "right": dataclasses.asdict(rung.right),
            "weights": {str(step): [d.weights[step] for d in found] for step in found[0].weights},
            "loss": [d.loss for d in found],
            "accuracy": [d.accuracy for d in found],
            "accuracy_verdict": self.accuracy_verdict(rung),
            "reported": [d.reported for d in found],
            "reported_verdict": self.reported_verdict(rung),
        }


# --- Which programs -------------------------------------------------------------------------------


def ladder(left: Program, right: Program, cuda: bool = False) -> list[Rung]:
    """From both programs as they are to the left one having all the right one's choices."""
    rungs = [Rung("nothing", "nothing yet", "", left, right)]
    for aspect in _differing(left, right, cuda):
        after = align(left, right, aspect)
        rungs.append(Rung(aspect, ASPECTS[aspect], _change(aspect, left, after[0]), *after))
        left, right = after
    return rungs


def undone(own: Program, left: Program, right: Program, cuda: bool = False) -> list[Rung]:
    """From the aligned programs, each of the left one's own choices given back alone."""
    rungs = []
    for aspect in _differing(own, right, cuda):
        other = right
        single = _replace(left, aspect, getattr(own, aspect))
        if aspect in ("dtype", "tf32"):  # both programs are float32, and in float64 is no TF32
            single, other = (_replace(p, "dtype", "float32") for p in (single, right))
        rungs.append(Rung(aspect, ASPECTS[aspect], _change(aspect, left, single), single, other))
    if own.weights != "numpy":  # by hand, softmax and logarithm cancel: there is nothing to clip
        clipped = _replace(left, "loss", "clipped")
        change = _change("loss", left, clipped)
        rungs.append(Rung("clipped", "clipped loss", change, clipped, right))
    return rungs


def align(left: Program, right: Program, aspect: str) -> tuple[Program, Program]:
    """Both programs with one choice in common: the right one's, or float64 for both."""
    if aspect == "dtype":
        return _replace(left, "dtype", "float64"), _replace(right, "dtype", "float64")
    return _replace(left, aspect, getattr(right, aspect)), right


def _replace(program: Program, aspect: str, choice) -> Program:
    return dataclasses.replace(program, **{aspect: choice})


def _differing(left: Program, right: Program, cuda: bool) -> list[str]:
    """The aspects that there are to align: those that differ, and the precision always."""
    aspects = [a for a in ASPECTS if getattr(left, a) != getattr(right, a) or a == "dtype"]
    return [aspect for aspect in aspects if cuda or aspect != "tf32"]


def _change(aspect: str, before: Program, after: Program) -> str:
    """`1e-07 → 1e-08`, `tensorflow's → torch's`, `on → off`."""

    def word(value) -> str:
        if aspect in ("weights", "biases", "order"):
            return f"{value}'s"
        if isinstance(value, bool):
            return "on" if value else "off"
        return f"{value:g}" if isinstance(value, float) else str(value)

    return f"{word(getattr(before, aspect))} → {word(getattr(after, aspect))}"


# --- Measuring ------------------------------------------------------------------------------------


def explain(
    left: str,
    right: str,
    recipe: Recipe,
    data: Dataset,
    seeds: int = 3,
    steps: int | None = None,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda line: None,
) -> Explanation:
    """Train both frameworks' programs on every rung, from every seed, each in its own process.

    `steps` None is one epoch. The recipe's optimizer must be Adam; its epsilon, initialization and
    dtype are the programs' own choices, its seed is the first of the seeds.
    """
    for name in (left, right):
        one_of(AS_EVERYONE_WRITES_IT, name, "program to explain")
    _check(left, right, recipe, seeds)
    steps = steps or -(-len(data.train.labels) // recipe.batch_size)
    own, other = AS_EVERYONE_WRITES_IT[left], AS_EVERYONE_WRITES_IT[right]
    rungs = ladder(own, other, device == "cuda")
    reverse = undone(own, rungs[-1].left, rungs[-1].right, device == "cuda")
    every_seed = tuple(recipe.seed + i for i in range(seeds))
    job = {
        **worker.job("programs", left, recipe, data, device),
        "seeds": every_seed,
        "steps": steps,
        "checkpoints": sorted({min(step, steps) for step in (1, 100, steps)}),
    }
    with tempfile.TemporaryDirectory() as folder:
        versions, measured, right_alone = _measure(
            left, right, [*rungs, *reverse], job, folder, tell
        )
    reverse = sorted(measured[len(rungs) :], key=lambda rung: -rung.apart)
    return Explanation(
        left,
        right,
        versions,
        data.title,
        recipe,
        steps,
        every_seed,
        tuple(measured[: len(rungs)]),
        tuple(reverse),
        tuple(100 * outcome.test_accuracy for outcome in right_alone),
        tuple(100 * outcome.reported_accuracy for outcome in right_alone),
    )


def _check(left: str, right: str, recipe: Recipe, seeds: int) -> None:
    if left == right:
        raise LockstepError(f"{left} and {right} are one program; name two frameworks.")
    if recipe.optimizer != "adam":
        raise LockstepError(
            f"The recipe's optimizer is {recipe.optimizer}; the programs that everyone writes, and "
            "that explain compares, use adam."
        )
    if seeds < 1:
        raise LockstepError(f"{seeds} seeds are too few; at least 1 is needed.")


@dataclass(frozen=True)
class _Outcome:
    """One program trained from one seed: "losses", and weights as "100/dense0.weight"."""

    arrays: dict[str, np.ndarray]
    test_accuracy: float
    reported_accuracy: float


def _measure(
    left: str, right: str, rungs: list[Rung], job: dict, folder: str, tell: Callable[[str], None]
) -> tuple[dict[str, str], list[Rung], list[_Outcome]]:
    """Both versions, the rungs with their differences, the right program's first outcomes.

    Neither process knows of the other. The right one is first, since the left one starts from the
    weights and follows the order that it leaves; the left one's weights are compared as they come,
    so that only one set of them is on disk.
    """
    found: dict[tuple[Program, int], _Outcome] = {}
    pairs: dict[tuple[Program, Program, int], Difference] = {}
    versions = {}

    def keep(program: Program, seed: int, outcome: _Outcome) -> None:
        found[program, seed] = outcome

    def compare(program: Program, seed: int, outcome: _Outcome) -> None:
        for rung in rungs:
            if rung.left == program:
                reference = found[rung.right, seed]
                pairs[program, rung.right, seed] = _difference(outcome, reference)

    for side, name, use in (("right", right, keep), ("left", left, compare)):
        programs = list(dict.fromkeys(getattr(rung, side) for rung in rungs))
        plan = {**job, "backend": name, "folder": folder}
        versions[name] = _train(plan, programs, use, tell)
    measured = [
        dataclasses.replace(
            rung, differences=tuple(pairs[rung.left, rung.right, seed] for seed in job["seeds"])
        )
        for rung in rungs
    ]
    return versions, measured, [found[rungs[0].right, seed] for seed in job["seeds"]]


def _train(
    job: dict,
    programs: list[Program],
    use: Callable[[Program, int, _Outcome], None],
    tell: Callable[[str], None],
) -> str:
    """Train all programs of one framework in its process, use each outcome; its version."""
    count = len(programs) * len(job["seeds"])
    done = 0

    def event(event: dict) -> None:
        nonlocal done
        if event["event"] == "ready":
            tell(f"{event['version']}: {len(programs)} programs, {len(job['seeds'])} seeds")
            return
        file = Path(event["file"])
        outcome = _Outcome(load_file(file), event["test_accuracy"], event["reported_accuracy"])
        file.unlink()
        use(programs[event["program"]], event["seed"], outcome)
        done += 1
        if done % len(job["seeds"]) == 0:
            tell(f"  {done // len(job['seeds'])} of {count // len(job['seeds'])} programs trained")

    try:
        result = worker.run({**job, "programs": list(map(dataclasses.asdict, programs))}, event)
    except worker.WorkerFailed as error:
        raise LockstepError(f"{job['backend']} failed: {error}") from None
    return result["version"]


def _difference(left: _Outcome, right: _Outcome) -> Difference:
    steps = sorted({int(name.split("/")[0]) for name in left.arrays if "/" in name})
    weights = {}
    for step in steps:
        one, other = (
            {name: array for name, array in outcome.arrays.items() if name.startswith(f"{step}/")}
            for outcome in (left, right)
        )
        weights[step] = largest_difference(one, other)
    return Difference(
        weights,
        float(np.abs(left.arrays["losses"] - right.arrays["losses"]).max()),
        100 * (left.test_accuracy - right.test_accuracy),
        100 * (left.reported_accuracy - right.reported_accuracy),
    )


# --- The conclusion, sentence by sentence ---------------------------------------------------------


def _start(found: Explanation) -> str:
    first = found.ladder[0]
    accuracy = points([d.accuracy for d in first.differences])
    seeds = f"{len(found.seeds)} seed{'s' if len(found.seeds) > 1 else ''}"
    judged = {
        "none": "which is no difference",
        "unknown": "which one seed cannot tell from noise",
        "noise": "which is noise beside what another seed does",
        "effect": "more than what another seed does",
    }[found.accuracy_verdict(first)]
    return (
        f"As everyone writes them, the programs in {found.left} and {found.right} end "
        f"{found.steps} steps of {found.data}, from {seeds}, with a weight {first.apart:.2g} "
        f"apart; {found.left}'s test accuracy is {accuracy} points from {found.right}'s, {judged}."
    )


def _end(found: Explanation) -> str:
    last = found.ladder[-1]
    if found.aligned:
        return f"With everything aligned, no weight ever differs by more than {last.worst:.1e}."
    return (
        f"With everything aligned, a weight still differs by {last.worst:.1e}, more than "
        f"{TOLERANCE:.0e}: an alignment does nothing, or what separates the two is not on the list."
    )


def _ranking(found: Explanation) -> str:
    """Which choices move the weights; while something else does too, nothing can be said."""
    if not found.aligned:
        return "So nothing that is undone alone can be told apart from it."
    moved = [rung for rung in found.undone if rung.worst > TOLERANCE]
    still = [rung.title for rung in found.undone if rung.worst <= TOLERANCE]
    sentences = []
    if moved:
        order = ", ".join(f"{rung.title} ({rung.apart:.1e})" for rung in moved)
        sentences.append(f"Undone alone, these move the weights, the most first: {order}.")
    if still:
        sentences.append(f"No weight is moved by {_listed(still)}.")
    return " ".join(sentences)


def _effects(found: Explanation) -> str:
    if not found.aligned:
        return ""
    if len(found.seeds) == 1:
        return "A single seed cannot say what any of them does to the test accuracy."
    effects = [
        f"{rung.title} alone ({points([d.accuracy for d in rung.differences])} points)"
        for rung in found.undone
        if found.accuracy_verdict(rung) == "effect"
    ]
    spread = statistics.stdev(found.test_accuracies)
    noise = f"another seed by itself moves it by {spread:.2f} points"
    if not effects:
        return f"None of them alone does anything to the test accuracy beyond noise: {noise}."
    return f"The test accuracy is changed beyond noise by {_listed(effects)}; {noise}."


def _reports(found: Explanation) -> str:
    """What a metric makes of the very same weights."""
    for rung in found.undone:
        same_weights = found.aligned and rung.worst <= TOLERANCE
        if same_weights and found.reported_verdict(rung) == "effect":
            change = points([d.reported for d in rung.differences])
            return (
                f"The {rung.title} alone moves the reported training accuracy by {change} points, "
                "with the very same weights."
            )
    return ""


def _listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


# --- The command ----------------------------------------------------------------------------------


def run_explain(
    left: str,
    right: str,
    recipe: Recipe,
    data: Dataset,
    out: Path,
    name: str,
    seeds: int = 3,
    steps: int | None = None,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Explanation, Path]:
    """Explain, and leave explain.json and figures/explain.{png,svg}; returns also the folder."""
    with results.new_run(out, name) as folder:
        found = explain(left, right, recipe, data, seeds, steps, device, tell)
        content = found.to_dict() | {"environment": results.environment()}
        results.write_json(folder / "explain.json", content)
        from .report import figures

        figures.save(figures.ladder(content), folder / "figures" / "explain")
    return found, out / name
