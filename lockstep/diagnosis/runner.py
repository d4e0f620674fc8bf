"""Somebody's program in a process of its own: run it, and name every number it returns.

`Given` goes in; out come answers, arrays by name: "prepared"; of step 3 "3/loss",
"3/gradient dense0.weight" and so on, with "3/start/weight dense0.weight" for the weights before it;
of `train` "train/loss", one for each batch, and "train/weight dense0.weight"; and "still/loss", of
`train` with learning rate 0.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..backends.contract import Backend
from ..backends.numpy import Network
from ..errors import LockstepError, one_of
from ..layouts import Weights
from ..processes import child
from ..processes.events import OnEvent
from ..processes.jobs import recipe_of
from ..proof.trace import Number, Numbers, archive_key, from_archive_key, of_kind
from ..recipe import DIALECTS, Recipe
from .given import Given

PARTS = {"loss": "loss", "gradients": "gradient", "weights": "weight"}
"""What a file's `step` may return → the kind of number that it is."""

StepFunction = Callable[[Weights, np.ndarray, np.ndarray, float], Numbers]
"""One update, of (weights, images, labels, learning rate): every number of it that is returned."""


def work(job: child.Request, on_event: OnEvent) -> dict[str, Any]:
    """Run the file over the steps; returns which forms it has, and leaves answers.npz."""
    path, folder = Path(job["file"]), Path(job["folder"])
    recipe = recipe_of(job)
    with np.load(folder / "given.npz", allow_pickle=False) as arrays:
        given = Given(recipe, arrays["images"], arrays["labels"], job["steps"])
    sys.path.insert(0, str(path.parent))  # for what it imports from beside it
    program = UserProgram(path, recipe)
    answers, broken = gathered(program, given)
    np.savez(folder / "answers.npz", **answers)  # type: ignore[arg-type]  # `allow_pickle` is a bool
    return {"forms": program.forms, "dialect": program.dialect, "broken": broken}


def gathered(program: UserProgram, given: Given) -> tuple[dict[str, np.ndarray], str | None]:
    """All answers up to the first that is NaN or infinite, and where that was, in a sentence."""
    answers: dict[str, np.ndarray] = {}
    for key, array in program.answers(given):
        if not np.isfinite(array).all():
            step = key.partition("/")[0]
            whole = {k: a for k, a in answers.items() if k.partition("/")[0] != step}
            return whole, f"{program.path.name} returns NaN or infinity in {_spoken(key)}."
        answers[key] = array
    return answers, None


def _spoken(key: str) -> str:
    """An answer's name in words, as the file's author knows it."""
    if key == "prepared":
        return "prepare's result"
    place, number = from_archive_key(key)
    step, _, start = place.partition("/")
    if not step.isdigit():
        part = "losses" if number.kind == "loss" else f"the weights of {number.tensor}"
        return f"{part} of train"
    weights = "the weights of" if start else "the new weights of"
    words = {"loss": "loss", "gradient": f"gradients of {number.tensor}"}
    part = words.get(number.kind, f"{weights} {number.tensor}")
    return f"{part} {'before' if start else 'at'} step {int(step) + 1}"


class UserProgram:
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

    def _imported(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("user_program", self.path)
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
        self, given: Given, images: np.ndarray, step: StepFunction
    ) -> Iterator[tuple[str, np.ndarray]]:
        """The steps on the program's own way, and a last one from weights with large logits.

        Where it returns no weights, it is led along the reference's way.
        """
        weights = self.recipe.initial_weights()
        reference = Network(self.recipe, weights)
        kinds: set[str] = set()
        for i, (batch, rate) in enumerate(zip(given.batches, given.rates, strict=True)):
            numbers = step(weights, images[batch], given.labels[batch], float(rate))
            yield from _answered(i, weights, numbers)
            led = reference.step(given.images[batch], given.labels[batch], float(rate)).weights
            weights = of_kind(numbers, "weight") or led
            kinds |= {number.kind for number in numbers}
        if kinds - {"weight"}:
            steep, first = given.steep(images, self.recipe.initial_weights()), given.batches[0]
            numbers = step(steep, images[first], given.labels[first], float(given.rates[0]))
            shown = {number: a for number, a in numbers.items() if number.kind != "weight"}
            yield from _answered(len(given.batches), steep, shown)

    def _step(
        self, weights: Weights, images: np.ndarray, labels: np.ndarray, rate: float
    ) -> Numbers:
        """Call the file's `step` with copies, and check what it returns."""
        given = {name: W.copy() for name, W in weights.items()}
        with self.speaking():
            answer = self.module.step(given, images.copy(), labels.copy(), rate)
        self._dictionary(answer, "step", PARTS)
        return self._numbers(answer, whole=("weights",))

    def _numbers(self, answer: dict[str, Any], whole: Collection[str]) -> Numbers:
        """What `step` returned, number by number; a part in `whole` must have every weight."""
        numbers: Numbers = {}
        for part in (part for part in PARTS if part in answer):
            if part == "loss":
                numbers[Number("loss")] = self._array(answer["loss"], "the loss", ())
            else:
                tensors = self._tensors(answer[part], part, part in whole)
                numbers |= {Number(PARTS[part], name): a for name, a in tensors.items()}
        return numbers

    def _network(self) -> StepFunction:
        """A step of the file's class of the contract, in the form of `step`."""
        network_class = self.module.Network
        if not (isinstance(network_class, type) and issubclass(network_class, Backend)):
            raise LockstepError(
                f"{self.path.name}: class Network must be a subclass of Backend, "
                "from lockstep.backends.contract."
            )
        with self.speaking():
            network = network_class(self.recipe, self.recipe.initial_weights())
            self.dialect = one_of(DIALECTS, network.dialect, "dialect")
        left: Weights = {}  # by the network itself, at its last step

        def step(weights: Weights, images: np.ndarray, labels: np.ndarray, rate: float) -> Numbers:
            nonlocal left
            with self.speaking():
                if any(weights[name] is not W for name, W in left.items()):  # the steep step
                    network.weights = weights
                done = network.step(images.copy(), labels.copy(), rate)
                answer = {part: getattr(done, part) for part in PARTS}
            numbers = self._numbers(answer, whole=PARTS)
            left = of_kind(numbers, "weight")
            return numbers

        return step

    def _training(self, given: Given, images: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The file's `train`, and once more with learning rate 0, which shows the order alone."""
        images, labels = images[: given.training], given.labels[: given.training]
        for place, rate in (("train", self.recipe.learning_rate), ("still", 0.0)):
            batches = [batch.copy() for batch in given.training_batches]
            initial = self.recipe.initial_weights()
            with self.speaking():
                answer = self.module.train(initial, images.copy(), labels.copy(), batches, rate)
            self._dictionary(answer, "train", ("losses", "weights"))
            if "losses" in answer:
                losses = self._array(answer["losses"], "losses", None)
                if losses.ndim != 1:
                    raise LockstepError(f"{self.path.name}: losses is not a list of numbers.")
                yield archive_key(place, Number("loss")), losses
            if "weights" in answer and place == "train":
                tensors = self._tensors(answer["weights"], "weights", whole=True)
                for name, W in tensors.items():
                    yield archive_key(place, Number("weight", name)), W

    def _dictionary(self, answer: Any, function: str, known: Iterable[str]) -> None:
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


def _answered(step: int, weights: Weights, numbers: Numbers) -> Iterator[tuple[str, np.ndarray]]:
    """A step's answers, and the weights before it."""
    for name, W in weights.items():
        yield archive_key(f"{step}/start", Number("weight", name)), W
    for number, array in numbers.items():
        yield archive_key(str(step), number), array


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
    raise SystemExit(child.serve(work))
