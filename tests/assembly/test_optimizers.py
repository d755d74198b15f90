"""Optimizers that cannot be built are problems of the recipe, at the optimizer's line."""

from __future__ import annotations

import pytest
import torch

import gankit


class Plugin:
    @gankit.hookimpl
    def register(self, registries: gankit.Registries) -> None:
        for name, build in {
            "nesterov": lambda p: torch.optim.SGD(p, nesterov=True),
            "betas": lambda p: torch.optim.Adam(p, betas=(0.5, 1.0)),
            "twice": lambda p: torch.optim.SGD([*p, *p]),
            "list": list,
        }.items():
            registries.optimizers.add(name, _factory(build))


def _factory(build):
    def optimizer(parameters):
        return build(parameters)

    return optimizer


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nesterov", "Nesterov momentum requires a momentum"),
        ("betas", "Invalid beta parameter at index 1: 1.0"),
        ("twice", "some parameters appear in more than one|duplicate parameters"),
        ("list", "returns a list, which is not a torch.optim.Optimizer"),
    ],
)
def test_faults_of_an_optimizer(tiny_runtime, tiny_recipe, tmp_path, name, message):
    tiny_runtime.load_plugin(Plugin())
    optimizers = {"generator": {"name": "tiny"}, "discriminator": {"name": name}}
    checked = tiny_runtime.load_checked(tiny_recipe(tmp_path, optimizers=optimizers))
    with pytest.raises(gankit.RecipeError, match=rf"tiny.yaml:\d+:\d+: optimizers.discriminator: .*({message})"):
        tiny_runtime.assemble(checked, tmp_path / "run")
