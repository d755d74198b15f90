"""Gradients of BigGAN's networks, and gradient penalties."""

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit_biggan.networks import BigGANDiscriminator, BigGANGenerator

TINY = gankit.ImageSpec(16, 16, 3, classes=3)


def idle(network: nn.Module, output: Tensor) -> set[str]:
    """Names of the parameters whose gradient vanishes; asserts that all gradients are finite."""
    gradients = torch.autograd.grad((output * torch.randn_like(output)).sum(), list(network.parameters()))
    names = [name for name, _ in network.named_parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    return {name for name, gradient in zip(names, gradients, strict=True) if gradient.abs().max() < 1e-12}


def test_gradients_reach_every_parameter(randomized) -> None:
    torch.manual_seed(0)
    z, labels, images = torch.randn(6, 16).double(), torch.arange(6) % 3, torch.randn(6, 3, 16, 16).double()
    generator, discriminator = (
        randomized(BigGANGenerator(TINY, 16, width=4)),
        randomized(BigGANDiscriminator(TINY, width=4)),
    )
    assert idle(generator, generator(z, labels)) == set()
    assert idle(discriminator, discriminator(images, labels)) == set()


def test_only_these_initial_gradients_vanish() -> None:
    torch.manual_seed(0)
    z, labels, images = torch.randn(6, 16).double(), torch.arange(6) % 3, torch.randn(6, 3, 16, 16).double()
    discriminator = BigGANDiscriminator(TINY, width=4).double()
    # attention's factor starts at 0, which makes the gradients of its layers 0
    attention = {f"attention.0.{part}.parametrizations.weight.original" for part in ("query", "key", "value", "out")}
    assert idle(discriminator, discriminator(images, labels)) == attention
    # batch normalization cancels the biases of the convolutions before it
    constants = {f"blocks.{block}.{layer}.bias" for block in (0, 1) for layer in ("conv1", "conv2", "shortcut")}
    generator = BigGANGenerator(TINY, 16, width=4).double()
    assert idle(generator, generator(z, labels)) == attention | constants


def test_r1_is_differentiable_twice(randomized) -> None:
    torch.manual_seed(0)
    discriminator = randomized(BigGANDiscriminator(TINY, width=4))
    labels = torch.tensor([0, 2, 1])
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(discriminator(images, labels).sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    state = dict(discriminator.named_parameters())
    places = {
        "blocks.0.conv2.parametrizations.weight.original": (3, 2, 1, 2),
        "blocks.1.shortcut.parametrizations.weight.original": (1, 2, 0, 0),
        "attention.0.query.parametrizations.weight.original": (0, 3, 0, 0),
        "embedding.parametrizations.weight.original": (2, 1),
    }
    for name, place in places.items():
        step, values = 1e-6, []
        for sign in (1, -1):
            with torch.no_grad():
                state[name][place] += sign * step
            values.append(penalty().item())
            with torch.no_grad():
                state[name][place] -= sign * step
        assert state[name].grad[place].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4), name


def test_r1_in_training_mode_with_two_forwards_before_one_backward() -> None:
    torch.manual_seed(0)
    discriminator = BigGANDiscriminator(TINY, width=4)
    labels = torch.tensor([0, 2, 1])
    real, fake = (torch.randn(3, 3, 16, 16, requires_grad=True) for _ in range(2))
    real_logits, fake_logits = discriminator(real, labels), discriminator(fake, labels)
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    (fake_logits.mean() - real_logits.mean() + gradient.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.parameters())


def test_path_length_of_the_generator_is_differentiable() -> None:
    torch.manual_seed(0)
    generator = BigGANGenerator(TINY, 8, width=4)
    z = torch.randn(4, 8, requires_grad=True)
    images = generator(z, torch.tensor([0, 1, 2, 0]))
    (gradient,) = torch.autograd.grad((images * torch.randn_like(images)).sum(), z, create_graph=True)
    gradient.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in generator.parameters())
    assert generator.linear.parametrizations.weight.original.grad.abs().max() > 0
