"""The residual generator of CycleGAN.

Shapes: ``n`` images, ``c`` channels of the images, ``s`` channels of the sources, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

import gankit

from .layers import Norm, initialize, needs_bias, normalization
from .sizes import require_multiple, source_spec

FIRST_PADDING = 3  # of the 7x7 convolutions; reflection needs a side that is larger by one
MIN_INNER_SIDE = 2  # of the smallest feature map, which the residual blocks pad by one pixel


class ResnetTranslator(nn.Module):
    """The generator of CycleGAN (arXiv 1703.10593, appendix 7.2): residual blocks on feature maps of a smaller size.

    The layers are c7s1-64, d128, d256, nine times R256, u128, u64 and c7s1-3 in the paper's notation, with ReLU and a
    final tanh. Convolutions of stride 1 pad by reflection. With 3 channels of both source and image, the defaults give
    the network of the authors' PyTorch code: 11,378,179 parameters. The paper uses 6 blocks for 128 px.

    Its `encoder` ends after the middle block. It returns the feature maps that ``patch_nce`` compares: the source, the
    result of each convolution of stride 2, and those of the first and the middle block.

    The network is fully convolutional: it also translates images larger than those it was trained with, whose height
    and width are multiples of ``size_multiple``.

    PyTorch's gradient of reflection padding is not deterministic on CUDA devices, so ``train.deterministic: true``
    refuses it there.

    Args:
        data: the image and the field ``source``, of the same size.
        width: channels of the largest feature map. Each halving doubles the channels.
        blocks: number of residual blocks.
        halvings: number of halvings before the residual blocks, and of doublings after them.
        norm: ``instance`` as in the paper, or ``batch``.

    Attributes:
        encoder: sources [n s h w] to a list of feature maps.
        size_multiple: height and width of the sources are multiples of it.

    Raises:
        ValueError: the data lacks source images of the size of the image, or the size is not a multiple of
            ``2**halvings``.
    """

    def __init__(
        self,
        data: gankit.DataSpec,
        *,
        width: PositiveInt = 64,
        blocks: PositiveInt = 9,
        halvings: NonNegativeInt = 2,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        source = source_spec(data, "resnet_translator")
        self.halvings, self.size_multiple = halvings, 2**halvings
        self.require_size(data.image.height, data.image.width)
        bias, widest = needs_bias(norm), width << halvings
        stages: list[list[nn.Module]] = [
            [
                nn.ReflectionPad2d(FIRST_PADDING),
                nn.Conv2d(source.channels, width, kernel_size=7, bias=bias),
                normalization(norm, width),
                nn.ReLU(inplace=True),
            ]
        ]
        for level in range(halvings):
            wide, wider = width << level, width << level + 1
            stages[-1].append(nn.Conv2d(wide, wider, kernel_size=3, stride=2, padding=1, bias=bias))
            stages.append([normalization(norm, wider), nn.ReLU(inplace=True)])
        first, *others = [ResidualBlock(widest, norm) for _ in range(blocks)]
        stages[-1].append(first)
        middle = blocks // 2
        if middle:
            stages.append([*others[:middle]])
        layers: list[nn.Module] = [*others[middle:]]
        for level in reversed(range(halvings)):
            wide, wider = width << level, width << level + 1
            layers += [
                nn.ConvTranspose2d(wider, wide, kernel_size=3, stride=2, padding=1, output_padding=1, bias=bias),
                normalization(norm, wide),
                nn.ReLU(inplace=True),
            ]
        layers += [
            nn.ReflectionPad2d(FIRST_PADDING),
            nn.Conv2d(width, data.image.channels, kernel_size=7),
            nn.Tanh(),
        ]
        halved = (width << level for level in range(1, halvings + 1))
        self.encoder = Encoder(stages, (source.channels, *halved, widest, *[widest] * bool(middle)))
        self.decoder = nn.Sequential(*layers)
        self.apply(initialize)

    def forward(self, source: Tensor) -> Tensor:
        """Source images [n s h w] in [-1, 1] to images [n c h w] in [-1, 1].

        Raises:
            ValueError: the height or width is too small or not a multiple of ``2**halvings``.
        """
        self.require_size(*source.shape[-2:])
        images: Tensor = self.decoder(self.encoder(source)[-1])
        return images

    def require_size(self, height: int, width: int) -> None:
        """Raises: ValueError: the height or width is too small or not a multiple of ``2**halvings``."""
        factor = 2**self.halvings
        smallest = max(MIN_INNER_SIDE * factor, FIRST_PADDING + 1)
        require_multiple((height, width), factor, smallest, f"resnet_translator with halvings={self.halvings}")


class Encoder(nn.Module):
    """The first half of the generator, which returns the feature maps that CUT compares (arXiv 2007.15651, app. C.2).

    Args:
        stages: the layers before each further feature map.
        channels: of the source and of each feature map.

    Attributes:
        channels: of the source and of each feature map.
    """

    def __init__(self, stages: Sequence[Sequence[nn.Module]], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.stages, self.channels = nn.ModuleList(nn.Sequential(*layers) for layers in stages), channels

    def forward(self, source: Tensor) -> list[Tensor]:
        """Source images [n s h w] in [-1, 1] to feature maps: the source itself, then the result of each stage."""
        features = [source]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, each with normalization, whose result is added to the input; ReLU between them."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3, bias=needs_bias(norm)),
            normalization(norm, channels),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, kernel_size=3, bias=needs_bias(norm)),
            normalization(norm, channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """A feature map to one of the same shape."""
        change: Tensor = self.layers(features)
        return features + change
