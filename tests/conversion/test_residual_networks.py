"""Weights of mimicry's and StudioGAN's residual networks, against their layers, applied under their own names."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gankit

CLASSES, LATENT, WIDTH = 5, 8, 8
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


class Weights:
    """A state dict that is filled with random weights as they are asked for, and the layers that use them.

    Args:
        spectral: whether weights have the names of `torch.nn.utils.spectral_norm`.
        epsilon: of BatchNorm.
    """

    def __init__(self, spectral: bool, epsilon: float = 1e-5) -> None:
        self.state: dict[str, Tensor] = {}
        self.spectral, self.epsilon = spectral, epsilon

    def get(self, name: str, *shape: int) -> Tensor:
        return self.state.setdefault(name, torch.randn(shape) / max(1, torch.Size(shape[1:]).numel()) ** 0.5)

    def weight(self, name: str, *shape: int) -> Tensor:
        if not self.spectral:
            return self.get(f"{name}.weight", *shape)
        original = self.get(f"{name}.weight_orig", *shape)
        matrix = original.flatten(1)
        u = self.state.setdefault(f"{name}.weight_u", F.normalize(matrix @ torch.randn(matrix.shape[1]), dim=0))
        v = self.state.setdefault(f"{name}.weight_v", F.normalize(u @ matrix, dim=0))
        return original / (u @ matrix @ v)

    def conv(self, x: Tensor, name: str, outputs: int, kernel: int, bias: bool = True) -> Tensor:
        weight = self.weight(name, outputs, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, self.get(f"{name}.bias", outputs) if bias else None, padding=kernel // 2)

    def linear(self, x: Tensor, name: str, outputs: int, bias: bool = True) -> Tensor:
        return F.linear(x, self.weight(name, outputs, x.shape[1]), self.get(f"{name}.bias", outputs) if bias else None)

    def batch_norm(self, x: Tensor, name: str, affine: bool = True) -> Tensor:
        width = x.shape[1]
        mean = self.get(f"{name}.running_mean", width)
        variance = self.state.setdefault(f"{name}.running_var", torch.rand(width) + 0.5)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(3)
        scale = self.get(f"{name}.weight", width) if affine else None
        shift = self.get(f"{name}.bias", width) if affine else None
        return F.batch_norm(x, mean, variance, scale, shift, eps=self.epsilon)

    def attention(self, x: Tensor, name: str) -> Tensor:
        width = x.shape[1]
        query = self.conv(x, f"{name}.conv1x1_theta", width // 8, 1, bias=False).flatten(2)
        key = F.max_pool2d(self.conv(x, f"{name}.conv1x1_phi", width // 8, 1, bias=False), 2).flatten(2)
        value = F.max_pool2d(self.conv(x, f"{name}.conv1x1_g", width // 2, 1, bias=False), 2).flatten(2)
        shares = (query.transpose(1, 2) @ key).softmax(dim=2)
        attended = (value @ shares.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.get(f"{name}.sigma", 1) * self.conv(attended, f"{name}.conv1x1_attn", width, 1, bias=False)


Norm = Callable[[Tensor, str], Tensor]


def up_block(w: Weights, x: Tensor, path: str, names: tuple[str, str, str, str, str], norm: Norm, mode: str) -> Tensor:
    conv1, conv2, shortcut, norm1, norm2 = (f"{path}.{name}" for name in names)

    def doubled(y: Tensor) -> Tensor:
        return F.interpolate(y, scale_factor=2, mode=mode)

    y = w.conv(doubled(norm(x, norm1).relu()), conv1, WIDTH, 3)
    return w.conv(norm(y, norm2).relu(), conv2, WIDTH, 3) + w.conv(doubled(x), shortcut, WIDTH, 1)


def down_block(w: Weights, x: Tensor, path: str, names: tuple[str, str, str], number: int) -> Tensor:
    """The ReLU works in place, and therefore also on the shortcut. Blocks 0 and 1 halve height and width."""
    conv1, conv2, shortcut = (f"{path}.{name}" for name in names)
    x = x.relu() if number else x
    y = w.conv(w.conv(x, conv1, WIDTH, 3).relu(), conv2, WIDTH, 3)
    if number > 1:
        return y + x
    return F.avg_pool2d(y, 2) + F.avg_pool2d(w.conv(x, shortcut, WIDTH, 1), 2)


def mimicry(labels: Tensor | None) -> tuple[Weights, Weights, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    g, d = Weights(spectral=False), Weights(spectral=True)

    def norm(x: Tensor, name: str) -> Tensor:
        if labels is None:
            return g.batch_norm(x, name)
        scale, shift = g.get(f"{name}.embed.weight", CLASSES, 2 * WIDTH)[labels].split(WIDTH, dim=1)
        return g.batch_norm(x, f"{name}.bn", affine=False) * scale[:, :, None, None] + shift[:, :, None, None]

    def generator(z: Tensor) -> Tensor:
        x = g.linear(z, "l1", 16 * WIDTH).view(-1, WIDTH, 4, 4)
        for number in (2, 3, 4):
            x = up_block(g, x, f"block{number}", ("c1", "c2", "c_sc", "b1", "b2"), norm, "bilinear")
        return g.conv(g.batch_norm(x, "b5").relu(), "c5", 3, 3).tanh()

    def discriminator(x: Tensor) -> Tensor:
        for number in range(4):
            x = down_block(d, x, f"block{number + 1}", ("c1", "c2", "c_sc"), number)
        return d.linear(x.relu().sum((2, 3)), "l5", 1).squeeze(1)

    return g, d, generator, discriminator


def studiogan(labels: Tensor | None, big: bool) -> tuple[Weights, Weights, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    g, d = Weights(spectral=big, epsilon=1e-4), Weights(spectral=True)

    def generator(z: Tensor) -> Tensor:
        first, *chunks = z.chunk(4, dim=1) if big else (z,)
        if labels is not None:
            embedded = g.get("shared.weight", CLASSES, 6)[labels] if big else F.one_hot(labels, CLASSES).float()
            chunks = [torch.cat([embedded, chunk], dim=1) for chunk in chunks] or [embedded] * 3

        def norm(x: Tensor, name: str) -> Tensor:
            if not chunks:
                return g.batch_norm(x, name)
            x, condition = g.batch_norm(x, f"{name}.bn", affine=False), chunks[number]
            gain, bias = (g.linear(condition, f"{name}.{part}", WIDTH, bias=False) for part in ("gain", "bias"))
            return x * (1 + gain)[:, :, None, None] + bias[:, :, None, None]

        x = g.linear(first, "linear0", 16 * WIDTH).view(-1, WIDTH, 4, 4)
        names = ("conv2d1", "conv2d2", "conv2d0", "bn1", "bn2")
        for number in range(3):
            x = up_block(g, x, f"blocks.{number + (big and number > 1)}.0", names, norm, "nearest")
            x = g.attention(x, "blocks.2.0") if big and number == 1 else x
        return g.conv(g.batch_norm(x, "bn4").relu(), "conv2d5", 3, 3).tanh()

    def discriminator(x: Tensor) -> Tensor:
        for number in range(4):
            x = down_block(d, x, f"blocks.{number + (big and number > 0)}.0", ("conv2d1", "conv2d2", "conv2d0"), number)
            x = d.attention(x, "blocks.1.0") if big and number == 0 else x
        features = x.relu().sum((2, 3))
        logits = d.linear(features, "linear1", 1).squeeze(1)
        if labels is None:
            return logits
        return logits + (d.weight("embedding", CLASSES, WIDTH)[labels] * features).sum(1)

    return g, d, generator, discriminator


@pytest.mark.parametrize("classes", [0, CLASSES])
@pytest.mark.parametrize("project", ["mimicry", "studiogan_resnet", "studiogan_biggan"])
def test_images_and_logits(import_files, project, classes):
    torch.manual_seed(0)
    labels = torch.tensor([4, 0, 2]) if classes else None
    build = mimicry(labels) if project == "mimicry" else studiogan(labels, project == "studiogan_biggan")
    g, d, generator, discriminator = build
    z = torch.randn(3, LATENT)
    images = generator(z)
    logits = discriminator(images)
    key = "model_state_dict" if project == "mimicry" else "state_dict"
    files = {"G": {key: g.state, "step": 3}}
    if project != "mimicry" or not classes:  # with classes, its discriminator has a spectral norm of its own
        files["D"] = {key: d.state}
    imported = import_files(classes=["a", "b", "c", "d", "e"] if classes else None, **files)
    assert imported.format == project
    assert imported.data.image == gankit.ImageSpec(32, 32, 3, classes)
    networks = {name: network.eval() for name, network in imported.networks.items()}
    with torch.no_grad():
        torch.testing.assert_close(networks["generator"](z, labels), images, **CLOSE)
        if "D" in files:
            torch.testing.assert_close(networks["discriminator"](images, labels), logits, **CLOSE)


def test_features_that_gankit_lacks(import_files):
    g, _, generator, _ = studiogan(torch.tensor([1]), big=False)
    g.spectral = True
    generator(torch.randn(1, LATENT))
    with pytest.raises(gankit.GankitError, match=r"G: cannot be imported: its class-conditional BatchNorm has spectral norm"):
        import_files(G={"state_dict": g.state})
