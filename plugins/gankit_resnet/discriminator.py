"""The discriminator. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``f`` features."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .attention import SelfAttention
from .discriminator_heads import Head, HeadName, make_head
from .feature_maps import Widths, feature_maps
from .layers import RESIDUAL_GAIN, initialized


class ResNetDiscriminator(nn.Module):
    """The residual discriminator of SNGAN (arXiv 1802.05957, appendix B.4) and SAGAN (arXiv 1805.08318).

    For 32x32 images of 3 channels, the defaults give the network for CIFAR-10: two residual blocks that halve the
    feature map and two that do not, 128 channels, ReLU, the sum over pixels and a linear layer, without BatchNorm;
    1,053,825 parameters, and 1,280 more for the projection of 10 classes. For 128x128 images, ``width: 1024`` gives the
    network for ImageNet. Set ``attention`` for SAGAN.

    With classes, ``head`` selects how labels are used. Outputs other than ``logits`` are for regularizers.

    - ``projection``: the dot product of the features and an embedding of the label is added to the logits (arXiv
      1802.05637, eq. 4).
    - ``auxiliary_classifier``: also ``class_logits`` [n k] over k classes (ACGAN, arXiv 1610.09585).
    - ``contrastive``: also the image's ``embedding`` and the label's ``label_embedding``, each [n embedding_dim], not
      normalized (ContraGAN, arXiv 2006.12681).
    - ``none``: D does not use the labels.

    Args:
        image: the input images.
        width: channels of the widest feature map.
        widths: ``constant`` for the same width in all feature maps, as for CIFAR-10, where the last two blocks keep the
            size; ``pyramid`` to double the width with each of the first halvings, up to four times, as for ImageNet,
            where only the last block keeps the size; ``auto`` for ``constant`` if G has up to three doublings, and
            ``pyramid`` otherwise.
        attention: short sides in pixels of the feature maps after which self-attention follows.
        spectral_norm: divide the weight of each layer by its largest singular value.
        head: see above.
        embedding_dim: size of the embeddings of the contrastive head.
        rectified_shortcut: apply the ReLU at the start of a block to its shortcut as well. Implementations with an
            in-place ReLU, such as mimicry and StudioGAN, compute this.

    Raises:
        ValueError: the image size is not a power of two times a small base, no feature map has a short side given in
            ``attention``, or the head needs classes and the images have none.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        width: PositiveInt = 128,
        widths: Widths = "auto",
        attention: tuple[PositiveInt, ...] = (),
        spectral_norm: bool = True,
        head: HeadName = "projection",
        embedding_dim: PositiveInt = 512,
        rectified_shortcut: bool = False,
    ) -> None:
        super().__init__()
        maps = feature_maps(image, width, widths)
        last = len(maps.sizes) - 1
        attended = {last - index for index in maps.indices(attention, range(last - maps.halvings, last))}
        channels = (image.channels, *reversed(maps.widths))
        self.blocks = nn.ModuleList(
            DownBlock(
                *pair,
                first=number == 1,
                halve=number <= maps.halvings,
                spectral=spectral_norm,
                attention=number in attended,
                rectified_shortcut=rectified_shortcut,
            )
            for number, pair in enumerate(pairwise(channels), start=1)
        )
        self.head: Head = make_head(head, maps.widths[0], image.classes, embedding_dim, spectral_norm)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Images [n c h w] in [-1, 1] and, if the head needs them, labels [n] (int64) to logits [n].

        The heads ``auxiliary_classifier`` and ``contrastive`` return a mapping with ``logits`` and their own outputs.

        Raises:
            ValueError: the head needs labels and ``labels`` is None.
        """
        h = images
        for block in self.blocks:
            h = block(h)
        # bf16 is too coarse for the sum over pixels and for the logits
        features = F.relu(h).sum(dim=(2, 3), dtype=torch.promote_types(h.dtype, torch.float32))
        output: Tensor | dict[str, Tensor] = self.head(features, labels)
        return output


class DownBlock(nn.Module):
    """A residual block that may halve the feature map; its shortcut is a 1x1 convolution if size or channels change."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        first: bool,
        halve: bool,
        spectral: bool,
        attention: bool,
        rectified_shortcut: bool = False,
    ) -> None:
        super().__init__()
        self.first, self.halve, self.rectified_shortcut = first, halve, rectified_shortcut
        self.conv1 = initialized(nn.Conv2d(inputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        self.conv2 = initialized(nn.Conv2d(outputs, outputs, 3, padding=1), spectral, RESIDUAL_GAIN)
        changes = halve or inputs != outputs
        self.shortcut = initialized(nn.Conv2d(inputs, outputs, 1), spectral) if changes else nn.Identity()
        self.attention = SelfAttention(outputs, spectral) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[n c h w] to [n o h/2 w/2], or [n o h w]."""
        rectified = x if self.first else F.relu(x)
        h = F.relu(self.conv1(rectified), inplace=True)
        h = gankit.convolve_downsampled(h, self.conv2.weight, self.conv2.bias) if self.halve else self.conv2(h)
        x = rectified if self.rectified_shortcut else x
        # a 1x1 convolution and pooling commute; this order is cheaper
        x = self.shortcut(F.avg_pool2d(x, 2) if self.halve else x)
        output: Tensor = self.attention(h + x)
        return output
