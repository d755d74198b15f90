"""The networks: attention, spectral norm, heads, labels, derivatives and the contract."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import gankit
import gankit_resnet
from gankit.assembly.dry_run import meta_device
from gankit.testing import check_discriminator, check_generator
from gankit_resnet.discriminator import ResNetDiscriminator
from gankit_resnet.generator import ResNetGenerator

CIFAR = gankit.ImageSpec(32, 32, 3)
CIFAR_CLASSES = gankit.ImageSpec(32, 32, 3, classes=10)
TINY = gankit.ImageSpec(8, 8, 3, classes=3)
HEADS = ["projection", "auxiliary_classifier", "contrastive", "none"]


@pytest.mark.parametrize(("side", "places"), [(16, (1, 0)), (8, (0, 1))])
def test_attention_follows_the_first_block_with_a_map_of_that_size(side, places):
    for network, place in (
        (ResNetGenerator(CIFAR, 8, width=8, attention=(side,)), places[0]),
        (ResNetDiscriminator(CIFAR, width=8, attention=(side,)), places[1]),
    ):
        blocks = dict(enumerate(network.blocks))
        assert [n for n, block in blocks.items() if not isinstance(block.attention, nn.Identity)] == [place]
        seen = []
        blocks[place].attention.register_forward_hook(lambda module, inputs, output, seen=seen: seen.append(output))
        network(torch.randn(2, 8) if isinstance(network, ResNetGenerator) else torch.randn(2, 3, 32, 32))
        assert [output.shape[2] for output in seen] == [side]


def test_attention_at_a_size_without_feature_map_raises():
    with pytest.raises(
        ValueError, match=r"attention: no feature map has a short side of 12 pixels; choose from 8, 16, 32"
    ):
        ResNetGenerator(CIFAR, 8, width=8, attention=(12,))
    with pytest.raises(
        ValueError, match=r"attention: no feature map has a short side of 32 pixels; choose from 8, 16$"
    ):
        ResNetDiscriminator(CIFAR, width=8, attention=(16, 32))


def test_spectral_norm_is_on_every_layer_or_none():
    def layers(network):
        return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]

    for spectral in (True, False):
        generator = ResNetGenerator(CIFAR_CLASSES, 8, width=8, attention=(16,), spectral_norm=spectral)
        discriminator = ResNetDiscriminator(CIFAR_CLASSES, width=8, attention=(16,), spectral_norm=spectral)
        for layer in [*layers(generator), *layers(discriminator), discriminator.head.embedding]:
            assert hasattr(layer, "parametrizations") is spectral


@settings(deadline=None, max_examples=20)
@given(
    base=st.tuples(st.integers(4, 7), st.integers(4, 11)).map(sorted),
    upright=st.booleans(),
    doublings=st.integers(1, 4),
    channels=st.integers(1, 4),
    classes=st.integers(0, 3),
    widths=st.sampled_from(["auto", "constant", "pyramid"]),
    attended=st.booleans(),
    spectral=st.booleans(),
    head=st.sampled_from(HEADS),
    n=st.integers(1, 3),
)
def test_shapes_and_range(base, upright, doublings, channels, classes, widths, attended, spectral, head, n):
    height, width = base[::-1] if upright else base
    spec = gankit.ImageSpec(height << doublings, width << doublings, channels, classes)
    labels = torch.arange(n) % classes if classes else None
    options = {"width": 2, "widths": widths, "spectral_norm": spectral}
    options["attention"] = (base[0] << (doublings - 1),) if attended and doublings > 1 else ()
    images = ResNetGenerator(spec, 5, **options)(torch.randn(n, 5), labels)
    assert images.shape == (n, channels, spec.height, spec.width)
    assert images.abs().max() <= 1
    if head in ("auxiliary_classifier", "contrastive") and not classes:
        with pytest.raises(ValueError, match=f"head: {head} needs class labels; set conditional: true"):
            ResNetDiscriminator(spec, head=head, **options)
        return
    output = ResNetDiscriminator(spec, head=head, embedding_dim=6, **options)(images, labels)
    shapes = {name: value.shape for name, value in output.items()} if isinstance(output, dict) else output.shape
    assert (
        shapes
        == {
            "projection": (n,),
            "none": (n,),
            "auxiliary_classifier": {"logits": (n,), "class_logits": (n, classes)},
            "contrastive": {"logits": (n,), "embedding": (n, 6), "label_embedding": (n, 6)},
        }[head]
    )


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("image", [gankit.ImageSpec(16, 24, 1), gankit.ImageSpec(16, 16, 4, classes=3)])
def test_contract(image, spectral):
    options = {"width": 8, "attention": (8,), "spectral_norm": spectral}
    check_generator(ResNetGenerator, image, **options)
    check_discriminator(ResNetDiscriminator, image, **options)


def test_every_parameter_has_a_gradient_except_those_behind_gamma():
    torch.manual_seed(0)
    labels = torch.tensor([0, 1, 2, 0])
    generator = ResNetGenerator(TINY, 8, width=16, attention=(8,), spectral_norm=True)
    for head in HEADS:
        discriminator = ResNetDiscriminator(gankit.ImageSpec(16, 16, 3, 3), width=16, attention=(8,), head=head)
        output = discriminator(torch.randn(4, 3, 16, 16), labels)
        parts = output.values() if isinstance(output, dict) else [output]
        torch.stack([part.square().sum() for part in parts]).sum().backward()
        check_idle(discriminator)
    generator(torch.randn(4, 8), labels).square().sum().backward()
    check_idle(generator)


def check_idle(network):
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    idle = {name for name, gradient in gradients.items() if not gradient.any()}
    # self-attention is multiplied by gamma, which starts at 0
    assert all(".attention." in name and not name.endswith("gamma") for name in idle)
    assert len(idle) == 4


def test_a_projection_is_the_dot_product_of_features_and_embedding():
    torch.manual_seed(0)
    network = ResNetDiscriminator(TINY, width=4).double().eval()
    images, labels = torch.randn(3, 3, 8, 8, dtype=torch.float64), torch.tensor([2, 0, 2])
    features = torch.stack([h.clamp(min=0).sum(dim=(1, 2)) for h in nn.Sequential(*network.blocks)(images)])
    head = network.head
    expected = [
        (features[i] @ head.linear.weight[0] + head.linear.bias + features[i] @ head.embedding.weight[label]).item()
        for i, label in enumerate(labels)
    ]
    torch.testing.assert_close(network(images, labels).tolist(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("head", HEADS)
def test_which_heads_see_the_labels(head):
    torch.manual_seed(0)
    network = ResNetDiscriminator(TINY, width=4, head=head).eval()
    images = torch.randn(1, 3, 8, 8)
    if head in ("projection", "contrastive"):
        with pytest.raises(ValueError, match="built for 3 classes: pass labels"):
            network(images)
    outputs = [network(images, torch.tensor([label])) for label in (0, 1)]
    first, second = (output if isinstance(output, dict) else {"logits": output} for output in outputs)
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"projection": {"logits"}, "contrastive": {"label_embedding"}}.get(head, set())


def test_the_label_chooses_the_scale_and_shift_of_the_generators_batch_norm():
    torch.manual_seed(0)
    network = ResNetGenerator(TINY, 8, width=8).eval()
    z = torch.randn(1, 8).expand(2, 8)
    with pytest.raises(ValueError, match="built for 3 classes: pass labels"):
        network(z)
    same = network(z, torch.tensor([0, 1]))  # all classes start with the same scale and shift
    torch.testing.assert_close(same[0], same[1])
    network.blocks[0].norm1.shift.weight.data[1] += 1
    other = network(z, torch.tensor([0, 1]))
    torch.testing.assert_close(other[0], same[0])
    assert (other[1] - same[1]).abs().max() > 0.01


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_state_dict_round_trip(network, head):
    def build(seed):
        torch.manual_seed(seed)
        options = {"width": 8, "attention": (4,)} if network == "generator" else {"width": 8, "head": head}
        spec = gankit.ImageSpec(16, 16, 3, classes=3) if network == "discriminator" else gankit.ImageSpec(8, 8, 3, 3)
        if network == "generator":
            return ResNetGenerator(spec, 8, width=8, attention=(8,), spectral_norm=True)
        return ResNetDiscriminator(spec, **options)

    first, second = build(0), build(1)
    inputs = torch.randn(3, 8) if network == "generator" else torch.randn(3, 3, 16, 16)
    labels = torch.tensor([0, 1, 2])
    for _ in range(2):
        first(inputs, labels)  # updates the running statistics and the power iteration
    second.load_state_dict(first.state_dict())
    for training in (True, False):  # in training mode, power iteration continues from the state dict
        outputs = [net.train(training)(inputs, labels) for net in (first, second)]
        torch.testing.assert_close(*outputs, rtol=0, atol=0)


@pytest.mark.parametrize("spectral", [True, False])
def test_r1_is_differentiable_twice(spectral):
    """Against finite differences in eval mode: autograd takes the singular vectors as constants."""
    torch.manual_seed(0)
    image = gankit.ImageSpec(16, 16, 3, classes=3)
    network = ResNetDiscriminator(image, width=8, attention=(8,), spectral_norm=spectral).double().eval()
    nn.init.constant_(network.blocks[0].attention.gamma, 0.7)
    labels = torch.tensor([0, 2, 1])
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def penalty():
        (gradient,) = torch.autograd.grad(network(images, labels).sum(), images, create_graph=True)
        return gradient.square().sum()

    penalty().backward()
    weights = dict(network.named_parameters())
    suffix = "parametrizations.weight.original" if spectral else "weight"
    for name, index in (
        (f"blocks.0.conv1.{suffix}", (5, 2, 1, 0)),
        (f"blocks.0.conv2.{suffix}", (5, 2, 1, 0)),
        (f"blocks.0.shortcut.{suffix}", (5, 2, 0, 0)),
        (f"blocks.0.attention.value.{suffix}", (1, 2, 0, 0)),
        (f"blocks.2.conv2.{suffix}", (5, 2, 1, 0)),
        (f"head.linear.{suffix}", (0, 3)),
        (f"head.embedding.{suffix}", (2, 3)),
    ):
        step, values = 1e-6, []
        with torch.no_grad():
            for change in (step, -2 * step):
                weights[name][index] += change
                with torch.enable_grad():
                    values.append(penalty().item())
            weights[name][index] += step
        assert weights[name].grad[index].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4), name


def test_one_backward_for_real_fake_and_a_penalty_in_training_mode():
    torch.manual_seed(0)
    network = ResNetDiscriminator(TINY, width=8)
    labels, real = torch.tensor([0, 1]), torch.randn(2, 3, 8, 8, requires_grad=True)
    loss = network(real, labels).mean() - network(torch.randn(2, 3, 8, 8), labels).mean()
    (gradient,) = torch.autograd.grad(network(real, labels).sum(), real, create_graph=True)
    (loss + gradient.square().sum()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_bf16_is_finite_and_logits_are_fp32():
    torch.manual_seed(0)
    labels = torch.arange(4) % 3
    generator = ResNetGenerator(TINY, 8, width=16, attention=(8,), spectral_norm=True)
    discriminator = ResNetDiscriminator(TINY, width=16)
    with torch.autocast("cpu", torch.bfloat16):
        images = generator(torch.randn(4, 8), labels)
        logits = discriminator(images, labels)
    assert images.dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())
    logits.sum().backward()
    for network in (generator, discriminator):
        assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    plain = discriminator(images.float(), labels)
    assert (plain - logits).abs().max() < 0.05 * plain.abs().max()


@pytest.mark.parametrize("head", ["auxiliary_classifier", "contrastive"])
def test_what_class_heads_return_is_fp32_in_bf16(head):
    discriminator = ResNetDiscriminator(TINY, width=16, head=head)
    with torch.autocast("cpu", torch.bfloat16):
        output = discriminator(torch.randn(4, *TINY.shape), torch.arange(4) % 3)
    for name, values in output.items():
        assert values.dtype == torch.float32, name
        assert not torch.equal(values, values.bfloat16().float()), name


def test_both_run_on_the_meta_device_and_in_fp64():
    with meta_device():
        labels = torch.zeros(2, dtype=torch.int64)
        images = ResNetGenerator(CIFAR_CLASSES, 128, attention=(16,), spectral_norm=True)(torch.empty(2, 128), labels)
        assert ResNetDiscriminator(CIFAR_CLASSES)(images, labels).shape == (2,)
    labels = torch.tensor([0, 1])
    images = ResNetGenerator(TINY, 8, width=4).double()(torch.randn(2, 8, dtype=torch.float64), labels)
    assert ResNetDiscriminator(TINY, width=4).double()(images, labels).dtype == torch.float64


def test_registration():
    registries = gankit.Registries()
    gankit_resnet.register(registries)
    generator, discriminator = (kind.get("resnet") for kind in (registries.generators, registries.discriminators))
    assert (generator.factory, discriminator.factory) == (ResNetGenerator, ResNetDiscriminator)
    shared = {"widths": "auto", "attention": ()}
    assert generator.schema().model_dump() == shared | {
        "width": 256,
        "spectral_norm": False,
        "upsampling": "nearest",
        "batch_norm_epsilon": 1e-5,
    }
    assert discriminator.schema().model_dump() == shared | {
        "width": 128,
        "spectral_norm": True,
        "head": "projection",
        "embedding_dim": 512,
        "rectified_shortcut": False,
    }
    with pytest.raises(ValueError, match="head"):
        discriminator.schema(head="acgan")
