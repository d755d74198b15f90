"""DCGAN against an independent reference implementation, and the contract of its networks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import gankit
from gankit_dcgan.networks import DCGANDiscriminator, DCGANGenerator

SPEC = gankit.ImageSpec(64, 64, 3)
SMALL = gankit.ImageSpec(16, 16, 3)
CONDITIONAL = gankit.ImageSpec(16, 16, 3, classes=5)


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def reference_generator() -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(100, 512, 4, 1, 0, bias=False),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        nn.ConvTranspose2d(512, 256, 4, 2, 1, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False),
        nn.Tanh(),
    )


def reference_discriminator() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 64, 4, 2, 1, bias=False),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 4, 2, 1, bias=False),
        nn.BatchNorm2d(256),
        nn.LeakyReLU(0.2),
        nn.Conv2d(256, 512, 4, 2, 1, bias=False),
        nn.BatchNorm2d(512),
        nn.LeakyReLU(0.2),
        nn.Conv2d(512, 1, 4, 1, 0, bias=False),
    )


def give_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy the weights in order: both networks have the same layers with different names."""
    weights = dict(zip(target.state_dict(), source.state_dict().values(), strict=True))
    target.load_state_dict(weights)


def test_parameter_counts_of_the_reference() -> None:
    assert parameter_count(DCGANGenerator(SPEC, 100)) == 3_576_704
    assert parameter_count(DCGANDiscriminator(SPEC)) == 2_765_568


@pytest.mark.parametrize("training", [True, False])
def test_generator_is_the_reference(training: bool) -> None:
    ours, reference = DCGANGenerator(SPEC, 100), reference_generator()
    give_weights(ours, reference)
    z = torch.randn(3, 100, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours.train(training)(z), reference.train(training)(z[:, :, None, None]), rtol=0, atol=0)
    torch.testing.assert_close(ours.layers[1].running_var, reference[1].running_var, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_discriminator_is_the_reference(training: bool) -> None:
    ours, reference = DCGANDiscriminator(SPEC), reference_discriminator()
    give_weights(ours, reference)
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    logits = ours.train(training)(images)
    assert logits.shape == (3,)
    torch.testing.assert_close(logits, reference.train(training)(images).view(3), rtol=0, atol=0)


def test_gradients_are_those_of_the_reference() -> None:
    generator, discriminator = DCGANGenerator(SPEC, 100).double(), DCGANDiscriminator(SPEC).double()
    reference = nn.Sequential(reference_generator(), reference_discriminator()).double()
    give_weights(generator, reference[0])
    give_weights(discriminator, reference[1])
    z = torch.randn(2, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    discriminator(generator(z)).sum().backward()
    reference(z[:, :, None, None]).sum().backward()
    ours = [*generator.parameters(), *discriminator.parameters()]
    for mine, theirs in zip(ours, reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-12, atol=1e-14)


def test_names_of_the_weights_are_stable() -> None:
    def batch_norm(name: str) -> list[str]:
        return [f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    assert list(DCGANGenerator(CONDITIONAL, 8, width=4).state_dict()) == [
        "embedding.weight",
        "layers.0.weight",
        *batch_norm("layers.1"),
        "layers.3.weight",
        *batch_norm("layers.4"),
        "layers.6.weight",
    ]
    assert list(DCGANDiscriminator(CONDITIONAL, width=4).state_dict()) == [
        "features.0.weight",
        "features.2.weight",
        *batch_norm("features.3"),
        "logit.weight",
        "embedding.weight",
    ]
    assert "embedding.weight" not in DCGANGenerator(SMALL, 8, width=4).state_dict()
    assert "embedding.weight" not in DCGANDiscriminator(SMALL, width=4).state_dict()


def test_initial_weights() -> None:
    torch.manual_seed(0)
    spec = gankit.ImageSpec(64, 64, 3, classes=1000)
    for network in (DCGANGenerator(spec, 100), DCGANDiscriminator(spec)):
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Embedding, nn.BatchNorm2d)):
                center = 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0
                weight = module.weight.detach()
                error = 5 / weight.numel() ** 0.5  # five standard errors
                assert abs(weight.mean() - center) < 0.02 * error
                assert abs(weight.std() / 0.02 - 1) < error
            if isinstance(module, nn.BatchNorm2d):
                assert torch.equal(module.bias, torch.zeros_like(module.bias))


@settings(deadline=None, max_examples=20)
@given(
    base=st.tuples(st.integers(4, 7), st.integers(4, 28)).filter(lambda b: b[1] <= 4 * b[0]),
    upright=st.booleans(),
    halvings=st.integers(1, 3),
    channels=st.integers(1, 4),
    latent_dim=st.integers(1, 9),
    classes=st.integers(0, 3),
    n=st.integers(1, 3),
)
def test_shapes_and_range(
    base: tuple[int, int], upright: bool, halvings: int, channels: int, latent_dim: int, classes: int, n: int
) -> None:
    height, width = base[::-1] if upright else base
    spec = gankit.ImageSpec(height << halvings, width << halvings, channels, classes)
    labels = torch.arange(n) % classes if classes else None
    images = DCGANGenerator(spec, latent_dim, width=2)(torch.randn(n, latent_dim), labels)
    assert images.shape == (n, channels, spec.height, spec.width)
    assert images.abs().max() <= 1
    logits = DCGANDiscriminator(spec, width=2)(images, labels)
    assert logits.shape == (n,)


def test_construction_and_forward_on_the_meta_device() -> None:
    with torch.device("meta"):
        spec = gankit.ImageSpec(256, 512, 4, classes=10)
        labels = torch.zeros(2, dtype=torch.int64)
        images = DCGANGenerator(spec, 100, width=64)(torch.empty(2, 100), labels)
        assert images.shape == (2, 4, 256, 512)
        assert DCGANDiscriminator(spec, width=64)(images, labels).shape == (2,)


def test_double_precision() -> None:
    labels = torch.tensor([0, 1])
    images = DCGANGenerator(CONDITIONAL, 8, width=4).double()(torch.randn(2, 8, dtype=torch.float64), labels)
    assert images.dtype == torch.float64
    assert DCGANDiscriminator(CONDITIONAL, width=4).double()(images, labels).dtype == torch.float64


def test_projection_adds_the_embedding_dotted_with_the_summed_features() -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(CONDITIONAL, width=4).double().eval()
    images, labels = torch.randn(3, 3, 16, 16, dtype=torch.float64), torch.tensor([4, 0, 4])
    features, embedding = discriminator.features(images), discriminator.embedding.weight
    expected = [
        discriminator.logit(features[i : i + 1]).item()
        + sum(features[i, f].sum().item() * embedding[label, f].item() for f in range(features.shape[1]))
        for i, label in enumerate(labels)
    ]
    torch.testing.assert_close(discriminator(images, labels).tolist(), expected, rtol=1e-12, atol=1e-12)


def test_generator_concatenates_the_latent_and_the_embedding() -> None:
    torch.manual_seed(0)
    generator = DCGANGenerator(CONDITIONAL, 8, width=4).eval()
    z, labels = torch.randn(2, 8), torch.tensor([3, 1])
    joined = torch.stack([torch.cat([z[i], generator.embedding.weight[label]]) for i, label in enumerate(labels)])
    torch.testing.assert_close(generator(z, labels), generator.layers(joined.view(2, 16, 1, 1)), rtol=0, atol=0)


def test_gradients_reach_only_the_embeddings_of_the_given_labels() -> None:
    torch.manual_seed(0)
    generator, discriminator = DCGANGenerator(CONDITIONAL, 8, width=4), DCGANDiscriminator(CONDITIONAL, width=4)
    labels = torch.tensor([3, 1])
    discriminator(generator(torch.randn(2, 8), labels), labels).square().sum().backward()
    for network in (generator, discriminator):
        reached = network.embedding.weight.grad.abs().sum(dim=1) > 0
        assert reached.tolist() == [False, True, False, True, False]


@pytest.mark.parametrize("network", [DCGANGenerator(CONDITIONAL, 8, width=4), DCGANDiscriminator(CONDITIONAL, width=4)])
def test_missing_labels_raise(network: nn.Module) -> None:
    inputs = torch.randn(2, 8) if isinstance(network, DCGANGenerator) else torch.randn(2, 3, 16, 16)
    with pytest.raises(ValueError, match="built for 5 classes: pass labels"):
        network(inputs)


@pytest.mark.parametrize("network", [lambda spec: DCGANGenerator(spec, 100), DCGANDiscriminator])
def test_unsupported_sizes_raise_on_construction(network: type[nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"100x100 .* 96x96 and 112x112"):
        network(gankit.ImageSpec(100, 100, 3))


@pytest.mark.parametrize("spec", [SMALL, CONDITIONAL])
@pytest.mark.parametrize("training", [True, False])
def test_r1_is_differentiable_twice(spec: gankit.ImageSpec, training: bool) -> None:
    torch.manual_seed(0)
    discriminator = DCGANDiscriminator(spec, width=4).double().train(training)
    labels = torch.tensor([0, 4, 2]) if spec.classes else None
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(discriminator(images, labels).sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    weight = discriminator.features[2].weight
    step, index = 1e-6, (5, 2, 1, 3)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[index] += sign * step
        values.append(penalty().item())
        with torch.no_grad():
            weight[index] -= sign * step
    assert weight.grad[index].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


def test_registration() -> None:
    import gankit_dcgan

    registries = gankit.Registries()
    gankit_dcgan.register(registries)
    assert registries.generators.get("dcgan").factory is DCGANGenerator
    assert registries.discriminators.get("dcgan").factory is DCGANDiscriminator
    assert registries.generators.get("dcgan").schema().model_dump() == {"width": 64}
    with pytest.raises(ValueError, match="greater than 0"):
        registries.generators.get("dcgan").schema(width=0)


@pytest.mark.parametrize(("norm", "mixes"), [("batch", True), ("layer", False), ("none", False)])
def test_only_batch_normalization_makes_logits_depend_on_other_images(norm: str, mixes: bool) -> None:
    torch.manual_seed(0)
    network = DCGANDiscriminator(gankit.ImageSpec(32, 32, 3), width=4, norm=norm)
    images = torch.rand(4, 3, 32, 32)
    alone = torch.cat([network(image[None]) for image in images])
    assert torch.allclose(network(images), alone, atol=1e-5) is not mixes
