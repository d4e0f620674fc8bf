"""Somebody's program in a process of its own: run it, and name every number it returns."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..backends.contract import Backend
from ..backends.numpy import Network
from ..errors import LockstepError, one_of
from ..layouts import Weights
from ..processes import child
from ..recipe import DIALECTS, Recipe, from_dict
from .given import Given

PARTS = ("loss", "gradients", "weights")


def _work(job: dict, on_event: Callable[[dict], None]) -> dict:
    """Run the file over the steps; returns which forms it has, and leaves answers.npz."""
    path, folder = Path(job["file"]), Path(job["folder"])
    recipe = from_dict(job["recipe"])
    with np.load(folder / "given.npz", allow_pickle=False) as arrays:
        given = Given(recipe, arrays["images"], arrays["labels"], job["steps"])
    sys.path.insert(0, str(path.parent))  # for what it imports from beside it
    own = UserProgram(path, recipe)
    answers, broken = gathered(own, given)
    np.savez(folder / "answers.npz", **answers)  # type: ignore[arg-type]
    return {"forms": own.forms, "dialect": own.dialect, "broken": broken}


def gathered(own: UserProgram, given: Given) -> tuple[dict[str, np.ndarray], str | None]:
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
                f"{self.path.name}: class Network must be a subclass of Backend, "
                "from lockstep.backends.contract."
            )
        with self.speaking():
            network = own(self.recipe, self.recipe.initial_weights())
            self.dialect = one_of(DIALECTS, network.dialect, "dialect")
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
    raise SystemExit(child.serve(_work))
