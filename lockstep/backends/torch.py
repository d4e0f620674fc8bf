"""The same network in PyTorch: `nn.Sequential`, `CrossEntropyLoss`, `torch.optim`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from ..backend import CLIPPED, Backend, Formulas, Operation, Running, Step
from ..recipe import Recipe, Weights

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
SLOTS = {"velocity": "momentum_buffer", "m": "exp_avg", "v": "exp_avg_sq"}
"""The contract's names for an optimizer's memory, and torch.optim's; RMSprop's is below."""


def _softmax_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.nll_loss(logits.softmax(1).log(), labels)


def _clipped_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits.softmax(1).clamp(*CLIPPED).log(), labels)


LOSSES: dict[str, Callable] = {
    "logits": functional.cross_entropy,
    "softmax": _softmax_loss,
    "clipped": _clipped_loss,
}
"""The loss forms of `Formulas`."""


class Network(Backend):
    """PyTorch. Its Linear keeps the weight as (out, in): transposed on the way in and out."""

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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layers = [nn.Linear(i, o) for i, o in pairwise(recipe.sizes)]
        drawn = (array for layer in layers for array in (layer.weight.T, layer.bias))
        return {
            name: np.array(array.detach().numpy(), recipe.dtype, order="C")
            for name, array in zip(recipe.shapes, drawn, strict=True)
        }

    @classmethod
    def own_batches(cls, count: int, batch_size: int, epochs: int, seed: int) -> list[np.ndarray]:
        """The order in which `DataLoader(shuffle=True)` with a seeded generator goes."""
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(range(count), batch_size, shuffle=True, generator=generator)  # type: ignore[arg-type]
        return [batch.numpy() for _ in range(epochs) for batch in loader]

    def build(self) -> None:
        recipe = self.recipe
        self.dtype = getattr(torch, recipe.dtype)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(recipe.sizes):
            layers += [nn.Linear(n_in, n_out), ACTIVATIONS[recipe.activation]()]
        self.model = nn.Sequential(*layers[:-1]).to(self.device, self.dtype)  # logits come out
        self.loss = nn.CrossEntropyLoss()
        if self.formulas:
            self.loss = LOSSES[self.formulas.loss]
        tf32 = self.formulas.tf32 if self.formulas else False
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        self.parameters = dict(zip(recipe.shapes, self.model.parameters(), strict=True))
        self._reset_optimizer()
        self._resident: tuple = (None, None, None)

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
                groups = [
                    {"params": parameters[0::2], "weight_decay": recipe.weight_decay},
                    {"params": parameters[1::2], "weight_decay": 0.0},
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

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        """The array on the device: on the CPU the same memory, images in the model's dtype."""
        tensor = torch.from_numpy(np.ascontiguousarray(array))
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else torch.int64)

    def _numpy(self, tensor: torch.Tensor, transpose: bool = False) -> np.ndarray:
        array = tensor.detach().cpu().numpy()
        return np.array(array.T if transpose else array, order="C")  # a copy

    def _read_weights(self) -> Weights:
        return {n: self._numpy(p, transpose=p.ndim == 2) for n, p in self.parameters.items()}

    def _write_weights(self, weights: Weights) -> None:
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(self._tensor(weights[name].T))

    def _slot(self, slot: str) -> str:
        return "square_avg" if self.recipe.optimizer == "rmsprop" else SLOTS[slot]

    def _count_updates(self) -> int:
        return self.updates

    def _read_memory(self, slot: str) -> Weights:
        memory = {n: self.optimizer.state[p][self._slot(slot)] for n, p in self.parameters.items()}
        return {n: self._numpy(tensor, transpose=tensor.ndim == 2) for n, tensor in memory.items()}

    def _write_memory(self, updates: int, memory: dict[str, Weights]) -> None:
        self._reset_optimizer()
        self.updates = updates
        for name, parameter in self.parameters.items() if updates else ():
            own = self.optimizer.state[parameter]
            own["step"] = torch.tensor(float(updates), device=self.device)
            for slot, weights in memory.items():
                own[self._slot(slot)] = self._tensor(weights[name].T).clone()

    def _update(self, images: torch.Tensor, labels: torch.Tensor, learning_rate: float) -> tuple:
        """Forward, loss, backward, step: the tutorial's four lines, and the L2 penalty if asked.

        The penalty is in the loss, where `.grad` shows it, rather than in the optimizer's
        `weight_decay`, which would apply to the biases too.
        """
        logits = self.model(images)
        loss = self.loss(logits, labels)
        if self.recipe.l2:
            squares = sum(p.square().sum() for p in self.parameters.values() if p.ndim == 2)
            loss = loss + self.recipe.l2 / 2 * squares
        numbers = {"lr": learning_rate}
        if self.formulas:
            numbers = self._imitate(self.formulas, learning_rate)
        for group in self.optimizer.param_groups:
            group |= numbers
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        return logits.detach(), loss.detach()

    def forward(self, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self._numpy(self.model(self._tensor(self.scaled(images))))

    def step(
        self, images: np.ndarray, labels: np.ndarray, learning_rate: float | None = None
    ) -> Step:
        rate = float(self.rates(1, learning_rate)[0])
        logits, loss = self._update(self._tensor(self.scaled(images)), self._tensor(labels), rate)
        gradients = {
            name: self._numpy(p.grad, transpose=p.ndim == 2) for name, p in self.parameters.items()
        }
        return Step(self._numpy(logits), loss.item(), gradients, self.weights)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """No DataLoader: the images stay in memory and are gathered once, then cut into batches."""
        order = self._tensor(np.concatenate(batches))
        all_images, all_labels = self._on_device(images, labels)
        sizes = [len(batch) for batch in batches]
        images_of, labels_of = all_images[order].split(sizes), all_labels[order].split(sizes)
        losses, correct = [], []
        rates = self.rates(len(batches), learning_rates).tolist()
        for part, answers, rate in zip(images_of, labels_of, rates, strict=True):
            logits, loss = self._update(part, answers, rate)
            losses.append(loss)
            correct.append((logits.argmax(1) == answers).sum())
        return Running(self._numpy(torch.stack(losses)), self._numpy(torch.stack(correct)))

    def _on_device(self, images: np.ndarray, labels: np.ndarray) -> tuple:
        """The training set as tensors, moved once however often the same arrays come."""
        if self._resident[0] is not images or self._resident[1] is not labels:
            self._resident = (
                images,
                labels,
                (self._tensor(self.scaled(images)), self._tensor(labels)),
            )
        return self._resident[2]

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


class Idiomatic(Network):
    """PyTorch as its tutorials train: a DataLoader, and the optimizer as it comes."""

    idiom = "DataLoader"
    fused = None
    _kept: tuple = (None, None, None)

    def train_epoch(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batches: Sequence[np.ndarray],
        learning_rates: np.ndarray | None = None,
    ) -> Running:
        """The tutorials' loop; only that the order is ours, where they say `shuffle=True`."""
        order = [batch.tolist() for batch in batches]
        loader = DataLoader(self._dataset(images, labels), batch_sampler=order)
        losses, correct = [], []
        rates = self.rates(len(batches), learning_rates).tolist()
        for (part, answers), rate in zip(loader, rates, strict=True):
            part, answers = part.to(self.device), answers.to(self.device)
            logits, loss = self._update(part, answers, rate)
            losses.append(loss)
            correct.append((logits.argmax(1) == answers).sum())
        return Running(self._numpy(torch.stack(losses)), self._numpy(torch.stack(correct)))

    def _dataset(self, images: np.ndarray, labels: np.ndarray) -> TensorDataset:
        """In main memory whatever the device; made once however often the same arrays come."""
        if self._kept[0] is not images or self._kept[1] is not labels:
            tensors = torch.from_numpy(self.scaled(images)), torch.from_numpy(labels).long()
            self._kept = (images, labels, TensorDataset(*tensors))
        return self._kept[2]
