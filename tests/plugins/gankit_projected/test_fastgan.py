"""FastGAN's generator against independent formulas, and the contract of a generator."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import gankit
from gankit import testing
from gankit.assembly.dry_run import meta_device
from gankit_projected.fastgan import PYRAMID, FastGANGenerator
from gankit_projected.fastgan_blocks import (
    ConditionalBatchNorm,
    Noise,
    SkipLayerExcitation,
    UpBlock,
    UpsampleConv,
    gated_linear_unit,
)

SMALL = gankit.ImageSpec(32, 32, 3)
CONDITIONAL = gankit.ImageSpec(32, 32, 3, classes=5)

# channels by size at a width of 64, as FastGAN's paper and its public code give them
CHANNELS = {4: 1024, 8: 512, 16: 256, 32: 128, 64: 128, 128: 64, 256: 32, 512: 16, 1024: 8}


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def expected_count(size: int, width: int, latent: int, classes: int) -> int:
    """Per layer: a gated linear unit halves the channels, a norm has a scale and a shift each, noise has one strength."""

    def norm(channels: int) -> int:
        return 2 * channels * (latent + 1) if classes else 2 * channels

    at = {side: channels * width // 64 for side, channels in CHANNELS.items()}
    total = latent * 2 * at[4] * 16 + 2 * 2 * at[4] + classes * latent
    for side in (side for side in at if 8 <= side <= size):
        total += at[side // 2] * 2 * at[side] * 9 + norm(2 * at[side])
        if side in (8, 32, 128, 512):
            total += at[side] * 2 * at[side] * 9 + norm(2 * at[side]) + 2
        if side in (64, 128, 256, 512):
            total += at[side // 16] * at[side] * 16 + at[side] ** 2
    return total + at[size] * 3 * 9 + 3


@pytest.mark.parametrize(
    ("size", "width", "classes", "parameters"),
    [
        (256, 128, 0, 99_708_873),  # Projected GAN's
        (256, 16, 10, None),
        (32, 128, 0, None),
        (64, 32, 3, None),
        pytest.param(1024, 64, 0, None, marks=pytest.mark.slow),
    ],
)
def test_parameter_counts(size: int, width: int, classes: int, parameters: int | None) -> None:
    with meta_device() if width > 32 else nullcontext():  # spectral norm is slow to initialize for wide layers
        network = FastGANGenerator(gankit.ImageSpec(size, size, 3, classes), 256, width=width)
        labels = torch.zeros(2, dtype=torch.int64) if classes else None
        assert network(torch.zeros(2, 256), labels).shape == (2, 3, size, size)
    assert count(network) == expected_count(size, width, 256, classes)
    assert parameters is None or count(network) == parameters


def test_channels_are_those_of_the_paper() -> None:
    with meta_device():
        network = FastGANGenerator(gankit.ImageSpec(1024, 1024, 3), 256, width=64)
    outputs = [block.norms[-1].num_features // 2 for block in network.blocks]
    assert [network.norm.num_features // 2, *outputs] == list(CHANNELS.values())
    assert [len(block.convolutions) for block in network.blocks] == [2, 1, 2, 1, 2, 1, 2, 1]
    assert {int(level): 4 << int(level) for level in network.excitations} == {4: 64, 5: 128, 6: 256, 7: 512}


@settings(deadline=None, max_examples=5)
@given(
    base=st.tuples(st.integers(4, 7), st.integers(4, 12)).filter(lambda b: b[1] <= 4 * b[0]),
    upright=st.booleans(),
    doublings=st.integers(2, 4),
    channels=st.integers(1, 4),
    classes=st.integers(0, 3),
)
def test_all_sizes_that_the_rule_allows(
    base: tuple[int, int], upright: bool, doublings: int, channels: int, classes: int
) -> None:
    height, width = base[::-1] if upright else base
    spec = gankit.ImageSpec(height << doublings, width << doublings, channels, classes)
    labels = torch.zeros(2, dtype=torch.int64) if classes else None
    images = FastGANGenerator(spec, 8, width=4)(torch.zeros(2, 8), labels)
    assert images.shape == (2, channels, spec.height, spec.width)


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((100, 100), "96x96 and 112x112"),
        ((8, 8), "16x16"),
        ((36, 36), "32x32 and 40x40"),
        ((64, 66), "64x64 and 64x80"),
    ],
)
def test_an_unsupported_size_raises_and_names_the_nearest(size: tuple[int, int], nearest: str) -> None:
    with pytest.raises(ValueError, match=f"fastgan cannot make images of {size[0]}x{size[1]} ") as caught:
        PYRAMID.sizes(gankit.ImageSpec(*size, channels=3))
    assert str(caught.value).endswith(f"the nearest sizes that work are {nearest}")


@settings(deadline=None, max_examples=50)
@given(height=st.integers(1, 2500), width=st.integers(1, 2500))
def test_the_suggested_sizes_work(height: int, width: int) -> None:
    try:
        base, *larger = PYRAMID.sizes(gankit.ImageSpec(height, width, 3))
        assert (base[0] << len(larger), base[1] << len(larger)) == (height, width)
    except ValueError as error:
        for size in str(error).rpartition(" work are ")[2].split(" and "):
            PYRAMID.sizes(gankit.ImageSpec(*map(int, size.split("x")), channels=3))


def test_upsample_conv_is_nearest_neighbour_upsampling_and_a_convolution() -> None:
    torch.manual_seed(0)
    layer = UpsampleConv(3, 5).double().eval()
    maps = torch.randn(2, 3, 4, 7, dtype=torch.float64, requires_grad=True)
    repeated = maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    expected = F.conv2d(repeated, layer.convolution.weight, padding=1)
    torch.testing.assert_close(layer(maps), expected, rtol=1e-12, atol=1e-12)


def test_spectral_norm_bounds_every_convolution_of_the_blocks() -> None:
    torch.manual_seed(0)
    block = UpBlock(6, 4, 0, deep=True)
    block(torch.randn(2, 6, 4, 4), None, 1.0)
    block.eval()
    for weight in (block.convolutions[0].convolution.weight, block.convolutions[1].weight):
        assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1, rel=0.05)


def test_gated_linear_unit_is_torchs() -> None:
    maps = torch.randn(2, 6, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(gated_linear_unit(maps), F.glu(maps, dim=1), rtol=1e-12, atol=1e-12)


def test_skip_layer_excitation_scales_channels_by_the_small_map() -> None:
    torch.manual_seed(0)
    layer = SkipLayerExcitation(3, 5, (4, 8)).double().eval()
    small, large = torch.randn(2, 3, 8, 16, dtype=torch.float64), torch.randn(2, 5, 6, 6, dtype=torch.float64)
    blocks = small.unflatten(2, (4, 2)).unflatten(4, (8, 2)).mean(dim=(3, 5))
    hidden = torch.einsum("nchw,ochw->no", blocks, layer.squeeze.weight)
    hidden = hidden * hidden.sigmoid()
    scales = (hidden @ layer.excite.weight[:, :, 0, 0].t()).sigmoid()
    torch.testing.assert_close(layer(small, large), large * scales[:, :, None, None], rtol=1e-10, atol=1e-12)


def test_conditional_norm_scales_and_shifts_normalized_maps_by_the_embedding() -> None:
    torch.manual_seed(0)
    norm = ConditionalBatchNorm(4, 6).double()
    maps, embedded = torch.randn(3, 4, 5, 5, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    result = norm(maps, embedded)
    mean, var = maps.mean(dim=(0, 2, 3), keepdim=True), maps.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    norm.eval()
    scale, shift = (1 + norm.scale(embedded))[:, :, None, None], norm.shift(embedded)[:, :, None, None]
    torch.testing.assert_close(result, (maps - mean) / (var + 1e-5).sqrt() * scale + shift, rtol=1e-9, atol=1e-9)
    assert not torch.equal(result[0], norm(maps, embedded.flip(0))[0])


@pytest.mark.parametrize(
    "image", [SMALL, pytest.param(gankit.ImageSpec(64, 128, 1, classes=3), marks=pytest.mark.slow)]
)
def test_contract(image: gankit.ImageSpec) -> None:
    testing.check_generator(FastGANGenerator, image, width=4)


def test_every_parameter_has_a_gradient_from_the_start() -> None:
    torch.manual_seed(0)
    network = FastGANGenerator(gankit.ImageSpec(64, 64, 3, classes=3), 8, width=8)
    images = network(torch.randn(6, 8), torch.arange(6) % 3)
    (images * torch.randn_like(images)).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert bool(parameter.grad.any()), name


def test_the_norm_of_the_latent_does_not_matter() -> None:
    torch.manual_seed(0)
    network, z = FastGANGenerator(SMALL, 8, width=4).eval(), torch.randn(2, 8)
    torch.testing.assert_close(network(z), network(5 * z), rtol=1e-4, atol=1e-5)


def test_noise_is_a_sampling_option() -> None:
    torch.manual_seed(0)
    network, z = FastGANGenerator(SMALL, 8, width=4).eval(), torch.randn(2, 8)
    assert torch.equal(network(z), network(z))  # the strength of the noise starts at zero
    for module in network.modules():
        if isinstance(module, Noise):
            nn.init.ones_(module.strength)
    assert not torch.equal(network(z), network(z))
    assert torch.equal(network(z, noise=0.0), network(z, noise=0.0))


def test_labels_matter_and_missing_labels_raise() -> None:
    torch.manual_seed(0)
    network, z = FastGANGenerator(CONDITIONAL, 8, width=4).eval(), torch.randn(1, 8).expand(2, 8)
    one, other = network(z, torch.tensor([1, 2]))
    assert (one - other).abs().max() > 1e-3
    with pytest.raises(ValueError, match="built for 5 classes: pass labels"):
        network(z)


def test_state_dict_round_trip() -> None:
    torch.manual_seed(0)
    network, z, labels = FastGANGenerator(CONDITIONAL, 8, width=4), torch.randn(4, 8), torch.arange(4)
    network(z, labels)  # updates BatchNorm's statistics
    other = FastGANGenerator(CONDITIONAL, 8, width=4)
    other.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(z, labels), other.eval()(z, labels))


def test_bf16_is_close_to_full_precision() -> None:
    torch.manual_seed(0)
    network, z = FastGANGenerator(CONDITIONAL, 8, width=8), torch.randn(8, 8)
    labels = torch.arange(8) % 5
    for _ in range(20):
        network(z, labels)
    network.eval()
    exact = network(z, labels)
    with torch.autocast("cpu", torch.bfloat16):
        rough = network(z, labels)
    assert rough.isfinite().all()
    error = (rough.float() - exact).norm() / exact.norm()
    assert 0 < error < 0.05
