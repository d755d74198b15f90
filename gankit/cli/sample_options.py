"""The words of ``gankit sample`` that choose images: sampling options, sweeps over them, and classes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GankitError
from ..messages import did_you_mean, quote
from .console import print_message

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.directions import Directions
    from ..sampling.sample_inputs import SampleInputs
    from ..sampling.trained_generator import TrainedGenerator

DIRECTION = "direction."
DIRECTIONS = "directions.safetensors"
MAX_AMOUNT = 1e30  # along a direction; infinite latents give black images
TAKEN = {"count": "--count", "seed": "--seed", "steps": "--interpolate"}
LAYERS = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?")


@dataclass(frozen=True)
class SampleOptions:
    """The images to sample.

    Attributes:
        options: sampling options of the generator.
        sweep: the option with several values, and these; None without one.
        labels: the given class of each image, or None.
        classes: the classes to sample, which are given instead of ``labels``.
        amounts: how far to move along directions, by name.
        directions: these directions; None without one.
    """

    options: dict[str, Any] = field(default_factory=dict)
    sweep: tuple[str, list[Any]] | None = None
    labels: list[int] | None = None
    classes: list[int] | None = None
    amounts: dict[str, float] = field(default_factory=dict)
    directions: Directions | None = None

    def with_directions(self, generator: TrainedGenerator, path: Path | None) -> SampleOptions:
        """With the directions of a file, or of the run directory, if the images are moved.

        Raises:
            GankitError: they cannot be read.
        """
        if not self.amounts and not (self.sweep and self.sweep[0].startswith(DIRECTION)):
            if path is not None:
                raise GankitError("--directions: no direction is chosen; add, for example, direction.0=2")
            return self
        path = path or default_directions(generator)
        if path is None:
            raise GankitError("add --directions FILE, as this checkpoint is not in a run directory")
        return replace(self, directions=load_directions(generator, path))

    def move(self, generator: TrainedGenerator, inputs: SampleInputs) -> SampleInputs:
        """The inputs moved along the directions, if all images are moved by the same amounts with the same options."""
        if self.directions is None or self.sweep is not None:
            return inputs
        return self.directions.move(generator, inputs, self.amounts, self.options)

    def rows(self, generator: TrainedGenerator, inputs: SampleInputs) -> Tensor:
        """One row of images for each value of the option that has several: uint8 [r k c h w]."""
        import torch

        return torch.stack([generator.images(row.move(generator, inputs), **row.options) for row in self._each()])

    def _each(self) -> Iterator[SampleOptions]:
        """The same with one value of the option that has several, for each of its values."""
        assert self.sweep is not None
        name, values = self.sweep
        for value in values:
            if name.startswith(DIRECTION):
                amounts = {**self.amounts, name.removeprefix(DIRECTION): value}
                yield replace(self, sweep=None, amounts=amounts)
            else:
                yield replace(self, sweep=None, options={**self.options, name: value})

    def labels_of(self, count: int) -> list[int] | None:
        """The labels of ``count`` images: those given, or the same number of each class, class by class.

        Raises:
            GankitError: there are more classes than images.
        """
        if self.classes is None:
            return self.labels
        if count < len(self.classes):
            number = len(self.classes)
            raise GankitError(f"{number} classes need at least {number} images, not {count}; choose more with --count")
        return [self.classes[index * len(self.classes) // count] for index in range(count)]

    def default_count(self, count: int) -> int:
        """The number of images if none is given: about ``count``, and the same number of each class."""
        number = len(self.classes or ()) or 1
        return -(-count // number) * number

    def columns_of(self, count: int) -> int | None:
        """The columns of a grid in which each class has rows of its own; None for the usual shape."""
        number = len(self.classes or ())
        return count // number if number > 1 and count % number == 0 else None


def read_sample_options(
    words: list[str],
    classes: list[str] | None,
    generator: TrainedGenerator,
    interpolates: bool = False,
    taken: Mapping[str, str] = TAKEN,
) -> SampleOptions:
    """Read ``OPTION=VALUE`` words and ``--classes``.

    An option may have several values, separated by commas, such as ``truncation=0.3,0.7``.

    Args:
        words: ``OPTION=VALUE``.
        classes: values of ``--classes``.
        generator: has the options and classes.
        interpolates: whether the images are those of an interpolation, which has ``steps`` of its own.
        taken: the options of the command by names that users may expect to be sampling options.

    Raises:
        GankitError: a word is not a sampling option, or a class is unknown.
    """
    from ..recipe.overrides import read_options

    keys = [word.partition("=")[0] for word in words]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise GankitError(f"command line: {twice}: is given {keys.count(twice)} times; give it once")
    options = read_options(words)
    own_steps = "steps" in generator.options.model_fields and not interpolates
    if found := sorted(name for name in taken if name in options and not (name == "steps" and own_steps)):
        raise GankitError(f"command line: {found[0]}: is not a sampling option; use {taken[found[0]]}")
    has_labels = "labels" in options
    labels = options.pop("labels", None)
    if has_labels and not (isinstance(labels, list) and all(type(label) is int for label in labels)):
        raise GankitError(f"command line: labels must be a list of integers, one per image; got {quote(labels)}")
    if classes and labels is not None:
        raise GankitError("command line: labels and --classes both choose the classes; use one of them")
    amounts = options.pop("direction", {})
    if not isinstance(amounts, dict):
        raise GankitError("command line: name the direction, such as direction.3=-2")
    options |= {f"{DIRECTION}{name}": amount for name, amount in amounts.items()}
    sweeps = {name: values for name, value in options.items() if (values := _values(value))}
    if len(sweeps) > 1:
        raise GankitError(f"command line: {' and '.join(sweeps)} have several values; vary one option at a time")
    for name, value in options.items():
        if name.startswith(DIRECTION):
            _require_numbers(name, sweeps.get(name, [value]))
    sweep = next(iter(sweeps.items()), None)
    fixed = {name: value for name, value in options.items() if name not in sweeps}
    moves = {name.removeprefix(DIRECTION): fixed.pop(name) for name in [*fixed] if name.startswith(DIRECTION)}
    return SampleOptions(fixed, sweep, labels, _parse_classes(classes, generator.classes) if classes else None, moves)


def _require_numbers(name: str, values: list[Any]) -> None:
    """Raises: GankitError: one of the values is not a number, or too large for one."""
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_AMOUNT:
            raise GankitError(f"command line: {name}: should be a number up to {MAX_AMOUNT:g}; got {quote(value)}")


def parse_layers(option: str, text: str | None) -> range | None:
    """A range of layers, such as ``0-3``. Raises: GankitError: the text is something else."""
    if text is None:
        return None
    found = LAYERS.fullmatch(text.strip())
    if not found or int(found[2] or found[1]) < int(found[1]):
        raise GankitError(f"{option} {text}: is not a range of layers, such as 0-3, counted from 0")
    return range(int(found[1]), int(found[2] or found[1]) + 1)


def _values(value: Any) -> list[Any]:
    """The values of an option that has several, which YAML reads as one string."""
    from ..recipe.overrides import read_options

    if not isinstance(value, str) or "," not in value:
        return []
    parts = value.split(",")
    if not all(part.strip() for part in parts):
        raise GankitError(f"command line: {quote(value)}: a value between commas is missing")
    return [read_options([f"value={part}"])["value"] for part in parts]


def require_styles(generator: TrainedGenerator, option: str) -> None:
    """Raises: GankitError: the generator has no styles, which this option of the command line needs."""
    if not generator.has_styles():
        raise GankitError(
            f"{option}: {type(generator.module).__name__} has no styles: it lacks the methods `styles` and "
            "`synthesize`, which only generators such as 'stylegan2' have"
        )


def default_directions(generator: TrainedGenerator) -> Path | None:
    """The file of directions in the run directory of a checkpoint; None if it is not in one."""
    from ..runs.file_names import RECIPE

    folder = generator.checkpoint.parent.parent
    if folder.name in ("", ".."):  # the path is relative to a folder inside the run
        folder = Path(os.path.abspath(generator.checkpoint)).parent.parent  # noqa: PTH100  # keeps links
    return folder / DIRECTIONS if (folder / RECIPE).is_file() else None


def load_directions(generator: TrainedGenerator, path: Path) -> Directions:
    """The directions of a file, with a message if they were found for other weights.

    Raises:
        GankitError: they cannot be read.
    """
    from ..sampling.directions import Directions

    found = Directions.load(path)
    if found.about.get("weights") != str(generator.weights):
        print_message(f"{path}: these directions were found for other weights", "caution")
    return found


def parse_class(name: str, generator: TrainedGenerator) -> int:
    """The label of one class, given by its name or number. Raises: GankitError: no class has it."""
    classes = generator.classes
    if classes is None:
        raise GankitError("--class: this generator is unconditional; remove --class")
    if name not in classes and name not in map(str, range(len(classes))):
        raise GankitError(f"--class: unknown class {quote(name)}{did_you_mean(name, classes)}")
    return classes.index(name) if name in classes else int(name)


def _parse_classes(values: list[str], classes: tuple[str, ...] | None) -> list[int]:
    """The labels of class names, class numbers and comma-separated lists of them.

    Raises:
        GankitError: a class is unknown.
    """
    if classes is None:
        raise GankitError("--classes: this generator is unconditional; remove --classes")
    lists = ([value] if value in classes else value.split(",") for value in values)  # a name may contain a comma
    words = [word if word in classes else word.strip() for words in lists for word in words]
    if words == ["all"] and "all" not in classes:
        return list(range(len(classes)))
    numbers = [*map(str, range(len(classes)))]
    if "all" in words and "all" not in classes:
        raise GankitError("--classes: all stands for every class; give it alone, or only names of classes")
    labels = []
    for word in words:
        if word in classes:
            labels.append(classes.index(word))
        elif word in numbers:
            labels.append(numbers.index(word))
        else:
            raise GankitError(f"--classes: unknown class {quote(word)}{did_you_mean(word, classes)}")
    return labels
