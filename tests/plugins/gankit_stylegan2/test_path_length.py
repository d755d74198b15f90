from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit.testing import make_turn
from gankit_stylegan2.generator import StyleGAN2Generator
from gankit_stylegan2.path_length import PathLength, path_lengths

SMALL = gankit.ImageSpec(8, 8, 3)


class Linear(nn.Module):
    """A generator with styles of two layers, whose images are linear in the styles."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2 * 4, 3 * 8 * 8, dtype=torch.float64))

    def styles(self, z: Tensor, labels: Tensor | None) -> Tensor:
        return (z[:, None] * torch.tensor([1.0, 2.0], dtype=z.dtype)[:, None]).requires_grad_()

    def synthesize(self, styles: Tensor) -> Tensor:
        return (styles.flatten(1) @ self.weight).view(-1, 3, 8, 8)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.styles(z, labels))


class Plain(nn.Module):
    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return z.new_zeros(len(z), 3, 8, 8)


def turn(generator: nn.Module, count: int = 4, dtype: torch.dtype = torch.float64) -> gankit.Turn:
    return make_turn(
        "generator", generator, lambda images: images.flatten(1).sum(1), torch.randn(count, 3, 8, 8).to(dtype)
    )


def test_lengths_are_those_of_the_jacobian() -> None:
    torch.manual_seed(0)
    network = Linear()
    styles = network.styles(torch.randn(4000, 4, dtype=torch.float64), None)
    lengths = path_lengths(network.synthesize(styles), styles)
    # the mean square over noise y of |J^T y|^2 is the Jacobian's squared norm: over 64 pixels, and 2 layers
    expected = network.weight.square().sum() / 64 / 2
    assert float(lengths.square().mean() / expected) == pytest.approx(1, rel=0.05)


def test_running_average_and_penalty() -> None:
    torch.manual_seed(0)
    network, penalty = Linear(), PathLength(weight=3.0, decay=0.25).double()
    expected = torch.zeros((), dtype=torch.float64)
    for _ in range(3):
        torch.manual_seed(1)
        value = penalty.generator(turn(network))
        torch.manual_seed(1)
        again = turn(network)
        styles = network.styles(again.draw_latents(2), None)
        lengths = path_lengths(network.synthesize(styles), styles)
        expected = 0.75 * expected + 0.25 * lengths.mean().detach()
        torch.testing.assert_close(penalty.average, expected)
        torch.testing.assert_close(value, 3 * (lengths - expected).square().mean())
    assert list(penalty.state_dict()) == ["average"]


def test_the_penalty_moves_the_lengths_towards_the_average() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(SMALL, 4, width=4, style_dim=6)
    penalty = PathLength(decay=1e-9)
    penalty.average.fill_(5.0)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.01)

    def distance() -> float:
        styles = generator.styles(torch.randn(64, 4))
        return float((path_lengths(generator.synthesize(styles), styles).mean() - 5).abs())

    before = distance()
    for _ in range(30):
        optimizer.zero_grad()
        penalty.generator(turn(generator, 16, torch.float32)).backward()
        optimizer.step()
    assert distance() < 0.5 * before


def test_a_frozen_mapping_network_gives_the_same_penalty_and_gradients() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(SMALL, 4, width=4, style_dim=6)
    results = []
    for frozen in (False, True):
        generator.zero_grad()
        generator.mapping.requires_grad_(not frozen)
        torch.manual_seed(1)
        value = PathLength().generator(turn(generator, 8, torch.float32))
        value.backward()
        gradients = {name: p.grad.clone() for name, p in generator.synthesis.named_parameters() if p.grad is not None}
        results.append((value.detach(), gradients))
    (trained, expected), (fixed, gradients) = results
    assert torch.equal(trained, fixed)
    assert gradients.keys() == expected.keys()
    assert all(torch.equal(gradients[name], expected[name]) for name in expected)
    assert all(p.grad is None for p in generator.mapping.parameters())


def test_the_second_derivative_through_the_generator() -> None:
    torch.manual_seed(0)
    image = gankit.ImageSpec(8, 8, 1)
    generator = StyleGAN2Generator(image, 4, width=2, max_width=2, style_dim=2, architecture="residual").double()

    def images(styles: Tensor) -> Tensor:
        return generator.synthesize(styles, noise="const")

    styles = torch.randn(1, generator.synthesis.layers, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(images, styles)


@pytest.mark.parametrize(("batch", "shrink", "used"), [(8, 2, 4), (3, 2, 1), (1, 2, 1), (8, 1, 8)])
def test_batch_shrink(batch: int, shrink: int, used: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network, seen = Linear(), []
    monkeypatch.setattr(network, "styles", lambda z, labels: seen.append(len(z)) or Linear.styles(network, z, labels))
    PathLength(batch_shrink=shrink).double().generator(turn(network, batch))
    assert seen[-1] == used


def test_a_generator_without_styles_raises() -> None:
    with pytest.raises(
        gankit.GankitError, match=r"'path_length' needs a generator with styles\(z, labels\).*Plain lacks them"
    ):
        PathLength().generator(turn(Plain()))
    recipe = Path(__file__).parents[3] / "recipes" / "dcgan_cifar10.yaml"
    with pytest.raises(gankit.RecipeError, match=r"regularizers\.0: .* needs .*; DCGANGenerator lacks them"):
        gankit.Runtime().load(recipe, ["regularizers=[path_length]"])
