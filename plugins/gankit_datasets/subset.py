"""A part of another dataset: some of its classes, or a random share of its items."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

import gankit

MAX_CLASSES = 12  # named with their number of items
REPORT_INTERVAL = 64  # items
TASK = "reading labels"


class Subset:
    """Some classes of another dataset, a random share of its items, or both.

    The remaining classes keep their order in the dataset and are numbered from 0. If only one is left, the items still
    have a label, which is 0.

    Args:
        dataset: any dataset.
        classes: the names of the classes to keep; all of them by default.
        fraction: share of the items to keep, drawn at random. A larger fraction contains a smaller one.
        count: the number of items to keep, drawn likewise.
        seed: of the random choice.

    Raises:
        ValueError: nothing is left out, both ``fraction`` and ``count`` are given, or a class is unknown.
    """

    def __init__(
        self,
        *,
        dataset: gankit.Dataset,
        classes: Annotated[list[str], Field(min_length=1)] | None = None,
        fraction: Annotated[float, Field(gt=0, le=1)] | None = None,
        count: PositiveInt | None = None,
        seed: NonNegativeInt = 0,
    ) -> None:
        if classes is None and fraction is None and count is None:
            raise ValueError("it would be the whole dataset; give `classes`, `fraction` or `count`")
        if fraction is not None and count is not None:
            raise ValueError(f"give either `fraction` or `count`; got {fraction:g} and {count}")
        self.dataset, self.wanted, self.fraction, self.count, self.seed = dataset, classes, fraction, count, seed
        self.spec = gankit.spec_of(dataset)
        self._indices: Tensor | None = None
        self._labels: Tensor | None = None
        known = gankit.classes_of(dataset)
        if classes is not None and known:
            try:
                known = _kept(known, classes)
            except gankit.DataError as error:
                raise ValueError(str(error)) from None
        elif classes is not None and known is None:
            raise ValueError("the dataset has no classes; leave out `classes`, or use labeled data")
        elif classes is not None:
            known = tuple(classes)  # as far as it is known before the data is prepared
        self.classes: tuple[str, ...] | None = known

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Prepare the dataset, and choose the items.

        Raises:
            gankit.DataError: the dataset cannot be prepared, lacks a class, or is too small.
        """
        if self._indices is not None:
            return
        gankit.prepare_dataset(self.dataset, report)
        names = gankit.classes_of(self.dataset)
        indices, self.classes = torch.arange(len(self.dataset)), names
        labels = None if names is None else self._all_labels(report)
        if self.wanted is not None:
            if names is None or labels is None:
                raise gankit.DataError("the dataset has no classes; leave out `classes`, or use labeled data")
            self.classes = _kept(names, self.wanted)
            numbers = torch.tensor([self.classes.index(name) if name in self.classes else -1 for name in names])
            indices = (numbers[labels] >= 0).nonzero().flatten()
            labels = numbers[labels]
        chosen = self._choose(indices)
        self._indices, self._labels = chosen, None if labels is None else labels[chosen]

    @property
    def labels(self) -> Tensor | None:
        """All labels, int64 [n]; None without classes."""
        return self._labels

    @property
    def thread_safe(self) -> bool:
        """Whether the wrapped dataset is."""
        return bool(getattr(self.dataset, "thread_safe", False))

    @property
    def split(self) -> str:
        """That of the dataset."""
        return str(getattr(self.dataset, "split", ""))

    @property
    def tensors(self) -> Callable[[], Mapping[str, Tensor]]:
        """``tensors()`` returns all items, if the dataset has this method."""
        if not hasattr(self.dataset, "tensors"):
            raise AttributeError("tensors: the dataset is not in memory")
        return self._tensors

    @property
    def held_out(self) -> Callable[[], gankit.Dataset]:
        """``held_out()`` returns the same classes of the dataset's held-out items, if it has some."""
        if not hasattr(self.dataset, "held_out"):
            raise AttributeError("held_out: the dataset has none")
        return self._held_out

    def describe(self) -> gankit.DataDescription:
        """How many items are left, and what the dataset says."""
        inner = gankit.describe_dataset(self.dataset) or gankit.DataDescription("")
        summary = f"{len(self):,} of {len(self.dataset):,} items"
        if self.classes and self._labels is not None:
            counts = Counter(self._labels.tolist())
            named = [f"{name} {counts[label]:,}" for label, name in enumerate(self.classes)]
            more = f", and {len(named) - MAX_CLASSES:,} more" if len(named) > MAX_CLASSES else ""
            summary += f", classes: {', '.join(named[:MAX_CLASSES])}{more}"
        return gankit.DataDescription(summary, inner.warnings, inner.skipped)

    def fingerprint(self) -> str:
        """A hash of the dataset's fingerprint and the chosen items."""
        digest = hashlib.sha256(f"{gankit.data_fingerprint(self.dataset)} {self.classes}".encode())
        digest.update(self._chosen.numpy().tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """An item of the dataset, with its new label."""
        item = gankit.read_item(self.dataset, int(self._chosen[index]), self.spec, self.classes is not None)
        return item if self._labels is None else {**item, "label": self._labels[index]}

    def _all_labels(self, report: gankit.Report) -> Tensor | None:
        """Those of the dataset, from its items if it does not know them; None if they are vectors."""
        if self.spec.label is not None:
            return None
        known = gankit.labels_of(self.dataset)
        if known is not None:
            return torch.from_numpy(known)
        labels = torch.empty(len(self.dataset), dtype=torch.int64)
        for index in range(len(labels)):
            if index % REPORT_INTERVAL == 0:
                report(TASK, index, len(labels))
            labels[index] = gankit.read_item(self.dataset, index, self.spec, True)["label"]
        return labels

    def _choose(self, indices: Tensor) -> Tensor:
        """A random part of the items, in their order. Raises: gankit.DataError: there are too few."""
        count = len(indices) if self.fraction is None else round(self.fraction * len(indices))
        if self.count is not None:
            count = self.count
        if count > len(indices):
            raise gankit.DataError(f"count is {count:,}, but there are only {len(indices):,} items; lower it")
        if count == 0:
            share = "" if self.fraction is None else f" in a fraction of {self.fraction:g} of {len(indices):,} items"
            raise gankit.DataError(f"no items are left{share}; raise `fraction` or keep other classes")
        order = torch.randperm(len(indices), generator=torch.Generator().manual_seed(self.seed))
        return indices[order[:count].sort().values]

    def _tensors(self) -> dict[str, Tensor]:
        every = gankit.read_tensors(self.dataset, self.spec)
        tensors = {name: tensor[self._chosen] for name, tensor in every.items()}
        return tensors if self._labels is None else {**tensors, "label": self._labels}

    def _held_out(self) -> gankit.Dataset:
        inner = self.dataset.held_out()  # type: ignore[attr-defined]  # only with this method
        if self.wanted is None:
            return inner  # type: ignore[no-any-return]
        part = Subset(dataset=inner, classes=self.wanted)
        part.prepare()
        return part

    @property
    def _chosen(self) -> Tensor:
        if self._indices is None:
            raise RuntimeError("the dataset is empty; call prepare() first")
        return self._indices


def _kept(names: tuple[str, ...], wanted: list[str]) -> tuple[str, ...]:
    """The wanted ones of all classes, in their order. Raises: gankit.DataError: one is unknown."""
    for name in wanted:
        if name not in names:
            raise gankit.DataError(f"classes: the dataset has no class {name!r}{gankit.did_you_mean(name, names)}")
    return tuple(name for name in names if name in wanted)
