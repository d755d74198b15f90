"""Projection of a picture onto a generator: the latent whose image is most like it (arXiv 1912.04958, appendix D).

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions, ``l`` layers, ``s`` features
of a style.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ..data.resize import to_float, to_uint8
from ..interfaces import Report, no_report
from .image_grid import make_grid
from .sample_inputs import BLOCK, SampleInputs
from .samples import eval_mode
from .trained_generator import TrainedGenerator

Space = Literal["z", "w", "w+"]
Distance = Callable[[Tensor, Tensor], Tensor]
CANDIDATES = 256  # random latents, the best of which begins the search in z
STYLES = 4096  # random styles, whose mean begins the search in w
LEARNING_RATE, RAMP_UP, RAMP_DOWN = 0.1, 0.05, 0.25  # appendix D, as shares of the steps
NOISE, NOISY_SHARE = 0.05, 0.75  # of the styles, likewise
SHOWN = 50  # images of the course of the search
LAST_FRAMES = 10  # more of the last image in an animation


@dataclass(frozen=True)
class Projection:
    """The result of a projection.

    Attributes:
        inputs: the latent or the styles that were found, for one image.
        image: uint8 [c h w], generated from them.
        course: images during the search, uint8 [c h w], the first from where it began.
        psnr: peak signal-to-noise ratio of the image in dB, for a range of 255.
        distance: perceptual distance of the image; None if none was used.
    """

    inputs: SampleInputs
    image: Tensor
    course: tuple[Tensor, ...]
    psnr: float
    distance: float | None

    def frames(self, target: Tensor) -> list[Tensor]:
        """An animation of the search next to the target, whose last image is shown for longer: uint8 [h w c] each."""
        frames = [make_grid(torch.stack([image, target]), 2) for image in self.course]
        return frames + frames[-1:] * LAST_FRAMES


class Projector:
    """Searches for latents by gradient descent.

    Args:
        generator: whose images depend on latents and classes only.
        space: ``z``; ``w``, one style for all layers; or ``w+``, one style for each layer.
        distance: a perceptual distance [n] of images [n c h w] in [-1, 1]; None compares pixels only.
        pixel_weight: factor of the mean squared difference of pixels in [-1, 1], which is added to the distance.
        steps: of the descent.
        seed: of the latents that the search begins with.
        options: sampling options; those that make the generator deterministic are set.

    Raises:
        ValueError: the generator has no such latents, or draws random numbers itself.
    """

    def __init__(
        self,
        generator: TrainedGenerator,
        space: Space,
        distance: Distance | None,
        pixel_weight: float = 10.0,
        steps: int = 500,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.generator, self.space, self.distance, self.pixel_weight = generator, space, distance, pixel_weight
        self.steps, self.seed = steps, seed
        self.options = {**generator.deterministic_options, **(options or {})}
        generator.require_function_of_latents(self.options)
        if space != "z":
            generator.with_styles(generator.draw(1))
        self._like = next(generator.module.parameters())

    def __call__(
        self,
        target: Tensor,
        label: int | None = None,
        report: Report = no_report,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Projection:
        """Project a picture.

        Args:
            target: uint8 [c h w], of the generator's size.
            label: the class; None takes that of the most similar of several random images.
            report: called with the progress.
            should_stop: called before each step; True ends the search with what it has found so far.
        """
        wanted = to_float(target[None]).to(self._like)
        start, spread = self._start(wanted, label)
        found = self._free(start).to(self._like).clone().requires_grad_()
        adam = torch.optim.Adam([found])
        random = torch.Generator().manual_seed(self.seed)
        shown = {round(index * (self.steps - 1) / SHOWN) for index in range(SHOWN)}
        course = []
        with eval_mode(self.generator.module):
            for step in range(self.steps):
                if should_stop():
                    break
                report("projection", step, self.steps)
                done = step / self.steps
                adam.param_groups[0]["lr"] = LEARNING_RATE * _ramp(done)
                strength = spread * NOISE * max(0.0, 1 - done / NOISY_SHARE) ** 2
                noise = torch.randn(found.shape, generator=random).to(found)
                latents = self._with(start, found + strength * noise)
                images = self.generator.sampling.forward(self.generator.module, latents, self.options)
                if step in shown:
                    course.append(to_uint8(images.detach().cpu())[0])
                adam.zero_grad()
                self._losses(images, wanted).mean().backward()
                adam.step()
        report("projection", self.steps, self.steps)
        result = self._with(start, found.detach().cpu())
        image = self.generator.images(result, **self.options)[0]
        return Projection(result, image, (*course, image), _psnr(image, target), self._distance_of(image, target))

    @torch.no_grad()
    def _start(self, wanted: Tensor, label: int | None) -> tuple[SampleInputs, float]:
        """Where the search begins: one image; and the standard deviation of its styles.

        In z, it is the most similar of random images; in w, the mean of random styles of its class.
        """
        generator = self.generator
        candidates = generator.draw(CANDIDATES, self.seed, None if label is None else [label] * CANDIDATES)
        blocks = [candidates.block(number) for number in range(CANDIDATES // BLOCK)]
        images = [to_float(generator.images(block, **self.options)).to(self._like) for block in blocks]
        losses = torch.cat([self._losses(block, wanted.expand_as(block)) for block in images])
        best = candidates.rows(losses.argmin()[None].cpu())
        if self.space == "z":
            return best, 0.0
        labels = None if best.labels is None else best.labels.repeat_interleave(STYLES, dim=0)
        styles = generator.with_styles(generator.draw(STYLES, self.seed, labels), **self.options).styles
        assert styles is not None
        mean = styles.mean(dim=0, keepdim=True)
        spread = float((styles - mean)[:, 0].square().sum(dim=1).mean().sqrt())
        return replace(best, styles=mean), spread

    def _free(self, inputs: SampleInputs) -> Tensor:
        """The tensor that the descent changes: z [1 d], or styles [1 1 s] or [1 l s]."""
        if inputs.styles is None:
            return inputs.z
        return inputs.styles[:, :1] if self.space == "w" else inputs.styles

    def _with(self, inputs: SampleInputs, free: Tensor) -> SampleInputs:
        """The inputs with other values of `_free`."""
        if inputs.styles is None:
            return replace(inputs, z=free)
        return replace(inputs, styles=free.expand(-1, inputs.styles.shape[1], -1))

    def _losses(self, images: Tensor, wanted: Tensor) -> Tensor:
        """The loss of each image [n]. Beyond the range of pixels, an image matches a picture at its end."""
        images = images.clamp(
            torch.where(wanted <= -1, -1.0, -math.inf).to(wanted), torch.where(wanted >= 1, 1.0, math.inf).to(wanted)
        )
        pixels = (images - wanted).square().mean(dim=(1, 2, 3))
        distances = 0.0 if self.distance is None else self.distance(images, wanted)
        return distances + self.pixel_weight * pixels

    @torch.no_grad()
    def _distance_of(self, image: Tensor, target: Tensor) -> float | None:
        if self.distance is None:
            return None
        one, other = (to_float(picture[None]).to(self._like) for picture in (image, target))
        return float(self.distance(one, other))


def _ramp(done: float) -> float:
    """The factor of the learning rate after this share of the steps: up linearly, down with a cosine."""
    down = min(1.0, (1 - done) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(down * math.pi)) * min(1.0, done / RAMP_UP)


def _psnr(image: Tensor, target: Tensor) -> float:
    """The peak signal-to-noise ratio in dB of images uint8 [c h w]; infinite for equal ones."""
    error = float((image.float() - target.float()).square().mean())
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)
