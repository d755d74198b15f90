"""Optimizers that cannot be built are problems of the recipe, at the optimizer's line."""

from __future__ import annotations

import pytest
import torch

import gankit

OPTIMIZERS = {
    "nesterov": lambda parameters: torch.optim.SGD(parameters, nesterov=True),
    "betas": lambda parameters: torch.optim.Adam(parameters, betas=(0.5, 1.0)),
    "twice": lambda parameters: torch.optim.SGD([*parameters, *parameters]),
    "list": lambda parameters: [*parameters],
}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nesterov", "Nesterov momentum requires a momentum"),
        ("betas", "Invalid beta parameter at index 1: 1.0"),
        ("twice", "some parameters appear in more than one|duplicate parameters"),
        ("list", "returns a list, which is not a torch.optim.Optimizer"),
    ],
)
def test_faults_of_an_optimizer(tiny_runtime, tiny_recipe, add_components, tmp_path, name, message):
    add_components(tiny_runtime, optimizers=OPTIMIZERS)
    optimizers = {"generator": {"name": "tiny"}, "discriminator": {"name": name}}
    checked = tiny_runtime.load_checked(tiny_recipe(tmp_path, optimizers=optimizers))
    with pytest.raises(gankit.RecipeError, match=rf"tiny.yaml:\d+:\d+: optimizers.discriminator: .*({message})"):
        tiny_runtime.assemble(checked, tmp_path / "run")
