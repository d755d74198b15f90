"""Real images: their shape, batches of them, and the interface of datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

Report = Callable[[str, int, int], None]
"""Called with the name of a task, the number of items done, and their total."""


def no_report(task: str, done: int, total: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True)
class ImageSpec:
    """The shape of the images of a run or dataset: ``[channels height width]``.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 to 4.
        classes: the number of classes that labels are drawn from. A network's spec has 0 if the run is unconditional;
            its ``forward`` then receives ``labels=None``. A dataset leaves 0 and lists its classes in
            `Dataset.classes`. ``gankit check`` uses 10 where a dataset learns its classes only in `Dataset.prepare`.
    """

    height: int
    width: int
    channels: int
    classes: int = 0

    @classmethod
    def any_size(cls, channels: int) -> ImageSpec:
        """The spec of a dataset whose images differ in size. Its height and width are None.

        The loader resizes each image to the recipe's ``image.size``. Networks always receive a spec with that size.
        """
        return cls(None, None, channels)  # type: ignore[arg-type]  # only datasets have such a spec


class Batch(NamedTuple):
    """Real images on the device.

    Attributes:
        images: [n c h w] in [-1, 1].
        labels: int64 [n]; None if the run is unconditional.
    """

    images: Tensor
    labels: Tensor | None


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
    """Real images. Built as ``factory(**params)``; the constructor must not download or scan anything.

    Optional:

    - ``tensors()`` returns all images (uint8 [n c h w], all of the spec's size) and labels (int64 [n]) of a dataset
      that is in memory.
    - ``labels`` has all labels [n], so that images need not be decoded for them.
    - ``describe()`` returns a `DataDescription` once the data are prepared. A dataset reports what it found and left
      out there, and not with Python's ``warnings``.
    - ``fingerprint()`` returns a short string that identifies the content, such as a SHA-256 of names and bytes, and
      that does not depend on the path or on times. It must be cheap. A run compares it when it is resumed, and decoded
      images are kept on disk under it. Without it, gankit hashes ``tensors()``, or the labels and a few items.
    """

    split: str
    """The name of the split, such as ``train``."""

    @property
    def spec(self) -> ImageSpec:
        """Channels and size (or `ImageSpec.any_size`), known before `prepare`. ``classes`` is 0."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names in the order of the labels; None for unlabelled data; empty if only `prepare` can find them."""

    def prepare(self) -> None:
        """Download, verify and scan the data. It may take a parameter ``report``, a `Report`. Raises: DataError."""

    def __len__(self) -> int:
        """The number of images, known after `prepare`."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image uint8 [c h w] and label of item ``index``; they must depend on ``index`` only.

        The image may also be a PIL image, or an array uint8 [h w c] (or [h w] for one channel), and the label any
        integer, also as a tensor or array without dimensions. Without `classes` the label may be None, or the item the
        image alone.
        """
