"""What a weight is: PyTorch stores it as its layout says."""

from __future__ import annotations

import importlib

import numpy as np
from conftest import installed, largest

from lockstep import layouts
from lockstep.recipe import Recipe


def test_a_dense_layout_is_how_pytorchs_linear_stores_it():
    torch = importlib.import_module(installed("torch"))
    recipe = Recipe(inputs=4, hidden=(3,), classes=2, dtype="float64")
    weights = recipe.initial_weights()
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)).double()
    for parameter, layout in zip(model.parameters(), recipe.layouts.values(), strict=True):
        stored = layout.to_torch(weights[layout.name])
        assert stored.shape == tuple(parameter.shape)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(stored.copy()))
        assert largest(layout.from_torch(parameter.detach().numpy()), weights[layout.name]) == 0.0
    x, (W1, b1, W2, b2) = np.arange(4.0), weights.values()
    assert largest(model(torch.from_numpy(x)).detach(), (x @ W1 + b1) @ W2 + b2) < 1e-14


def test_axes_in_any_order_come_back():
    """As a convolution's would: (height, width, in, out) here, (out, in, height, width) there."""
    kernel = np.arange(120).reshape(2, 3, 4, 5)
    layout = layouts.Layout("conv0.weight", kernel.shape, is_bias=False, torch_axes=(3, 2, 0, 1))
    assert layout.to_torch(kernel).shape == (5, 4, 2, 3)
    assert (layout.from_torch(layout.to_torch(kernel)) == kernel).all()


def test_a_recipe_has_a_layout_for_each_weight():
    recipe = Recipe(hidden=(16, 12))
    assert recipe.shapes == {name: a.shape for name, a in recipe.initial_weights().items()}
    assert {name: layout.decays for name, layout in recipe.layouts.items()} == {
        "dense0.weight": True, "dense0.bias": False, "dense1.weight": True, "dense1.bias": False,
        "dense2.weight": True, "dense2.bias": False,
    }  # fmt: skip
