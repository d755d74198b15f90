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
from ..device.out_of_memory import is_out_of_memory
from ..game.game import has_own_generate, sampling_options
from ..injection import forward_names
from ..interfaces import ImageSpec
from ..interfaces.data_spec import IMAGE
from ..messages import one_line, quote
from ..recipe.validation import validate
from ..registered_component import Params
from .given_inputs import image_in_any_size, read_inputs
from .sample_arguments import Labels, read_count_and_seed, read_labels
from .sample_inputs import SampleInputs
from .samples import Sampling
from .styles import has_styles


class TrainedGenerator:
    """A generator with everything that sampling needs.

    Attributes:
        module: the network, in eval mode.
        sampling: draws its latents and labels, and generates images.
        image: size and channels of its images, and the number of its classes.
        classes: the names of its classes; None for an unconditional generator.
        checkpoint: the folder that it was loaded from.
        ema: whether it has the EMA weights.
        weights: the SHA-256 of its weights, in hexadecimal; None if it is not known.
    """

    def __init__(
        self,
        module: nn.Module,
        sampling: Sampling,
        classes: tuple[str, ...] | None,
        checkpoint: Path,
        ema: bool,
        weights: str | None = None,
    ) -> None:
        self.module, self.sampling, self.image, self.classes = module, sampling, sampling.image, classes
        self.checkpoint, self.ema, self.weights = checkpoint, ema, weights

    @property
    def saved_as(self) -> str:
        """The name of its weights in the checkpoint: ``generator_ema`` or ``generator``."""
        return "generator_ema" if self.ema else "generator"

    @property
    def options(self) -> type[Params]:
        """The schema of its sampling options: the keyword-only parameters of ``forward``, such as ``truncation``.

        If the game has a `Game.generate` of its own, they are the parameters of that.
        """
        return sampling_options(self.sampling.game, self.module)

    def sample(
        self,
        count: int | None = None,
        seed: int = 0,
        labels: Labels | None = None,
        inputs: Mapping[str, Tensor] | None = None,
        **options: Any,
    ) -> Tensor:
        """Sample images. Image i depends on the seed, i and its label only. `gankit eval` scores the same images.

        Args:
            count: the number of images, at least 1; with ``inputs``, their number.
            seed: of the latents, which are drawn on the CPU; at least 0.
            labels: one class index per image, or vectors [n v] if these are the labels of the data. None draws class
                indices from the class frequencies of the data, and vectors from real items.
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
        return self.images(self.draw(count, seed, labels), **options)

    def draw(self, count: int, seed: int = 0, labels: Labels | None = None) -> SampleInputs:
        """The inputs for the images of `sample`: latents [n d], labels [n] or [n v], and fields.

        Raises:
            ValueError, CheckpointError: as in `sample`.
        """
        count, seed = read_count_and_seed(self.image, count, seed)
        return self.sampling.draw(count, seed, read_labels(labels))

    def draw_block(self, number: int, count: int, seed: int = 0, labels: Sequence[int] | None = None) -> SampleInputs:
        """A part of `draw`: block ``number`` of 64 images. The blocks do not depend on each other."""
        return self.sampling.draw_block(number, count, seed, labels)

    def draw_from(self, latents: Mapping[str, Tensor], seed: int = 0) -> SampleInputs:
        """The inputs for images of given latents.

        Args:
            latents: ``z`` [n d] or ``styles`` [n l s]; and ``labels`` [n] or [n v] for a conditional generator.
            seed: of everything else.

        Raises:
            ValueError: the latents do not fit the generator.
        """
        if not self.takes_latents():
            raise ValueError("this generator takes no latents")
        labels = latents.get("labels")
        if labels is None and self.image.classes:
            raise ValueError(f"the latents lack 'labels', the class of each image, from 0 to {self.image.classes - 1}")
        name = "z" if "z" in latents else "styles"
        if name not in latents:
            raise ValueError(f"the latents are {', '.join(latents) or 'empty'}; they need 'z' or 'styles'")
        values = latents[name]
        inputs = self.draw(len(values), seed, labels)
        own = inputs.z if name == "z" else self.with_styles(inputs.rows(slice(1))).styles
        assert own is not None
        if values.shape[1:] != own.shape[1:]:
            sizes = " ".join(map(str, own.shape[1:]))
            raise ValueError(f"'{name}' is {list(values.shape)}; this generator takes [n {sizes}]")
        if not values.isfinite().all():
            raise ValueError(f"'{name}' has values that are NaN or infinite")
        values = values.float().cpu()
        return replace(inputs, z=values) if name == "z" else replace(inputs, styles=values)

    def with_styles(self, inputs: SampleInputs, **options: Any) -> SampleInputs:
        """The same images by their styles [n l s]. Raises: ValueError: the generator has no styles."""
        return self.sampling.with_styles(self.module, inputs, self._check(options))

    def images(self, inputs: SampleInputs, **options: Any) -> Tensor:
        """The images uint8 [n c h w] of inputs. Raises: ValueError: an option is not an option of the network."""
        return to_uint8(self._generate(self.sampling, inputs, self._check(options)))

    def _sample_from(
        self,
        fields: Mapping[str, Tensor],
        count: int | None,
        seed: int,
        labels: Labels | None,
        options: Mapping[str, Any],
    ) -> Tensor:
        rows = len(next(iter(fields.values())))
        if count not in (None, rows):
            raise ValueError(f"count is {count}, but there are inputs for {rows} images; omit it")
        rows, seed = read_count_and_seed(self.image, rows, seed)
        checked, specs = self._check(options), self.sampling.specs
        drawn = self.sampling.draw(rows, seed, read_labels(labels), fields)
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
        if missing := [name for name in self.sampling.fields if name not in items]:
            raise ValueError(f"items: {', '.join(missing)} is missing, which the generator needs")
        count, seed = read_count_and_seed(self.image, len(next(iter(items.values()), ())), seed)
        checked = self._check(options)
        return to_uint8(self._generate(self.sampling, self.sampling.draw(count, seed, fields=items), checked))

    def interpolate(
        self, count: int, steps: int, seed: int = 0, labels: Labels | None = None, **options: Any
    ) -> Tensor:
        """Interpolate between the latents of the images of `sample`. The same arguments give the same images.

        Row i goes from image i in equal steps towards image i + 1. The last row returns to the first image. A latent
        distribution may define the interpolation (`gankit.Latent`), which is spherical otherwise.

        Args:
            count: the number of latents, at least 2.
            steps: the number of images from one latent to the next, at least 1.
            seed: as in `sample`.
            labels: of the rows, as in `sample`.
            options: the network's sampling options, see `options`.

        Returns:
            uint8 [count steps c h w].

        Raises:
            ValueError: an argument is out of range, or not an option of the network.
        """
        return self.interpolate_between(self.draw(count, seed, labels), steps, **options)

    def interpolate_between(self, inputs: SampleInputs, steps: int, **options: Any) -> Tensor:
        """Interpolate between the latents or styles of images [n], and from the last to the first.

        Returns:
            uint8 [n steps c h w]; row i begins with image i.

        Raises:
            ValueError: there are fewer than two images, or as in `interpolate`.
        """
        if len(inputs) < 2 or steps < 1:
            raise ValueError(
                f"an interpolation needs at least 2 latents and 1 step; got {len(inputs)} latents, {steps!r} steps"
            )
        read_count_and_seed(self.image, len(inputs), inputs.seed, steps)
        if not self.takes_latents():
            raise ValueError("this generator takes no latents, so that there is nothing to interpolate between")
        images = self.images(inputs.interpolated(self.sampling.latent, steps), **options)
        return images.view(len(inputs), steps, *images.shape[1:])

    def takes_latents(self) -> bool:
        """Whether its images depend on latents."""
        fields = [name for name in self.sampling.specs if name != IMAGE]
        return has_own_generate(self.sampling.game) or "z" in forward_names("generator", self.module, fields)

    def has_styles(self) -> bool:
        """Whether it is controlled by one style per layer, see `gankit.Generator`."""
        return has_styles(self.module)

    @property
    def deterministic_options(self) -> Mapping[str, Any]:
        """The sampling options with which its network declares to draw no random numbers (`gankit.Generator`)."""
        own = has_own_generate(self.sampling.game)  # has other options
        declared: Mapping[str, Any] = {} if own else getattr(self.module, "deterministic_options", {})
        return declared

    def require_function_of_latents(self, options: Mapping[str, Any]) -> None:
        """Raises: ValueError: with these options, its images depend on more than latents and classes."""
        if self.sampling.specs:
            raise ValueError(f"this generator takes {', '.join(self.sampling.specs)}, not only latents")
        if not self.takes_latents():
            raise ValueError("this generator takes no latents")
        inputs = self.draw(2)
        if not torch.equal(self.images(inputs, **options), self.images(replace(inputs, seed=1), **options)):
            raise ValueError(
                "this generator draws random numbers for each image in addition to its latents; set the sampling "
                "option that prevents this, such as noise=const"
            )

    def _generate(self, sampling: Sampling, inputs: SampleInputs, options: Mapping[str, Any]) -> Tensor:
        """Images fp32 [n c h w]. Raises: ValueError: the network fails with these options."""
        try:
            return sampling.generate(self.module, inputs, options)
        except Exception as error:  # valid as a parameter, but perhaps not for the computation, such as 1e300
            if not options or is_out_of_memory(error):
                raise
            given = ", ".join(f"{name}={quote(value)}" for name, value in options.items())
            raise ValueError(f"sampling with {given} fails: {type(error).__name__}: {one_line(error)}") from error

    def require_options(self, options: Mapping[str, Any]) -> None:
        """Raises: ValueError: these are not sampling options of the network."""
        self._check(options)

    def _check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if not options:
            return {}
        params, problems = validate(self.options, options)
        if params is None:
            raise ValueError("; ".join(f"sampling option '{problem.path}': {problem.message}" for problem in problems))
        return params.at(0)
