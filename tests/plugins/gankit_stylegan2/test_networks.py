from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gankit
import gankit_stylegan2
from gankit.testing import check_discriminator, check_generator, make_turn
from gankit_stylegan2 import discriminator, synthesis
from gankit_stylegan2.discriminator import StyleGAN2Discriminator
from gankit_stylegan2.feature_maps import FeatureMap
from gankit_stylegan2.generator import StyleGAN2Generator
from gankit_stylegan2.layers import EqualizedConv, Upsample
from gankit_stylegan2.synthesis import StyledLayer, ToImage

SMALL = gankit.ImageSpec(16, 16, 3)
CONDITIONAL = gankit.ImageSpec(16, 16, 3, classes=5)
TINY = {"width": 8, "style_dim": 8}


@pytest.mark.parametrize("architecture", ["skip", "residual", "original"])
@pytest.mark.parametrize(
    "image", [gankit.ImageSpec(8, 8, 1), gankit.ImageSpec(28, 28, 3, 4), gankit.ImageSpec(24, 40, 4)], ids=str
)
def test_conformance(image: gankit.ImageSpec, architecture: str) -> None:
    torch.manual_seed(0)
    check_generator(StyleGAN2Generator, image, architecture=architecture, width=32, style_mixing=0.9, clamp=256)
    check_discriminator(StyleGAN2Discriminator, image, architecture=architecture, width=8, group_size=2, clamp=256)


@pytest.mark.parametrize("architecture", ["skip", "residual", "original"])
@pytest.mark.parametrize("image", [SMALL, CONDITIONAL], ids=["unconditional", "conditional"])
def test_every_parameter_is_trained(image: gankit.ImageSpec, architecture: str) -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(image, 8, architecture=architecture, **TINY)
    discriminator = StyleGAN2Discriminator(image, architecture=architecture, width=8)
    labels = torch.arange(5) if image.classes else None
    discriminator(generator(torch.randn(5, 8), labels), labels).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert bool(parameter.grad.isfinite().all()), name
            assert bool(parameter.grad.any()), name


@pytest.mark.parametrize("architecture", ["residual", pytest.param("skip", marks=pytest.mark.slow)])
def test_r1_is_differentiable_twice(architecture: str) -> None:
    torch.manual_seed(0)
    network = StyleGAN2Discriminator(
        gankit.ImageSpec(8, 8, 1, classes=2), width=2, max_width=2, architecture=architecture, group_size=2
    ).double()
    labels = torch.tensor([0, 1])

    def logits(images: Tensor) -> Tensor:
        return network(images, labels)

    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(logits, images)


def test_the_gradient_of_r1_with_respect_to_the_weights() -> None:
    torch.manual_seed(0)
    network = StyleGAN2Discriminator(SMALL, width=4, group_size=2).double()
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(network(images).sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    for weight, place in ((network.blocks[0].down.conv.weight, (5, 2, 1, 0)), (network.dense.weight, (3, 7))):
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight[place] += sign * 1e-6
            values.append(penalty().item())
            with torch.no_grad():
                weight[place] -= sign * 1e-6
        assert weight.grad[place].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4)


def test_the_label_tells() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(CONDITIONAL, 8, **TINY).eval()
    discriminator = StyleGAN2Discriminator(CONDITIONAL, width=8, group_size=0).eval()
    z, labels = torch.randn(1, 8).expand(5, -1), torch.arange(5)
    images = generator(z, labels)
    assert len({image.sum().item() for image in images}) == 5
    assert len({logit.item() for logit in discriminator(images[:1].expand(5, -1, -1, -1), labels)}) == 5
    with pytest.raises(ValueError, match="built for 5 classes: pass labels"):
        generator(z)
    with pytest.raises(ValueError, match="built for 5 classes: pass labels"):
        discriminator(images)


def test_the_logit_of_a_label_is_a_scaled_product() -> None:
    torch.manual_seed(0)
    network = StyleGAN2Discriminator(CONDITIONAL, width=8, max_width=16).double().eval()
    seen: list[Tensor] = []
    network.logit.register_forward_hook(lambda module, given, made: seen.append(made))
    images, labels = torch.randn(3, 3, 16, 16, dtype=torch.float64), torch.tensor([4, 0, 0])
    logits = network(images, labels)
    assert network.mapping is not None
    torch.testing.assert_close(logits, torch.einsum("nf,nf->n", seen[0], network.mapping(None, labels)) / 4)


@pytest.mark.parametrize("architecture", ["skip", "residual", "original"])
def test_each_layer_has_its_own_style_and_images_that_of_the_next(architecture: Any) -> None:
    network = StyleGAN2Generator(SMALL, 8, architecture=architecture, **TINY)
    made, seen = network.synthesis, dict[str, float]()
    for name, module in made.named_modules():
        if isinstance(module, (StyledLayer, ToImage)):
            module.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[1][0, 0].item()}))
    made(torch.arange(6.0)[None, :, None].expand(2, 6, 8))
    layers = {"first": 0, "blocks.0.up": 1, "blocks.0.conv": 2, "blocks.1.up": 3, "blocks.1.conv": 4}
    images = {f"to_image.{i}": 2 * i + 1 for i in range(3)} if architecture == "skip" else {"to_image.0": 5}
    assert seen == layers | images


@pytest.mark.parametrize("clamp", [None, 0.3])
def test_residual_blocks_halve_the_variance_of_both_ways(clamp: float | None) -> None:
    torch.manual_seed(0)
    level, x = FeatureMap((8, 8), 6), torch.randn(2, 4, 4, 4)
    styles = torch.randn(2, 2, 5).unbind(0)
    with_way, without = (synthesis.Block(4, level, 5, residual, clamp) for residual in (True, False))
    for parameter in with_way.parameters():
        torch.nn.init.normal_(parameter)
    way = nn.Sequential(EqualizedConv(4, 6, 1, activate=False), Upsample())
    expected = same_weights(with_way, without)(x, *styles, "const") + same_weights(with_way.skip, way)(x)
    torch.testing.assert_close(with_way(x, *styles, "const"), expected * 0.5**0.5)

    with_way, without = (discriminator.Block(4, 6, residual, clamp) for residual in (True, False))
    for parameter in with_way.parameters():
        torch.nn.init.normal_(parameter)
    way = EqualizedConv(4, 6, 1, down=True, activate=False)
    expected = same_weights(with_way, without)(x) + same_weights(with_way.skip, way)(x)
    torch.testing.assert_close(with_way(x), expected * 0.5**0.5)


def same_weights(one: nn.Module | None, other: nn.Module) -> nn.Module:
    """The other, with those weights of the one that it has."""
    assert one is not None
    assert not other.load_state_dict(one.state_dict(), strict=False).missing_keys
    return other


def test_truncation_draws_styles_to_their_average() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(SMALL, 8, **TINY).eval()
    torch.nn.init.normal_(generator.average)
    z = torch.randn(4, 8)
    full = generator(z)
    assert torch.equal(full, generator(z, truncation=1.0))
    center = generator.synthesis(generator.average.expand(4, 6, -1))
    torch.testing.assert_close(generator(z, truncation=0.0), center)
    halfway = generator.synthesis((generator.styles(z) + generator.average) / 2)
    torch.testing.assert_close(generator(z, truncation=0.5), halfway)
    assert torch.equal(generator(z, truncation=0.5, truncation_cutoff=0), full)
    torch.testing.assert_close(generator(z, truncation=0.5, truncation_cutoff=6), halfway)
    styles = generator.styles(z).clone()
    styles[:, :2] = (styles[:, :2] + generator.average) / 2
    torch.testing.assert_close(generator(z, truncation=0.5, truncation_cutoff=2), generator.synthesis(styles))


def test_the_average_of_styles_follows_the_generators_turns() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(SMALL, 8, average_decay=0.75, **TINY)
    discriminator = StyleGAN2Discriminator(SMALL, width=4)
    z = torch.randn(4, 8)
    for player in ("discriminator", "generator"):
        turn = make_turn(player, generator, discriminator, torch.randn(4, 3, 16, 16), latents=z)
        with torch.no_grad():
            generator.after(turn)
        mean = generator.mapping(z).mean(dim=0)
        torch.testing.assert_close(generator.average, mean / 4 if player == "generator" else torch.zeros(8))


def test_styles_are_mixed_only_in_training_mode() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(gankit.ImageSpec(64, 64, 3), 8, style_mixing=0.5, **TINY)
    z = torch.randn(4000, 8)
    plain = generator.eval().styles(z)
    assert plain.shape == (4000, 10, 8)
    assert bool((plain == plain[:, :1]).all())
    styles = generator.train().styles(z)
    own = (styles == plain).all(dim=2)
    assert bool(own[:, 0].all())  # the coarsest layer keeps the latent's own
    assert bool((own[:, 1:] <= own[:, :-1]).all())  # from one layer on it is the other's
    crossovers = own.sum(dim=1)
    assert abs(float((crossovers < 10).float().mean()) - 0.5) < 0.04
    counts = torch.bincount(crossovers[crossovers < 10], minlength=10)[1:]
    assert int(counts.min()) > 2000 / 9 * 0.6
    assert bool((styles[0] == styles[0, 0]).all() or (styles[0] == styles[0, -1]).any())


def test_bf16_is_close_to_full_precision() -> None:
    torch.manual_seed(0)
    generator, discriminator = StyleGAN2Generator(SMALL, 8, **TINY), StyleGAN2Discriminator(SMALL, width=8)
    z = torch.randn(8, 8)
    images = generator(z, noise="none")
    logits = discriminator(images)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = generator(z, noise="none")
        judged = discriminator(images)
    assert rounded.dtype == judged.dtype == torch.float32
    assert 0 < (rounded - images).abs().max().item() < 0.05 * images.abs().max().item()
    torch.testing.assert_close(judged, logits, rtol=0.05, atol=0.05)
    judged.sum().backward()
    assert all(bool(p.grad.isfinite().all()) for p in discriminator.parameters() if p.grad is not None)


def test_clamping_bounds_each_layer() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(SMALL, 8, architecture="original", clamp=0.01, **TINY)
    assert float(generator(torch.randn(4, 8)).detach().abs().max()) <= 0.01


def test_state_dicts_round_trip() -> None:
    torch.manual_seed(0)
    generator = StyleGAN2Generator(CONDITIONAL, 8, **TINY).eval()
    torch.nn.init.normal_(generator.average)
    torch.nn.init.ones_(generator.synthesis.first.strength)
    other = StyleGAN2Generator(CONDITIONAL, 8, **TINY).eval()
    other.load_state_dict(generator.state_dict())
    z, labels = torch.randn(3, 8), torch.tensor([0, 4, 2])
    options = {"truncation": 0.5, "noise": "const"}
    assert torch.equal(generator(z, labels, **options), other(z, labels, **options))
    discriminator, judge = (StyleGAN2Discriminator(CONDITIONAL, width=8) for _ in range(2))
    judge.load_state_dict(discriminator.state_dict())
    images = torch.randn(3, 3, 16, 16)
    assert torch.equal(discriminator(images, labels), judge(images, labels))


@pytest.mark.parametrize("network", [lambda spec: StyleGAN2Generator(spec, 512), StyleGAN2Discriminator])
def test_unsupported_sizes_raise_on_construction(network: type[nn.Module]) -> None:
    with torch.device("meta"), pytest.raises(ValueError, match=r"100x100 .* 96x96 and 112x112"):
        network(gankit.ImageSpec(100, 100, 3))


def test_registration() -> None:
    registries = gankit.Registries()
    gankit_stylegan2.register(registries)
    assert registries.generators.get("stylegan2").factory is StyleGAN2Generator
    assert registries.discriminators.get("stylegan2").factory is StyleGAN2Discriminator
    assert registries.regularizers.get("path_length").factory is gankit_stylegan2.PathLength
    schema = registries.generators.get("stylegan2").schema
    for wrong in ({"width": 0}, {"style_mixing": 1.5}, {"architecture": "other"}, {"clamp": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            schema(**wrong)
