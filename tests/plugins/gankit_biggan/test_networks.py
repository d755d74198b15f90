"""BigGAN's networks: the contract, initialization, spectral norm, precision, labels and state dicts."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import gankit
from gankit.testing import check_discriminator, check_generator
from gankit.training.ema import GeneratorEMA
from gankit_biggan.layers import Conv2d, full_weight
from gankit_biggan.networks import BigGANDiscriminator, BigGANGenerator

CIFAR = gankit.ImageSpec(32, 32, 3, classes=10)
PLAIN = gankit.ImageSpec(32, 32, 3)
TINY = gankit.ImageSpec(16, 16, 3, classes=3)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@settings(deadline=None, max_examples=10)
@given(
    base=st.tuples(st.integers(4, 7), st.integers(4, 16)).filter(lambda b: b[1] <= 4 * b[0]),
    upright=st.booleans(),
    doublings=st.integers(1, 4),
    channels=st.integers(1, 4),
    latent_dim=st.integers(5, 11),
    classes=st.integers(0, 3),
    hierarchical=st.booleans(),
    n=st.integers(2, 3),
)
def test_shapes_and_range(
    base: tuple[int, int],
    upright: bool,
    doublings: int,
    channels: int,
    latent_dim: int,
    classes: int,
    hierarchical: bool,
    n: int,
) -> None:
    height, width = base[::-1] if upright else base
    image = gankit.ImageSpec(height << doublings, width << doublings, channels, classes)
    labels = torch.arange(n) % classes if classes else None
    generator = BigGANGenerator(image, latent_dim, width=1, embedding_dim=2, hierarchical=hierarchical)
    images = generator(torch.randn(n, latent_dim), labels)
    assert images.shape == (n, channels, image.height, image.width)
    assert images.abs().max() <= 1
    assert BigGANDiscriminator(image, width=1)(images, labels).shape == (n,)


@pytest.mark.parametrize("image", [CIFAR, pytest.param(gankit.ImageSpec(14, 28, 1), marks=pytest.mark.slow)])
def test_conformance(image: gankit.ImageSpec) -> None:
    check_generator(BigGANGenerator, image, width=2)
    check_discriminator(BigGANDiscriminator, image, width=4)


@pytest.mark.parametrize("options", [{"hierarchical": False}, {"attention": (8,)}])
def test_conformance_of_variants(options: dict[str, object]) -> None:
    check_generator(BigGANGenerator, gankit.ImageSpec(8, 8, 4), width=2, spectral_norm=False, **options)


def test_initial_weights_are_orthogonal() -> None:
    torch.manual_seed(0)
    for network in (BigGANGenerator(CIFAR, 16, width=4), BigGANDiscriminator(CIFAR, width=4)):
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                matrix = module.weight.detach().flatten(1)
                matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.t()
                torch.testing.assert_close(matrix @ matrix.t(), torch.eye(len(matrix)), rtol=0, atol=1e-4)
                if getattr(module, "bias", None) is not None:
                    assert not module.bias.any()


def test_largest_singular_values_are_one_except_the_embeddings() -> None:
    torch.manual_seed(0)
    small = gankit.ImageSpec(16, 16, 3, classes=10)
    for network in (BigGANGenerator(small, 16, width=4), BigGANDiscriminator(small, width=4)):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(torch.randn_like(parameter))
        for _ in range(100):  # each is one power iteration
            for module in network.modules():
                if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                    _ = module.weight
        for name, module in network.named_modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                largest = torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2).item()
                free = network.__class__ is BigGANGenerator and name == "embedding"
                assert (largest > 1.5) if free else (largest == pytest.approx(1, abs=0.01)), name


def test_spectral_norm_of_the_generator_is_optional() -> None:
    generator = BigGANGenerator(CIFAR, 16, width=4, spectral_norm=False)
    assert not any("parametrizations" in name for name in generator.state_dict())
    assert parameter_count(generator) == parameter_count(BigGANGenerator(CIFAR, 16, width=4))


@pytest.mark.parametrize("halved", [False, True])
def test_weights_are_normalized_in_full_precision_under_autocast(halved: bool) -> None:
    torch.manual_seed(0)
    layer = Conv2d(8, 8, 3).eval()
    images = torch.randn(2, 8, 6, 6)
    expected = F.conv2d(images, layer.weight, padding=1)
    expected = F.avg_pool2d(expected, 2) if halved else expected
    with torch.autocast("cpu", torch.bfloat16):
        assert full_weight(layer, images.device).dtype == torch.float32
        result = layer.downsampled(images) if halved else layer(images)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected, rtol=0.02, atol=0.02)


def test_bf16_is_close_to_full_precision() -> None:
    torch.manual_seed(0)
    generator, discriminator = BigGANGenerator(CIFAR, 16, width=8).eval(), BigGANDiscriminator(CIFAR, width=8).eval()
    z, labels = torch.randn(8, 16), torch.arange(8)
    images = generator(z, labels)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, logits = generator(z, labels), discriminator(images, labels)
    assert rounded.dtype == logits.dtype == torch.float32
    assert 0 < (rounded - images).abs().max() < 0.05
    torch.testing.assert_close(logits, discriminator(images, labels), rtol=0.05, atol=0.1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = discriminator(generator.train()(z, labels), labels).mean()
    loss.backward()
    assert all(p.grad.isfinite().all() for p in [*generator.parameters(), *discriminator.parameters()])


def test_labels_change_images_and_logits() -> None:
    torch.manual_seed(0)
    generator, discriminator = BigGANGenerator(CIFAR, 16, width=4).eval(), BigGANDiscriminator(CIFAR, width=4).eval()
    z, images = torch.randn(1, 16).repeat(2, 1), torch.randn(1, 3, 32, 32).repeat(2, 1, 1, 1)
    for labels, equal in (([4, 4], True), ([4, 5], False)):
        one, other = generator(z, torch.tensor(labels))
        assert torch.allclose(one, other, atol=1e-5) is equal
        one, other = discriminator(images, torch.tensor(labels))
        assert torch.allclose(one, other, atol=1e-4) is equal


@pytest.mark.parametrize("hierarchical", [True, False])
@pytest.mark.parametrize("image", [CIFAR, PLAIN])
def test_each_chunk_of_the_latent_matters(image: gankit.ImageSpec, hierarchical: bool) -> None:
    torch.manual_seed(0)
    generator = BigGANGenerator(image, 6, width=4, hierarchical=hierarchical).eval()
    labels = torch.zeros(7, dtype=torch.int64) if image.classes else None
    z = torch.randn(1, 6).repeat(7, 1)
    z[:6] += torch.eye(6)  # 6 dimensions in chunks of 2, 2, 1 and 1
    images = generator(z, labels)
    assert all((images[i] - images[6]).abs().max() > 1e-3 for i in range(6))


@pytest.mark.parametrize("network", [BigGANGenerator(TINY, 8, width=2), BigGANDiscriminator(TINY, width=2)])
def test_missing_labels_raise(network: nn.Module) -> None:
    inputs = torch.randn(2, 8) if isinstance(network, BigGANGenerator) else torch.randn(2, 3, 16, 16)
    with pytest.raises(ValueError, match="built for 3 classes: pass labels"):
        network(inputs)


def test_latents_with_fewer_dimensions_than_chunks_raise() -> None:
    with pytest.raises(
        ValueError, match="3 dimensions cannot be split into 4 chunks.* use 4 or more, or set hierarchical: false"
    ):
        BigGANGenerator(CIFAR, 3, width=2)
    BigGANGenerator(CIFAR, 3, width=2, hierarchical=False)


@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_state_dict_round_trip(side: str) -> None:
    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return BigGANGenerator(TINY, 8, width=4) if side == "generator" else BigGANDiscriminator(TINY, width=4)

    inputs = torch.randn(4, 8) if side == "generator" else torch.randn(4, 3, 16, 16)
    labels = torch.tensor([0, 1, 2, 0])
    one, other = build(0), build(1)
    one(inputs, labels)  # updates statistics and singular vectors
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    twin = copy.deepcopy(one)
    for _ in range(2):  # training mode, which updates them
        expected = one(inputs, labels)
        assert torch.equal(other(inputs, labels), expected)
        assert torch.equal(twin(inputs, labels), expected)
    assert torch.equal(other.eval()(inputs, labels), one.eval()(inputs, labels))


def test_the_average_of_a_generator() -> None:
    torch.manual_seed(0)
    generator = BigGANGenerator(TINY, 8, width=4)
    average = GeneratorEMA(generator)
    average.update(generator, decay=0.75)
    before = copy.deepcopy(generator.state_dict())
    generator(torch.randn(8, 8), torch.arange(8) % 3)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter))
    generator(torch.randn(8, 8), torch.arange(8) % 3)
    average.update(generator, decay=0.75)
    for name, value in average.module.state_dict().items():
        now = generator.state_dict()[name]
        copied = name.endswith(("_u", "_v", "num_batches_tracked"))
        torch.testing.assert_close(value, now if copied else 0.75 * before[name] + 0.25 * now)
