"""Two datasets for unpaired translation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

import gankit

from .held_out import require_same_fields


class Unpaired:
    """The images of two domains, for unpaired translation as by CycleGAN (arXiv 1703.10593).

    The field ``source`` is independent: it is shuffled, cropped and mirrored independently of the image. If the domains
    have different numbers of images, an epoch is one pass over the larger one, and the images of the smaller one are
    repeated about equally often. Labels are those of ``image``.

    Args:
        image: the domain to translate to.
        source: the domain to translate from.
        held_out_image: images of the target domain that are not trained on.
        held_out_source: sources that samples are generated for. By default, both are what ``image`` and ``source``
            hold out themselves, if both do.

    Raises:
        ValueError: only one side has held-out data, or a dataset has further fields.
    """

    def __init__(
        self,
        *,
        image: gankit.Dataset,
        source: gankit.Dataset,
        held_out_image: gankit.Dataset | None = None,
        held_out_source: gankit.Dataset | None = None,
    ) -> None:
        if (held_out_image is None) != (held_out_source is None):
            missing = "held_out_image" if held_out_image is None else "held_out_source"
            raise ValueError(f"{missing} is missing; give both `held_out_image` and `held_out_source`, or none of them")
        self.image, self.source = image, source
        self._held_out = None
        if held_out_image is not None and held_out_source is not None:
            self._held_out = Unpaired(image=held_out_image, source=held_out_source)
        self._image_spec, self._source_spec = gankit.spec_of(image), gankit.spec_of(source)
        for side, spec in (("image", self._image_spec), ("source", self._source_spec)):
            if spec.fields:
                names = ", ".join(map(repr, spec.fields))
                raise ValueError(f"{side} has the further fields {names}; use a dataset of images alone")
        label = self._image_spec.label
        self.spec = gankit.DataSpec(
            image=self._image_spec.image,
            source=self._source_spec.image,
            independent=["source"],
            **({} if label is None else {"label": label}),
        )
        self.classes = gankit.classes_of(image)
        if self._held_out is not None:
            require_same_fields(self.spec, self._held_out.spec)

    def prepare(self, report: gankit.Report = gankit.no_report) -> None:
        """Prepare both datasets, and the held-out ones. Raises: gankit.DataError: one of them fails or is empty."""
        for side, dataset in (("image", self.image), ("source", self.source)):
            with _named(side):
                gankit.prepare_dataset(dataset, report)
                if not len(dataset):
                    raise gankit.DataError("the dataset is empty")
        self.classes = gankit.classes_of(self.image)
        if self._held_out is not None:
            with _named("held out"):
                self._held_out.prepare(report)

    @property
    def labels(self) -> Tensor | None:
        """All labels of the images, int64 [n], if they are known."""
        known = gankit.labels_of(self.image)
        return None if known is None else torch.from_numpy(known)[self._rows(self.image)]

    @property
    def thread_safe(self) -> bool:
        """Whether both datasets are."""
        return all(getattr(dataset, "thread_safe", False) for dataset in (self.image, self.source))

    @property
    def split(self) -> str:
        """That of the images."""
        return str(getattr(self.image, "split", ""))

    @property
    def tensors(self) -> Callable[[], dict[str, Tensor]]:
        """``tensors()`` returns all items, if both datasets have this method."""
        if not (hasattr(self.image, "tensors") and hasattr(self.source, "tensors")):
            raise AttributeError("tensors: the datasets are not both in memory")
        return self._tensors

    @property
    def held_out(self) -> Callable[[], gankit.Dataset]:
        """``held_out()`` returns the held-out data of both domains, if there is some."""
        if self._held_out is None and not (hasattr(self.image, "held_out") and hasattr(self.source, "held_out")):
            raise AttributeError("held_out: the datasets have none")
        return self._held_out_pairs

    def describe(self) -> gankit.DataDescription:
        """The summaries of both datasets."""
        summaries: list[str] = []
        warnings: list[str] = []
        skipped: dict[str, str] = {}
        for side, dataset in (("source", self.source), ("image", self.image)):
            found = gankit.describe_dataset(dataset)
            summaries.append(f"{side}: {found.summary if found else f'{len(dataset):,} images'}")
            warnings += found.warnings if found else ()
            skipped |= {f"{side}: {name}": reason for name, reason in (found.skipped if found else {}).items()}
        return gankit.DataDescription("; ".join(summaries), tuple(warnings), skipped)

    def fingerprint(self) -> str:
        """A hash of both fingerprints."""
        parts = gankit.data_fingerprint(self.image), gankit.data_fingerprint(self.source)
        return hashlib.sha256(f"unpaired {parts}".encode()).hexdigest()

    def __len__(self) -> int:
        return max(len(self.image), len(self.source))

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """``image``, ``source`` and the label of the image; the smaller dataset begins again at its end."""
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        has_classes = self.classes is not None
        item = gankit.read_item(self.image, index % len(self.image), self._image_spec, has_classes)
        source = gankit.read_item(self.source, index % len(self.source), self._source_spec, False)
        return {**item, "source": source["image"]}

    def _rows(self, dataset: gankit.Dataset) -> Tensor:
        return torch.arange(len(self)) % len(dataset)

    def _tensors(self) -> dict[str, Tensor]:
        rows = self._rows(self.image)
        items = {name: all_[rows] for name, all_ in gankit.read_tensors(self.image, self._image_spec).items()}
        sources = gankit.read_tensors(self.source, self._source_spec)["image"]
        return {**items, "source": sources[self._rows(self.source)]}

    def _held_out_pairs(self) -> Unpaired:
        if self._held_out is not None:
            return self._held_out
        image, source = self.image.held_out(), self.source.held_out()  # type: ignore[attr-defined]  # both have it
        return Unpaired(image=image, source=source)


@contextmanager
def _named(side: str) -> Iterator[None]:
    """Say which dataset an error is about."""
    try:
        yield
    except gankit.DataError as error:
        raise gankit.DataError(f"{side}: {error}") from error
