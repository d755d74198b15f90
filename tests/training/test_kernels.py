"""The faster convolutions against torch's own: values, gradients, gradients of gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gankit.device.fast_convolutions import FastConv2d, FastConvTranspose2d, use_fast_convolutions
from gankit.device.patch_convolutions import Correlate, Gather, Geometry, Spread


def layers(side: int) -> st.SearchStrategy[tuple[nn.Conv2d, torch.Tensor]]:
    """Convolutions of any small geometry in double precision, and an image of up to ``side`` pixels."""

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
@settings(max_examples=150, deadline=None)
def test_every_geometry_agrees_with_torch(drawn):
    layer, images = drawn
    shape = Geometry.of(layer, large=images.shape[2:])
    images.requires_grad_()
    output = layer(images)
    gradient = torch.randn_like(output)
    of_images, of_weight = torch.autograd.grad(output, (images, layer.weight), gradient)
    torch.testing.assert_close(Gather.apply(images, layer.weight, shape), output)
    torch.testing.assert_close(Spread.apply(gradient, layer.weight, shape), of_images)
    torch.testing.assert_close(Correlate.apply(images, gradient, shape), of_weight)


@pytest.mark.parametrize("function", [Gather, Spread, Correlate])
@given(drawn=layers(side=4))
@settings(max_examples=10, deadline=None)
def test_each_is_differentiable_twice(function, drawn):
    layer, images = drawn
    shape = Geometry.of(layer, large=images.shape[2:])
    weight, small = layer.weight.detach().requires_grad_(), torch.randn_like(layer(images)).requires_grad_()
    images.requires_grad_()
    inputs = {Gather: (images, weight), Spread: (small, weight), Correlate: (images, small)}[function]

    def apply(*given: torch.Tensor) -> torch.Tensor:
        return function.apply(*given, shape)

    assert torch.autograd.gradcheck(apply, inputs)
    assert torch.autograd.gradgradcheck(apply, inputs)


# a convolution or a transposed one, and what it is given; each takes another of the ways
LAYERS = {
    "patches": (lambda: nn.Conv2d(32, 48, 4, 2, 1, bias=False), (6, 32, 8, 8)),
    "patches, with bias": (lambda: nn.Conv2d(32, 48, 3, 1, 1), (6, 32, 4, 4)),
    "patches of the weight's gradient alone": (lambda: nn.Conv2d(24, 32, 4, 2, 1, bias=False), (6, 24, 16, 16)),
    "one pixel": (lambda: nn.ConvTranspose2d(20, 32, 4, bias=False), (6, 20, 1, 1)),
    "transposed": (lambda: nn.ConvTranspose2d(48, 32, 4, 2, 1), (6, 48, 4, 4)),
    "image": (lambda: nn.ConvTranspose2d(32, 3, 4, 2, 1, bias=False), (6, 32, 16, 16)),
    "image's gradient": (lambda: nn.Conv2d(3, 32, 4, 2, 1, bias=False), (6, 3, 32, 32)),
    "pointwise": (lambda: nn.Conv2d(32, 48, 1), (6, 32, 16, 16)),
    "pointwise, transposed": (lambda: nn.ConvTranspose2d(32, 48, 1), (6, 32, 16, 16)),
    "grouped": (lambda: nn.Conv2d(32, 64, 3, 1, 1, groups=4), (6, 32, 16, 16)),
    "grouped, transposed": (lambda: nn.ConvTranspose2d(64, 32, 4, 2, 1, groups=2), (6, 64, 4, 4)),
    "not square": (lambda: nn.Conv2d(16, 24, (4, 2), (2, 1), (1, 0), bias=False), (6, 16, 8, 5)),
    "more images than fit the cache": (lambda: nn.Conv2d(256, 16, 4, 2, 1, bias=False), (200, 256, 8, 8)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_as_near_to_the_truth_as_torchs(name):
    make, size = LAYERS[name]
    torch.manual_seed(0)
    ours = make().to(memory_format=torch.channels_last)
    theirs, truth = copy.deepcopy(ours), copy.deepcopy(ours).double()
    use_fast_convolutions(ours)
    images = torch.randn(size)
    probe = torch.randn_like(theirs(images))

    def results(layer: nn.Module, dtype: torch.dtype, autocast: bool) -> list[torch.Tensor]:
        given = images.to(dtype).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            output = layer(given)
        wanted = [given, *layer.parameters()]
        gradients = torch.autograd.grad(output, wanted, probe.to(output.dtype), create_graph=True)
        penalty = gradients[0].to(dtype).square().sum()
        return [output, *gradients, *torch.autograd.grad(penalty, [layer.weight])]

    exact = results(truth, torch.float64, False)
    for got, torchs, wanted in zip(
        results(ours, torch.float32, True), results(theirs, torch.float32, True), exact, strict=True
    ):
        assert got.dtype == torchs.dtype
        assert got.shape == torchs.shape
        own, other = ((value.double() - wanted).norm() / wanted.norm() for value in (got, torchs))
        assert 0 < own < 1.6 * other


@pytest.mark.parametrize("name", LAYERS)
def test_what_follows_may_work_in_place(name):
    """As LeakyReLU(inplace=True) does, right after a convolution."""
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


def test_only_torchs_own_layers_change_and_state_dicts_stay():
    class Own(nn.Conv2d):
        pass

    network = nn.ModuleDict(
        {
            "plain": nn.Conv2d(4, 4, 3),
            "up": nn.ConvTranspose2d(4, 4, 4, 2, 1),
            "own": Own(4, 4, 3),
            "grouped": nn.Conv2d(4, 4, 3, groups=2),
            "depthwise": nn.Conv2d(4, 4, 3, groups=4),
            "dilated": nn.Conv2d(4, 4, 3, dilation=2),
            "reflecting": nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            "same": nn.Conv2d(4, 4, 3, padding="same"),
            "spectral": nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
            "larger": nn.ConvTranspose2d(4, 4, 3, 2, 1, output_padding=1),
        }
    )
    before = {name: type(layer) for name, layer in network.items()}
    state = copy.deepcopy(network.state_dict())
    use_fast_convolutions(network)
    changed = {name: type(layer) for name, layer in network.items() if type(layer) is not before[name]}
    assert changed == {"plain": FastConv2d, "up": FastConvTranspose2d, "grouped": FastConv2d}
    assert list(network.state_dict()) == list(state)
    network.load_state_dict(state)


def test_in_full_precision_nothing_is_different():
    torch.manual_seed(0)
    ours = nn.Conv2d(8, 8, 4, 2, 1)
    theirs = copy.deepcopy(ours)
    use_fast_convolutions(ours)
    images = torch.randn(2, 8, 8, 8)
    assert torch.equal(ours(images), theirs(images))
    assert torch.equal(ours(images[0]), theirs(images[0]))


@pytest.mark.parametrize(
    ("train", "fast"),
    [
        ({}, True),
        ({"kernels": "torch"}, False),
        ({"precision": "fp32"}, False),
    ],
)
def test_a_recipe_takes_them_in_bf16_unless_told_otherwise(runtime, recipe, train, fast):
    trainer = runtime.assemble(recipe(train={"precision": "bf16"} | train))
    kinds = {type(layer) for network in trainer.state.networks().values() for layer in network.modules()}
    assert (FastConv2d in kinds) == fast
