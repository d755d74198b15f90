"""The generators of CycleGAN against an independent reference, their published size, and the images they accept."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit
from gankit.testing import check_generator
from gankit_translation import ResnetTranslator, TwoTranslators


def parameter_count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def reflected(x, by):
    """Padding by reflection: pixel -1 is pixel 1, and pixel h is pixel h - 2."""
    for dim in (2, 3):
        side = x.shape[dim]
        places = [side - 1 - abs(side - 1 - abs(place)) for place in range(-by, side + by)]
        x = x.index_select(dim, torch.tensor(places))
    return x


def reference(network, source, halvings, norm, training, normalized):
    """The layers in the paper's notation, in their order."""
    state = {name: value.clone() for name, value in network.state_dict().items()}
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.GroupNorm)
    layers = [(name, isinstance(part, kinds[:2])) for name, part in network.named_modules() if isinstance(part, kinds)]
    convolutions, norms = ([name for name, convolves in layers if convolves is chosen] for chosen in (True, False))
    features = [source]

    def c(x, padding=0, stride=1):
        prefix = convolutions.pop(0)
        return F.conv2d(x, state[f"{prefix}.weight"], state.get(f"{prefix}.bias"), stride=stride, padding=padding)

    def u(x):
        prefix = convolutions.pop(0)
        weight = state[f"{prefix}.weight"]
        size = (len(x), weight.shape[1], 2 * x.shape[2], 2 * x.shape[3])
        bias = state.get(f"{prefix}.bias", torch.zeros(size[1], dtype=x.dtype))
        return torch.nn.grad.conv2d_input(size, weight, x, stride=2, padding=1) + bias[:, None, None]

    def n(x):
        return normalized(x, norm, state, norms.pop(0), training)

    def relu(x):
        return x.clamp(min=0)

    x = relu(n(c(reflected(source, 3))))
    for _ in range(halvings):
        features.append(c(x, padding=1, stride=2))
        x = relu(n(features[-1]))
    while len(norms) > halvings:
        x = x + n(c(reflected(relu(n(c(reflected(x, 1)))), 1)))
        features.append(x)
    for _ in range(halvings):
        x = relu(n(u(x)))
    return c(reflected(x, 3)).tanh(), features


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("size", "blocks", "halvings"), [((16, 24), 2, 2), ((8, 8), 1, 2), ((4, 5), 1, 0), ((8, 8), 5, 1)])
def test_it_is_the_reference(pairs, randomized, noise, normalized, norm, training, size, blocks, halvings):
    network = ResnetTranslator(pairs(*size, 2, 4), width=3, blocks=blocks, halvings=halvings, norm=norm)
    randomized(network).train(training)
    source = noise(3, 4, *size)
    expected, expected_features = reference(network, source, halvings, norm, training, normalized)
    features, images = network.encoder(source), network(source)
    assert images.shape == (3, 2, *size)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-12)
    middle = blocks // 2  # CUT compares the first and the fifth of nine blocks
    compared = [*expected_features[: 2 + halvings], *expected_features[1 + halvings :][middle : middle + bool(middle)]]
    assert [feature.shape[1] for feature in features] == [*network.encoder.channels]
    for feature, expected in zip(features, compared, strict=True):
        torch.testing.assert_close(feature, expected, rtol=0, atol=1e-12)


def test_parameter_count_of_the_published_network(pairs):
    def convolutions(bias, blocks):
        layers = [(49, 3, 64), (9, 64, 128), (9, 128, 256), *[(9, 256, 256)] * 2 * blocks, (9, 256, 128), (9, 128, 64)]
        return sum(kernel * i * o + bias * o for kernel, i, o in layers) + 49 * 64 * 3 + 3

    normalized = 2 * (64 + 128 + 256 + 18 * 256 + 128 + 64)
    with torch.device("meta"):
        data = pairs(256, 256)
        assert parameter_count(ResnetTranslator(data)) == convolutions(1, 9) == 11_378_179
        assert parameter_count(ResnetTranslator(data, blocks=6)) == convolutions(1, 6)
        assert parameter_count(ResnetTranslator(data, norm="batch")) == convolutions(0, 9) + normalized
        assert parameter_count(TwoTranslators(data)) == 2 * 11_378_179


def test_instance_normalization_has_no_parameters(pairs):
    network = ResnetTranslator(pairs(16, 16), width=2, blocks=1)
    layers = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    assert len(layers) == 1 + 2 + 2 + 2
    assert all(not layer.state_dict() and layer.num_groups == layer.num_channels for layer in layers)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_contract(pairs, channels, norm):
    check_generator(ResnetTranslator, pairs(16, 24, channels, 5 - channels), width=4, blocks=2, norm=norm)


def test_a_larger_image_is_translated_like_its_parts(pairs, randomized, noise):
    """With fixed statistics, the network is local: far from the borders, a crop gives the same pixels."""
    network = randomized(ResnetTranslator(pairs(16, 16), width=2, blocks=1, norm="batch")).eval()
    source = noise(1, 3, 96, 128)
    images, of_crop = network(source), network(source[..., 16:96, 32:112])
    assert images.shape == (1, 3, 96, 128)
    torch.testing.assert_close(images[..., 46:66, 62:82], of_crop[..., 30:50, 30:50], rtol=0, atol=1e-12)


def test_sizes_that_cannot_be_halved_are_refused(pairs, noise):
    with pytest.raises(
        ValueError,
        match=r"^resnet_translator with halvings=2 cannot translate images of 30x33 \(height x width\): both sides must "
        r"be multiples of 4 and at least 8; the nearest size that works is 32x32$",
    ):
        ResnetTranslator(pairs(30, 33))
    with pytest.raises(ValueError, match="halvings=3 .* nearest size that works is 16x16"):
        ResnetTranslator(pairs(8, 8), halvings=3)
    with pytest.raises(ValueError, match="halvings=0 .* 3x8 .* nearest size that works is 4x8"):
        ResnetTranslator(pairs(3, 8), halvings=0)
    network = ResnetTranslator(pairs(16, 16), width=2, blocks=1).double()
    with pytest.raises(ValueError, match="cannot translate images of 18x16 .* nearest size that works is 20x16"):
        network(noise(1, 3, 18, 16))


@pytest.mark.parametrize("side", [8, 12, 16])
@pytest.mark.parametrize("halvings", [0, 1, 2])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_accepted_sizes_work_in_training(pairs, side, halvings, norm):
    network = ResnetTranslator(pairs(side, 8), width=1, blocks=1, halvings=halvings, norm=norm)
    assert network(torch.rand(1, 3, side, 8)).shape == (1, 3, side, 8)


def test_the_networks_of_both_directions(pairs, randomized, noise):
    data = pairs(16, 24, 1, 4)
    networks = randomized(TwoTranslators(data, width=2, blocks=1, halvings=1, norm="batch")).eval()
    source, images = noise(2, 4, 16, 24), noise(2, 1, 16, 24)
    assert torch.equal(networks(source), networks.to_image(source))
    assert networks(source).shape == (2, 1, 16, 24)
    assert networks.to_source(images).shape == (2, 4, 16, 24)
    for direction, inverse in ((networks.to_image, data), (networks.to_source, pairs(16, 24, 4, 1))):
        alone = ResnetTranslator(inverse, width=2, blocks=1, halvings=1, norm="batch").double().eval()
        alone.load_state_dict(direction.state_dict())
        given = noise(2, inverse["source"].channels, 16, 24)
        assert torch.equal(alone(given), direction(given))


def test_both_directions_start_with_different_weights(pairs):
    torch.manual_seed(0)
    networks = TwoTranslators(pairs(16, 16), width=8, blocks=1)
    weights = [direction.encoder.stages[0][1].weight.detach() for direction in (networks.to_image, networks.to_source)]
    assert not torch.equal(*weights)
    for weight in weights:
        assert abs(weight.std() / 0.02 - 1) < 5 / weight.numel() ** 0.5


@pytest.mark.parametrize(("network", "name"), [(ResnetTranslator, "resnet_translator"), (TwoTranslators, "two_translators")])
def test_the_data_must_have_sources(network, name):
    with pytest.raises(ValueError, match=f"^{name} needs source images, but the data has no field 'source'"):
        network(gankit.DataSpec(image=gankit.ImageSpec(32, 32, 3)))
