"""The same network in PyTorch: `nn.Sequential`, `CrossEntropyLoss`, `torch.optim`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call, grad_and_value
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional
from torch.nn.utils import skip_init
from torch.utils.data import DataLoader, TensorDataset

from ..layouts import Weights
from ..recipe import Recipe
from .cache import Kept
from .contract import CLIPPED, Backend, Formulas, Operation, Running, Step, optimizer_slots

Tensors = Sequence[Tensor]
Pair = tuple[Tensor, Tensor]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
SLOTS = {"velocity": "momentum_buffer", "m": "exp_avg", "v": "exp_avg_sq"}
"""The contract's names for an optimizer's memory, and torch.optim's; RMSprop's is below."""


def _softmax_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.nll_loss(logits.softmax(1).log(), labels)


def _clipped_loss(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits.softmax(1).clamp(*CLIPPED).log(), labels)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "logits": functional.cross_entropy,
    "softmax": _softmax_loss,
    "clipped": _clipped_loss,
}
"""The loss forms of `Formulas`."""

LONG = 400
"""Updates of a training from which on they are compiled: MNIST's has 469 batches of 128 images."""
COMPILING = (
    "compiling the updates, which takes half a minute the first time and three seconds later"
)
UNROLLED = 4
"""Updates in one compiled call. Twice as many are 4 % faster, and cost the compiler six seconds
more (measured), as the step from two to four did."""


@cache
def why_not_compiled(device: str) -> str:
    """Why `torch.compile` cannot be used on a device; "" if it can: it compiles a small function.

    It needs a C++ compiler for the CPU, and Triton for CUDA, which not every machine has.
    """
    if device == "mps":
        return "its compiler for Metal is experimental"
    try:
        torch.compile(lambda x: x + 1)(torch.ones(2, device=device))
    except (RuntimeError, OSError) as error:  # no compiler, no headers, no place to write, …
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return f"torch.compile fails here: {lines[0] if lines else type(error).__name__}"
    return ""


def with_its_own_code(function: Any) -> FunctionType:
    """The same function, for which PyTorch keeps compiled variants of its own.

    It keeps eight at most (`recompile_limit`) of the same code, whatever closure or method has it:
    those of all networks together would be more.
    """
    code, defaults = function.__code__.replace(), function.__defaults__
    return FunctionType(code, function.__globals__, None, defaults, function.__closure__)


@contextmanager
def float32_products(precision: str) -> Iterator[None]:
    """Matrix products in this precision, "highest" or "high" (TF32); afterwards as they were.

    PyTorch has two ways to say it (`fp32_precision` since 2.9). Setting the old one sets both;
    asking for it is an error if somebody has set the new one to something else.
    """
    backends: list[Any] = [torch.backends.cuda, torch.backends.mkldnn]
    places = [b.matmul for b in backends if hasattr(getattr(b, "matmul", None), "fp32_precision")]
    new = [place.fp32_precision for place in places]
    try:
        old = torch.get_float32_matmul_precision()
    except RuntimeError:
        old = "highest"  # its default
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(old)
        for place, before in zip(places, new, strict=True):
            place.fp32_precision = before


def move(
    recipe: Recipe, decays: bool, weight: Tensor, gradient: Tensor, memory: Tensors, numbers: Tensor
) -> None:
    """Change one weight and what the optimizer remembers of it, in place, as `torch.optim` does.

    What compiles of `torch.optim` takes two powers for every sixteen weights, and an update half as
    long again (measured); here the bias corrections come in, with the rate: `Network._numbers`.
    """
    rate, root, kept = numbers
    match recipe.optimizer:
        case "sgd":
            weight.sub_(rate * gradient)
        case "momentum" | "nesterov":
            (velocity,) = memory
            velocity.mul_(recipe.momentum).add_(gradient)
            nesterov = recipe.optimizer == "nesterov"
            weight.sub_(rate * (gradient + recipe.momentum * velocity if nesterov else velocity))
        case "rmsprop":
            (v,) = memory
            v.mul_(recipe.rho).addcmul_(gradient, gradient, value=1 - recipe.rho)
            weight.sub_(rate * gradient / (v.sqrt() + recipe.epsilon))
        case _:
            m, v = memory
            if recipe.optimizer == "adamw" and decays:
                weight.mul_(kept)
            m.lerp_(gradient, 1 - recipe.beta1)
            v.mul_(recipe.beta2).addcmul_(gradient, gradient, value=1 - recipe.beta2)
            weight.sub_(rate * m / (v.sqrt() * root + recipe.epsilon))


def to_numpy(tensor: Tensor) -> np.ndarray:
    """A copy."""
    return np.array(tensor.detach().cpu().numpy())


def named(recipe: Recipe, tensors: Iterable[Tensor]) -> Weights:
    """A copy of each weight's tensor, named and laid out as the contract has it."""
    pairs = zip(recipe.layouts.items(), tensors, strict=True)
    return {
        name: np.array(layout.from_torch(tensor.detach().cpu().numpy()), order="C")
        for (name, layout), tensor in pairs
    }


class Network(Backend):
    """PyTorch, which stores some weights otherwise than we do: `layouts.Layout` says how."""

    dialect = "torch"
    fused: bool | None = True
    """Whether Adam is one kernel for all the weights; None leaves it to PyTorch."""

    @classmethod
    def devices(cls, dtype: str) -> Sequence[str]:
        mps = torch.backends.mps.is_available() and dtype != "float64"  # Metal has no float64
        return ("cuda",) * torch.cuda.is_available() + ("mps",) * mps + ("cpu",)

    @classmethod
    def version(cls) -> str:
        return f"PyTorch {torch.__version__}"

    @classmethod
    def own_weights(cls, recipe: Recipe, seed: int) -> Weights:
        """What `nn.Linear` draws after `torch.manual_seed(seed)`."""
        usual = {"device": "cpu", "dtype": torch.float32}
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # `torch.manual_seed` seeds every device
            model = nn.Sequential(*(nn.Linear(i, o, **usual) for i, o in pairwise(recipe.sizes)))
        drawn = named(recipe, model.parameters())
        return {name: array.astype(recipe.dtype) for name, array in drawn.items()}

    @classmethod
    def own_batches(cls, count: int, batch_size: int, epochs: int, seed: int) -> list[np.ndarray]:
        """The order in which `DataLoader(shuffle=True)` with a seeded generator goes."""
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(range(count), batch_size, shuffle=True, generator=generator)
        return [batch.numpy() for _ in range(epochs) for batch in loader]

    @property
    def notes(self) -> str:
        return self._note

    def build(self) -> None:
        recipe = self.recipe
        self.dtype = getattr(torch, recipe.dtype)
        self.factor = float(self.scaled(np.ones((), np.uint8)))
        place = {"device": self.device, "dtype": self.dtype}
        layers: list[nn.Module] = []
        for sizes in pairwise(recipe.sizes):
            linear = skip_init(nn.Linear, *sizes, **place)  # draws nothing: the weights come in
            layers += [linear, ACTIVATIONS[recipe.activation]()]
        self.model = nn.Sequential(*layers[:-1])  # logits come out
        self.loss = nn.CrossEntropyLoss()
        if self.formulas:
            self.loss = LOSSES[self.formulas.loss]
        self.precision = "high" if self.formulas and self.formulas.tf32 else "highest"
        self.names = [name for name, _ in self.model.named_parameters()]
        self.parameters = dict(zip(recipe.shapes, self.model.parameters(), strict=True))
        self.decays = [layout.decays for layout in recipe.layouts.values()]
        self._reset_optimizer()
        self.resident = Kept(self._on_device)
        self._compiled: Callable[..., Tensors] | None = None
        self._note = ""

    def _reset_optimizer(self) -> None:
        recipe, parameters = self.recipe, list(self.parameters.values())
        lr, betas, epsilon = recipe.learning_rate, (recipe.beta1, recipe.beta2), recipe.epsilon
        match recipe.optimizer:
            case "sgd":
                self.optimizer = torch.optim.SGD(parameters, lr)
            case "momentum" | "nesterov":
                nesterov = recipe.optimizer == "nesterov"
                self.optimizer = torch.optim.SGD(parameters, lr, recipe.momentum, nesterov=nesterov)
            case "rmsprop":
                self.optimizer = torch.optim.RMSprop(parameters, lr, recipe.rho, epsilon)
            case "adam":
                self.optimizer = torch.optim.Adam(parameters, lr, betas, epsilon, fused=self.fused)
            case "adamw":  # unless told otherwise PyTorch decays the biases too
                pairs = list(zip(parameters, self.decays, strict=True))
                groups = [
                    {"params": [p for p, decays in pairs if decays == group], "weight_decay": decay}
                    for group, decay in ((True, recipe.weight_decay), (False, 0.0))
                ]
                self.optimizer = torch.optim.AdamW(groups, lr, betas, epsilon, fused=self.fused)

    def _imitate(self, formulas: Formulas, learning_rate: float) -> dict[str, float]:
        """The `lr` and `eps` with which PyTorch's Adam makes the next step as `formulas` ask.

        PyTorch computes lr/c₁ · m/(√v/√c₂ + eps) = lr·√c₂/c₁ · m/(√v + eps·√c₂), c = 1 - βᵗ. What
        is asked for is lr·√k₂/k₁ · m/(√v + E) with corrections k, E being ε·√k₂ or the hat's ε.
        """
        recipe, t = self.recipe, self.updates + 1
        c1, c2 = (1 - beta**t for beta in (recipe.beta1, recipe.beta2))
        k1, k2 = (1 - beta**t for beta in formulas.correction_betas(recipe))
        epsilon = recipe.epsilon * (math.sqrt(k2) if formulas.epsilon == "outside" else 1)
        rate = learning_rate * (math.sqrt(k2) / k1) / (math.sqrt(c2) / c1)
        return {"lr": rate, "eps": epsilon / math.sqrt(c2)}

    def _tensor(self, array: np.ndarray) -> Tensor:
        """The array on the device: on the CPU the same memory, images in the model's dtype."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else torch.int64)

    def _scale(self, images: Tensor) -> Tensor:
        """What `datasets.scale` makes of pixels, in the same one multiplication."""
        return images.to(self.dtype) * self.factor if images.dtype == torch.uint8 else images

    def _read_weights(self) -> Weights:
        return named(self.recipe, self.parameters.values())

    def _write_weights(self, weights: Weights) -> None:
        layouts = self.recipe.layouts
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self._tensor(layouts[name].to_torch(weights[name])))

    def _slot(self, slot: str) -> str:
        return "square_avg" if self.recipe.optimizer == "rmsprop" else SLOTS[slot]

    def _count_updates(self) -> int:
        return self.updates

    def _read_memory(self, slot: str) -> Weights:
        states = (self.optimizer.state[parameter] for parameter in self.parameters.values())
        return named(self.recipe, (state[self._slot(slot)] for state in states))

    def _write_memory(self, updates: int, memory: dict[str, Weights]) -> None:
        self._reset_optimizer()
        self.updates = updates
        layouts = self.recipe.layouts
        for name, parameter in self.parameters.items():
            own = self.optimizer.state[parameter]
            own["step"] = torch.tensor(float(updates), device=self.device)
            for slot in optimizer_slots(self.recipe):
                own[self._slot(slot)] = torch.zeros_like(parameter)
                if updates:
                    array = layouts[name].to_torch(memory[slot][name])
                    own[self._slot(slot)].copy_(self._tensor(array))
        self._weights_and_memory = (
            [p.detach() for p in self.parameters.values()],
            [
                [self.optimizer.state[p][self._slot(slot)] for slot in optimizer_slots(self.recipe)]
                for p in self.parameters.values()
            ],
        )

    def _objective(self, logits: Tensor, labels: Tensor, weights: Iterable[Tensor]) -> Tensor:
        """What is minimised: the loss, and the L2 penalty if asked.

        The penalty is in the loss, where `.grad` shows it, rather than in the optimizer's
        `weight_decay`, which would apply to the biases too.
        """
        loss = self.loss(logits, labels)
        if self.recipe.l2:
            pairs = zip(weights, self.decays, strict=True)
            squares = sum(weight.square().sum() for weight, decays in pairs if decays)
            loss = loss + self.recipe.l2 / 2 * squares
        return loss

    def _update(self, images: Tensor, labels: Tensor, learning_rate: float) -> Pair:
        """Forward, loss, backward, step: the tutorial's four lines."""
        numbers = {"lr": learning_rate}
        if self.formulas:
            numbers = self._imitate(self.formulas, learning_rate)
        for group in self.optimizer.param_groups:
            group |= numbers
        with float32_products(self.precision):
            logits = self.model(images)
            loss = self._objective(logits, labels, self.parameters.values())
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.updates += 1
        return logits.detach(), loss.detach()

    def forward(self, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), float32_products(self.precision):
            return to_numpy(self.model(self._tensor(self.scaled(images))))

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        rate = float(self.rates(1, learning_rate)[0])
        logits, loss = self._update(self._tensor(self.scaled(images)), self._tensor(labels), rate)
        gradients = named(self.recipe, (p.grad for p in self.parameters.values()))
        return Step(to_numpy(logits), loss.item(), gradients, self.weights)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """No DataLoader: the images stay in memory, and a long epoch's updates are compiled.

        What does not fill a compiled call, such as a smaller last batch, goes as `step` does.
        """
        self._compile_for(len(batches))
        data = all_images, all_labels = self.resident.of(images, labels)
        order = self._tensor(np.concatenate(batches)).split([len(batch) for batch in batches])
        rates = self.rates(len(batches), learning_rates)
        numbers = self._numbers(rates)
        losses, correct, done = [], [], 0
        while done < len(batches):
            part = order[done : done + UNROLLED]
            if self._compiled and len(part) == UNROLLED and len(part[0]) == len(part[-1]):
                rows = numbers[done : done + UNROLLED]
                with float32_products(self.precision):
                    found = self._compiled(*self._weights_and_memory, *data, part, rows)
                if self.device == "cuda":  # a CUDA graph writes over its results
                    found = [column.clone() for column in found]
                self.updates += UNROLLED
            else:
                part = part[:1]
                self._let_count()
                pixels, answers = self._scale(all_images[part[0]]), all_labels[part[0]]
                logits, loss = self._update(pixels, answers, float(rates[done]))
                found = loss[None], (logits.argmax(1) == answers).sum()[None]
            losses.append(found[0])
            correct.append(found[1])
            done += len(part)
        self._let_count()
        return Running(to_numpy(torch.cat(losses)), to_numpy(torch.cat(correct)))

    def warm_up(
        self, images: np.ndarray, labels: np.ndarray, batches: Sequence[np.ndarray]
    ) -> None:
        """Compile, if the epoch is worth it, and do one update of each kind."""
        self._compile_for(len(batches))
        with self.restored():
            self.train_epoch(images, labels, [batches[0]] * UNROLLED + [batches[-1]])

    def _compile_for(self, batches: int) -> None:
        """Have the updates compiled if a training with so many to an epoch is worth it."""
        if self._note or self.formulas or batches * self.recipe.epochs < LONG:
            return
        self.on_event({"event": "compiling", "words": COMPILING})
        reason = why_not_compiled(self.device)
        if reason:
            self._note = f"not compiled: {reason}"
            self.on_event({"event": "compiling", "words": self._note})
            return
        self._note = "updates compiled by torch.compile"
        mode = "reduce-overhead" if self.device == "cuda" else None  # CUDA graphs
        several = with_its_own_code(Network._several).__get__(self)
        self._compiled = torch.compile(several, fullgraph=True, dynamic=False, mode=mode)

    def _several(
        self,
        weights: Tensors,
        memory: Sequence[Tensors],
        images: Tensor,
        labels: Tensor,
        order: Tensors,
        numbers: Tensor,
    ) -> Pair:
        """UNROLLED updates in place, to be compiled; the loss and the right answers of each."""

        def objective(weights: Tensors, pixels: Tensor, answers: Tensor) -> Pair:
            named = dict(zip(self.names, weights, strict=True))
            logits = functional_call(self.model, named, (pixels,))
            return self._objective(logits, answers, weights), logits

        losses, correct = [], []
        with torch.no_grad():  # as a decorator, it would be PyTorch's code that is compiled
            for batch, row in zip(order, numbers, strict=True):
                pixels, answers = self._scale(images[batch]), labels[batch]
                slope = grad_and_value(objective, has_aux=True)
                gradients, (loss, logits) = slope(weights, pixels, answers)
                parts = zip(self.decays, weights, gradients, memory, strict=True)
                for decays, weight, gradient, slots in parts:
                    move(self.recipe, decays, weight, gradient, slots, row)
                losses.append(loss)
                correct.append((logits.argmax(1) == answers).sum())
            return torch.stack(losses), torch.stack(correct)

    def _numbers(self, rates: np.ndarray) -> Tensor:
        """What changes from update to update (count, 3): `move` says for what.

        Adam's rate is divided by c₁ and its √v by √c₂, c = 1 - βᵗ, in float64 as by `torch.optim`.
        """
        recipe, t = self.recipe, self.updates + np.arange(1, len(rates) + 1)
        numbers = np.column_stack([rates, np.ones(len(rates)), 1 - rates * recipe.weight_decay])
        if "m" in optimizer_slots(recipe):
            numbers[:, 0] /= 1 - recipe.beta1**t
            numbers[:, 1] /= np.sqrt(1 - recipe.beta2**t)
        return self._tensor(numbers)

    def _let_count(self) -> None:
        """Have `torch.optim` count the compiled updates too."""
        for own in self.optimizer.state.values():
            own["step"].fill_(self.updates)

    def _on_device(self, images: np.ndarray, labels: np.ndarray) -> Pair:
        """The training set as tensors."""
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device)
        if pixels.is_floating_point():
            pixels = pixels.to(self.dtype)
        return pixels, self._tensor(labels)

    def graph(self, images: np.ndarray) -> list[Operation]:
        """What `torch.fx` traces: the model's modules.

        Not `SummaryWriter.add_graph`: it imports TensorFlow, and what it traces with is deprecated.
        """
        traced = fx.symbolic_trace(self.model)
        ShapeProp(traced).propagate(self._tensor(self.scaled(images)))
        names: dict[fx.Node, str] = {}
        operations = []
        for node in traced.graph.nodes:
            module = node.op == "call_module"
            kind = type(self.model.get_submodule(node.target)).__name__ if module else node.op
            names[node] = f"{kind}[{node.target}]" if module else node.name
            inputs = tuple(names[source] for source in node.all_input_nodes)
            shape = tuple(node.meta["tensor_meta"].shape)
            operations.append(Operation(names[node], kind, inputs, shape))
        return operations


class TutorialNetwork(Network):
    """PyTorch as its tutorials train: a DataLoader, and the optimizer as it comes."""

    tutorial = "DataLoader"
    warm_up = Backend.warm_up
    fused = None
    _kept: tuple[Any, Any, Any] = (None, None, None)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """The tutorials' loop; only that the order is ours, where they say `shuffle=True`."""
        order = [batch.tolist() for batch in batches]
        dataset, own = self._dataset(images, labels), torch.Generator()  # it draws from one
        loader = DataLoader(dataset, batch_sampler=order, generator=own)
        losses, correct = [], []
        rates = self.rates(len(batches), learning_rates).tolist()
        for (part, answers), rate in zip(loader, rates, strict=True):
            part, answers = part.to(self.device), answers.to(self.device)
            logits, loss = self._update(part, answers, rate)
            losses.append(loss)
            correct.append((logits.argmax(1) == answers).sum())
        return Running(to_numpy(torch.stack(losses)), to_numpy(torch.stack(correct)))

    def _dataset(self, images: np.ndarray, labels: np.ndarray) -> TensorDataset:
        """In main memory whatever the device; made once however often the same arrays come."""
        if self._kept[0] is not images or self._kept[1] is not labels:
            tensors = torch.from_numpy(self.scaled(images)), torch.from_numpy(labels).long()
            self._kept = (images, labels, TensorDataset(*tensors))
        return self._kept[2]
