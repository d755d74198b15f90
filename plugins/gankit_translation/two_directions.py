"""The networks of CycleGAN, for translation in both directions.

Shapes: ``n`` images, ``c`` channels of the images, ``s`` channels of the sources, ``h`` height, ``w`` width,
``y`` and ``x`` height and width of the map of logits.
"""

from __future__ import annotations

from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn

import gankit

from .layers import Norm
from .patchgan import PatchGAN
from .resnet_translator import ResnetTranslator
from .sizes import source_spec

Output = Tensor | dict[str, Tensor]


class TwoTranslators(nn.Module):
    """The two generators of CycleGAN (arXiv 1703.10593): sources to images, and images to sources.

    The sampling option ``reverse=true`` translates images to sources instead.

    Args:
        data: the image and the field ``source``, of the same size.
        width: channels of the largest feature map. Each halving doubles the channels.
        blocks: number of residual blocks of each network.
        halvings: number of halvings before the residual blocks, and of doublings after them.
        norm: ``instance`` as in the paper, or ``batch``.

    Attributes:
        to_image: a `ResnetTranslator` of sources [n s h w] to images [n c h w].
        to_source: a `ResnetTranslator` of images [n c h w] to sources [n s h w].
        size_multiple: height and width of the input are multiples of it.

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
        reverse = gankit.DataSpec(image=source_spec(data, "two_translators"), source=data.image)
        self.to_image, self.to_source = (
            ResnetTranslator(direction, width=width, blocks=blocks, halvings=halvings, norm=norm)
            for direction in (data, reverse)
        )
        self.channels = reverse.image.channels, data.image.channels
        self.size_multiple = self.to_image.size_multiple

    def forward(self, source: Tensor, image: Tensor | None = None, *, reverse: bool = False) -> Output:
        """Translate.

        Args:
            source: [n s h w] in [-1, 1].
            image: real images [n c h w] in [-1, 1], which training passes.
            reverse: translate ``source`` as if it were images, to the domain of the sources.

        Returns:
            Images [n c h w] in [-1, 1]. With ``image``, a mapping of these as ``images`` and the translations [n s h w]
            of the real images as ``sources``.

        Raises:
            ValueError: ``reverse`` is set, and sources and images have different numbers of channels.
        """
        if reverse:
            if self.channels[0] != self.channels[1]:
                raise ValueError(
                    "reverse: the sources have {} channels and the images {}, so that gankit cannot show translations "
                    "in this direction; use to_source of the network".format(*self.channels)
                )
            return self.to_source(source)  # type: ignore[no-any-return]
        images: Tensor = self.to_image(source)
        return images if image is None else {"images": images, "sources": self.to_source(image)}


class TwoPatchGANs(nn.Module):
    """The two discriminators of CycleGAN (arXiv 1703.10593): of images and of sources.

    Called as a discriminator, it judges images. The game trains both.

    Args:
        image: the images to judge.
        data: the image and the field ``source``, of the same size.
        width: channels of the first feature map. Each further convolution doubles the channels, up to ``8 * width``.
        layers: number of convolutions of stride 2, which determines the patch size as in `PatchGAN`.
        norm: ``instance`` as in CycleGAN, or ``batch``.

    Attributes:
        of_images: a `PatchGAN` of images [n c h w].
        of_sources: a `PatchGAN` of sources [n s h w].

    Raises:
        ValueError: the data lacks source images of the size of the image, or the images are too small for the number
            of layers.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        data: gankit.DataSpec,
        *,
        width: PositiveInt = 64,
        layers: NonNegativeInt = 3,
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        source = source_spec(data, "two_patchgans")
        self.of_images, self.of_sources = (
            PatchGAN(field, width=width, layers=layers, norm=norm) for field in (image, source)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] in [-1, 1] to a map of logits [n 1 y x]."""
        logits: Tensor = self.of_images(images)
        return logits
