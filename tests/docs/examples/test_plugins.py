"""The plugins in docs/plugins.md: networks, callbacks, regularizers, formats of weight files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import gankit
from gankit.testing import check_discriminator, check_generator


@pytest.mark.parametrize("conditional", ["true", "false"])
def test_networks_and_latents(plugins, conditional, small_run):
    """The documented networks train in both kinds of runs; the documented sampling option changes the images."""
    runtime = gankit.Runtime(plugins=plugins)
    recipe = runtime.load("recipes/quickstart.yaml", [*small_run, f"conditional={conditional}", "callbacks=[checkpoint]"])
    trainer = runtime.assemble(recipe, "results/mine")
    trainer.fit()
    assert trainer.ending == "done"
    assert not torch.equal(trainer.sample(4), trainer.sample(4, contrast=9.0))
    heads = trainer.state.discriminator(torch.zeros(2, 3, 16, 16), torch.tensor([0, 1]))
    assert [tuple(head.shape) for head in heads] == [(2,), (2, 1, 4, 4)]
    latents = runtime.registries.latents.get("sphere").factory(8).sample(5, None, torch.Generator().manual_seed(0))
    torch.testing.assert_close(latents.norm(dim=1), torch.full((5,), 8**0.5))


def test_networks_conform(plugins, small_run):
    networks = gankit.Runtime(plugins=plugins).registries
    for classes in (0, 3):
        spec = gankit.ImageSpec(16, 32, 3, classes)
        check_generator(networks.generators.get("upsampling").factory, spec)
        check_discriminator(networks.discriminators.get("two_heads").factory, spec)
    with pytest.raises(gankit.RecipeError, match="height and width must be multiples of 4; got 18 x 18"):
        gankit.Runtime(plugins=plugins).load("recipes/quickstart.yaml", [*small_run, "image.size=18"])


def test_callback(plugins, small_run):
    """It ends the run where D's loss is below the limit, and not where it is above."""
    runtime = gankit.Runtime(plugins=plugins)
    for limit, steps, ending in ((1.0e9, 2, "the loss of D is too small"), (-1.0e9, 4, "done")):
        callbacks = f"callbacks=[{{name: watch, every: 2, limit: {limit}}}, {{name: checkpoint, every: 4}}]"
        directory = Path(f"results/{steps}")
        trainer = runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", [*small_run, callbacks]), directory)
        trainer.fit()
        assert (trainer.state.step, trainer.ending) == (steps, ending)
        assert (directory / f"watch_{steps}.png").is_file()


def test_sampling_in_python(plugins, capsys, block, small_run):
    runtime = gankit.Runtime(plugins=plugins)
    recipe = runtime.load("recipes/quickstart.yaml", [*small_run, "conditional=true", "callbacks=[checkpoint]"])
    runtime.assemble(recipe, "results/mine").fit()
    program = block("docs/sampling.md")
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["images"].shape == (4, 3, 16, 16)
    assert names["frames"].shape == (2, 8, 3, 16, 16)
    assert "['contrast']" in capsys.readouterr().out
    with pytest.raises(gankit.CheckpointError, match=r"my_networks.py"):
        gankit.load_generator("results/mine")


def test_a_trainable_regularizer(plugins, checkout, block, small_run):
    source = block("docs/plugins.md", "class RecoverLatents")
    (checkout / "my_latents.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "my_latents.py"])
    small = [*small_run, "callbacks=[]", "train.precision=fp32", "regularizers=[{name: recover_latents, latent_dim: 6}]", "latent.dim=6"]
    trainer = runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", small))
    last = trainer.state.trained["generator"]["regularizers.recover_latents"].last.weight
    before = last.detach().clone()
    assert "recover_latents" in trainer.step()
    assert not torch.equal(last, before)


def test_a_format_of_weight_files(plugins, block, tmp_path):
    """The documented format reads the weights of the documented generator under other names."""
    source = block("docs/plugins.md", "class OtherUpsampling")
    (tmp_path / "my_format.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "my_format.py"])
    own = runtime.registries.generators.get("upsampling").factory(gankit.ImageSpec(16, 16, 3), 5, width=4).state_dict()
    other = {
        "from_latent.weight": own["first.weight"],
        "from_latent.bias": own["first.bias"],
        "middle.kernel": own["second.weight"].permute(2, 3, 1, 0),
        "middle.offset": own["second.bias"],
        "to_rgb.weight": own["last.weight"],
        "to_rgb.bias": own["last.bias"],
    }
    torch.save(other, "other.pth")
    imported = runtime.import_weights(["other.pth"], "imported")
    weights = imported.networks["generator"].state_dict()
    assert all(torch.equal(weights[name], own[name]) for name in own)
    assert runtime.load_generator("imported").sample(2, seed=0).shape == (2, 3, 16, 16)
    torch.save(other | {"noise.weight": torch.zeros(1)}, "noisy.pth")
    with pytest.raises(gankit.GankitError, match="noisy.pth: cannot be imported: it adds noise, which gankit's upsampling"):
        runtime.import_weights(["noisy.pth"], "noisy")
