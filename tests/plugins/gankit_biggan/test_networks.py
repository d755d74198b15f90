"""BigGAN against public parameter counts and an independently written forward, and what the framework asks of it."""

import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
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


def conv(inputs: int, outputs: int, kernel: int = 3, bias: bool = True) -> int:
    return inputs * outputs * kernel**2 + bias * outputs


def attention(channels: int) -> int:
    inner, outer = channels // 8, channels // 2
    return 2 * channels * inner + 2 * channels * outer + 1


def generator_formula(widths: list[int], attended: int, classes: int, chunk: int, embedding: int = 128) -> int:
    condition = chunk + embedding
    blocks = sum(
        conv(a, b) + conv(b, b) + conv(a, b, 1) + 2 * condition * (a + b)  # a gain and a bias for each of two norms
        for a, b in pairwise(widths)
    )
    first = (chunk + 1) * widths[0] * 16
    last = 2 * widths[-1] + conv(widths[-1], 3)
    return classes * embedding + first + blocks + attention(attended) + last


def discriminator_formula(widths: list[int], halvings: int, attended: int, classes: int) -> int:
    blocks = sum(
        conv(a, b) + conv(b, b) + (conv(a, b, 1) if a != b or index < halvings else 0)
        for index, (a, b) in enumerate(pairwise([3, *widths]))
    )
    return blocks + attention(attended) + widths[-1] + 1 + classes * widths[-1]


def test_parameter_counts_for_cifar10() -> None:
    # layout of the public CIFAR-10 configuration (StudioGAN): G 384 channels wide, D 192, attention at 16 px
    assert parameter_count(BigGANGenerator(CIFAR, 80)) == 9_416_196 == generator_formula([384] * 4, 384, 10, 20)
    assert parameter_count(BigGANDiscriminator(CIFAR)) == 2_415_170 == discriminator_formula([192] * 4, 2, 192, 10)
    # that of the author's PyTorch code: D of 256 channels without attention
    wide = BigGANDiscriminator(CIFAR, width=64, multipliers=(4, 4, 4, 4), attention=())
    assert parameter_count(wide) == 4_207_361 == discriminator_formula([256] * 4, 2, 256, 10) - attention(256)


@pytest.mark.parametrize(
    ("size", "latent_dim", "generator", "discriminator"),
    [
        # asserted by google/compare_gan's resnet_biggan_test.py
        (128, 120, 70_433_988, 87_982_370),
        # in the head of its resnet_biggan.py; its D lacks the shortcut's convolution where a block only halves
        pytest.param(256, 140, 82_097_604, 98_635_298 + conv(768, 768, 1), marks=pytest.mark.slow),
    ],
)
def test_parameter_counts_for_imagenet(size: int, latent_dim: int, generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        image = gankit.ImageSpec(size, size, 3, classes=1000)
        # left out for the time it takes; it adds no parameters
        assert parameter_count(BigGANGenerator(image, latent_dim, spectral_norm=False)) == generator
        assert parameter_count(BigGANDiscriminator(image, attention=(64,))) == discriminator


def normalized(state: dict[str, Tensor], name: str) -> Tensor:
    """A layer's weight divided by the singular value that its stored vectors find."""
    prefix = f"{name}.parametrizations.weight"
    weight, left, right = (state[f"{prefix}.{part}"] for part in ("original", "0._u", "0._v"))
    return weight / (left @ weight.flatten(1) @ right)


def reference_attention(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    def project(part: str, pixels: Tensor) -> Tensor:
        return torch.einsum("oc,nchw->nohw", normalized(state, f"{name}.{part}")[:, :, 0, 0], pixels)

    query, key, value = project("query", x), project("key", x), project("value", x)
    key, value = F.max_pool2d(key, 2), F.max_pool2d(value, 2)
    weights = torch.einsum("nchw,ncij->nhwij", query, key)
    weights = weights.flatten(3).softmax(3).view_as(weights)
    return x + state[f"{name}.share"] * project("out", torch.einsum("ncij,nhwij->nchw", value, weights))


def reference_conv(state: dict[str, Tensor], name: str, x: Tensor, padding: int) -> Tensor:
    return F.conv2d(x, normalized(state, name), state[f"{name}.bias"], padding=padding)


def reference_generator(state: dict[str, Tensor], z: Tensor, labels: Tensor, blocks: int, attended: int) -> Tensor:
    chunks = z.chunk(blocks + 1, dim=1)
    embedded = state["embedding.weight"][labels]
    x = (chunks[0] @ normalized(state, "linear").t() + state["linear.bias"]).view(len(z), -1, 4, 4)

    def norm(name: str, x: Tensor, condition: Tensor) -> Tensor:
        mean, variance = state[f"{name}.norm.running_mean"], state[f"{name}.norm.running_var"]
        x = (x - mean[:, None, None]) / (variance[:, None, None] + 1e-4).sqrt()
        gain, bias = (condition @ normalized(state, f"{name}.{part}").t() for part in ("gain", "bias"))
        return x * (1 + gain)[:, :, None, None] + bias[:, :, None, None]

    def double(x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    for index in range(blocks):
        name, condition = f"blocks.{index}", torch.cat([embedded, chunks[index + 1]], dim=1)
        h = reference_conv(state, f"{name}.conv1", double(norm(f"{name}.norm1", x, condition).relu()), 1)
        h = reference_conv(state, f"{name}.conv2", norm(f"{name}.norm2", h, condition).relu(), 1)
        x = h + reference_conv(state, f"{name}.shortcut", double(x), 0)
        if index == attended:
            x = reference_attention(state, f"attention.{index}", x)
    x = F.batch_norm(
        x, state["norm.running_mean"], state["norm.running_var"], state["norm.weight"], state["norm.bias"], eps=1e-4
    )
    return reference_conv(state, "out", x.relu(), 1).tanh()


def reference_discriminator(
    state: dict[str, Tensor], x: Tensor, labels: Tensor, halve: list[bool], attended: int
) -> Tensor:
    for index, halves in enumerate(halve):
        name = f"blocks.{index}"
        h = reference_conv(state, f"{name}.conv1", x if index == 0 else x.relu(), 1).relu()
        h = reference_conv(state, f"{name}.conv2", h, 1)
        if f"{name}.shortcut.bias" in state:
            x = reference_conv(state, f"{name}.shortcut", x, 0)
        x = F.avg_pool2d(h, 2) + F.avg_pool2d(x, 2) if halves else h + x
        if index == attended:
            x = reference_attention(state, f"attention.{index}", x)
    features = x.relu().sum((2, 3))
    logits = features @ normalized(state, "logit").t() + state["logit.bias"]
    return logits[:, 0] + (normalized(state, "embedding")[labels] * features).sum(1)


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network in fp64 and eval mode, with every parameter and statistic away from its first value."""
    random = torch.Generator().manual_seed(seed)
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random, dtype=torch.float64), alpha=0.1)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean += torch.randn(module.running_mean.shape, generator=random)
                module.running_var += torch.rand(module.running_var.shape, generator=random)
    return network.eval()


def test_generator_is_the_reference() -> None:
    generator = shaken(BigGANGenerator(CIFAR, 16, width=4, embedding_dim=5))
    z = torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([7, 0, 7])
    expected = reference_generator(generator.state_dict(), z, labels, blocks=3, attended=1)
    torch.testing.assert_close(generator(z, labels), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("size", "halve", "widths"), [(32, [True, True, False, False], (4, 4, 8, 8)), (64, [True] * 4 + [False], None)]
)
def test_discriminator_is_the_reference(size: int, halve: list[bool], widths: tuple[int, ...] | None) -> None:
    image = gankit.ImageSpec(size, size, 3, classes=10)
    discriminator = shaken(BigGANDiscriminator(image, width=4, multipliers=widths))
    images = torch.rand(3, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    labels = torch.tensor([7, 0, 7])
    expected = reference_discriminator(discriminator.state_dict(), images, labels, halve, attended=0)
    torch.testing.assert_close(discriminator(images, labels), expected, rtol=1e-10, atol=1e-10)


@settings(deadline=None, max_examples=10)
@given(
    base=st.tuples(st.integers(4, 7), st.integers(4, 28)).filter(lambda b: b[1] <= 4 * b[0]),
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


@pytest.mark.parametrize("image", [CIFAR, gankit.ImageSpec(14, 28, 1)])
def test_conformance(image: gankit.ImageSpec) -> None:
    check_generator(BigGANGenerator, image, width=2)
    check_discriminator(BigGANDiscriminator, image, width=4)


@pytest.mark.parametrize("options", [{"hierarchical": False}, {"attention": (8,)}])
def test_conformance_of_variants(options: dict[str, object]) -> None:
    check_generator(BigGANGenerator, gankit.ImageSpec(8, 8, 4), width=2, spectral_norm=False, **options)


def idle(network: nn.Module, output: Tensor) -> set[str]:
    """Parameters whose gradient vanishes, after checking that every gradient is finite."""
    gradients = torch.autograd.grad((output * torch.randn_like(output)).sum(), list(network.parameters()))
    names = [name for name, _ in network.named_parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    return {name for name, gradient in zip(names, gradients, strict=True) if gradient.abs().max() < 1e-12}


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    z, labels, images = torch.randn(6, 16).double(), torch.arange(6) % 3, torch.randn(6, 3, 16, 16).double()
    generator, discriminator = shaken(BigGANGenerator(TINY, 16, width=4)), shaken(BigGANDiscriminator(TINY, width=4))
    assert idle(generator, generator(z, labels)) == set()
    assert idle(discriminator, discriminator(images, labels)) == set()


def test_what_is_idle_at_the_start_is_so_on_purpose() -> None:
    torch.manual_seed(0)
    z, labels, images = torch.randn(6, 16).double(), torch.arange(6) % 3, torch.randn(6, 3, 16, 16).double()
    discriminator = BigGANDiscriminator(TINY, width=4).double()
    # attention's share starts at 0, so that its layers wait until it has moved
    waiting = {f"attention.0.{part}.parametrizations.weight.original" for part in ("query", "key", "value", "out")}
    assert idle(discriminator, discriminator(images, labels)) == waiting
    # a constant that the blocks' convolutions add is taken away by the batch normalization that all paths end in
    constants = {f"blocks.{block}.{layer}.bias" for block in (0, 1) for layer in ("conv1", "conv2", "shortcut")}
    generator = BigGANGenerator(TINY, 16, width=4).double()
    assert idle(generator, generator(z, labels)) == waiting | constants


def test_first_weights_are_orthogonal() -> None:
    torch.manual_seed(0)
    for network in (BigGANGenerator(CIFAR, 16, width=4), BigGANDiscriminator(CIFAR, width=4)):
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
                matrix = module.weight.detach().flatten(1)
                matrix = matrix if len(matrix) <= matrix.shape[1] else matrix.t()
                torch.testing.assert_close(matrix @ matrix.t(), torch.eye(len(matrix)), rtol=0, atol=1e-4)
                if getattr(module, "bias", None) is not None:
                    assert not module.bias.any()


def test_largest_singular_values_are_one_but_the_embeddings() -> None:
    torch.manual_seed(0)
    for network in (BigGANGenerator(CIFAR, 16, width=4), BigGANDiscriminator(CIFAR, width=4)):
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


def test_spectral_normalization_of_the_generator_can_be_left_out() -> None:
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
        result = layer.before_halving(images) if halved else layer(images)
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(result.float(), expected, rtol=0.02, atol=0.02)


def test_bf16_is_near_full_precision() -> None:
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
    for labels, alike in (([4, 4], True), ([4, 5], False)):
        one, other = generator(z, torch.tensor(labels))
        assert torch.allclose(one, other, atol=1e-5) is alike
        one, other = discriminator(images, torch.tensor(labels))
        assert torch.allclose(one, other, atol=1e-4) is alike


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
def test_classes_without_labels_are_refused(network: nn.Module) -> None:
    inputs = torch.randn(2, 8) if isinstance(network, BigGANGenerator) else torch.randn(2, 3, 16, 16)
    with pytest.raises(ValueError, match="built for 3 classes: pass labels"):
        network(inputs)


def test_latents_too_short_for_the_blocks_are_refused() -> None:
    with pytest.raises(
        ValueError, match="3 dimensions cannot be split into 4 chunks.* 4 or more, or set hierarchical: false"
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
    one(inputs, labels)  # moves statistics and singular vectors
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    twin = copy.deepcopy(one)
    for _ in range(2):  # training mode, in which they move on alike
        expected = one(inputs, labels)
        assert torch.equal(other(inputs, labels), expected)
        assert torch.equal(twin(inputs, labels), expected)
    assert torch.equal(other.eval()(inputs, labels), one.eval()(inputs, labels))


def test_the_average_of_a_generator() -> None:
    torch.manual_seed(0)
    generator = BigGANGenerator(TINY, 8, width=4)
    average = GeneratorEMA(generator)
    average.update_parameters(generator)
    before = copy.deepcopy(generator.state_dict())
    generator(torch.randn(8, 8), torch.arange(8) % 3)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter))
    generator(torch.randn(8, 8), torch.arange(8) % 3)
    average.decay = 0.75
    average.update_parameters(generator)
    for name, value in average.module.state_dict().items():
        now = generator.state_dict()[name]
        copied = name.endswith(("_u", "_v", "num_batches_tracked"))
        torch.testing.assert_close(value, now if copied else 0.75 * before[name] + 0.25 * now)


def test_r1_is_differentiable_twice() -> None:
    torch.manual_seed(0)
    discriminator = shaken(BigGANDiscriminator(TINY, width=4))
    labels = torch.tensor([0, 2, 1])
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(discriminator(images, labels).sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    state = dict(discriminator.named_parameters())
    places = {
        "blocks.0.conv2.parametrizations.weight.original": (3, 2, 1, 2),
        "blocks.1.shortcut.parametrizations.weight.original": (1, 2, 0, 0),
        "attention.0.query.parametrizations.weight.original": (0, 3, 0, 0),
        "embedding.parametrizations.weight.original": (2, 1),
    }
    for name, place in places.items():
        step, values = 1e-6, []
        for sign in (1, -1):
            with torch.no_grad():
                state[name][place] += sign * step
            values.append(penalty().item())
            with torch.no_grad():
                state[name][place] -= sign * step
        assert state[name].grad[place].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4), name


def test_r1_in_training_mode_with_two_forwards_before_one_backward() -> None:
    torch.manual_seed(0)
    discriminator = BigGANDiscriminator(TINY, width=4)
    labels = torch.tensor([0, 2, 1])
    real, fake = (torch.randn(3, 3, 16, 16, requires_grad=True) for _ in range(2))
    real_logits, fake_logits = discriminator(real, labels), discriminator(fake, labels)
    (gradient,) = torch.autograd.grad(real_logits.sum(), real, create_graph=True)
    (fake_logits.mean() - real_logits.mean() + gradient.square().sum()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.parameters())


def test_path_length_of_the_generator_is_differentiable() -> None:
    torch.manual_seed(0)
    generator = BigGANGenerator(TINY, 8, width=4)
    z = torch.randn(4, 8, requires_grad=True)
    images = generator(z, torch.tensor([0, 1, 2, 0]))
    (gradient,) = torch.autograd.grad((images * torch.randn_like(images)).sum(), z, create_graph=True)
    gradient.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in generator.parameters())
    assert generator.linear.parametrizations.weight.original.grad.abs().max() > 0
