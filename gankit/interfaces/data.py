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
    """Real images on the device, with the other fields of their items. ``images, labels = batch`` unpacks a batch.

    Attributes:
        images: [n c h w] in [-1, 1].
        labels: int64 [n], or fp32 [n v] if labels are vectors; None if the run is unconditional.
        fields: additional fields by name: images [n c h w] in [-1, 1], vectors [n v], and tensors added by `replace`.
    """

    images: Tensor
    labels: Tensor | None = None
    fields: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        """A field of the data, or the images as ``image``. Raises: KeyError: the batch has no such field."""
        if name == IMAGE:
            return self.images
        if name not in self.fields:
            raise MissingFieldError(f"the batch has no field {name!r}{did_you_mean(str(name), [IMAGE, *self.fields])}")
        return self.fields[name]

    def replace(self, **tensors: Tensor) -> Batch:
        """A copy of the batch with other ``images`` or ``labels``, or with additional tensors [n ...].

        A turn returns an additional tensor as ``turn["name"]``. Microbatches receive their rows of it.

        Raises:
            ValueError: the number of rows of a tensor differs from the number of images.
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
    """A description of the data that `Dataset.prepare` found. ``gankit run`` prints and records it.

    Attributes:
        summary: one line, such as ``8 images, classes: ant 4, bee 4; ignored: 500 .heic``.
        warnings: sentences about what the user should know or change.
        skipped: the files that are left out, with the reason. The run directory lists them in ``skipped_files.jsonl``.
    """

    summary: str
    warnings: Sequence[str] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """Real images. Built as ``factory(**params)``.

    Only ``len(dataset)`` and ``dataset[index]`` are required, so the map-style datasets of PyTorch and torchvision need
    no changes. Everything else is optional:

    - ``spec`` is an `ImageSpec`, or a `DataSpec` if items have additional fields. It is known before `prepare`. Its
      image has the number of channels, and the size unless that varies (`ImageSpec.any_size`); ``classes`` is 0.
      Without ``spec``, gankit reads the first item to find the number of channels.
    - ``classes`` lists the names of the classes in the order of the labels. It is None for unlabeled data, and empty
      if only `prepare` can find the classes. Without it, gankit counts the classes in ``labels`` or ``targets``.
    - ``prepare()`` downloads, verifies and scans the data; the constructor should do none of this. It may have a
      parameter ``report``, a `Report`. Raises: DataError.
    - ``max_images()`` returns an upper bound of the number of images before `prepare`, such as the number of files. It
      must be cheap. ``gankit check`` then finds metrics that need more images.
    - ``split`` is the name of the split, such as ``train``.
    - ``tensors()`` returns all images (uint8 [n c h w], all of the spec's size) and labels (int64 [n]) of a dataset
      that is in memory. If items have additional fields, it returns a mapping of all fields, including ``label``.
    - ``labels`` contains all labels [n], so that gankit can read them without decoding images.
    - ``describe()`` returns a `DataDescription` of the prepared data. Datasets should use it instead of Python's
      ``warnings``.
    - ``fingerprint()`` returns a short string that identifies the content, such as a SHA-256 of names and bytes. It
      must be cheap, and must not depend on the path or on times. A resumed run compares it, and the cache of decoded
      images uses it as its key. Without it, gankit hashes ``tensors()``, or the labels and a few items.
    - ``thread_safe`` is True if items can be read in several threads at once. gankit then decodes images for its cache
      and for evaluations in threads. Without it, they are read one after the other.
    - ``blocks`` is a `Blocks`, or None: items that are cheap to read together, such as those of a compressed part of a
      file. An epoch then shuffles the blocks, and the items of every few of them, instead of all items.
    - ``held_out()`` returns a prepared dataset with the same fields. If a generator takes fields of the data, its
      samples are generated from items of this dataset; without it, from random items of the training data.
      Metrics of pairs compare with all of its items.
    """

    def __len__(self) -> int:
        """The number of images, known after ``prepare``."""

    def __getitem__(self, index: int) -> Any:
        """Item ``index``, ``(image, label)``, which must depend only on ``index``.

        The image is a tensor uint8 [c h w], an array uint8 [h w c] (or [h w] for one channel), or a PIL image. The
        label is an integer, or a 0-d tensor or array of integers. Without classes, the label may be None, or the item
        may be the image without a label.

        If the spec has additional fields, the item is a mapping from field names to values: ``image`` and other images
        as above, vectors as numbers [v], and ``label``, which unlabeled data may omit.
        """
