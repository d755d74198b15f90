"""The fast spectral norm compared with torch's: values, vectors, gradients, second derivatives."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gankit.device.fast_spectral_norm import FastSpectralNorm, use_fast_spectral_norm

# a layer and the shape of its input
LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (3, 6)),
    "convolution": (lambda: nn.Conv2d(5, 7, 3), (2, 5, 6, 6)),
    "pointwise": (lambda: nn.Conv2d(5, 7, 1), (2, 5, 4, 4)),
    "not square": (lambda: nn.Conv2d(6, 8, (2, 1)), (2, 6, 5, 5)),
}


def pair(make, iterations=1, memory_format=torch.channels_last):
    """A layer in fp64 with torch's spectral norm, and a copy with the fast one."""
    torch.manual_seed(0)
    layer = spectral_norm(make().double(), n_power_iterations=iterations).to(memory_format=memory_format)
    own = copy.deepcopy(layer)
    use_fast_spectral_norm(own)
    assert type(own.parametrizations.weight[0]) is FastSpectralNorm
    return layer, own


def gradients(layer, images):
    """The output, the gradients of its squared sum, and those of the squared gradients."""
    output = layer(images)
    leaves = [images, *layer.parameters()]
    first = torch.autograd.grad(output.square().sum(), leaves, create_graph=True)
    penalty = sum(gradient.square().sum() for gradient in first)
    return [output, *first, *torch.autograd.grad(penalty, leaves)]


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", LAYERS)
def test_agrees_with_torch(name, memory_format, iterations):
    make, size = LAYERS[name]
    layer, own = pair(make, iterations, memory_format)
    images = torch.randn(size, dtype=torch.float64, requires_grad=True)
    for training in (True, False, True):
        layer.train(training)
        own.train(training)
        for value, expected in zip(gradients(own, images), gradients(layer, images), strict=True):
            torch.testing.assert_close(value, expected)
        state = layer.state_dict()
        assert list(own.state_dict()) == list(state)
        for key, value in own.state_dict().items():
            torch.testing.assert_close(value, state[key], msg=key)


def test_an_earlier_output_is_still_differentiable():
    """D is often called twice before the backward pass, and its vectors change in place."""
    layer, own = pair(*LAYERS["convolution"][:1])
    images = torch.randn(2, 2, 5, 6, 6, dtype=torch.float64)
    expected, value = (
        torch.autograd.grad(sum(net(batch).square().sum() for batch in images), [*net.parameters()])
        for net in (layer, own)
    )
    for one, two in zip(value, expected, strict=True):
        torch.testing.assert_close(one, two)


def test_the_vectors_converge_to_the_largest_singular_value():
    _, own = pair(*LAYERS["convolution"][:1])
    for _ in range(200):
        weight = own.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1)
    assert torch.linalg.matrix_norm(own.parametrizations.weight.original.flatten(1), 2).item() != pytest.approx(1)


def test_other_parametrizations_are_not_replaced():
    class Convolution(nn.Conv2d):
        """A network's own layers may have spectral norm as well."""

    network = nn.ModuleDict(
        {
            "linear": spectral_norm(nn.Linear(4, 4)),
            "own": spectral_norm(Convolution(4, 4, 3)),
            "one-dimensional": spectral_norm(nn.Conv1d(4, 4, 3)),
            "transposed": spectral_norm(nn.ConvTranspose2d(4, 4, 3)),
            "orthogonal": nn.utils.parametrizations.orthogonal(nn.Linear(4, 4)),
        }
    )
    use_fast_spectral_norm(network)
    fast = {name for name, layer in network.items() if type(layer.parametrizations.weight[0]) is FastSpectralNorm}
    assert fast == {"linear", "own", "one-dimensional"}
    torch.manual_seed(0)
    torchs = spectral_norm(nn.Conv1d(4, 4, 3))
    own = copy.deepcopy(torchs)
    use_fast_spectral_norm(own)
    assert torch.equal(own.weight, torchs.weight)


@pytest.mark.parametrize(
    ("train", "fast"), [({}, True), ({"kernels": "torch"}, False), ({"precision": "fp32"}, False)]
)
def test_recipes_use_it_in_bf16_unless_kernels_is_torch(runtime, recipe, train, fast):
    networks = {"generator": {"name": "biggan", "width": 4}, "discriminator": {"name": "biggan", "width": 4}}
    trainer = runtime.assemble(recipe(train={"precision": "bf16"} | train, **networks))
    kinds = {type(layer) for layer in trainer.state.discriminator.modules()}
    assert (FastSpectralNorm in kinds) == fast
