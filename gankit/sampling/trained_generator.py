"""A trained generator, which is sampled without recipe, dataset or discriminator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..data.resize import to_uint8
from ..game.game import has_own_generate
from ..injection import forward_names
from ..interfaces import ImageSpec
from ..interfaces.data_spec import IMAGE
from ..messages import one_line, quote
from ..recipe.validation import validate
from ..registered_component import Params
from ..registry import signature_schema
from .given_inputs import image_in_any_size, read_inputs
from .sample_inputs import SampleInputs
from .samples import Sampling

MAX_ELEMENTS = 2**31  # in the images of one call: 8 GiB as fp32


class TrainedGenerator:
    """A generator with everything that sampling needs.

    Attributes:
        module: the network, in eval mode.
        sampling: draws its latents and labels, and generates images.
        image: size and channels of its images, and the number of its classes.
        classes: the names of its classes; None for an unconditional generator.
        checkpoint: the folder that it was loaded from.
        ema: whether it has the EMA weights.
    """

    def __init__(
        self, module: nn.Module, sampling: Sampling, classes: tuple[str, ...] | None, checkpoint: Path, ema: bool
    ) -> None:
        self.module, self.sampling, self.image, self.classes = module, sampling, sampling.image, classes
        self.checkpoint, self.ema = checkpoint, ema

    @property
    def options(self) -> type[Params]:
        """The schema of its sampling options: the keyword-only parameters of ``forward``, such as ``truncation``.

        If the game has a `Game.generate` of its own, they are the parameters of that.
        """
        game = self.sampling.game
        function, owner = (game.generate, game) if has_own_generate(game) else (self.module.forward, self.module)
        return signature_schema(function, ("z",), f"{type(owner).__name__}.{function.__name__}")

    def sample(
        self,
        count: int | None = None,
        seed: int = 0,
        labels: Sequence[int] | None = None,
        inputs: Mapping[str, Tensor] | None = None,
        **options: Any,
    ) -> Tensor:
        """Sample images. The same arguments give the same images.

        Args:
            count: the number of images, at least 1; with ``inputs``, their number.
            seed: of the latents, which are drawn on the CPU; at least 0.
            labels: one class index per image; None draws them from the class frequencies of the data.
            inputs: the fields that the generator asks for, in place of those of real items: images [n c h w], uint8 or
                floats in [-1, 1], and vectors [n v]. A single image field may have any size. Images that are larger
                than the network takes are generated in overlapping tiles.
            options: the network's sampling options, see `options`.

        Returns:
            uint8 [count c h w]; for inputs of another size than in training, h and w are in proportion to them.

        Raises:
            ValueError: an argument is out of range, or not an option of the network.
            CheckpointError: the generator needs inputs, and the run directory lacks those of the data.
        """
        if inputs is not None:
            return self._sample_from(read_inputs(inputs, self.sampling.specs), count, seed, labels, options)
        if count is None:
            raise ValueError("pass the number of images, or inputs")
        self._require_in_range(count, 1, seed, labels)
        checked = self._check(options)
        return to_uint8(self._generate(self.sampling, self.sampling.draw(count, seed, labels), checked))

    def _sample_from(
        self,
        fields: Mapping[str, Tensor],
        count: int | None,
        seed: int,
        labels: Sequence[int] | None,
        options: Mapping[str, Any],
    ) -> Tensor:
        rows = len(next(iter(fields.values())))
        if count not in (None, rows):
            raise ValueError(f"count is {count}, but there are inputs for {rows} images; omit it")
        self._require_in_range(rows, 1, seed, labels)
        checked, specs = self._check(options), self.sampling.specs
        drawn = self.sampling.draw(rows, seed, labels, fields)
        if all(fields[name].shape[1:] == spec.shape for name, spec in specs.items()):
            return to_uint8(self._generate(self.sampling, drawn, checked))

        def generate(row: int, given: Mapping[str, Tensor], image: ImageSpec) -> Tensor:
            return self._generate(replace(self.sampling, image=image), drawn.repeated(row, given), checked)

        images = [
            image_in_any_size(
                self.module,
                partial(generate, row),
                {name: values[row : row + 1] for name, values in fields.items()},
                specs,
                self.image,
            )
            for row in range(rows)
        ]
        return torch.stack(images)

    def sample_for(self, items: Mapping[str, Tensor], seed: int = 0, **options: Any) -> Tensor:
        """Generate an image for each of several items of the data.

        Args:
            items: as `Sampling.items` has them, with n rows each; and ``labels`` [n] if the generator is conditional.
            seed: of the latents, as in `sample`.
            options: the network's sampling options, see `options`.

        Returns:
            uint8 [n c h w].

        Raises:
            ValueError: an argument is out of range, or not an option of the network.
        """
        count = len(next(iter(items.values())))
        self._require_in_range(count, 1, seed, None)
        checked = self._check(options)
        return to_uint8(self._generate(self.sampling, self.sampling.draw(count, seed, fields=items), checked))

    def interpolate(
        self, count: int, steps: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any
    ) -> Tensor:
        """Interpolate between the latents of the images of `sample`. The same arguments give the same images.

        Row i goes from image i in equal steps towards image i + 1. The last row returns to the first image. A latent
        distribution may define the interpolation (`gankit.Latent`), which is spherical otherwise.

        Args:
            count: the number of latents, at least 2.
            steps: the number of images from one latent to the next, at least 1.
            seed: as in `sample`.
            labels: one class index per row; None draws them from the class frequencies of the data.
            options: the network's sampling options, see `options`.

        Returns:
            uint8 [count steps c h w].

        Raises:
            ValueError: an argument is out of range, or not an option of the network.
        """
        if count < 2 or steps < 1:
            raise ValueError(
                f"an interpolation needs at least 2 latents and 1 step; got {count!r} latents, {steps!r} steps"
            )
        if not self._takes_latents():
            raise ValueError("this generator takes no latents, so that there is nothing to interpolate between")
        self._require_in_range(count, steps, seed, labels)
        checked = self._check(options)
        inputs = self.sampling.draw(count, seed, labels).interpolated(self.sampling.latent, steps)
        images = to_uint8(self._generate(self.sampling, inputs, checked))
        return images.view(count, steps, *images.shape[1:])

    def _takes_latents(self) -> bool:
        fields = [name for name in self.sampling.items if name not in (IMAGE, "labels")]
        return has_own_generate(self.sampling.game) or "z" in forward_names("generator", self.module, fields)

    def _generate(self, sampling: Sampling, inputs: SampleInputs, options: Mapping[str, Any]) -> Tensor:
        """Images fp32 [n c h w]. Raises: ValueError: the network fails with these options."""
        try:
            return sampling.generate(self.module, inputs, options)
        except Exception as error:  # valid as a parameter, but perhaps not for the computation, such as 1e300
            if not options:
                raise
            given = ", ".join(f"{name}={quote(value)}" for name, value in options.items())
            raise ValueError(f"sampling with {given} fails: {type(error).__name__}: {one_line(error)}") from error

    def _require_in_range(self, count: int, steps: int, seed: int, labels: Sequence[int] | None) -> None:
        if count < 1 or not 0 <= seed < 2**63:
            raise ValueError(
                f"count must be at least 1 and seed from 0 to 2^63 - 1; got count {count!r}, seed {seed!r}"
            )
        elements = count * steps * self.image.channels * self.image.height * self.image.width
        if elements > MAX_ELEMENTS:
            raise ValueError(
                f"{count * steps} images have {elements:,} values, above the limit of {MAX_ELEMENTS:,}; "
                "sample fewer at a time"
            )
        if labels is not None and not (
            isinstance(labels, Sequence) and all(isinstance(label, int) and label is not True for label in labels)
        ):
            raise ValueError(f"labels must be a list of integers, one per image; got {quote(labels)}")

    def _check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if not options:
            return {}
        params, problems = validate(self.options, options)
        if params is None:
            raise ValueError("; ".join(f"sampling option '{problem.path}': {problem.message}" for problem in problems))
        return params.at(0)
