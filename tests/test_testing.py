"""The checks for plugin authors pass valid components and report violations."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gankit
from gankit import testing
from gankit_augment import diffaugment
from gankit_dcgan.networks import DCGANDiscriminator, DCGANGenerator

IMAGE = gankit.ImageSpec(16, 16, 3)
CLASSES = gankit.ImageSpec(16, 8, 1, classes=3)


@pytest.mark.parametrize("image", [IMAGE, CLASSES])
def test_valid_components_pass(image):
    testing.check_generator(DCGANGenerator, image, width=4)
    testing.check_discriminator(DCGANDiscriminator, image, width=4)
    testing.check_augmentation(diffaugment.DiffAugment, image)


class LargeValues(nn.Module):
    def __init__(self, image, latent_dim):
        super().__init__()
        self.linear = nn.Linear(latent_dim, 16 * 16 * 3)

    def forward(self, z, labels=None):
        return (self.linear(z) * 100).view(-1, 3, 16, 16)


class UnusedParameters(LargeValues):
    def __init__(self, image, latent_dim):
        super().__init__(image, latent_dim)
        self.unused = nn.Linear(2, 2)

    def forward(self, z, labels=None):
        return super().forward(z).tanh()


class Rounding(nn.Module):
    def __init__(self, image):
        super().__init__()

    def forward(self, images):
        return images.round()


class LargerImages(Rounding):
    def forward(self, images):
        return torch.cat([images, images], dim=2)


class NotReproducible(Rounding):
    def __init__(self, image):
        super().__init__(image)
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        return images * self.calls


class Detached(LargeValues):
    def forward(self, z):
        return super().forward(z).detach() / 1e9


class Blind(nn.Module):
    def __init__(self, image):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return self.bias.expand(len(images))


def test_invalid_networks_and_augmentations():
    with pytest.raises(AssertionError, match="no output requires gradients"):
        testing.check_generator(Detached, IMAGE)
    with pytest.raises(AssertionError, match="logits do not depend on the images"):
        testing.check_discriminator(Blind, IMAGE)
    with pytest.raises(AssertionError, match=r"images have values up to .*; expected about \[-1, 1\]"):
        testing.check_generator(LargeValues, IMAGE)
    with pytest.raises(AssertionError, match="no gradient reaches .'unused.weight', 'unused.bias'."):
        testing.check_generator(UnusedParameters, IMAGE)
    with pytest.raises(AssertionError, match=r"images are \[4, 3, 16, 16\]; expected \[4, 1, 16, 8\]"):
        testing.check_generator(LargeValues, CLASSES)
    with pytest.raises(AssertionError, match=r"\[4, 3, 16, 16\] became \[4, 3, 32, 16\]"):
        testing.check_augmentation(LargerImages, IMAGE)
    with pytest.raises(AssertionError, match="two results with the same seed differ"):
        testing.check_augmentation(NotReproducible, IMAGE)


class Data:
    split, classes = "train", ("a", "b")
    spec = gankit.ImageSpec(4, 4, 1)

    def prepare(self): ...

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return torch.full((1, 4, 4), index, dtype=torch.uint8), index % 2

    def tensors(self):
        return torch.stack([self[index][0] for index in range(3)]), torch.tensor([0, 1, 0])


class WrongLabels(Data):
    def tensors(self):
        return super().tensors()[0], torch.tensor([0, 1, 1])


class RandomImages(Data):
    def __getitem__(self, index):
        return torch.randint(0, 255, (1, 4, 4), dtype=torch.uint8), 0


class MissingClass(Data):
    classes = ("a",)


def test_check_dataset():
    testing.check_dataset(Data())
    for invalid, message in (
        (WrongLabels, r"label 2 differs in tensors\(\)"),
        (RandomImages, "image 0 differs when read a second time"),
        (MissingClass, r"label 1 of image 1 is not in \[0, 1\)"),
    ):
        with pytest.raises(AssertionError, match=message):
            testing.check_dataset(invalid())


def test_check_callback():
    class Misspelt:
        def on_step(self, run): ...

    class SaveOnly:
        def on_step_end(self, run): ...
        def state_dict(self): ...

    with pytest.raises(AssertionError, match="callback 'Misspelt': unknown method 'on_step'; a callback has any of on_run_start, "):
        testing.check_callback(Misspelt())
    with pytest.raises(AssertionError, match="has only state_dict; a state in checkpoints needs state_dict and load_state_dict"):
        testing.check_callback(SaveOnly())


def test_make_turn():
    def generator(z):
        return z.view(-1, 1, 2, 2)

    def discriminator(images):
        return images.square().sum(dim=(1, 2, 3)) / 2

    real, latents = torch.rand(3, 1, 2, 2), torch.randn(3, 4)
    turn = testing.make_turn("discriminator", generator, discriminator, real, latents=latents, augment=lambda x: 2 * x)
    assert torch.allclose(turn.real_logits, 2 * real.square().sum(dim=(1, 2, 3)))
    assert torch.allclose(turn.fake, latents.view(3, 1, 2, 2))
    assert torch.allclose(turn.gradient(turn.real), 4 * real), "the gradient is through the augmentation"
    assert torch.allclose(turn.gradient(torch.ones(1, 1, 2, 2)), torch.full((1, 1, 2, 2), 4.0))
    assert torch.allclose(turn.discriminate(real, augment=False), discriminator(real))
    assert turn.fake_logits.grad_fn is not None
    assert testing.make_turn("generator", generator, discriminator, real).fake.requires_grad is False


def test_make_turn_draws_latents_for_the_generator():
    generator, discriminator = DCGANGenerator(IMAGE, 7, width=4), DCGANDiscriminator(IMAGE, width=4)
    real = torch.rand(2, 3, 16, 16)
    turn = testing.make_turn("discriminator", generator, discriminator, real, latent_dim=7)
    assert (turn.latents.shape, turn.fake.shape) == ((2, 7), real.shape)
    with pytest.raises(TypeError, match=r"the generator fails on latents \[2, 4\]: .*; latent_dim \(or latents\) should"):
        testing.make_turn("discriminator", generator, discriminator, real)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"player": "critic"}, "player is 'critic'; expected 'generator' or 'discriminator'"),
        ({"discriminator": DCGANDiscriminator}, "discriminator is the class .*; expected an instance"),
        ({"real": torch.zeros(2, 12)}, r"real is \[2, 12\]; expected floating-point images \[n c h w\]"),
        ({"real": torch.zeros(2, 1, 2, 2, dtype=torch.uint8)}, "expected floating-point images"),
        ({"latents": torch.zeros(3, 4)}, r"latents are \[3, 4\] for 2 real images"),
        ({"labels": torch.zeros(1)}, r"labels are \[1\] for 2 real images"),
        ({"generator": lambda z: None}, "the generator returns None"),
    ],
)
def test_make_turn_says_what_is_wrong_with_a_call(changes, message):
    call = {
        "player": "generator",
        "generator": lambda z, labels=None: z.view(-1, 1, 2, 2),
        "discriminator": lambda images, labels=None: images.flatten(1),
        "real": torch.rand(2, 1, 2, 2),
    }
    testing.make_turn(**call)
    with pytest.raises(TypeError, match=message):
        testing.make_turn(**call | changes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: testing.check_generator(DCGANGenerator(IMAGE, 16), IMAGE), "a DCGANGenerator was given; expected its cla"),
        (lambda: testing.check_discriminator(DCGANDiscriminator, 32), r"image is 32; expected an ImageSpec, such as Imag"),
        (lambda: testing.check_dataset(LargeValues), "the class .*LargeValues.* was given; expected an instance"),
        (lambda: testing.check_callback(LargeValues), "the class .*LargeValues.* was given; expected an instance"),
    ],
)
def test_checks_say_what_is_wrong_with_a_call(call, message):
    with pytest.raises(TypeError, match=message):
        call()


class AsksForMore(UnusedParameters):
    def forward(self, z, labels, source):
        return super().forward(z)


class ReturnsNothing(UnusedParameters):
    def forward(self, z, labels=None):
        super().forward(z)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (AsksForMore, r"AsksForMore.forward\(z, labels, source\) asks for 'source'"),
        (ReturnsNothing, r"returns None \(is a `return` missing\?\); expected images \[4, 3, 16, 16\]"),
    ],
)
def test_checks_say_how_a_network_is_called(network, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_generator(network, IMAGE)


def test_a_dataset_without_its_methods():
    with pytest.raises(AssertionError, match="object is not a dataset: it lacks `__len__` and `__getitem__`"):
        testing.check_dataset(object())
