"""The words of ``gankit sample`` that choose images: sampling options, sweeps over them, and classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import GankitError
from ..messages import did_you_mean, quote

if TYPE_CHECKING:
    from ..sampling.trained_generator import TrainedGenerator


@dataclass(frozen=True)
class SampleOptions:
    """What to sample.

    Attributes:
        options: sampling options of the generator.
        sweep: the option with several values, and these; None without one.
        labels: the given class of each image, or None.
        classes: the classes to sample, which are given instead of ``labels``.
    """

    options: dict[str, Any] = field(default_factory=dict)
    sweep: tuple[str, list[Any]] | None = None
    labels: list[int] | None = None
    classes: list[int] | None = None

    def labels_of(self, count: int) -> list[int] | None:
        """The labels of ``count`` images: those given, or the same number of each class, class by class.

        Raises:
            GankitError: there are more classes than images.
        """
        if self.classes is None:
            return self.labels
        if count < len(self.classes):
            raise GankitError(f"--count {count}: is less than the number of classes, {len(self.classes)}")
        return [self.classes[index * len(self.classes) // count] for index in range(count)]

    def columns_of(self, count: int) -> int | None:
        """The columns of a grid in which each class has rows of its own; None for the usual shape."""
        number = len(self.classes or ())
        return count // number if number > 1 and count % number == 0 else None


def read_sample_options(
    words: list[str], classes: list[str] | None, generator: TrainedGenerator, interpolates: bool = False
) -> SampleOptions:
    """Read ``OPTION=VALUE`` words and ``--classes``.

    An option may have several values, separated by commas, such as ``truncation=0.3,0.7``.

    Args:
        words: ``OPTION=VALUE``.
        classes: values of ``--classes``.
        generator: has the options and classes.
        interpolates: whether the images are those of an interpolation, which has ``steps`` of its own.

    Raises:
        GankitError: a word is not a sampling option, or a class is unknown.
    """
    from ..recipe.overrides import read_options

    options = read_options(words)
    own_steps = "steps" in generator.options.model_fields and not interpolates
    if taken := sorted({"count", "seed", *(() if own_steps else ("steps",))} & set(options)):
        instead = "--interpolate" if taken[0] == "steps" else f"--{taken[0]}"
        raise GankitError(f"command line: {taken[0]}: is not a sampling option; use {instead}")
    labels = options.pop("labels", None)
    if labels is not None and not (isinstance(labels, list) and all(type(label) is int for label in labels)):
        raise GankitError(f"command line: labels must be a list of integers, one per image; got {quote(labels)}")
    if classes and labels is not None:
        raise GankitError("command line: labels and --classes both choose the classes; use one of them")
    sweeps = {name: values for name, value in options.items() if (values := _values(value))}
    if len(sweeps) > 1:
        raise GankitError(f"command line: {' and '.join(sweeps)} have several values; vary one option at a time")
    for name in sweeps:
        del options[name]
    chosen = _parse_classes(classes, generator.classes) if classes else None
    return SampleOptions(options, next(iter(sweeps.items()), None), labels, chosen)


def _values(value: Any) -> list[Any]:
    """The values of an option that has several, which YAML reads as one string."""
    from ..recipe.overrides import read_options

    if not isinstance(value, str) or "," not in value:
        return []
    return [read_options([f"value={part}"])["value"] for part in value.split(",")]


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
    labels = []
    for word in words:
        if word in classes:
            labels.append(classes.index(word))
        elif word in numbers:
            labels.append(numbers.index(word))
        else:
            raise GankitError(f"--classes: unknown class {quote(word)}{did_you_mean(word, classes)}")
    return labels
