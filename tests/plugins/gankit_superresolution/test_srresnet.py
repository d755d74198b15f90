"""SRResNet against functions worked out in the test, and the contract of a generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit
from gankit import testing
from gankit.assembly.dry_run import meta_device
from gankit_superresolution.srresnet import SRResNet


def pairs(scale: int, side: int = 24, channels: int = 3, of_source: int = 3) -> gankit.DataSpec:
    source = gankit.ImageSpec(side // scale, side // scale, of_source, scale=1 / scale)
    return gankit.DataSpec(image=gankit.ImageSpec(side, side, channels), source=source)


def expected_count(scale: int, width: int, blocks: int, channels: int, of_source: int, norm: str) -> int:
    normalized = 9 * width * width + (2 * width if norm == "batch" else width)  # a norm has a scale and a shift
    ends = 81 * of_source * width + width + 1 + 81 * width * channels + channels
    doublings = {1: 0, 2: 1, 4: 2, 8: 3}[scale]
    return ends + blocks * (2 * normalized + 1) + normalized + doublings * (9 * width * 4 * width + 4 * width + 1)


@pytest.mark.parametrize(
    ("scale", "params", "parameters"),
    [
        (4, {}, 1_547_350),
        (1, {"width": 8, "blocks": 3}, None),
        (2, {"width": 6, "blocks": 1, "norm": "none"}, None),
        (8, {"width": 4, "blocks": 2}, None),
    ],
)
def test_parameter_counts(scale: int, params: dict[str, Any], parameters: int | None) -> None:
    given = {"width": 64, "blocks": 16, "norm": "batch"} | params
    for channels, of_source in ((3, 3), (1, 3), (4, 2)):
        network = SRResNet(pairs(scale, 24, channels, of_source), **params)
        expected = expected_count(scale, channels=channels, of_source=of_source, **given)
        assert sum(parameter.numel() for parameter in network.parameters()) == expected
        if parameters and (channels, of_source) == (3, 3):
            assert expected == parameters


def reference(weights: dict[str, Tensor], source: Tensor, blocks: int, doublings: int, norm: str) -> Tensor:
    """The network in eval mode, from sums over shifted images."""

    def conv(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        reach, (height, width) = weight.shape[-1] // 2, x.shape[-2:]
        x = F.pad(x, (reach,) * 4)
        result = weights[f"{name}.bias"][:, None, None] if f"{name}.bias" in weights else torch.zeros(())
        for i in range(weight.shape[2]):
            for j in range(weight.shape[3]):
                result = result + torch.einsum("oc,nchw->nohw", weight[:, :, i, j], x[..., i : i + height, j : j + width])
        return result

    def batch_norm(x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def prelu(x: Tensor, name: str) -> Tensor:
        return torch.where(x > 0, x, weights[f"{name}.weight"] * x)

    def shuffled(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        large = x.new_empty(n, c // 4, 2 * h, 2 * w)
        for i in range(2):
            for j in range(2):
                large[..., i::2, j::2] = x[:, 2 * i + j :: 4]
        return large

    def normalized(x: Tensor, names: list[str]) -> Tensor:
        x = conv(x, names[0])
        return batch_norm(x, names[1]) if norm == "batch" else x

    step = 2 if norm == "batch" else 1  # layers of a convolution
    first = x = prelu(conv(source, "first.0"), "first.1")
    for block in range(blocks):
        prefix = f"blocks.{block}.layers"
        y = prelu(normalized(x, [f"{prefix}.0", f"{prefix}.1"]), f"{prefix}.{step}")
        x = x + normalized(y, [f"{prefix}.{step + 1}", f"{prefix}.{step + 2}"])
    x = first + normalized(x, ["body_end.0", "body_end.1"])
    for doubling in range(doublings):
        x = prelu(shuffled(conv(x, f"upsample.{doubling}.0")), f"upsample.{doubling}.2")
    return conv(x, "last")


def randomized(network: nn.Module) -> nn.Module:
    """With random slopes, norms and statistics, so that none of them can be left out."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, 0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, nn.PReLU):
            nn.init.uniform_(module.weight, -0.5, 0.9)
    return network.double().eval()


@pytest.mark.parametrize(("scale", "norm"), [(1, "batch"), (2, "none"), (4, "batch"), (8, "none")])
def test_forward_is_the_reference(scale: int, norm: str) -> None:
    torch.manual_seed(scale)
    network = randomized(SRResNet(pairs(scale, 24, 2, 3), width=5, blocks=2, norm=norm))  # type: ignore[arg-type]
    source = torch.rand(2, 3, 24 // scale, 24 // scale, dtype=torch.float64) * 2 - 1
    expected = reference(dict(network.state_dict()), source, 2, {1: 0, 2: 1, 4: 2, 8: 3}[scale], norm)
    torch.testing.assert_close(network(source), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1, 2, 4, 8])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_it_is_a_generator(scale: int, norm: str) -> None:
    torch.manual_seed(0)
    testing.check_generator(SRResNet, pairs(scale, 16, 1, 3), width=4, blocks=2, norm=norm)


def test_a_trained_network_enlarges_any_size() -> None:
    network = SRResNet(pairs(4), width=4, blocks=1).eval()
    large = torch.rand(1, 3, 21, 34)
    enlarged = network(large)
    assert enlarged.shape == (1, 3, 84, 136)
    # far from the borders, a part is enlarged as it is in the whole
    torch.testing.assert_close(network(large[..., :20, :20])[..., :20, :20], enlarged[..., :20, :20], atol=1e-5, rtol=0)


def test_on_the_meta_device_and_in_bf16() -> None:
    with meta_device():
        assert SRResNet(pairs(4, 96))(torch.empty(2, 3, 24, 24)).shape == (2, 3, 96, 96)
    network = SRResNet(pairs(2, 16), width=4, blocks=1)
    with torch.autocast("cpu", torch.bfloat16):
        images = network(torch.rand(2, 3, 8, 8))
    assert images.shape == (2, 3, 16, 16)
    assert bool(images.isfinite().all())


def test_other_factors_are_refused() -> None:
    sentence = r"srresnet enlarges by a factor of 1, 2, 4 or 8; .* images of 24x24 .* source of 8x8: choose a dataset"
    with pytest.raises(ValueError, match=sentence):
        SRResNet(pairs(3))
    image = gankit.ImageSpec(32, 16, 3)
    with pytest.raises(ValueError, match=r"images of 32x16 .* from a source of 8x8"):
        SRResNet(gankit.DataSpec(image=image, source=gankit.ImageSpec(8, 8, 3)))
    with pytest.raises(ValueError, match=r"images of 8x8 .* from a source of 16x16"):
        SRResNet(gankit.DataSpec(image=gankit.ImageSpec(8, 8, 3), source=gankit.ImageSpec(16, 16, 3)))


def test_data_without_a_source_is_refused() -> None:
    image = gankit.ImageSpec(16, 16, 3)
    with pytest.raises(ValueError, match=r"srresnet enlarges .* 'source' of the data, which has only 'image'; .*'degraded'"):
        SRResNet(gankit.DataSpec(image=image))
    with pytest.raises(ValueError, match=r"has only 'image', 'source'"):
        SRResNet(gankit.DataSpec(image=image, source=gankit.VectorSpec(4)))
