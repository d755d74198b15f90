"""The datasets of torchvision, by the name of their class."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt
from torch import Tensor

import gankit

from .labels import class_labels, summarize
from .table_dataset import Channels

OWN = ("self", "root", "split", "train", "download")  # set by parameters of their own
REFUSED = {
    "transform": "gankit resizes and converts the images",
    "transforms": "gankit resizes and converts the images",
    "target_transform": "labels are used as they are",
    "loader": "it is a function, which a recipe cannot contain",
    "is_valid_file": "it is a function, which a recipe cannot contain",
}


class TorchvisionSet:
    """A dataset of ``torchvision.datasets`` with one image and one label in each item, such as ``Flowers102``.

    Args:
        set: name of the class.
        split: ``split`` of the class. For a class with a parameter ``train``, ``train`` or ``test``.
        root: folder of the data; by default ``$GANKIT_DATA_DIR``, otherwise ``data``.
        download: whether a class that can download missing data may do so.
        params: further parameters of the class, such as ``{target_type: attr}`` of ``CelebA``.
        label_size: length of the labels if they are vectors.
        channels: 1 grayscale, 2 grayscale and alpha, 3 RGB, 4 RGB and alpha.

    Raises:
        ValueError: torchvision has no such class, or the class has no such parameter.
    """

    def __init__(
        self,
        *,
        set: str,
        split: str | None = None,
        root: Path | None = None,
        download: bool = True,
        params: dict[str, Any] | None = None,
        label_size: PositiveInt | None = None,
        channels: Channels = 3,
    ) -> None:
        self._class = _find_class(set)
        self._arguments = _arguments(self._class, split, root or gankit.data_root(), download, params or {})
        self.name, self.split, self.channels, self.label_size = set, split or "", channels, label_size
        fields: dict[str, Any] = {} if label_size is None else {"label": gankit.VectorSpec(label_size)}
        self.spec = gankit.DataSpec(image=gankit.ImageSpec.any_size(channels), **fields)
        self.classes: tuple[str, ...] | None = () if label_size is None else None
        self.labels: Tensor | None = None
        self._set: Any = None

    def prepare(self) -> None:
        """Create the dataset, which downloads it if it is missing. Raises: gankit.DataError: that fails."""
        if self._set is not None:
            return
        try:
            created = self._class(**self._arguments)
        except Exception as error:  # of many types: values, files, the network
            reason = gankit.truncate(gankit.one_line(error), 300)
            offline = ""
            if isinstance(error, URLError) and "root" in self._arguments:
                folder = self._arguments["root"]
                offline = f"; check the network, or put the files of the set into {folder} as torchvision would"
            raise gankit.DataError(f"torchvision's {self.name} cannot be created: {reason}{offline}") from error
        if self.label_size is None:
            self.labels, self.classes = self._find_labels(created)
        self._set = created

    def describe(self) -> gankit.DataDescription:
        """How many images and classes there are."""
        description = summarize(len(self), self.labels, self.classes)
        if self.classes is None and self.label_size is None and isinstance(_label_of(self._set, 0), int):
            unused = "not used: the labels, of which the set has no list"
            return replace(description, summary=f"{description.summary}; {unused}")
        return description

    def __len__(self) -> int:
        if self._set is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        return len(self._set)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The image and its label. Raises: gankit.DataError: it cannot be read, or is something else."""
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        where = f"item {index} of torchvision's {self.name}"
        try:
            item = self._set[index]
        except Exception as error:  # Pillow raises almost any exception on damaged files
            raise gankit.DataError(f"{where} cannot be read: {error or type(error).__name__}") from error
        if not isinstance(item, tuple) or len(item) != 2:
            raise gankit.DataError(f"{where} is not an image with a label; use a dataset for classification")
        image, label = item
        if self.label_size is None and self.classes is None:
            return image, None
        return image, label

    def _find_labels(self, created: Any) -> tuple[Tensor | None, tuple[str, ...] | None]:
        """All labels, if the set keeps them, and the names of the classes, if it has classes."""
        names = getattr(created, "classes", getattr(created, "categories", None))
        if names is not None:
            names = [", ".join(name) if isinstance(name, tuple) else str(name) for name in names]
        for values in _label_arrays(created):
            if _agrees(created, values):
                return class_labels(values, names, f"torchvision's {self.name}")
            names = None  # of other labels than those of the items
        if names is None and isinstance(count := getattr(created, "num_classes", None), int):
            names = [str(number) for number in range(count)]
        return None, None if names is None else tuple(names)


def _label_arrays(created: Any) -> Iterator[NDArray[Any]]:
    """Values that may be the class numbers of all items."""
    lists = [getattr(created, name, ()) for name in ("targets", "labels", "_labels", "y")]
    pairs = [getattr(created, name, ()) for name in ("samples", "_samples")]
    pairs = [found for found in pairs if isinstance(found, list) and all(isinstance(item, tuple) for item in found)]
    lists += [[item[1] for item in found] for found in pairs]
    for found in lists:
        with suppress(ValueError):  # of different shapes
            values = np.asarray(found)
            if values.shape == (len(created),) and values.dtype.kind in "iub":
                yield values


def _agrees(created: Any, values: NDArray[Any]) -> bool:
    """Whether these are the labels of the items, of which the first, the middle and the last one are compared."""
    indices = {0, len(values) // 2, len(values) - 1} if len(values) else set()
    return all(_label_of(created, index) in (None, int(values[index])) for index in indices)


def _label_of(created: Any, index: int) -> Any:
    """The label of an item; None if it cannot be read, which its use reports."""
    try:
        label = created[index][1]
        return int(label) if np.ndim(label) == 0 and np.asarray(label).dtype.kind in "iub" else label
    except Exception:
        return None


def _find_class(name: str) -> Any:
    """The class of torchvision. Raises: ValueError: there is none of this name."""
    import torchvision.datasets as known

    found = getattr(known, name, None) if name in known.__all__ else None
    names = [other for other in known.__all__ if _is_dataset(getattr(known, other))]
    if found is None or not _is_dataset(found):
        raise ValueError(f"set: torchvision.datasets has no class of images {name!r}{gankit.did_you_mean(name, names)}")
    return found


def _is_dataset(value: Any) -> bool:
    from torchvision.datasets import VisionDataset

    return inspect.isclass(value) and issubclass(value, VisionDataset) and value is not VisionDataset


def _arguments(kind: Any, split: str | None, root: Path, download: bool, params: dict[str, Any]) -> dict[str, Any]:
    """The arguments for the constructor of a class. Raises: ValueError: it has no such parameter, or needs another."""
    parameters = _parameters(kind)
    arguments: dict[str, Any] = {"root": str(root)} if "root" in parameters else {}
    if "download" in parameters:
        arguments["download"] = download
    if split is not None and "split" in parameters:
        arguments["split"] = split
    elif split is not None:
        if "train" not in parameters:
            raise ValueError(f"split: torchvision's {kind.__name__} has no splits; leave `split` out")
        if split not in ("train", "test"):
            raise ValueError(f"split: torchvision's {kind.__name__} has the splits 'train' and 'test'; got {split!r}")
        arguments["train"] = split == "train"
    for name in params:
        if name in REFUSED:
            raise ValueError(f"params.{name} cannot be set: {REFUSED[name]}")
        if name in OWN and not (name == "train" and "split" in parameters):  # EMNIST has both
            raise ValueError(f"params.{name}: use the parameters `root`, `split` and `download` of the dataset instead")
        if name not in parameters:
            known = [other for other in parameters if other not in (*OWN, *REFUSED)]
            raise ValueError(f"params: torchvision's {kind.__name__} has no {name!r}{gankit.did_you_mean(name, known)}")
    arguments |= params
    missing = [
        name for name, parameter in parameters.items() if parameter.default is parameter.empty and name not in arguments
    ]
    if missing:
        key = "`split`" if missing[0] in ("split", "train") else f"`params: {{{missing[0]}: ...}}`"
        raise ValueError(f"torchvision's {kind.__name__} needs {missing[0]!r}; set {key}")
    return arguments


def _parameters(kind: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a class, with those of its base class if it passes ``**kwargs`` on."""
    found: dict[str, inspect.Parameter] = {}
    for owner in (one for one in kind.__mro__ if "__init__" in vars(one)):
        parameters = [*inspect.signature(owner.__init__).parameters.values()][1:]
        found = {one.name: one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)} | found
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return found
