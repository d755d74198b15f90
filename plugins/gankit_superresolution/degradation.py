"""The second-order degradation of Real-ESRGAN (arXiv 2107.10833, sec. 3.2 and 3.3), on the CPU.

Ranges and probabilities are those of the paper's experiments (sec. 4.1) and, where it leaves them open, those of the
authors' published settings. Images are fp32 [1 c h w] in [0, 1] with one or three channels.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .blur_kernels import random_kernel, random_sinc_kernel
from .item_random import ItemRandom

Range = tuple[float, float]
Size = tuple[int, int]


class Round(NamedTuple):
    """One round of blur, resizing and noise.

    Attributes:
        blur: probability of blur.
        sigma: standard deviations of blur kernels in pixels.
        resize: probabilities to enlarge, to shrink and to keep the size.
        factors: smallest and largest factor of the size.
        gaussian: standard deviation of Gaussian noise, in units of 1/255.
        poisson: factor of Poisson noise.
    """

    blur: float
    sigma: Range
    resize: tuple[float, float, float]
    factors: Range
    gaussian: Range
    poisson: Range


FIRST = Round(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1.0, 30.0), (0.05, 3.0))
SECOND = Round(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1.0, 25.0), (0.05, 2.5))
GAUSSIAN_CHANCE = 0.5  # otherwise Poisson noise
GRAY_CHANCE = 0.4  # that the noise is the same in all channels
QUALITY = (30, 95)  # of JPEG
FINAL_SINC_CHANCE = 0.8
MODES = ("area", "bilinear", "bicubic")  # of resizing


def degrade(image: Tensor, size: Size, rounds: int, random: ItemRandom) -> Tensor:
    """A degraded copy of an image.

    Args:
        image: uint8 [c h w].
        size: height and width of the result in pixels.
        rounds: 2 for the second-order degradation, 1 for its second half alone, and 0 for bicubic downsampling, as in
            the experiments of SRGAN and ESRGAN.
        random: draws everything.

    Returns:
        uint8 [c *size].
    """
    pixels = image[None].float() / 255
    if not rounds:
        return to_uint8(F.interpolate(pixels, size, mode="bicubic", antialias=True))[0]
    if rounds > 1:
        height, width = pixels.shape[-2:]
        pixels = compressed(blurred_resized_noisy(pixels, (height, width), FIRST, random), random)
    pixels = blurred_resized_noisy(pixels, size, SECOND, random)
    steps: list[Callable[[Tensor], Tensor]] = [lambda x: ringing(resized(x, size, random), random)]
    steps.insert(random.integer(0, 1), lambda x: compressed(x, random))
    for step in steps:
        pixels = step(pixels)
    return to_uint8(pixels)[0]


def blurred_resized_noisy(pixels: Tensor, size: Size, settings: Round, random: ItemRandom) -> Tensor:
    """One round up to its noise. The resized image has ``size`` times a random factor."""
    if random.chance(settings.blur):
        pixels = filtered(pixels, random_kernel(random, settings.sigma))
    low, high = random.choose(((1.0, settings.factors[1]), (settings.factors[0], 1.0), (1.0, 1.0)), settings.resize)
    factor = random.uniform(low, high)
    pixels = resized(pixels, (max(1, round(size[0] * factor)), max(1, round(size[1] * factor))), random).clamp(0, 1)
    return noisy(pixels, settings, random)


def resized(pixels: Tensor, size: Size, random: ItemRandom) -> Tensor:
    """The image at another size, by a random method. As in most software, bilinear and bicubic may cause aliasing.

    In fp64, since the rounding of the fp32 result depends on the number of threads, and noise and compression would
    magnify the difference.
    """
    return F.interpolate(pixels.double(), size, mode=random.choose(MODES)).float()


def noisy(pixels: Tensor, settings: Round, random: ItemRandom) -> Tensor:
    """The image in [0, 1] with Gaussian or Poisson noise, clamped to [0, 1]."""
    gray = random.chance(GRAY_CHANCE)
    if random.chance(GAUSSIAN_CHANCE):
        sigma = random.uniform(*settings.gaussian) / 255
        noise = sigma * random.normal(1, 1 if gray else pixels.shape[1], *pixels.shape[2:])
    else:
        light = pixels.mean(dim=1, keepdim=True) if gray else pixels
        noise = random.uniform(*settings.poisson) * (random.poisson(255 * light) / 255 - light)
    return (pixels + noise).clamp(0, 1)


def ringing(pixels: Tensor, random: ItemRandom) -> Tensor:
    """The image after a sinc filter, with a probability of 0.8; clamped to [0, 1]."""
    return (filtered(pixels, random_sinc_kernel(random)) if random.chance(FINAL_SINC_CHANCE) else pixels).clamp(0, 1)


def filtered(pixels: Tensor, kernel: Tensor) -> Tensor:
    """The image after a filter [k k], whose border pixels are repeated: images may be smaller than the kernel."""
    from kornia.filters import filter2d  # takes a second to import

    return filter2d(pixels, kernel[None].float(), border_type="replicate")


def compressed(pixels: Tensor, random: ItemRandom) -> Tensor:
    """The image after compression as a JPEG of random quality.

    Pillow's codec makes the artifacts of real files, with integer arithmetic and subsampled colors. It is faster than
    kornia's, whose gradients are not needed here and which requires three channels.
    """
    from PIL import Image

    array = to_uint8(pixels)[0].permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(
        file, "JPEG", quality=random.integer(*QUALITY)
    )
    with Image.open(file) as image:
        decoded = np.array(image)
    return torch.from_numpy(decoded.reshape(array.shape)).permute(2, 0, 1)[None].float() / 255


def to_uint8(pixels: Tensor) -> Tensor:
    """Pixels in about [0, 1] to uint8."""
    return (pixels * 255).round().clamp(0, 255).to(torch.uint8)
