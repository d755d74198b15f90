"""The fast convolutions compared with torch: values, gradients, second derivatives."""

from __future__ import annotations

import copy
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gankit.device import patch_convolutions
from gankit.device.fast_convolutions import FastConv2d, FastConvTranspose2d, shared_casts, use_fast_convolutions
from gankit.device.patch_convolutions import Geometry, PatchConvolution


def layers(side: int) -> st.SearchStrategy[tuple[nn.Conv2d, torch.Tensor]]:
    """Convolutions of small geometries in fp64, each with images of up to ``side`` x ``side`` pixels."""

    @st.composite
    def draw(draw: st.DrawFn) -> tuple[nn.Conv2d, torch.Tensor]:
        def pair(low: int, high: int) -> tuple[int, int]:
            return draw(st.integers(low, high)), draw(st.integers(low, high))

        kernel, stride = pair(1, 4), pair(1, 3)
        padding = tuple(draw(st.integers(0, size - 1)) for size in kernel)
        height, width = (
            draw(st.integers(max(1, size - 2 * pad), side)) for size, pad in zip(kernel, padding, strict=True)
        )
        inputs, outputs, count = draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 3))
        groups = draw(st.sampled_from([1, 1, 2]))
        inputs, outputs = inputs * groups, outputs * groups
        layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False).double()
        return layer, torch.randn(count, inputs, height, width, dtype=torch.float64)

    return draw()


@given(layers(side=9))
@settings(max_examples=75, deadline=None)
def test_every_geometry_agrees_with_torch(drawn):
    layer, images = drawn
    geometry = Geometry.of(layer, images.shape[2:])
    images.requires_grad_()
    output = layer(images)
    gradient = torch.randn_like(output)
    of_images, of_weight = torch.autograd.grad(output, (images, layer.weight), gradient)
    torch.testing.assert_close(PatchConvolution.apply(images, None, layer.weight, geometry), output)
    torch.testing.assert_close(PatchConvolution.apply(None, gradient, layer.weight, geometry), of_images)
    torch.testing.assert_close(PatchConvolution.apply(images, gradient, None, geometry), of_weight)


@pytest.mark.parametrize("missing", ["small", "large", "weight"])
@given(drawn=layers(side=4))
@settings(max_examples=3, deadline=None)
def test_each_operation_is_differentiable_twice(missing, drawn):
    layer, images = drawn
    geometry = Geometry.of(layer, images.shape[2:])
    tensors = {"large": images, "small": torch.randn_like(layer(images)), "weight": layer.weight}
    inputs = {name: tensor.detach().requires_grad_() for name, tensor in tensors.items() if name != missing}

    def apply(*given: torch.Tensor) -> torch.Tensor:
        named = dict(zip(inputs, given, strict=True))
        return PatchConvolution.apply(*map(named.get, tensors), geometry)

    assert torch.autograd.gradcheck(apply, tuple(inputs.values()))
    assert torch.autograd.gradgradcheck(apply, tuple(inputs.values()))


# a layer and the shape of its input, for each way of computing it
LAYERS = {
    "patches": (lambda: nn.Conv2d(32, 48, 4, 2, 1, bias=False), (6, 32, 8, 8)),
    "patches, with bias": (lambda: nn.Conv2d(32, 48, 3, 1, 1), (6, 32, 4, 4)),
    "patches for the weight gradient only": (lambda: nn.Conv2d(24, 32, 4, 2, 1, bias=False), (6, 24, 16, 16)),
    "input of one pixel": (lambda: nn.ConvTranspose2d(20, 32, 4, bias=False), (6, 20, 1, 1)),
    "transposed": (lambda: nn.ConvTranspose2d(48, 32, 4, 2, 1), (6, 48, 4, 4)),
    "transposed, with the bias apart": (lambda: nn.ConvTranspose2d(24, 16, 4, 2, 1), (6, 24, 16, 16)),
    "output of an image": (lambda: nn.ConvTranspose2d(32, 3, 4, 2, 1, bias=False), (6, 32, 16, 16)),
    "input of an image": (lambda: nn.Conv2d(3, 32, 4, 2, 1, bias=False), (6, 3, 32, 32)),
    "pointwise": (lambda: nn.Conv2d(32, 48, 1), (6, 32, 16, 16)),
    "pointwise, transposed": (lambda: nn.ConvTranspose2d(32, 48, 1), (6, 32, 16, 16)),
    "grouped": (lambda: nn.Conv2d(32, 64, 3, 1, 1, groups=4), (6, 32, 16, 16)),
    "grouped, transposed": (lambda: nn.ConvTranspose2d(64, 32, 4, 2, 1, groups=2), (6, 64, 4, 4)),
    "not square": (lambda: nn.Conv2d(16, 24, (4, 2), (2, 1), (1, 0), bias=False), (6, 16, 8, 5)),
    "batch larger than the cache": (lambda: nn.Conv2d(32, 48, 4, 2, 1, bias=False), (5, 32, 8, 8)),
}


@pytest.fixture(params=LAYERS)
def name(request, monkeypatch):
    """The name of a layer. The last one finds a cache for the patches of two images."""
    if "cache" in request.param:
        of_an_image = 4 * 4 * 32 * 4 * 4 * torch.bfloat16.itemsize
        monkeypatch.setattr(patch_convolutions, "MAX_PATCHES_BYTES", 2 * of_an_image)
    return request.param


def test_layers_are_as_accurate_as_torchs(name):
    make, size = LAYERS[name]
    torch.manual_seed(0)
    ours = make().to(memory_format=torch.channels_last)
    torchs, reference = copy.deepcopy(ours), copy.deepcopy(ours).double()
    use_fast_convolutions(ours)
    images = torch.randn(size)
    probe = torch.randn_like(torchs(images))

    def results(layer: nn.Module, dtype: torch.dtype, autocast: bool) -> list[torch.Tensor]:
        given = images.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = layer(given)
        wanted = [given, *layer.parameters()]
        gradients = torch.autograd.grad(output, wanted, probe.to(output.dtype), create_graph=True)
        penalty = gradients[0].to(dtype).square().sum()
        return [output, *gradients, *torch.autograd.grad(penalty, [layer.weight])]

    exact = results(reference, torch.float64, False)
    for own, other, expected in zip(
        results(ours, torch.float32, True), results(torchs, torch.float32, True), exact, strict=True
    ):
        assert own.dtype == other.dtype
        assert own.shape == other.shape
        own_error, other_error = ((value.double() - expected).norm() / expected.norm() for value in (own, other))
        assert 0 < own_error < 1.6 * other_error


def test_the_next_layer_may_work_in_place(name):
    """LeakyReLU(inplace=True) often follows a convolution."""
    make, size = LAYERS[name]
    torch.manual_seed(0)
    layer = make().to(memory_format=torch.channels_last)
    use_fast_convolutions(layer)
    images = torch.randn(size, requires_grad=True)

    def gradient(inplace: bool) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            output = nn.functional.leaky_relu(layer(images), 0.2, inplace=inplace)
        return torch.autograd.grad(output.float().square().sum(), images)[0]

    torch.testing.assert_close(gradient(True), gradient(False))


def test_only_torchs_layers_are_replaced_and_state_dicts_stay():
    class Subclass(nn.Conv2d):
        pass

    network = nn.ModuleDict(
        {
            "plain": nn.Conv2d(4, 4, 3),
            "up": nn.ConvTranspose2d(4, 4, 4, 2, 1),
            "subclass": Subclass(4, 4, 3),
            "grouped": nn.Conv2d(4, 4, 3, groups=2),
            "depthwise": nn.Conv2d(4, 4, 3, groups=4),
            "dilated": nn.Conv2d(4, 4, 3, dilation=2),
            "reflecting": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            "same": nn.Conv2d(4, 4, 3, padding="same"),
            "spectral": nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
            "output padding": nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
        }
    )
    before = {name: type(layer) for name, layer in network.items()}
    state = copy.deepcopy(network.state_dict())
    use_fast_convolutions(network)
    changed = {name: type(layer) for name, layer in network.items() if type(layer) is not before[name]}
    assert changed == {"plain": FastConv2d, "up": FastConvTranspose2d, "grouped": FastConv2d}
    assert list(network.state_dict()) == list(state)
    network.load_state_dict(state)


def test_fp32_results_are_those_of_torch():
    torch.manual_seed(0)
    ours = nn.Conv2d(8, 8, 4, 2, 1)
    torchs = copy.deepcopy(ours)
    use_fast_convolutions(ours)
    images = torch.randn(2, 8, 8, 8)
    assert torch.equal(ours(images), torchs(images))
    assert torch.equal(ours(images[0]), torchs(images[0]))


@pytest.mark.parametrize(
    ("train", "fast"),
    [
        ({}, True),
        ({"kernels": "torch"}, False),
        ({"precision": "fp32"}, False),
    ],
)
def test_recipes_use_them_in_bf16_unless_kernels_is_torch(runtime, recipe, train, fast):
    trainer = runtime.assemble(recipe(train={"precision": "bf16"} | train))
    kinds = {type(layer) for network in trainer.state.networks().values() for layer in network.modules()}
    assert (FastConv2d in kinds) == fast


@pytest.mark.parametrize("normalized", [False, True])
def test_shared_casts_give_the_same_outputs_and_gradients(normalized):
    """With spectral norm, each call has another weight, and may free that of the call before."""
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 8, 4, 2, 1)
    network = nn.utils.spectral_norm(layer) if normalized else layer
    use_fast_convolutions(network)
    other = copy.deepcopy(network)
    images = [torch.randn(4, 8, 8, 8) for _ in range(6)]
    outputs = []
    for one, shared in ((network, True), (other, False)):
        with torch.autocast("cpu", torch.bfloat16), shared_casts() if shared else nullcontext():
            outputs.append([one(image) for image in images])
        torch.stack([output.float().square().sum() for output in outputs[-1]]).sum().backward()
    for one, two in zip(*outputs, strict=True):
        assert torch.equal(one, two)
    for one, two in zip(network.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=0.05, atol=0.05 * float(two.grad.abs().max()))


def test_shared_casts_cast_each_weight_once_and_anew_in_the_next_block():
    layer = nn.Conv2d(8, 8, 4, 2, 1, bias=False)
    use_fast_convolutions(layer)
    images = torch.randn(4, 8, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with shared_casts():
            first = layer(images)
            assert layer(images).grad_fn.next_functions[-1][0] is first.grad_fn.next_functions[-1][0]
        with torch.no_grad():
            layer.weight.zero_()
        with shared_casts():
            assert not layer(images).any()
