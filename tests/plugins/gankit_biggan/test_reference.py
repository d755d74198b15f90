"""BigGAN's networks against an independent implementation of the forward pass."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gankit
from gankit_biggan.networks import BigGANDiscriminator, BigGANGenerator

CIFAR = gankit.ImageSpec(32, 32, 3, classes=10)


def normalized(state: dict[str, Tensor], name: str) -> Tensor:
    """A layer's weight divided by its largest singular value, from the stored singular vectors."""
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


def test_generator_is_the_reference(randomized) -> None:
    generator = randomized(BigGANGenerator(CIFAR, 16, width=4, embedding_dim=5))
    z = torch.randn(3, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([7, 0, 7])
    expected = reference_generator(generator.state_dict(), z, labels, blocks=3, attended=1)
    torch.testing.assert_close(generator(z, labels), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("size", "halve", "widths"), [(32, [True, True, False, False], (4, 4, 8, 8)), (64, [True] * 4 + [False], None)]
)
def test_discriminator_is_the_reference(
    size: int, halve: list[bool], widths: tuple[int, ...] | None, randomized
) -> None:
    image = gankit.ImageSpec(size, size, 3, classes=10)
    discriminator = randomized(BigGANDiscriminator(image, width=4, multipliers=widths))
    images = torch.rand(3, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    labels = torch.tensor([7, 0, 7])
    expected = reference_discriminator(discriminator.state_dict(), images, labels, halve, attended=0)
    torch.testing.assert_close(discriminator(images, labels), expected, rtol=1e-10, atol=1e-10)
