"""The U-Net against an independent reference, its published size, and the images that it accepts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import gankit
from gankit.testing import check_generator
from gankit_translation import UNet
from gankit_translation.unet import default_depth


def parameter_count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def reference(state, source, depth, norm, training, normalized):
    """The U-Net from its definition: each level wraps the next one."""

    def convolve(x, prefix):
        return F.conv2d(x, state[f"{prefix}.weight"], state.get(f"{prefix}.bias"), stride=2, padding=1)

    def convolve_transposed(x, prefix):
        weight = state[f"{prefix}.weight"]
        size = (len(x), weight.shape[1], 2 * x.shape[2], 2 * x.shape[3])
        bias = state.get(f"{prefix}.bias", torch.zeros(size[1], dtype=x.dtype))
        return torch.nn.grad.conv2d_input(size, weight, x, stride=2, padding=1) + bias[:, None, None]

    def level(x, index):
        decoder = f"decoder.{depth - 1 - index}"
        if index == 0:
            x = convolve(x, "encoder.0.0")
        else:
            x = convolve(torch.where(x > 0, x, 0.2 * x), f"encoder.{index}.1")
            if index < depth - 1:
                x = normalized(x, norm, state, f"encoder.{index}.2", training)
        if index < depth - 1:
            x = torch.cat([x, level(x, index + 1)], dim=1)
        x = convolve_transposed(x.clamp(min=0), f"{decoder}.1")
        return x.tanh() if index == 0 else normalized(x, norm, state, f"{decoder}.2", training)

    return level(source, 0)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("size", "depth"), [((32, 32), None), ((16, 48), 3), ((4, 6), 1)])
def test_it_is_the_reference(pairs, randomized, noise, normalized, norm, training, size, depth):
    network = randomized(UNet(pairs(*size, 2, 3), width=3, norm=norm, dropout=0.0, depth=depth)).train(training)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    source = noise(4, 3, *size)
    images = network(source)
    assert images.shape == (4, 2, *size)
    expected = reference(state, source, depth or 5, norm, training, normalized)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-12)


def test_parameter_count_of_the_published_network(pairs):
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    inner = widths[:-1]  # without the innermost map

    def convolutions(bias):
        encoder = sum(16 * i * o + bias * o for i, o in zip([3, *widths], widths, strict=False))
        innermost = 16 * 512 * 512 + bias * 512
        decoder = sum(16 * 2 * i * o + bias * o for o, i in zip(inner[:-1], inner[1:], strict=True))
        return encoder + innermost + decoder + 16 * 2 * 64 * 3 + 3

    normalized = sum(2 * channels for channels in widths[1:-1] + inner)  # a gain and a shift for each channel
    with torch.device("meta"):
        data = pairs(256, 256)
        assert parameter_count(UNet(data)) == convolutions(0) + normalized == 54_413_955
        assert parameter_count(UNet(data, norm="instance")) == convolutions(1) == 54_409_603


@pytest.mark.parametrize(
    ("side", "depth", "positions"), [(256, None, [1, 2, 3]), (128, None, [1, 2]), (512, 9, [1, 2, 3, 4]), (16, None, [])]
)
def test_dropout_follows_the_wide_layers_of_the_decoder(pairs, side, depth, positions):
    with torch.device("meta"):
        decoder = UNet(pairs(side, side), width=1, dropout=0.3, depth=depth).decoder
    drops = {index: [m.p for m in layer.modules() if isinstance(m, nn.Dropout)] for index, layer in enumerate(decoder)}
    assert {index: p for index, p in drops.items() if p} == {index: [0.3] for index in positions}


def test_dropout_is_active_in_training_only(pairs, randomized, noise):
    network, source = randomized(UNet(pairs(64, 64), width=2, norm="instance")), noise(2, 3, 64, 64)
    assert not torch.equal(network(source), network(source))
    network.eval()
    assert torch.equal(network(source), network(source))
    calm = randomized(UNet(pairs(64, 64), width=2, norm="instance", dropout=0.0))
    torch.testing.assert_close(calm(source), network(source), rtol=0, atol=1e-12)


def test_samples_do_not_depend_on_each_other(pairs, randomized, noise):
    network, source = randomized(UNet(pairs(32, 32), width=2)).eval(), noise(3, 3, 32, 32)
    alone = torch.cat([network(one[None]) for one in source])
    torch.testing.assert_close(network(source), alone, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(
    odd=st.tuples(st.integers(1, 7), st.integers(1, 40)), powers=st.tuples(st.integers(1, 10), st.integers(1, 10))
)
def test_the_default_halves_both_sides_as_often_as_possible(odd, powers):
    height, width = (factor << power for factor, power in zip(odd, powers, strict=True))
    image = gankit.ImageSpec(height, width, 3)
    halvings = max(k for k in range(9) if height % 2**k == width % 2**k == 0)
    short = min(height, width)
    if short < 8 or (halvings < 8 and short >> halvings > 7):  # too small, or the innermost map would be large
        with pytest.raises(ValueError, match=f"^unet cannot make images of {height}x{width} "):
            default_depth(image)
    else:
        assert default_depth(image) == halvings


@pytest.mark.parametrize(
    ("size", "depth"), [((256, 256), 8), ((256, 512), 8), ((8, 24), 3), ((96, 64), 5), ((160, 160), 5), ((512, 512), 8)]
)
def test_image_sizes(pairs, size, depth):
    with torch.device("meta"):
        network = UNet(pairs(*size), width=2)
        assert network(torch.empty(2, 3, *size)).shape == (2, 3, *size)
        assert network.depth == depth
        for layer in network.encoder:
            layer.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[2:])))
        sizes = []
        network(torch.empty(2, 3, *size))
    assert sizes == [(size[0] >> halvings, size[1] >> halvings) for halvings in range(1, depth + 1)]


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_contract(pairs, channels, norm):
    check_generator(UNet, pairs(16, 32, channels, 5 - channels), width=4, norm=norm)


def test_it_computes_in_bf16(pairs):
    source = torch.rand(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        images = UNet(pairs(64, 64), width=4)(source)
    assert images.isfinite().all()


def test_it_translates_other_sizes_that_it_can_halve(pairs, randomized, noise):
    network = randomized(UNet(pairs(16, 16), width=2)).eval()
    assert network(noise(1, 3, 32, 64)).shape == (1, 3, 32, 64)
    with pytest.raises(ValueError, match="depth 4 cannot translate images of 16x40 .* nearest size that works is 16x48"):
        network(noise(1, 3, 16, 40))


@pytest.mark.parametrize(("size", "depth", "multiple"), [((32, 32), 3, 8), ((32, 32), 5, None), ((64, 16), 4, None)])
def test_other_sizes_need_an_innermost_feature_map_of_several_pixels(pairs, size, depth, multiple):
    assert UNet(pairs(*size), width=2, depth=depth).size_multiple == multiple


def test_sizes_that_cannot_be_halved_are_refused(pairs):
    with pytest.raises(ValueError, match="unet cannot make images of 100x100 .* 96x96 and 112x112"):
        UNet(pairs(100, 100))
    with pytest.raises(
        ValueError,
        match=r"^unet with depth 5 cannot translate images of 100x64 \(height x width\): both sides must be multiples "
        r"of 32 and at least 32; the nearest size that works is 96x64$",
    ):
        UNet(pairs(100, 64), depth=5)
    with pytest.raises(ValueError, match="nearest size that works is 32x32"):
        UNet(pairs(8, 8), depth=5)


def test_initial_weights(pairs):
    torch.manual_seed(0)
    for norm in ("batch", "instance"):
        for module in UNet(pairs(64, 64), width=16, norm=norm).modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)):
                center = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
                weight = module.weight.detach()
                error = 5 / weight.numel() ** 0.5  # five standard errors
                assert abs(weight.mean() - center) < 0.02 * error
                assert abs(weight.std() / 0.02 - 1) < error
                assert module.bias is None or not module.bias.any()


def test_the_data_must_have_sources_of_the_same_size(pairs):
    image = gankit.ImageSpec(32, 32, 3)
    with pytest.raises(ValueError, match="unet needs source images, but the data has no"):
        UNet(gankit.DataSpec(image=image))
    with pytest.raises(ValueError, match="the data has no field 'source'; did you mean 'sources'"):
        UNet(gankit.DataSpec(image=image, sources=image))
    with pytest.raises(ValueError, match="unet needs source images, but the field 'source' has vectors of 7 numbers"):
        UNet(gankit.DataSpec(image=image, source=gankit.VectorSpec(7)))
    with pytest.raises(ValueError, match=r"images are 32x32 \(height x width\), the sources 16x32"):
        UNet(gankit.DataSpec(image=image, source=gankit.ImageSpec(16, 32, 3)))
