"""Networks with instance normalization on one image at a time: torch's gradient in channels_last would be wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit

PIXELS = 8


class Pairs:
    image = gankit.ImageSpec(PIXELS, PIXELS, 3)
    spec = gankit.DataSpec(image=image, source=image)

    def __len__(self):
        return 6

    def __getitem__(self, index):
        noise = torch.randint(0, 256, (2, 3, PIXELS, PIXELS), generator=torch.Generator().manual_seed(index)).byte()
        return {"image": noise[0], "source": noise[1]}


def layers(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, 4, 3, padding=1), nn.InstanceNorm2d(4), nn.SiLU(), nn.Conv2d(4, outputs, 3, padding=1)
    )


class Translate(nn.Module):
    def __init__(self, data: gankit.DataSpec):
        super().__init__()
        self.layers = layers(3, 3)

    def forward(self, source):
        return self.layers(source).tanh()


class Judge(nn.Module):
    def __init__(self, image: gankit.ImageSpec):
        super().__init__()
        self.layers = layers(6, 1)

    def forward(self, images, source):
        return self.layers(torch.cat([images, source], dim=1))


class Identity(gankit.Regularizer):
    """Runs a part of G on images in the layout of the loader."""

    def generator(self, turn):
        return F.mse_loss(turn.run(turn.generator.layers, turn.real), turn.real)


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.datasets.add("noise_pairs", Pairs)
        registries.generators.add("translate", Translate)
        registries.discriminators.add("judge", Judge)
        registries.regularizers.add("identity_of_a_part", Identity)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("regularizers", [[], ["identity_of_a_part"]])
def test_the_gradient_is_right(tmp_path, batch, regularizers):
    """A step of SGD equals one that is written in contiguous layout, the whole batch at once."""
    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    sgd = {"name": "sgd", "lr": 0.1, "momentum": 0.0}
    recipe = {
        "name": "one",
        "image": {"size": PIXELS},
        "dataset": "noise_pairs",
        "loader": {"batch_size": batch},
        "generator": "translate",
        "discriminator": "judge",
        "loss": "lsgan",
        "regularizers": regularizers,
        "optimizers": {"generator": sgd, "discriminator": sgd},
        "train": {"steps": 1, "device": "cpu", "precision": "fp64", "microbatch": 1},
    }
    trainer = runtime.assemble(gankit.Recipe.parse(recipe), tmp_path / "run")
    g, d = (build(data).double() for build, data in ((Translate, Pairs.spec), (Judge, Pairs.image)))
    g.load_state_dict(trainer.state.generator.state_dict())
    d.load_state_dict(trainer.state.discriminator.state_dict())
    real, source = (trainer.setup.loader.at(0, batch)[name].contiguous() for name in ("image", "source"))
    trainer.step()

    fake = g(source)
    loss = ((d(real, source) - 1).square().mean() + d(fake.detach(), source).square().mean()) / 2
    loss.backward()
    with torch.no_grad():
        for parameter in d.parameters():
            parameter.sub_(0.1 * parameter.grad)
    d.requires_grad_(False)
    loss = (d(fake, source) - 1).square().mean() / 2
    if regularizers:
        loss = loss + F.mse_loss(g.layers(real), real)
    loss.backward()
    with torch.no_grad():
        for parameter in g.parameters():
            parameter.sub_(0.1 * parameter.grad)
    for ours, theirs in ((trainer.state.generator, g), (trainer.state.discriminator, d)):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
