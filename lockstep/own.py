"""Somebody's own network held against the network by hand: `lockstep verify my_network.py`.

The file runs in a process of its own, with a time limit. What it may hold is told by the template
(`write_template`). Arrays pass in .npz files in a temporary folder: given.npz in, answers.npz out.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import datasets, diagnosis, schedules, worker
from . import recipe as recipes
from .backend import Backend
from .backends.numpy import Network
from .batches import epoch_batches
from .datasets import Dataset
from .diagnosis import Finding
from .errors import LockstepError, one_of, reason
from .program import Numbers, Program, Seen
from .recipe import Recipe, Weights

TEMPLATE = Path(__file__).with_name("embedded") / "my_network.py"
TEMPLATE_SETTINGS: dict[str, Any] = {
    "hidden": (16,),
    "activation": "tanh",
    "optimizer": "sgd",
    "dtype": "float64",
}
"""The recipe that the template is written for, as it stands."""

GAP = 60.0
"""How far apart the logits are at the last step: exp(-60) is no 0 even in float32, but a clipped
probability, or one with an ε added, is far from it."""

PARTS = ("loss", "gradients", "weights")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a program computes what the network by hand computes, and if not, where and why."""

    forms: tuple[str, ...]
    """What the file holds: "prepare", "step", "train", "Network"."""
    precision: str
    """That of the numbers, which says how near they must be."""
    steps: int
    compared: int
    """How many tensors were held against the reference's."""
    findings: tuple[Finding, ...]

    @property
    def same(self) -> bool:
        """Whether every number is the reference's, to near rounding."""
        return not self.findings

    @property
    def diagnosis(self) -> str | None:
        """What is wrong first, in one sentence; None if nothing is."""
        return self.findings[0].diagnosis if self.findings else None

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        found = [{**dataclasses.asdict(f), "diagnosis": f.diagnosis} for f in self.findings]
        return {
            "same": self.same,
            "forms": list(self.forms),
            "precision": self.precision,
            "steps": self.steps,
            "compared": self.compared,
            "findings": found,
        }


def write_template(path: Path) -> None:
    """Write a file to start from: a right network, with what the file may hold in its comments."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise LockstepError(f"{path} is there already; nothing was overwritten.") from None
    except OSError as error:
        raise LockstepError(f"Cannot write {path}: {reason(error)}.") from None


def check(
    path: Path, recipe: Recipe, data: Dataset, steps: int = 10, time_limit: float = 60.0
) -> Verdict:
    """Run the file and hold every number that it returns against the network by hand.

    Raises LockstepError where the file cannot be run, and in the words of its own exceptions.
    """
    if not path.is_file():
        raise LockstepError(f"There is no file {path}.")
    given = Given(recipe, data.train.images, data.train.labels, steps)
    with tempfile.TemporaryDirectory(prefix="lockstep-own-") as name:
        folder = Path(name)
        np.savez(folder / "given.npz", images=given.pixels, labels=given.labels)
        job = {
            "file": str(path.resolve()),
            "recipe": recipe.to_dict(),
            "steps": steps,
            "folder": str(folder),
        }
        try:
            result: dict = worker.send(__name__, job, lambda event: None, time_limit)
        except worker.WorkerFailed as error:
            message = str(error)
            about_the_file = message.startswith(path.name)
            raise LockstepError(message if about_the_file else f"{path.name}: {message}.") from None
        with np.load(folder / "answers.npz", allow_pickle=False) as answers:
            return judge(given, dict(answers), result)


class Given:
    """What the program is given: some images, in batches of which the last one is smaller."""

    def __init__(self, recipe: Recipe, pixels: np.ndarray, labels: np.ndarray, steps: int) -> None:
        self.recipe, self.steps = recipe, steps
        size = recipe.batch_size
        count = min(steps * size - size // 2, len(labels))
        self.pixels, self.labels = pixels[:count], labels[:count].astype(np.int64)
        self.batches = epoch_batches(count, size, recipe.seed, epoch=1)[:steps]
        self.rates = schedules.learning_rates(
            recipe.schedule, recipe.learning_rate, 0, len(self.batches), len(self.batches)
        )
        self.images = datasets.scale(self.pixels, recipe.dtype)
        self.training = min(4 * size + (size + 1) // 2, count)
        self.training_batches = [
            batch
            for epoch in (1, 2)
            for batch in epoch_batches(self.training, size, recipe.seed, epoch)
        ]

    def steep(self, images: np.ndarray, weights: Weights) -> Weights:
        """The weights with the last layer so large that some logits of the batch are GAP apart."""
        rows, y = images[self.batches[0]].astype(float), self.labels[self.batches[0]]
        logits = Program(self.recipe).forward(rows, _float64(weights))[0][-1]
        gap = (logits.max(axis=1) - logits[np.arange(len(y)), y]).max()
        last = f"dense{len(self.recipe.hidden)}."
        factor = GAP / gap if gap else 1.0
        return {
            name: (W * factor if name.startswith(last) else W).astype(W.dtype)
            for name, W in weights.items()
        }


def judge(given: Given, answers: dict[str, np.ndarray], result: dict) -> Verdict:
    """The verdict on a file's answers."""
    recipe = dataclasses.replace(given.recipe, dialect=result["dialect"])
    images, findings = given.images.astype(float), []
    if "prepared" in answers:
        findings += diagnosis.explain_inputs(answers["prepared"], images)
        images = answers["prepared"].astype(float)
    steps = _seen(given, images, answers)
    wrong_steps = diagnosis.explain(recipe, steps) if steps else []
    findings += wrong_steps
    if "train" in result["forms"] and not wrong_steps:  # else it would repeat the steps' mistake
        see = _see_training(given, images)
        findings += diagnosis.explain_training(
            recipe, given.training_batches, see, _trained(answers)
        )
    if result["broken"] and not findings:
        raise LockstepError(result["broken"])
    compared = sum(len(seen.said) for seen in steps)
    compared += sum(key.startswith(("prepared", "train/")) for key in answers)
    precision = diagnosis.precision_of(recipe, steps)
    return Verdict(tuple(result["forms"]), precision, len(steps), compared, tuple(findings))


def _seen(given: Given, images: np.ndarray, answers: dict[str, np.ndarray]) -> list[Seen]:
    """The steps, from the answers' names: "3/start/dense0.weight", "3/gradients/…", "3/loss"."""
    steps: list[dict[str, dict[str, np.ndarray]]] = []
    for key, array in answers.items():
        step, _, rest = key.partition("/")
        if step.isdigit():
            if int(step) == len(steps):
                steps.append({"start": {}, "loss": {}, "gradients": {}, "weights": {}})
            part, _, name = rest.partition("/")
            steps[int(step)][part][name] = array.astype(float)
    seen = []
    for i, parts in enumerate(steps):
        batch = given.batches[i % len(given.batches)]  # the steep step takes the first again
        said: Numbers = {(part, n): a for part in PARTS for n, a in parts[part].items()}
        rate = float(given.rates[i % len(given.batches)])
        seen.append(Seen(parts["start"], images[batch], given.labels[batch], rate, said))
    return seen


def _see_training(given: Given, images: np.ndarray) -> Callable[..., list[Seen]]:
    initial = _float64(given.recipe.initial_weights())

    def see(batches, losses, weights, factor: float) -> list[Seen]:
        rate = given.recipe.learning_rate * factor
        steps = []
        for i, batch in enumerate(batches):
            said: Numbers = {} if losses is None else {("loss", ""): np.array(losses[i])}
            if weights is not None and i == len(batches) - 1:
                said |= {("weights", name): W for name, W in weights.items()}
            start = None if i else initial
            steps.append(Seen(start, images[batch], given.labels[batch], rate, said))
        return steps

    return see


def _trained(answers: dict[str, np.ndarray]) -> diagnosis.Trained:
    prefix = "train/weights/"
    weights = {k.removeprefix(prefix): a for k, a in answers.items() if k.startswith(prefix)}
    return diagnosis.Trained(
        answers.get("train/losses"), _float64(weights) or None, answers.get("still/losses")
    )


def _float64(weights: Weights) -> Weights:
    return {name: W.astype(float) for name, W in weights.items()}


# --- In the file's own process --------------------------------------------------------------------


def _work(job: dict, tell: Callable[[dict], None]) -> dict:
    """Run the file over the steps; returns which forms it has, and leaves answers.npz."""
    path, folder = Path(job["file"]), Path(job["folder"])
    recipe = recipes.from_dict(job["recipe"])
    with np.load(folder / "given.npz", allow_pickle=False) as arrays:
        given = Given(recipe, arrays["images"], arrays["labels"], job["steps"])
    sys.path.insert(0, str(path.parent))  # for what it imports from beside it
    own = Own(path, recipe)
    answers, broken = gathered(own, given)
    np.savez(folder / "answers.npz", **answers)  # type: ignore[arg-type]
    return {"forms": own.forms, "dialect": own.dialect, "broken": broken}


def gathered(own: Own, given: Given) -> tuple[dict[str, np.ndarray], str | None]:
    """All answers up to the first that is NaN or infinite, and where that was, in a sentence."""
    answers: dict[str, np.ndarray] = {}
    for key, array in own.answers(given):
        if not np.isfinite(array).all():
            step = key.partition("/")[0]
            whole = {k: a for k, a in answers.items() if k.partition("/")[0] != step}
            return whole, f"{own.path.name} returns NaN or infinity in {_spoken(key)}."
        answers[key] = array
    return answers, None


def _spoken(key: str) -> str:
    step, _, rest = key.partition("/")
    part = rest.replace("/", " of ").replace("weights of", "the new weights of")
    return f"{part} at step {int(step) + 1}" if step.isdigit() else key.replace("/", " of ")


class Own:
    """The file's program, whatever its form, as named answers."""

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe, self.dialect = path, recipe, recipe.dialect
        self.module = self._imported()
        known = ("prepare", "step", "train", "Network")
        self.forms = [name for name in known if callable(getattr(self.module, name, None))]
        if not set(self.forms) - {"prepare"}:
            raise LockstepError(
                f"{path.name} has no function step or train and no class Network; "
                "`lockstep verify --template` writes a file that has."
            )

    def _imported(self):
        spec = importlib.util.spec_from_file_location("own_program", self.path)
        if spec is None or spec.loader is None:
            raise LockstepError(f"{self.path.name} is not a Python file: its name must end in .py.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        with self.speaking():
            spec.loader.exec_module(module)
        return module

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """Turn what the file raises into one sentence: its file, its line, its words."""
        try:
            yield
        except (Exception, SystemExit) as error:
            raise LockstepError(_last_words(error, self.path)) from None

    def answers(self, given: Given) -> Iterator[tuple[str, np.ndarray]]:
        """Every number that the program returns, one after the other."""
        images = given.images
        if "prepare" in self.forms:
            with self.speaking():
                value = self.module.prepare(given.pixels.copy())
            images = self._array(value, "prepare's result", images.shape)
            yield "prepared", images
        if "Network" in self.forms:
            yield from self._steps(given, images, self._network())
        elif "step" in self.forms:
            yield from self._steps(given, images, self._step)
        if "train" in self.forms:
            yield from self._training(given, images)

    def _steps(
        self, given: Given, images: np.ndarray, step: Callable
    ) -> Iterator[tuple[str, np.ndarray]]:
        """The steps on the program's own way, and a last one from weights with large logits.

        Where it returns no weights, it is led along the reference's way.
        """
        weights = self.recipe.initial_weights()
        reference = Network(self.recipe, weights)
        parts: set[str] = set()
        for i, (batch, rate) in enumerate(zip(given.batches, given.rates, strict=True)):
            answer = step(weights, images[batch], given.labels[batch], float(rate))
            yield from self._named(i, weights, answer)
            led = reference.step(given.images[batch], given.labels[batch], float(rate)).weights
            weights = answer.get("weights", led)
            parts |= set(answer)
        if parts - {"weights"}:
            steep, first = given.steep(images, self.recipe.initial_weights()), given.batches[0]
            answer = step(steep, images[first], given.labels[first], float(given.rates[0]))
            shown = {part: value for part, value in answer.items() if part != "weights"}
            yield from self._named(len(given.batches), steep, shown)

    def _named(
        self, i: int, weights: Weights, answer: dict[str, Any]
    ) -> Iterator[tuple[str, np.ndarray]]:
        for name, W in weights.items():
            yield f"{i}/start/{name}", W
        for part in (part for part in PARTS if part in answer):
            if part == "loss":
                yield f"{i}/loss", answer["loss"]
            else:
                yield from ((f"{i}/{part}/{name}", a) for name, a in answer[part].items())

    def _step(self, weights: Weights, images, labels, rate: float) -> dict[str, Any]:
        """Call the file's `step` with copies, and check what it returns."""
        given = {name: W.copy() for name, W in weights.items()}
        with self.speaking():
            answer = self.module.step(given, images.copy(), labels.copy(), rate)
        self._dictionary(answer, "step", PARTS)
        checked: dict[str, Any] = {}
        for part, value in answer.items():
            if part == "loss":
                checked["loss"] = self._array(value, "the loss", ())
            else:
                checked[part] = self._tensors(value, part, whole=part == "weights")
        return checked

    def _network(self) -> Callable:
        """A step of the file's class of the contract, in the form of `step`."""
        own = self.module.Network
        if not (isinstance(own, type) and issubclass(own, Backend)):
            raise LockstepError(
                f"{self.path.name}: class Network must be a subclass of lockstep.backend.Backend."
            )
        with self.speaking():
            network = own(self.recipe, self.recipe.initial_weights())
            self.dialect = one_of(recipes.DIALECTS, network.dialect, "dialect")
        walked: list[Weights] = []  # the weights that the network itself has left

        def step(weights: Weights, images, labels, rate: float) -> dict[str, Any]:
            with self.speaking():
                if walked and weights is not walked[-1]:  # it is set elsewhere: the steep step
                    network.weights = weights
                done = network.step(images.copy(), labels.copy(), rate)
            left = self._tensors(done.weights, "weights", whole=True)
            walked.append(left)
            return {
                "loss": self._array(done.loss, "the loss", ()),
                "gradients": self._tensors(done.gradients, "gradients", whole=True),
                "weights": left,
            }

        return step

    def _training(self, given: Given, images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The file's `train`, and once more with learning rate 0, which shows the order alone."""
        images, labels = images[: given.training], given.labels[: given.training]
        for kind, rate in (("train", self.recipe.learning_rate), ("still", 0.0)):
            batches = [batch.copy() for batch in given.training_batches]
            initial = self.recipe.initial_weights()
            with self.speaking():
                answer = self.module.train(initial, images.copy(), labels.copy(), batches, rate)
            self._dictionary(answer, "train", ("losses", "weights"))
            if "losses" in answer:
                losses = self._array(answer["losses"], "losses", None)
                if losses.ndim != 1:
                    raise LockstepError(f"{self.path.name}: losses is not a list of numbers.")
                yield f"{kind}/losses", losses
            if "weights" in answer and kind == "train":
                tensors = self._tensors(answer["weights"], "weights", whole=True)
                yield from ((f"train/weights/{name}", W) for name, W in tensors.items())

    def _dictionary(self, answer: Any, function: str, known: tuple[str, ...]) -> None:
        if not isinstance(answer, dict) or not answer:
            what = "an empty dictionary" if isinstance(answer, dict) else type(answer).__name__
            raise LockstepError(
                f"{self.path.name}: {function} returns {what}; it must be a dictionary with one or "
                f"more of {', '.join(known)}."
            )
        for key in answer:
            with self.saying():
                one_of(known, str(key), f"number that {function} returns, called")

    @contextlib.contextmanager
    def saying(self) -> Iterator[None]:
        """Put the file's name before a complaint about it."""
        try:
            yield
        except LockstepError as error:
            raise LockstepError(f"{self.path.name}: {error}") from None

    def _tensors(self, value: Any, part: str, whole: bool) -> Weights:
        """Checked arrays by name; with `whole` there must be all."""
        shapes = self.recipe.shapes
        if not isinstance(value, dict):
            raise LockstepError(
                f"{self.path.name}: {part} is {type(value).__name__}; it must be a dictionary "
                f"with {', '.join(shapes)}."
            )
        for name in value:
            with self.saying():
                one_of(shapes, str(name), f"weight called (in {part})")
        absent = [name for name in shapes if name not in value]
        if whole and absent:
            raise LockstepError(f"{self.path.name}: {absent[0]} is missing in {part}.")
        return {
            name: self._array(array, f"{part} of {name}", shapes[name])
            for name, array in value.items()
        }

    def _array(self, value: Any, what: str, shape: tuple[int, ...] | None) -> np.ndarray:
        """A copy as NumPy's array of that shape, from NumPy, a list, or a framework's tensor."""
        if hasattr(value, "detach"):  # PyTorch; its bfloat16 has no counterpart in NumPy
            value = value.detach().cpu().double().numpy()
        try:
            array = np.array(value)
            if array.dtype.kind not in "fiub":  # ml_dtypes' bfloat16 is one of the others
                array = array.astype(float)
        except (TypeError, ValueError):
            raise LockstepError(
                f"{self.path.name}: {what} is {type(value).__name__}, not an array of numbers."
            ) from None
        if shape == () and array.size == 1:
            return array.reshape(())
        if shape is not None and array.shape != shape:
            raise LockstepError(
                f"{self.path.name}: {what} has shape {array.shape}; needed: {shape}"
                f"{_shape_hint(array.shape, shape)}."
            )
        return array


def _shape_hint(shape: tuple[int, ...], needed: tuple[int, ...]) -> str:
    """What such a shape usually means."""
    if len(needed) == 2 and shape == needed[::-1]:
        return " (it is transposed)"
    if len(needed) == 1 and shape == (1, *needed):
        return " (sum over axis 0 without keepdims)"
    if len(needed) == 1 and len(shape) == 2 and shape[1:] == needed:
        return " (the sum over the batch is missing)"
    if len(needed) == 1 and shape == ():
        return " (sum over axis 0 alone)"
    return " (the mean over the batch is missing)" if needed == () else ""


def _last_words(error: BaseException, path: Path) -> str:
    """`my_network.py, line 12, in step: ValueError: …`, from where it left the file."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{Path(error.filename or path).name}, line {error.lineno}: {_words(error)}"
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if Path(frame.filename) == path]
    if not inside:
        return f"{path.name}: {_words(error)}"
    place = "" if inside[-1].name == "<module>" else f", in {inside[-1].name}"
    return f"{path.name}, line {inside[-1].lineno}{place}: {_words(error)}"


def _words(error: BaseException) -> str:
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    lines = text.strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(": ")


if __name__ == "__main__":
    raise SystemExit(worker.serve(_work))
