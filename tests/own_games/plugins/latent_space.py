"""A GAN in the space of a frozen codec, whose encodings have 12 channels at half the size."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit


class Patches(nn.Module):
    """An orthogonal transform of patches of 2 x 2 pixels, which the inverse decodes without loss."""

    def __init__(self, image: gankit.ImageSpec, *, seed: int = 0) -> None:
        super().__init__()
        size, random = 4 * image.channels, torch.Generator("cpu").manual_seed(seed)
        numbers = torch.randn(size, size, generator=random, device="cpu")
        self.register_buffer("matrix", torch.linalg.qr(numbers)[0])

    def encode(self, images: Tensor) -> Tensor:
        return F.conv2d(F.pixel_unshuffle(images, 2), self.matrix[:, :, None, None]) + 3.0

    def decode(self, encodings: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(encodings - 3.0, self.matrix.T[:, :, None, None]), 2)


class LatentGenerator(nn.Module):
    def __init__(self, image: gankit.ImageSpec, latent_dim: int) -> None:
        super().__init__()
        self.shape = (16, image.height // 2, image.width // 2)
        self.linear = nn.Linear(latent_dim, 16 * self.shape[1] * self.shape[2])
        self.last = nn.ConvTranspose2d(16, image.channels, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.last(F.silu(self.linear(z)).view(-1, *self.shape))


class LatentDiscriminator(nn.Module):
    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(image.channels, 16, 3, 1, 1), nn.Conv2d(16, 1, 4, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(F.silu(self.first(images)))


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.codecs.add("patches", Patches)
    registries.generators.add("latent", LatentGenerator)
    registries.discriminators.add("latent", LatentDiscriminator)
