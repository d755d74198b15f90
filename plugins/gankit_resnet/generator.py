"""The generator. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .attention import SelfAttention
from .layers import RESIDUAL_GAIN, BatchNorm, convolve_upsampled, prepared
from .stages import Widths, stages


class ResNetGenerator(nn.Module):
    """The residual generator of SNGAN (arXiv 1802.05957, appendix B.4) and SAGAN (arXiv 1805.08318).

    At 32 px, with its defaults, 128 latent dimensions and 3 channels, it is the network for CIFAR-10: a
    linear layer to 4x4x256, three residual blocks that double the map, BatchNorm, ReLU, a 3x3 convolution and tanh;
    4,276,739 parameters, and 4,304,387 with 10 classes, whose labels choose the scale and shift of the blocks'
    BatchNorm. At 128 px, with a width of 1024, it is the network for ImageNet.

    SAGAN's is this one with ``spectral_norm`` and ``attention``.

    Args:
        image: what to generate.
        latent_dim: d.
        width: channels of the widest feature map.
        widths: ``constant`` for the same width throughout, as for CIFAR-10; ``pyramid`` halves it in each of the last
            doublings, up to four times, as for ImageNet; ``auto`` is ``constant`` up to three doublings.
        attention: feature maps, by their shorter side in pixels, after which self-attention follows.
        spectral_norm: keep the largest singular value of each layer at 1.

    Raises:
        ValueError: the image's size does not come from a small base by doubling, or there is no such feature map.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        latent_dim: int,
        *,
        width: PositiveInt = 256,
        widths: Widths = "auto",
        attention: tuple[PositiveInt, ...] = (),
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        plan = stages(image, width, widths)
        attended = plan.places(attention, range(1, len(plan.sizes)))
        self.classes = image.classes
        self.base = plan.sizes[0]
        self.linear = prepared(nn.Linear(latent_dim, self.base[0] * self.base[1] * plan.widths[0]), spectral_norm)
        self.blocks = nn.ModuleList(
            UpBlock(inputs, outputs, image.classes, spectral_norm, place in attended)
            for place, (inputs, outputs) in enumerate(pairwise(plan.widths), start=1)
        )
        self.norm = BatchNorm(plan.widths[-1])
        self.to_image = prepared(nn.Conv2d(plan.widths[-1], image.channels, 3, padding=1), spectral_norm)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w] in [-1, 1].

        Raises:
            ValueError: there are classes and no labels.
        """
        if self.classes and labels is None:
            raise ValueError(f"this resnet was built for {self.classes} classes: pass labels [n], one an image")
        h = self.linear(z).unflatten(1, (*self.base, -1)).permute(0, 3, 1, 2)
        for block in self.blocks:
            h = block(h, labels)
        return torch.tanh(self.to_image(F.relu(self.norm(h), inplace=True)))


class UpBlock(nn.Module):
    """BatchNorm, ReLU, upsampling, convolution, BatchNorm, ReLU, convolution; beside them, a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, classes: int, spectral: bool, attention: bool) -> None:
        super().__init__()
        self.norm1 = BatchNorm(inputs, classes)
        self.conv1 = prepared(nn.Conv2d(inputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        self.norm2 = BatchNorm(outputs, classes)
        self.conv2 = prepared(nn.Conv2d(outputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        self.shortcut = prepared(nn.Conv2d(inputs, outputs, 1), spectral)
        self.attention = SelfAttention(outputs, spectral) if attention else nn.Identity()

    def forward(self, x: Tensor, labels: Tensor | None) -> Tensor:
        """[n c h w] to [n o 2h 2w]."""
        h = F.relu(self.norm1(x, labels), inplace=True)
        h = F.relu(self.norm2(convolve_upsampled(self.conv1, h), labels), inplace=True)
        # a 1x1 convolution may as well go before the upsampling
        x = F.interpolate(self.shortcut(x), scale_factor=2.0, mode="nearest")
        attended: Tensor = self.attention(self.conv2(h) + x)
        return attended
