"""The discriminator. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``f`` features."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .attention import SelfAttention
from .heads import Head, Heads, make_head
from .layers import RESIDUAL_GAIN, convolve_downsampled, prepared
from .stages import Widths, stages


class ResNetDiscriminator(nn.Module):
    """The residual discriminator of SNGAN (arXiv 1802.05957, appendix B.4) and SAGAN (arXiv 1805.08318).

    At 32 px, with its defaults and 3 channels, it is the network for CIFAR-10: two residual blocks that halve
    the map, two that do not, 128 channels, ReLU, the sum over pixels and a linear layer, without BatchNorm; 1,053,825
    parameters, and 1,280 more for the projection of 10 classes. At 128 px, with a width of 1024, it is the network for
    ImageNet.

    With classes, ``head`` says what D makes of the labels; what it returns beside ``logits`` serves regularizers.

    - ``projection``: logits plus the features dotted with an embedding of the label (arXiv 1802.05637, eq. 4).
    - ``auxiliary_classifier``: also ``class_logits`` [n k] over k classes (ACGAN, arXiv 1610.09585).
    - ``contrastive``: also the image's ``embedding`` and the label's ``label_embedding``, each [n embedding_dim], of
      any length (ContraGAN, arXiv 2006.12681).
    - ``none``: D does not see the labels.

    SAGAN's is this one with ``attention``.

    Args:
        image: what to judge.
        width: channels of the widest feature map.
        widths: ``constant`` for the same width throughout, as for CIFAR-10, where the last two blocks keep the map's
            size; ``pyramid`` doubles it with each of the first halvings, up to four times, as for ImageNet, where only
            the last block keeps the size; ``auto`` is ``constant`` where G doubles up to three times.
        attention: feature maps, by their shorter side in pixels, after which self-attention follows.
        spectral_norm: keep the largest singular value of each layer at 1.
        head: what to make of labels.
        embedding_dim: of the contrastive head.

    Raises:
        ValueError: the image's size does not come from a small base by doubling, there is no such feature map, or a
            head needs classes and there are none.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        width: PositiveInt = 128,
        widths: Widths = "auto",
        attention: tuple[PositiveInt, ...] = (),
        spectral_norm: bool = True,
        head: Heads = "projection",
        embedding_dim: PositiveInt = 512,
    ) -> None:
        super().__init__()
        plan = stages(image, width, widths)
        last = len(plan.sizes) - 1
        attended = {last - place for place in plan.places(attention, range(last - plan.halved, last))}
        outputs = (image.channels, *reversed(plan.widths))
        self.blocks = nn.ModuleList(
            DownBlock(
                *channels,
                first=number == 1,
                halve=number <= plan.halved,
                spectral=spectral_norm,
                attention=number in attended,
            )
            for number, channels in enumerate(pairwise(outputs), start=1)
        )
        self.head: Head = make_head(head, plan.widths[0], image.classes, embedding_dim, spectral_norm)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Images [n c h w] in [-1, 1] and, where the head needs them, labels [n] (int64) to logits [n].

        With the heads ``auxiliary_classifier`` and ``contrastive``, a mapping with ``logits`` and theirs.

        Raises:
            ValueError: the head needs labels, and there are none.
        """
        h = images
        for block in self.blocks:
            h = block(h)
        # a sum over pixels, and what is made of it, is beyond the 8 bits of bf16
        features = F.relu(h).sum(dim=(2, 3), dtype=torch.promote_types(h.dtype, torch.float32))
        judged: Tensor | dict[str, Tensor] = self.head(features, labels)
        return judged


class DownBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, average pooling; beside them, a 1x1 convolution where anything changes."""

    def __init__(self, inputs: int, outputs: int, *, first: bool, halve: bool, spectral: bool, attention: bool) -> None:
        super().__init__()
        self.first, self.halve = first, halve
        self.conv1 = prepared(nn.Conv2d(inputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        self.conv2 = prepared(nn.Conv2d(outputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        changes = halve or inputs != outputs
        self.shortcut = prepared(nn.Conv2d(inputs, outputs, 1), spectral) if changes else nn.Identity()
        self.attention = SelfAttention(outputs, spectral) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[n c h w] to [n o h/2 w/2], or [n o h w]."""
        h = F.relu(self.conv1(x if self.first else F.relu(x)), inplace=True)
        h = convolve_downsampled(self.conv2, h) if self.halve else self.conv2(h)
        # a 1x1 convolution may as well come after the pooling
        x = self.shortcut(F.avg_pool2d(x, 2) if self.halve else x)
        attended: Tensor = self.attention(h + x)
        return attended
