"""CycleGAN's step against an independent one, its pools, and the state of both."""

from __future__ import annotations

import copy

import pytest
import torch

import gankit
from gankit_translation.image_pool import ImagePool

RECIPE = {
    "name": "cyclegan",
    "image": {"size": 16},
    "dataset": "unpaired_noise",
    "loader": {"batch_size": 3},
    "generator": {"name": "two_translators", "width": 4, "blocks": 1, "halvings": 1},
    "discriminator": {"name": "two_patchgans", "width": 4, "layers": 1},
    "loss": "lsgan",
    "regularizers": ["cycle", {"name": "identity", "weight": 5.0}],
    "train": {"steps": 5, "device": "cpu", "precision": "fp64", "game": {"name": "cyclegan", "pool": 4}},
}


class Noise:
    """Bright images and dark sources, which do not belong together."""

    def __init__(self, *, channels: int = 3) -> None:
        image, source = gankit.ImageSpec(16, 16, 3), gankit.ImageSpec(16, 16, channels)
        self.spec = gankit.DataSpec(image=image, source=source, independent=["source"])

    def __len__(self):
        return 10

    def __getitem__(self, index):
        noise = torch.randint(0, 100, (6, 16, 16), generator=torch.Generator().manual_seed(index)).byte()
        return {"image": noise[:3] + 150, "source": noise[3:][: self.spec["source"].channels]}


TWO_CHANNELS = {"name": "unpaired_noise", "channels": 2}


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.datasets.add("unpaired_noise", Noise)


@pytest.fixture
def assemble(tmp_path):
    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    return lambda name="run", **sections: runtime.assemble(gankit.Recipe.parse(RECIPE | sections), tmp_path / name)


class Pool:
    """The authors' pool, with images in a list."""

    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, images, chances):
        shown = []
        for image, (keep, place) in zip(images, chances.tolist(), strict=True):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif keep >= 0.5:
                index = int(place * self.size)
                shown.append(self.images[index])
                self.images[index] = image
            else:
                shown.append(image)
        return torch.stack(shown)


def reference_step(g, d, optimizers, real, source, pools, chances):
    """One step in the notation of the paper: X are the sources and Y the images."""
    g_xy, g_yx = g.to_image, g.to_source
    fake_y, fake_x = g_xy(source), g_yx(real)
    d.requires_grad_(False)
    adversarial = ((d.of_images(fake_y) - 1).square().mean() + (d.of_sources(fake_x) - 1).square().mean()) / 2
    cycle = (g_yx(fake_y) - source).abs().mean() + (g_xy(fake_x) - real).abs().mean()
    identity = (g_xy(real) - real).abs().mean() + (g_yx(source) - source).abs().mean()
    optimizers[0].zero_grad()
    (adversarial + 10 * cycle + 5 * identity).backward()
    optimizers[0].step()
    d.requires_grad_(True)
    shown_y, shown_x = (
        pool.query(fake.detach(), chance) for pool, fake, chance in zip(pools, (fake_y, fake_x), chances, strict=True)
    )
    optimizers[1].zero_grad()
    loss = 0
    for network, reals, fakes in ((d.of_images, real, shown_y), (d.of_sources, source, shown_x)):
        loss = loss + ((network(reals) - 1).square().mean() + network(fakes).square().mean()) / 2
    loss.backward()
    optimizers[1].step()
    return adversarial, cycle, identity, loss


@pytest.mark.parametrize("microbatch", [None, 2])
def test_steps_are_those_of_the_paper(assemble, monkeypatch, microbatch):
    drawn = []
    exchange = ImagePool.exchange
    monkeypatch.setattr(ImagePool, "exchange", lambda *args: drawn.append(args[2]) or exchange(*args))
    trainer = assemble(train=RECIPE["train"] | {"microbatch": microbatch})
    g, d = copy.deepcopy(trainer.state.generator), copy.deepcopy(trainer.state.discriminator)
    optimizers = [torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.5, 0.999)) for net in (g, d)]
    pools, reused = (Pool(4), Pool(4)), 0
    for step in range(5):
        batch = trainer.setup.loader.at(step * 3, 3)
        before = [list(pool.images) for pool in pools]
        drawn.clear()
        scalars = trainer.step()
        adversarial, cycle, identity, loss = reference_step(
            g, d, optimizers, batch.images, batch["source"], pools, drawn
        )
        reused += sum(len(pool.images) == len(old) for pool, old in zip(pools, before, strict=True))
        assert scalars["generator_loss"] + scalars["source_generator_loss"] == pytest.approx(adversarial.item(), rel=1e-9)
        assert scalars["cycle"] == pytest.approx(10 * cycle.item(), rel=1e-9)
        assert scalars["identity"] == pytest.approx(5 * identity.item(), rel=1e-9)
        assert scalars["discriminator_loss"] + scalars["source_discriminator_loss"] == pytest.approx(loss.item(), rel=1e-9)
    assert reused >= 4  # the pools were full
    for ours, theirs in ((trainer.state.generator, g), (trainer.state.discriminator, d)):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_resuming_keeps_the_pools(assemble, tmp_path):
    whole = assemble("whole")
    whole.fit()
    stopped = assemble("stopped", train=RECIPE["train"] | {"steps": 3})
    stopped.fit()
    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    resumed = runtime.resume(tmp_path / "stopped", ["train.steps=5"])
    assert len(resumed.setup.context.game.state_dict()["images"]) == 4
    resumed.fit()
    for one, other in zip(whole.state.generator.parameters(), resumed.state.generator.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_pool_is_the_authors(size):
    random = torch.Generator().manual_seed(size)
    pool, reference = ImagePool(size), Pool(size)
    for _ in range(6):
        images, chances = torch.randn(4, 3, 2, 2, generator=random), torch.rand(4, 2, generator=random)
        shown = pool.exchange(images, chances)
        assert torch.equal(shown, images if size == 0 else reference.query(images, chances))
    if size:
        assert torch.equal(pool.images, torch.stack(reference.images))


def test_half_of_the_images_are_earlier_ones():
    random = torch.Generator().manual_seed(0)
    pool = ImagePool(10)
    pool.exchange(torch.zeros(10, 1, 1, 1), torch.rand(10, 2, generator=random))
    shown = pool.exchange(torch.ones(400, 1, 1, 1), torch.rand(400, 2, generator=random))
    earlier = int((shown == 0).sum())
    assert earlier == 10  # each of the zeros leaves once, and never comes back
    assert not pool.images.eq(0).any()


def test_both_directions_can_be_sampled(assemble, tmp_path):
    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    trainer = assemble()
    trainer.fit()
    generator = runtime.load_generator(tmp_path / "run")
    images = torch.randint(0, 256, (2, 3, 20, 36), dtype=torch.uint8)
    network, floats = trainer.state.generator.eval(), images.double() / 127.5 - 1
    for options, direction in (({}, network.to_image), ({"reverse": True}, network.to_source)):
        with torch.no_grad():
            expected = ((direction(floats) + 1) * 127.5).round().clamp(0, 255)
        assert (generator.sample(inputs={"source": images}, **options) - expected).abs().max() <= 1


def test_reverse_needs_equal_channels(assemble, tmp_path):
    assemble(dataset=TWO_CHANNELS, regularizers=["cycle"]).fit()
    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    with pytest.raises(ValueError, match="reverse: the sources have 2 channels and the images 3"):
        runtime.load_generator(tmp_path / "run").sample(1, reverse=True)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"generator": {"name": "resnet_translator", "width": 4}}, "regularizers.0: needs a generator with the networks to_image and to_source, such as two_translators; ResnetTranslator lacks to_image"),
        ({"dataset": {"name": "shapes", "size": 16}}, "two_translators needs source images, but the data has no field 'source'"),
        ({"train": RECIPE["train"] | {"discriminator_steps": 2}}, "discriminator_steps: has no effect, because the game 'cyclegan'"),
    ],
)  # fmt: skip
def test_what_a_check_finds(assemble, sections, message):
    with pytest.raises(gankit.RecipeError) as caught:
        assemble(**sections)
    assert message in str(caught.value)


def test_identity_needs_equal_channels(assemble):
    with pytest.raises(gankit.GankitError, match="identity needs .* equal numbers of channels; these have 3 and 2"):
        assemble(dataset=TWO_CHANNELS).step()


def test_a_generator_of_one_direction_is_refused_in_a_sentence(assemble):
    trainer = assemble(generator={"name": "resnet_translator", "width": 4, "halvings": 1}, regularizers=[])
    with pytest.raises(gankit.GankitError, match="ResnetTranslator returns no 'sources'.*such as two_translators"):
        trainer.step()
