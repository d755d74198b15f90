"""Real images: their shape, batches of them, and the interface of datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ..errors import MissingFieldError
from ..messages import did_you_mean
from .data_spec import IMAGE

if TYPE_CHECKING:
    from torch import Tensor

Report = Callable[[str, int, int], None]
"""Called with the name of a task, the number of items done, and their total."""


def no_report(task: str, done: int, total: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True)
class Batch:
    """Real images on the device, with the other fields of their items. ``images, labels = batch`` unpacks the former.

    Attributes:
        images: [n c h w] in [-1, 1].
        labels: int64 [n], or fp32 [n v] where labels are vectors; None if the run is unconditional.
        fields: further fields by name: images [n c h w] in [-1, 1], vectors [n v], and what `replace` has added.
    """

    images: Tensor
    labels: Tensor | None = None
    fields: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        """A field of the data, or the images as ``image``. Raises: KeyError: the batch has no such field."""
        if name == IMAGE:
            return self.images
        if name not in self.fields:
            raise MissingFieldError(f"the batch has no field {name!r}{did_you_mean(name, [IMAGE, *self.fields])}")
        return self.fields[name]

    def replace(self, **tensors: Tensor) -> Batch:
        """The batch with other ``images`` or ``labels``, or with further tensors, each with a row for each image.

        Microbatches get their rows of them, and turns return them as ``turn["name"]``.

        Raises:
            ValueError: a tensor has another number of rows than the batch has images.
        """
        for name, tensor in tensors.items():
            if tensor.shape[:1] != self.images.shape[:1]:
                raise ValueError(f"{name} is {list(tensor.shape)} for a batch of {len(self.images)} images")
        images, labels = tensors.pop("images", self.images), tensors.pop("labels", self.labels)
        return Batch(images, labels, {**self.fields, **tensors})

    def rows(self, rows: slice | Tensor) -> Batch:
        """A part of the batch, or the rows of these indices."""
        labels = None if self.labels is None else self.labels[rows]
        return Batch(self.images[rows], labels, {name: tensor[rows] for name, tensor in self.fields.items()})

    def __iter__(self) -> Iterator[Any]:
        return iter((self.images, self.labels))


@dataclass(frozen=True)
class DataDescription:
    """What `Dataset.prepare` found, for the user. ``gankit run`` prints it, and the run directory records it.

    Attributes:
        summary: one line, such as ``8 images, classes: ant 4, bee 4; ignored: 500 .heic``.
        warnings: sentences about what the user should know or change.
        skipped: why a file is left out, by its name. The run directory lists all of them in ``skipped_files.jsonl``.
    """

    summary: str
    warnings: Sequence[str] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """Real images. Built as ``factory(**params)``.

    ``len(dataset)`` and ``dataset[index]`` are all that it must have: the map-style datasets of torch and torchvision
    fit as they are. Everything else is optional:

    - ``spec`` is an `ImageSpec` or, for items with further fields, a `DataSpec`, known before `prepare`. Its image has
      the channels and the size, or no size (`ImageSpec.any_size`); ``classes`` is 0. Without it, gankit reads the first
      item for the number of channels.
    - ``classes`` has the names of the classes in the order of the labels. It is None for unlabelled data, and empty if
      only `prepare` can find them. Without it, ``labels`` or ``targets`` tell how many classes there are.
    - ``prepare()`` downloads, verifies and scans the data; the constructor should do none of this. It may take a
      parameter ``report``, a `Report`. Raises: DataError.
    - ``split`` is the name of the split, such as ``train``.
    - ``tensors()`` returns all images (uint8 [n c h w], all of the spec's size) and labels (int64 [n]) of a dataset
      that is in memory; with further fields, a mapping of all of them and of ``label``.
    - ``labels`` has all labels [n], so that images need not be decoded for them.
    - ``describe()`` returns a `DataDescription` once the data are prepared. A dataset reports what it found and left
      out there, and not with Python's ``warnings``.
    - ``fingerprint()`` returns a short string that identifies the content, such as a SHA-256 of names and bytes, and
      that does not depend on the path or on times. It must be cheap. A run compares it when it is resumed, and decoded
      images are kept on disk under it. Without it, gankit hashes ``tensors()``, or the labels and a few items.
    - ``held_out()`` returns a prepared dataset of the same kind. A generator that asks for fields of the data is
      sampled for its first items, and scored by metrics of pairs on all of them. Without it, random items of the
      training data serve.
    """

    def __len__(self) -> int:
        """The number of images, known after ``prepare``."""

    def __getitem__(self, index: int) -> Any:
        """Item ``index``, ``(image, label)``, which must depend on ``index`` only.

        The image is a tensor uint8 [c h w], an array uint8 [h w c] (or [h w] for one channel), or a PIL image. The
        label is an integer, also as a tensor or array without dimensions. Without classes it may be None, or the item
        the image alone.

        With further fields, the item is a mapping: ``image`` and every field of the spec by its name, images as above
        and vectors as numbers [v], and ``label``, which may be missing where there are no labels.
        """
