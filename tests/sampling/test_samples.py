"""Samples depend on the weights and the seed only."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gankit
from gankit.data.resize import to_uint8
from gankit.sampling.samples import Sampling


def sample_images(generator, latent, image, count, seed, labels=None, frequencies=None):
    sampling = Sampling(latent, image, frequencies)
    return to_uint8(sampling.generate(generator, sampling.draw(count, seed, labels), {}))


class LabelEcho(torch.nn.Module):
    """A generator whose pixels are the label."""

    def __init__(self, image, latent_dim):
        super().__init__()
        self.image, self.weight = image, torch.nn.Parameter(torch.zeros(()))

    def forward(self, z, labels=None):
        shape = (-1, self.image.channels, self.image.height, self.image.width)
        return (labels.view(-1, 1, 1, 1) / 127.5 - 1 + 0 * self.weight).expand(shape)


class Zero:
    def sample(self, n, labels, generator):
        return torch.zeros(n, 1)


class SamplingPlugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.generators.add("label_echo", LabelEcho)


@pytest.fixture
def run(runtime, recipe, tmp_path):
    def make(**changes):
        changes = {"callbacks": [{"name": "checkpoint"}], "latent": {"name": "normal", "dim": 8}, **changes}
        trainer = runtime.assemble(recipe(**changes), tmp_path / "run")
        trainer.fit()
        return trainer

    return make


def test_the_trainer_and_the_loaded_generator_agree(run, tmp_path):
    trainer = run(ema={"half_life_images": 20})
    generator = gankit.load_generator(tmp_path / "run")
    images = generator.sample(70, seed=3)
    assert images.dtype == torch.uint8
    assert images.shape == (70, 3, 16, 16)
    assert torch.equal(images, trainer.sample(70, seed=3))
    assert torch.equal(images, generator.sample(70, seed=3))
    assert not torch.equal(images, generator.sample(70, seed=4))
    assert torch.equal(images, gankit.load_generator(trainer.checkpoint).sample(70, seed=3))


@pytest.mark.parametrize(("device", "message"), [("gpu", "should be auto, cpu, mps, cuda or cuda:N"), ("cuda:99", "is not available")])
def test_a_device_that_does_not_exist(run, tmp_path, device, message):
    run()
    with pytest.raises(gankit.GankitError, match=f"^device: .*{message}"):
        gankit.load_generator(tmp_path / "run", device=device)


def test_sampling_does_not_change_the_run(run):
    trainer = run()
    before = {name: value.clone() for name, value in trainer.state.generator.state_dict().items()}
    random = torch.get_rng_state()
    trainer.sample(16)
    assert all(torch.equal(value, before[name]) for name, value in trainer.state.generator.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert trainer.state.generator.training


def test_labels(run, tmp_path):
    trainer = run(conditional=True)
    generator = gankit.load_generator(tmp_path / "run")
    assert generator.classes == ("a", "b", "c", "d")
    assert torch.equal(generator.sample(4, labels=[0, 1, 2, 3]), trainer.sample(4, labels=[0, 1, 2, 3]))
    assert not torch.equal(generator.sample(4, labels=[0] * 4), generator.sample(4, labels=[1] * 4))
    with pytest.raises(ValueError, match="labels must be 4 integers from 0 to 3, one per image; got .0, 1."):
        generator.sample(4, labels=[0, 1])


def test_numbers_of_numpy_and_torch(run, tmp_path):
    trainer = run(conditional=True)
    for labels in (np.array([0, 3, 1]), torch.tensor([0, 3, 1])):
        assert torch.equal(trainer.sample(3, 2, labels), trainer.sample(3, 2, [0, 3, 1]))
    generator = gankit.load_generator(tmp_path / "run")
    expected = generator.sample(3, 2, [0, 3, 1])
    for labels in (np.array([0, 3, 1]), torch.tensor([0, 3, 1]), tuple(np.array([0, 3, 1])), [torch.tensor(0), 3, 1]):
        assert torch.equal(generator.sample(np.int64(3), np.uint8(2), labels), expected)
    for labels in ("031", 3, [0, 3, True], [0, 3, 1.0], torch.tensor(3), torch.zeros(3, 1).long()):
        with pytest.raises(ValueError, match="labels must be a list of integers, one per image; got "):
            generator.sample(3, 2, labels)
    with pytest.raises(ValueError, match="labels must be 3 integers from 0 to 3, one per image; got a tensor float32 .3."):
        generator.sample(3, 2, torch.zeros(3))
    for count, seed in ((0, 0), (1, -1), (1, 2**63), (1.0, 0), ("1", 0), (1, None)):
        with pytest.raises(ValueError, match="count must be at least 1 and seed from 0"):
            generator.sample(count, seed)


@pytest.mark.parametrize(
    ("latents", "message"),
    [
        ({"x": torch.zeros(2, 8)}, "the latents are x; they need 'z' or 'styles'"),
        ({"z": torch.full((2, 8), torch.inf)}, "'z' has values that are NaN or infinite"),
        ({"z": torch.zeros(2, 7)}, r"'z' is \[2, 7\]; this generator takes \[n 8\]"),
        ({"z": torch.zeros(0, 8)}, "count must be at least 1"),
        ({"z": torch.zeros(1, 8), "labels": torch.zeros(1).long()}, "unconditional and takes no labels"),
    ],
)
def test_wrong_latents(run, latents, message, tmp_path):
    run()
    with pytest.raises(ValueError, match=message):
        gankit.load_generator(tmp_path / "run").draw_from(latents)


def test_latents_are_the_same_with_given_and_drawn_labels():
    class Blind(torch.nn.Module):
        def forward(self, z, labels=None):
            return z.view(-1, 1, 2, 2).tanh()

    class Normal:
        def sample(self, n, labels, generator):
            return torch.randn(n, 4, generator=generator)

    image = gankit.ImageSpec(2, 2, 1, classes=3)
    drawn = [sample_images(Blind(), Normal(), image, 5, 1, labels) for labels in (None, [0, 1, 2, 0, 1])]
    assert torch.equal(*drawn)


def test_an_unconditional_generator_takes_no_labels(run):
    with pytest.raises(ValueError, match="unconditional and takes no labels"):
        run().sample(2, labels=[0, 1])


def test_labels_follow_the_frequencies():
    image = gankit.ImageSpec(2, 2, 1, classes=3)
    drawn = sample_images(LabelEcho(image, 1), Zero(), image, 3000, seed=0, frequencies=[0.7, 0.3, 0.0])[:, 0, 0, 0]
    shares = torch.bincount(drawn.long(), minlength=3) / 3000
    assert shares.tolist() == [pytest.approx(0.7, abs=0.03), pytest.approx(0.3, abs=0.03), 0]


def test_labels_follow_the_class_frequencies_of_the_data(runtime, recipe, tmp_path):
    """Three quarters of the images are of class 0, the rest of class 1; classes 2 and 3 have no images."""
    runtime.load_plugin(SamplingPlugin())
    made = recipe(
        dataset={"name": "pictures", "unbalanced": True},
        generator={"name": "label_echo"},
        conditional=True,
        callbacks=[{"name": "checkpoint"}],
        latent={"name": "normal", "dim": 8},
    )
    trainer = runtime.assemble(made, tmp_path / "run")
    trainer.fit()
    generator = gankit.load_generator(tmp_path / "run", plugins=[SamplingPlugin()])
    drawn = generator.sample(400, seed=5)
    labels = drawn[:, 0, 0, 0].long()
    assert torch.bincount(labels, minlength=4).tolist() == [pytest.approx(300, abs=40), pytest.approx(100, abs=40), 0, 0]
    assert torch.equal(trainer.sample(400, seed=5), drawn)
    rows = generator.interpolate(400, 1, seed=5)
    assert torch.equal(rows[:, 0, 0, 0, 0].long(), labels)


def test_noise_drawn_in_forward_follows_the_seed():
    """Regardless of the states of the global generators, which stay as they are."""

    class NoisyGenerator(torch.nn.Module):
        def forward(self, z, labels=None):
            noise = torch.rand(len(z), 1, 2, 2)
            noise[:, 0, 0, 1] = torch.from_numpy(np.random.rand(len(z)))
            return noise * 2 - 1

    def sample(seed):
        return sample_images(NoisyGenerator(), Zero(), gankit.ImageSpec(2, 2, 1), 70, seed)

    first = sample(1)
    torch.manual_seed(123)
    np.random.seed(123)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    again, other = sample(1), sample(2)
    assert torch.equal(again, first)
    assert (again != other).flatten(2).any(0).all()  # the noise of torch and of numpy
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


def test_sampling_options_are_checked(runtime, recipe, tmp_path):
    class Optional(torch.nn.Module):
        def __init__(self, image, latent_dim):
            super().__init__()
            self.image, self.weight = image, torch.nn.Parameter(torch.zeros(()))

        def forward(self, z, labels=None, *, truncation: float = 1.0):
            shape = (len(z), self.image.channels, self.image.height, self.image.width)
            return (self.weight + truncation - 1).expand(shape).clamp(-1, 1)

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.generators.add("optional", Optional)

    runtime.load_plugin(Plugin())
    made = recipe(
        generator={"name": "optional"}, latent={"name": "normal", "dim": 8}, callbacks=[{"name": "checkpoint"}]
    )
    trainer = runtime.assemble(made, tmp_path / "run")
    trainer.fit()
    generator = gankit.load_generator(tmp_path / "run", plugins=[Plugin()])
    assert generator.sample(1, truncation=2.0).float().mean() == pytest.approx(255, abs=1)
    with pytest.raises(ValueError, match="sampling option 'truncatoin'.*did you mean 'truncation'"):
        generator.sample(1, truncatoin=0.5)
    with pytest.raises(
        gankit.CheckpointError, match=r"no generator is called 'optional'.*trained with plugin .*--plugin"
    ):
        gankit.load_generator(tmp_path / "run")


def test_scheduled_parameters_of_g_have_their_last_value(tiny_runtime, tiny_plugin, tiny_recipe, tmp_path):
    gain = {"start": 0.0, "end": 1.0, "over_images": 48}
    path = tiny_recipe(tmp_path, generator={"name": "tiny", "gain": gain}, callbacks=[{"name": "tiny", "save": True}])
    trainer = tiny_runtime.assemble(gankit.Recipe.load(path), tmp_path / "run")
    trainer.fit()
    generator = gankit.load_generator(tmp_path / "run", plugins=[tiny_plugin])
    assert generator.module.gain == pytest.approx(24 / 48)
