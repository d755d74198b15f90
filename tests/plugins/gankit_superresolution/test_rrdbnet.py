"""RRDBNet against functions worked out in the test, and the contract of a generator."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit import testing
from gankit.assembly.dry_run import meta_device
from gankit_superresolution.rrdbnet import RRDBNet


def pairs(scale: int, side: int = 16, channels: int = 3, of_source: int = 3) -> gankit.DataSpec:
    source = gankit.ImageSpec(side // scale, side // scale, of_source, scale=1 / scale)
    return gankit.DataSpec(image=gankit.ImageSpec(side, side, channels), source=source)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def expected_count(doublings: int, width: int, blocks: int, growth: int, channels: int, of_source: int) -> int:
    def conv(inputs: int, outputs: int) -> int:
        return 9 * inputs * outputs + outputs

    dense = sum(conv(width + i * growth, growth) for i in range(4)) + conv(width + 4 * growth, width)
    ends = conv(of_source, width) + conv(width, channels)
    return ends + 3 * blocks * dense + (2 + doublings) * conv(width, width)


def test_the_defaults_have_the_parameters_of_the_paper() -> None:
    assert expected_count(2, 64, 23, 32, 3, 3) == 16_697_987
    with torch.device("meta"):
        assert count(RRDBNet(pairs(4))) == 16_697_987


@pytest.mark.parametrize(("scale", "doublings"), [(1, 0), (2, 1), (4, 2), (8, 3)])
def test_parameter_counts(scale: int, doublings: int) -> None:
    network = RRDBNet(pairs(scale, 16, 4, 1), width=7, blocks=2, growth=3)
    assert count(network) == expected_count(doublings, 7, 2, 3, 4, 1)


def reference(network: RRDBNet, source: Tensor, blocks: int, doublings: int) -> Tensor:
    """The network from torch's convolution over unfolded patches."""
    weights = dict(network.state_dict())

    def conv(x: Tensor, name: str) -> Tensor:
        n, _, h, w = x.shape
        patches = torch.nn.functional.unfold(x, 3, padding=1)  # [n 9c hw]
        weight = weights[f"{name}.weight"].flatten(1)
        return (weight @ patches + weights[f"{name}.bias"][:, None]).view(n, -1, h, w)

    def leaky(x: Tensor) -> Tensor:
        return torch.maximum(x, 0.2 * x)

    first = x = conv(source, "first")
    for i in range(blocks):
        start = x
        for j in range(3):
            known = [x]
            for k in range(5):
                y = conv(torch.cat(known, 1), f"blocks.{i}.blocks.{j}.convolutions.{k}")
                known.append(leaky(y))
            x = x + 0.2 * y
        x = start + 0.2 * x
    x = first + conv(x, "body_end")
    for i in range(doublings):
        x = leaky(conv(x.repeat_interleave(2, 2).repeat_interleave(2, 3), f"upsample.{i}"))
    return conv(leaky(conv(x, "second_to_last")), "last")


@pytest.mark.parametrize(("scale", "doublings"), [(1, 0), (2, 1), (4, 2), (8, 3)])
def test_forward_is_the_reference(scale: int, doublings: int) -> None:
    torch.manual_seed(scale)
    network = RRDBNet(pairs(scale, 24, 1, 3), width=6, blocks=2, growth=4).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0, 0.3)  # larger than at the start, so that every layer matters
    source = torch.rand(2, 3, 24 // scale, 24 // scale, dtype=torch.float64) * 2 - 1
    expected = reference(network, source, 2, doublings)
    torch.testing.assert_close(network(source), expected, rtol=1e-12, atol=1e-12)


def test_initial_weights_of_dense_blocks_are_a_tenth_of_kaiming_normal() -> None:
    torch.manual_seed(0)
    network = RRDBNet(pairs(4), width=32, blocks=2, growth=16)
    dense = 0
    for name, module in network.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        weight = module.weight.detach()
        fan_in = weight[0].numel()
        if ".convolutions." in name:
            dense += 1
            expected = 0.1 * math.sqrt(2 / fan_in)
            assert abs(weight.std() / expected - 1) < 5 / math.sqrt(2 * weight.numel()), name
            assert torch.equal(module.bias, torch.zeros_like(module.bias))
        else:  # uniform within 1 / sqrt(fan_in)
            assert abs(weight.std() * math.sqrt(3 * fan_in) - 1) < 0.1, name
            assert module.bias.abs().max() > 0
    assert dense == 2 * 3 * 5


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
def test_it_is_a_generator(scale: int) -> None:
    torch.manual_seed(0)
    testing.check_generator(RRDBNet, pairs(scale, 16, 1, 3), width=4, blocks=1, growth=2)


def test_a_trained_network_enlarges_any_size() -> None:
    network = RRDBNet(pairs(2), width=4, blocks=1, growth=2).eval()
    assert network(torch.rand(1, 3, 5, 9)).shape == (1, 3, 10, 18)


def test_on_the_meta_device_and_in_bf16() -> None:
    with meta_device():
        assert RRDBNet(pairs(4, 128))(torch.empty(2, 3, 32, 32)).shape == (2, 3, 128, 128)
    network = RRDBNet(pairs(2), width=4, blocks=1, growth=2)
    with torch.autocast("cpu", torch.bfloat16):
        images = network(torch.rand(2, 3, 8, 8))
    assert images.shape == (2, 3, 16, 16)
    assert bool(images.isfinite().all())


def test_other_factors_and_data_without_a_source_are_refused() -> None:
    with pytest.raises(ValueError, match=r"rrdbnet enlarges by a factor of 1, 2, 4 or 8; .*48x48 .*source of 3x3"):
        RRDBNet(pairs(16, 48))
    with pytest.raises(ValueError, match=r"rrdbnet enlarges the images in the field 'source'"):
        RRDBNet(gankit.DataSpec(image=gankit.ImageSpec(16, 16, 3)))
