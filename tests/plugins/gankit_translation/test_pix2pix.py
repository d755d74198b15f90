"""The steps of pix2pix against independent ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

import gankit

RECIPE = {
    "name": "pix2pix",
    "image": {"size": 16},
    "dataset": "pairs_of_noise",
    "loader": {"batch_size": 3},
    "generator": {"name": "unet", "width": 4, "dropout": 0},
    "discriminator": {"name": "conditional_patchgan", "width": 4, "layers": 1},
    "loss": "bce",
    "regularizers": [{"name": "reconstruction", "weight": 100}],
    "train": {"steps": 5, "device": "cpu", "precision": "fp64"},
}


class Noise:
    """Images of noise with gray sources."""

    spec = gankit.DataSpec(image=gankit.ImageSpec(16, 16, 3), source=gankit.ImageSpec(16, 16, 1))

    def __len__(self):
        return 10

    def __getitem__(self, index):
        noise = torch.randint(0, 256, (4, 16, 16), generator=torch.Generator().manual_seed(index)).byte()
        return {"image": noise[:3], "source": noise[3:]}


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.datasets.add("pairs_of_noise", Noise)


def reference_step(g, d, optimizers, image, source):
    """Equations 2 to 4 of the paper: x are the sources and y the images. D's step is first, as in the authors' code."""

    def judged(images):
        return d.layers(torch.cat([source, images], dim=1))

    fake = g(source)
    on_real, on_fake = judged(image), judged(fake.detach())
    d_loss = -F.logsigmoid(on_real).mean() - F.logsigmoid(-on_fake).mean()
    optimizers[1].zero_grad()
    d_loss.backward()
    optimizers[1].step()
    g_loss, distance = -F.logsigmoid(judged(fake)).mean(), (image - fake).abs().mean()
    optimizers[0].zero_grad()
    (g_loss + 100 * distance).backward()
    optimizers[0].step()
    return g_loss, distance, d_loss


@pytest.mark.parametrize(("norm", "microbatch"), [("batch", None), ("instance", None), ("instance", 2)])
def test_steps_are_those_of_the_paper(tmp_path, norm, microbatch):
    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    sections = {key: RECIPE[key] | {"norm": norm} for key in ("generator", "discriminator")}
    sections["train"] = RECIPE["train"] | {"microbatch": microbatch}
    trainer = runtime.assemble(gankit.Recipe.parse(RECIPE | sections), tmp_path / "run")
    g, d = copy.deepcopy(trainer.state.generator), copy.deepcopy(trainer.state.discriminator)
    optimizers = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (g, d)]
    for step in range(5):
        batch = trainer.setup.loader.at(step * 3, 3)
        g_loss, distance, d_loss = reference_step(g, d, optimizers, batch.images, batch["source"])
        scalars = trainer.step()
        assert scalars["generator_loss"] == pytest.approx(g_loss.item(), rel=1e-9)
        assert scalars["reconstruction"] == pytest.approx(100 * distance.item(), rel=1e-9)
        assert scalars["discriminator_loss"] == pytest.approx(d_loss.item(), rel=1e-9)
    for ours, theirs in ((trainer.state.generator, g), (trainer.state.discriminator, d)):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)
