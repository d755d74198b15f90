"""The fields of an item of the data: its image, and others such as a source image or the vector of a caption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from ..messages import did_you_mean

IMAGE, LABEL = "image", "label"
RESERVED = ("z", "labels", "images", "data", "latent_dim", "dim", "logits", "latents", "independent")
"""Names that fields cannot have, because networks receive other values under them."""


@dataclass(frozen=True)
class ImageSpec:
    """The shape of the images of a run or dataset: ``[channels height width]``.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 to 4.
        classes: the number of classes. In the spec that networks receive, it is 0 if the run is unconditional;
            ``forward`` then receives ``labels=None``. In the spec of a dataset, it is always 0: the dataset lists its
            classes in `Dataset.classes`. ``gankit check`` assumes 10 if only `Dataset.prepare` can find them.
        scale: the size relative to the recipe's ``image.size``. Additional fields can have another scale than 1, such
            as 1/4.
    """

    height: int
    width: int
    channels: int
    classes: int = 0
    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(channels, height, width)``."""
        return self.channels, self.height, self.width

    @classmethod
    def any_size(cls, channels: int, scale: float = 1.0) -> ImageSpec:
        """The spec of a dataset whose images differ in size. Its height and width are None.

        The loader resizes each image to the recipe's ``image.size``, times ``scale``. Networks always receive a spec
        with that size.
        """
        return cls(None, None, channels, scale=scale)  # type: ignore[arg-type]  # only datasets have such a spec


@dataclass(frozen=True)
class VectorSpec:
    """A vector of fp32 numbers ``[size]``: an embedding, a regression target, or 0 and 1 for each of several labels."""

    size: int

    @property
    def shape(self) -> tuple[int]:
        """``(size,)``."""
        return (self.size,)


FieldSpec = ImageSpec | VectorSpec


class DataSpec(Mapping[str, FieldSpec]):
    """The fields of each item of a dataset: a mapping of their names to their specs.

    Args:
        image: the real images.
        independent: names of fields that are shuffled, cropped and mirrored independently of the image, for unpaired
            translation. All other images of an item are cropped and mirrored together.
        fields: additional fields. If labels are vectors instead of classes, ``label`` is a `VectorSpec`.

    Raises:
        ValueError: a field has a reserved name, or ``independent`` names none.
    """

    def __init__(self, *, image: ImageSpec, independent: Iterable[str] = (), **fields: FieldSpec) -> None:
        self.image, self.independent = image, tuple(independent)
        self._specs: dict[str, FieldSpec] = {IMAGE: image, **fields}
        for name in fields:
            if name in RESERVED:
                raise ValueError(
                    f"a field of the data cannot be called {name!r}: networks have another argument of this name"
                )
        if LABEL in fields and not isinstance(fields[LABEL], VectorSpec):
            raise ValueError("the field 'label' should be a VectorSpec; without it, labels are classes")
        for name in self.independent:
            if name not in self.fields:
                raise ValueError(f"independent: the data has no field {name!r}{did_you_mean(name, self.fields)}")

    @property
    def fields(self) -> dict[str, FieldSpec]:
        """The additional fields, without the image and the label."""
        return {name: spec for name, spec in self._specs.items() if name not in (IMAGE, LABEL)}

    @property
    def label(self) -> VectorSpec | None:
        """The spec of labels that are vectors; None if labels are classes."""
        label = self._specs.get(LABEL)
        return label if isinstance(label, VectorSpec) else None

    def at_size(self, height: int, width: int, classes: int = 0) -> DataSpec:
        """The spec that networks receive, for a run with images of this size in pixels and ``classes`` classes.

        Raises:
            ValueError: the size times the ``scale`` of a field is not a whole number of pixels.
        """
        specs: dict[str, FieldSpec] = {}
        for name, spec in self._specs.items():
            if isinstance(spec, ImageSpec):
                size = [side * spec.scale for side in (height, width)]
                if any(abs(side - round(side)) > 1e-6 or side < 1 for side in size):
                    raise ValueError(
                        f"images of {height} x {width} pixels times the scale {spec.scale:.6g} of the field {name!r} "
                        f"are {size[0]:.6g} x {size[1]:.6g}, which are not whole numbers of pixels"
                    )
                specs[name] = replace(spec, height=round(size[0]), width=round(size[1]))
            else:
                specs[name] = spec
        image = specs.pop(IMAGE)
        assert isinstance(image, ImageSpec)
        return DataSpec(image=replace(image, classes=classes), independent=self.independent, **specs)

    def with_image(self, image: ImageSpec) -> DataSpec:
        """The same fields with another spec for the image."""
        others = {name: spec for name, spec in self._specs.items() if name != IMAGE}
        return DataSpec(image=image, independent=self.independent, **others)

    def only(self, names: Iterable[str]) -> DataSpec:
        """The data with the image and these fields alone, none of which is independent."""
        others = {name: self[name] for name in names}
        return DataSpec(image=self.image, independent=(), **others)

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a field of one item: ``(c, h, w)`` or ``(v,)``."""
        return self[name].shape

    def __getitem__(self, name: str) -> FieldSpec:
        if name not in self._specs:
            raise KeyError(f"the data has no field {name!r}{did_you_mean(name, self._specs)}")
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def __repr__(self) -> str:
        independent = f", independent={list(self.independent)}" if self.independent else ""
        return f"DataSpec({', '.join(f'{name}={spec!r}' for name, spec in self._specs.items())}{independent})"


def data_spec(spec: ImageSpec | DataSpec) -> DataSpec:
    """The spec of a dataset as a `DataSpec`."""
    return spec if isinstance(spec, DataSpec) else DataSpec(image=spec)
