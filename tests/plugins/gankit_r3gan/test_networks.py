"""R3GAN's networks: the paper's parameter counts, an independent forward pass, derivatives and the contract."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit
from gankit import testing
from gankit.assembly.dry_run import meta_device
from gankit_r3gan.networks import R3GANDiscriminator, R3GANGenerator

CIFAR = gankit.ImageSpec(32, 32, 3, classes=10)
SMALL = gankit.ImageSpec(16, 16, 3)
CONDITIONAL = gankit.ImageSpec(16, 16, 3, classes=5)
VARIANTS = [
    {},
    {"width": (16, 8, 24), "blocks": (2, 1, 1)},
    {"resampling": "box", "group_size": None},
    {"patch": 2, "expansion": 1, "group_size": 4},
    {"full_precision_stages": 0, "embedding_dim": 5},
]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def randomize(network: nn.Module) -> nn.Module:
    """Draw all convolution weights and biases at random, also those that start at zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 1 / math.sqrt(module.weight[0].numel()))
            if module.bias is not None:
                nn.init.normal_(module.bias, 0.0, 0.3)
    return network


def test_parameter_counts_of_the_paper_for_cifar10() -> None:
    """About 20.8 and 21.3 million in the public implementation; the sums below give the exact numbers."""
    width, inner, groups, blocks = 768, 1536, 96, 4 * 2
    block = width * inner + inner + inner * (inner // groups) * 9 + inner + inner * width
    shared = blocks * block + width * 4 * 4 + 3 * width  # the basis, and a 1x1 convolution of the colours
    with meta_device():
        assert count(R3GANGenerator(CIFAR, 64)) == shared + (64 + 64) * width + 10 * 64 == 20_781_952
        assert count(R3GANDiscriminator(CIFAR)) == shared + width * width + 10 * width == 21_280_512
        without = gankit.ImageSpec(32, 32, 3)
        assert count(R3GANGenerator(without, 64)) == shared + 64 * width == 20_732_160
        assert count(R3GANDiscriminator(without)) == shared + width == 20_683_776


def test_shapes_of_the_paper_for_cifar10() -> None:
    with meta_device():
        labels = torch.zeros(2, dtype=torch.int64)
        generator = R3GANGenerator(CIFAR, 64)
        images = generator(torch.empty(2, 64), labels)
        assert images.shape == (2, 3, 32, 32)
        assert R3GANDiscriminator(CIFAR)(images, labels).shape == (2,)
    assert [len(stage) for stage in generator.stages] == [2, 2, 2, 2]
    assert generator.stages[0][0].mix.groups == 96
    assert generator.stages[0][0].mix.weight.shape == (1536, 16, 3, 3)


def block(features: Tensor, weights: dict[str, Tensor], name: str, groups: int) -> Tensor:
    inner = F.conv2d(features, weights[f"{name}.expand.weight"]) + weights[f"{name}.expand.bias"][:, None, None]
    inner = F.conv2d(F.leaky_relu(inner, 0.2), weights[f"{name}.mix.weight"], padding=1, groups=groups)
    inner = F.leaky_relu(inner + weights[f"{name}.mix.bias"][:, None, None], 0.2)
    return features + F.conv2d(inner, weights[f"{name}.project.weight"])


def enlarge(features: Tensor) -> Tensor:
    """[1, 3, 3, 1] / 4 over zeros in between, as a transposed convolution of each channel."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=features.dtype) / 4
    kernel = torch.outer(taps, taps).expand(features.shape[1], 1, 4, 4)
    return F.conv_transpose2d(features, kernel, stride=2, padding=1, groups=features.shape[1])


def shrink(features: Tensor) -> Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=features.dtype) / 8
    kernel = torch.outer(taps, taps).expand(features.shape[1], 1, 4, 4)
    return F.conv2d(features, kernel, stride=2, padding=1, groups=features.shape[1])


def test_generator_matches_the_paper() -> None:
    torch.manual_seed(0)
    network = randomize(R3GANGenerator(CONDITIONAL, 6, width=(8, 16, 16), blocks=(2, 1, 1), group_size=8)).double()
    w = network.state_dict()
    z, labels = torch.randn(3, 6, dtype=torch.float64), torch.tensor([4, 0, 4])
    joined = torch.cat([z, w["embedding.weight"][labels]], dim=1)
    x = w["basis"] * (joined @ w["modulation.weight"].T)[:, :, None, None]
    x = block(block(x, w, "stages.0.0", 2), w, "stages.0.1", 2)
    x = block(enlarge(F.conv2d(x, w["transitions.0.weight"])), w, "stages.1.0", 4)
    x = block(enlarge(x), w, "stages.2.0", 4)
    torch.testing.assert_close(network(z, labels), F.conv2d(x, w["colours.weight"]))


def test_discriminator_matches_the_paper() -> None:
    torch.manual_seed(0)
    network = randomize(R3GANDiscriminator(CONDITIONAL, width=(8, 16, 16), blocks=(2, 1, 1), group_size=8)).double()
    w = network.state_dict()
    images, labels = torch.randn(3, 3, 16, 16, dtype=torch.float64), torch.tensor([4, 0, 4])
    x = block(F.conv2d(images, w["colours.weight"]), w, "stages.2.0", 4)
    x = block(shrink(x), w, "stages.1.0", 4)
    x = F.conv2d(shrink(x), w["transitions.0.weight"])
    x = block(block(x, w, "stages.0.0", 2), w, "stages.0.1", 2)
    x = F.conv2d(x, w["basis"][:, None], groups=8).flatten(1) @ w["head.weight"].T  # a depthwise 4x4
    torch.testing.assert_close(network(images, labels), (x * w["embedding.weight"][labels]).sum(1))


def test_initial_weights() -> None:
    torch.manual_seed(0)
    generator, discriminator = R3GANGenerator(CIFAR, 64, width=128), R3GANDiscriminator(CIFAR, width=128)
    gain = math.sqrt(2 / 1.04) * 8**-0.25  # leaky ReLU; 8 blocks of 3 layers
    for network in (generator, discriminator):
        for stage in network.stages:
            for part in stage:
                assert not part.project.weight.any()
                assert not part.expand.bias.any()
                assert not part.mix.bias.any()
                for layer, fan_in in ((part.expand, 128), (part.mix, 16 * 9)):
                    assert layer.weight.std().item() == pytest.approx(gain / math.sqrt(fan_in), rel=0.05)
    for weight, deviation in (
        (generator.basis, 1),
        (generator.modulation.weight, 1 / math.sqrt(128)),
        (generator.colours.weight, 1 / math.sqrt(128)),
        (generator.embedding.weight, 1 / math.sqrt(10)),
        (discriminator.colours.weight, 1 / math.sqrt(3)),
        (discriminator.basis, 1 / 4),
        (discriminator.head.weight, 1 / math.sqrt(128)),
        (discriminator.embedding.weight, 1 / math.sqrt(10 * 128)),
    ):
        error = 5 / math.sqrt(2 * weight.numel())
        assert weight.std().item() == pytest.approx(deviation, rel=error)
    z, labels = torch.randn(20, 64), torch.arange(20) % 10
    with torch.no_grad():  # initial images have about the data's standard deviation
        assert 0.3 < generator(z, labels).std().item() < 1.5


@pytest.mark.parametrize("image", [SMALL, CONDITIONAL, gankit.ImageSpec(12, 16, 1), gankit.ImageSpec(8, 8, 4, 2)])
def test_contract_for_many_images(image: gankit.ImageSpec) -> None:
    torch.manual_seed(0)
    testing.check_generator(R3GANGenerator, image, width=8, blocks=1)
    testing.check_discriminator(R3GANDiscriminator, image, width=8, blocks=1)


@pytest.mark.parametrize("params", VARIANTS)
def test_contract_of_variants(params: dict) -> None:
    torch.manual_seed(0)
    testing.check_generator(R3GANGenerator, CONDITIONAL, **({"width": 8, "blocks": 1} | params))
    testing.check_discriminator(R3GANDiscriminator, CONDITIONAL, **({"width": 8, "blocks": 1} | params))


def test_gradient_flow() -> None:
    """At first only the last layer of each block has a gradient, because it starts at zero; then all have."""
    torch.manual_seed(0)
    generator = R3GANGenerator(CONDITIONAL, 8, width=8, blocks=1)
    discriminator = R3GANDiscriminator(CONDITIONAL, width=8, blocks=1)
    z, labels = torch.randn(10, 8), torch.arange(10) % 5
    for started in (False, True):
        if started:
            for network in (generator, discriminator):
                for stage in network.stages:
                    nn.init.normal_(stage[0].project.weight, 0.0, 0.1)
        generator.zero_grad()
        discriminator.zero_grad()
        discriminator(generator(z, labels), labels).square().sum().backward()
        for network in (generator, discriminator):
            for name, parameter in network.named_parameters():
                assert parameter.grad is not None
                assert parameter.grad.isfinite().all()
                waits = "stages" in name and "project" not in name and not started
                assert bool(parameter.grad.abs().sum() > 0) is not waits, name


@pytest.mark.parametrize("params", VARIANTS)
def test_r1_is_differentiable_twice(params: dict) -> None:
    torch.manual_seed(0)
    params = {"width": 8, "blocks": 1, "expansion": 1, "group_size": 4} | params
    network = randomize(
        R3GANDiscriminator(gankit.ImageSpec(8, 8, 1, 2), **(params | {"width": 8, "blocks": 1}))
    ).double()
    labels = torch.tensor([0, 1])
    images = torch.randn(2, 1, 8, 8, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(network(images, labels).sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    for parameter in network.parameters():
        if parameter.grad is None:  # biases affect the derivative with respect to images only through signs
            continue
        index = tuple(int(i) for i in (parameter.grad.abs() == parameter.grad.abs().max()).nonzero()[0])
        values = []
        for step in (1e-6, -1e-6):
            parameter.data[index] += step
            values.append(penalty().item())
            parameter.data[index] -= step
        assert parameter.grad[index].item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4, abs=1e-6)


def test_labels_matter_and_only_their_embeddings_have_gradients() -> None:
    torch.manual_seed(0)
    generator = R3GANGenerator(CONDITIONAL, 8, width=8, blocks=1)
    discriminator = R3GANDiscriminator(CONDITIONAL, width=8, blocks=1)
    z, ones, twos = torch.randn(2, 8), torch.tensor([1, 1]), torch.tensor([2, 2])
    assert not torch.allclose(generator(z, ones), generator(z, twos), atol=1e-3)
    images = generator(z, ones)
    assert not torch.allclose(discriminator(images, ones), discriminator(images, twos), atol=1e-3)
    discriminator(images, ones).square().sum().backward()
    for network in (generator, discriminator):
        assert (network.embedding.weight.grad.abs().sum(1) > 0).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("network", [R3GANGenerator(CONDITIONAL, 8, width=8), R3GANDiscriminator(CONDITIONAL, width=8)])
def test_missing_labels_raise(network: nn.Module) -> None:
    inputs = torch.randn(2, 8) if isinstance(network, R3GANGenerator) else torch.randn(2, 3, 16, 16)
    with pytest.raises(ValueError, match="built for 5 classes: pass labels"):
        network(inputs)


@pytest.mark.parametrize(
    "build", [lambda **params: R3GANGenerator(SMALL, 8, **params), lambda **params: R3GANDiscriminator(SMALL, **params)]
)
def test_channels_not_divisible_into_groups_raise(build) -> None:
    with pytest.raises(
        ValueError, match=r"group_size: 48 channels \(24 of the stage, times an expansion of 2\) .* of 32; .* null"
    ):
        build(width=24, group_size=32)
    assert build(width=4, group_size=16).stages[0][0].mix.groups == 1  # a single group if there are no more channels


@pytest.mark.parametrize("stages_in_full", [0, 1, 3])
def test_bf16(stages_in_full: int) -> None:
    torch.manual_seed(0)
    params = {"width": 16, "blocks": 1, "full_precision_stages": stages_in_full}
    generator, discriminator = R3GANGenerator(CONDITIONAL, 8, **params), R3GANDiscriminator(CONDITIONAL, **params)
    z, labels = torch.randn(4, 8), torch.arange(4)
    full = generator(z, labels)
    seen: list[torch.dtype] = []
    for stage in generator.stages:
        stage.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(z, labels)
        logits = discriminator(full, labels)
    assert seen == [torch.float32] * stages_in_full + [torch.bfloat16] * (3 - stages_in_full)
    assert logits.dtype == torch.float32  # not rounded to bf16
    assert (images.float() - full).abs().max() < 0.05 * full.abs().max()
    assert (logits - discriminator(full, labels)).abs().max() < 0.05


def test_registration() -> None:
    import gankit_r3gan

    registries = gankit.Registries()
    gankit_r3gan.register(registries)
    assert registries.generators.get("r3gan").factory is R3GANGenerator
    assert registries.discriminators.get("r3gan").factory is R3GANDiscriminator
    schema = registries.generators.get("r3gan").schema
    assert schema().width == 768
    assert schema(width=[8, 4], blocks=[1, 2]).width == (8, 4)
    for wrong in (0, [8, 0], [], "wide"):
        with pytest.raises(ValueError, match="width"):
            schema(width=wrong)
