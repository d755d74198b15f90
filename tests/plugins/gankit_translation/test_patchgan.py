"""The PatchGANs against an independent reference, their published size, and their patches."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

import gankit
from gankit.testing import check_discriminator
from gankit_translation import ConditionalPatchGAN, PatchGAN, TwoPatchGANs


def parameter_count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def reference(state, x, layers, norm, training, normalized):
    """The layers by their names: the first is 0, the others are followed by normalization and activation."""

    def c(x, index, stride):
        padding = 1 if layers else 0
        return F.conv2d(x, state[f"layers.{index}.weight"], state.get(f"layers.{index}.bias"), stride, padding)

    x = F.leaky_relu(c(x, 0, 2 if layers else 1), 0.2)
    strides = [*[2] * (layers - 1), 1]
    for number, stride in enumerate(strides):
        x = normalized(c(x, 2 + 3 * number, stride), norm, state, f"layers.{3 + 3 * number}", training)
        x = F.leaky_relu(x, 0.2)
    return c(x, 2 + 3 * len(strides), 1)


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("size", "layers", "logits"),
    [((32, 50), 3, (2, 4)), ((24, 24), 3, (1, 1)), ((13, 20), 2, (1, 3)), ((7, 8), 1, (1, 2)), ((5, 4), 0, (5, 4))],
)
def test_they_are_the_reference(pairs, randomized, noise, normalized, norm, training, size, layers, logits):
    data = pairs(*size, 2, 3)
    images, source = noise(3, 2, *size), noise(3, 3, *size, seed=2)
    one = randomized(PatchGAN(data.image, width=3, layers=layers, norm=norm)).train(training)
    both = randomized(ConditionalPatchGAN(data.image, data, width=3, layers=layers, norm=norm)).train(training)
    for network, given in ((one, (images,)), (both, (images, source))):
        state = {name: value.clone() for name, value in network.state_dict().items()}
        expected = reference(state, torch.cat(given[::-1], 1), layers, norm, training, normalized)
        assert expected.shape == (3, 1, *logits)
        torch.testing.assert_close(network(*given), expected, rtol=0, atol=1e-12)


def test_parameter_counts_of_the_published_networks(pairs):
    def expected(channels, norm):
        inner = [(64, 128), (128, 256), (256, 512)]
        per_output = {"batch": 2, "instance": 1}[norm]  # a gain and a shift, or a bias
        hidden = sum(16 * i * o + per_output * o for i, o in inner)
        return 16 * channels * 64 + 64 + hidden + 16 * 512 + 1

    with torch.device("meta"):
        data = pairs(256, 256)
        assert parameter_count(ConditionalPatchGAN(data.image, data)) == expected(6, "batch") == 2_768_705
        assert parameter_count(PatchGAN(data.image, norm="instance")) == expected(3, "instance") == 2_764_737
        assert parameter_count(PatchGAN(data.image)) == expected(3, "batch")


def test_widths_grow_to_eight_times_the_first(pairs):
    with torch.device("meta"):
        network = PatchGAN(gankit.ImageSpec(256, 256, 3), width=5, layers=5)
    widths = [module.out_channels for module in network.layers if hasattr(module, "out_channels")]
    assert widths == [5, 10, 20, 40, 40, 40, 1]


@pytest.mark.parametrize(("layers", "patch"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_a_logit_depends_on_a_patch(randomized, noise, layers, patch):
    size = (patch + 2 * 2**layers * 5, patch + 2 * 2**layers * 6)
    network = randomized(PatchGAN(gankit.ImageSpec(*size, 1), width=1, layers=layers)).eval()
    images = noise(1, 1, *size).requires_grad_()
    logits = network(images)
    (gradient,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], images)
    for dim in (0, 1):
        reached = gradient[0, 0].abs().sum(dim).nonzero().flatten()
        assert len(reached) == reached[-1] - reached[0] + 1 == patch


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize(("network", "layers"), [(PatchGAN, 2), (ConditionalPatchGAN, 2), (PatchGAN, 0)])
def test_contract(pairs, channels, norm, network, layers):
    check_discriminator(network, pairs(16, 24, channels, 5 - channels), width=4, layers=layers, norm=norm)


@pytest.mark.parametrize("side", range(1, 60))
def test_an_image_is_refused_exactly_if_no_logit_remains(side):
    for layers in range(1, 5):
        remaining = side
        for _ in range(layers):
            remaining //= 2
        if remaining - 2 >= 1:
            for norm in ("batch", "instance"):
                network = PatchGAN(gankit.ImageSpec(60, side, 3), width=1, layers=layers, norm=norm)
                assert network(torch.rand(1, 3, 60, side)).shape[3] == remaining - 2
        else:
            with pytest.raises(ValueError, match=rf"^patchgan with layers={layers} needs .* {3 * 2**layers} pixels") as caught:
                PatchGAN(gankit.ImageSpec(60, side, 3), width=1, layers=layers)
            most = int(str(caught.value).partition("set layers to ")[2].split()[0])
            PatchGAN(gankit.ImageSpec(60, side, 3), width=1, layers=most)


def test_images_and_sources_must_be_of_one_size(pairs, randomized, noise):
    data = pairs(16, 16)
    network = randomized(ConditionalPatchGAN(data.image, data, width=2, layers=1))
    with pytest.raises(ValueError, match=r"^conditional_patchgan .* images are 16x16 .*, the sources 16x8$"):
        network(noise(1, 3, 16, 16), noise(1, 3, 16, 8))
    other = gankit.DataSpec(image=data.image, source=gankit.ImageSpec(8, 8, 3))
    with pytest.raises(ValueError, match="^conditional_patchgan .* sources 8x8"):
        ConditionalPatchGAN(other.image, other)
    with pytest.raises(ValueError, match="^conditional_patchgan with layers=3 needs images of at least 24 .* 16x16"):
        ConditionalPatchGAN(data.image, data)


@pytest.mark.parametrize(
    ("network", "name"), [(ConditionalPatchGAN, "conditional_patchgan"), (TwoPatchGANs, "two_patchgans")]
)
def test_the_data_must_have_sources(network, name):
    data = gankit.DataSpec(image=gankit.ImageSpec(32, 32, 3))
    with pytest.raises(ValueError, match=f"^{name} needs source images, but the data has no field 'source'"):
        network(data.image, data)


def test_one_network_for_each_field(pairs, randomized, noise):
    data = pairs(24, 32, 1, 4)
    networks = randomized(TwoPatchGANs(data.image, data, width=2, layers=2)).eval()
    images, sources = noise(2, 1, 24, 32), noise(2, 4, 24, 32)
    assert torch.equal(networks(images), networks.of_images(images))
    for network, given, spec in (
        (networks.of_images, images, data.image),
        (networks.of_sources, sources, data["source"]),
    ):
        alone = PatchGAN(spec, width=2, layers=2, norm="instance").double().eval()
        alone.load_state_dict(network.state_dict())
        assert torch.equal(alone(given), network(given))
        assert network(given).shape == (2, 1, 4, 6)


def test_initial_weights(pairs):
    torch.manual_seed(0)
    data = pairs(32, 32)
    both = TwoPatchGANs(data.image, data, width=16)
    for network in (PatchGAN(data.image, width=16), ConditionalPatchGAN(data.image, data, width=16), both):
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            else:
                value, error = parameter.detach(), 5 / parameter.numel() ** 0.5  # five standard errors
                assert abs(value.mean() - (1.0 if value.dim() == 1 else 0.0)) < 0.02 * error
                assert abs(value.std() / 0.02 - 1) < error
    assert not torch.equal(both.of_images.layers[0].weight, both.of_sources.layers[0].weight)
