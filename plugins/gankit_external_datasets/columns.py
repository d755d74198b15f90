"""Finds the columns of a table that hold images, labels and vectors, by its schema."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import gankit

LABEL_NAMES = ("label", "labels")  # of class numbers in a table that does not name its classes
ADVICE_ON_TEXT = (
    "networks receive numbers: leave the column out, or save the table with class numbers (`class_encode_column` of "
    "Hugging Face's datasets) or with a vector for each text"
)


class Columns(NamedTuple):
    """Which column holds what.

    Attributes:
        image: the column of the image; None finds the only one with images.
        label: the column of the label; None finds the only one with classes, or one that is called ``label``.
        label_size: the length of labels that are vectors; None for classes.
        images: the columns of further images, by the names of their fields.
        vectors: the lengths of vectors, by the names of their columns, which are also those of their fields.
    """

    image: str | None
    label: str | None
    label_size: int | None
    images: Mapping[str, str]
    vectors: Mapping[str, int]

    def spec(self, channels: int) -> gankit.DataSpec:
        """The fields of items whose images have this number of channels. Raises: ValueError: a name is not allowed."""
        fields: dict[str, Any] = {name: gankit.ImageSpec.any_size(channels) for name in self.images}
        for name, size in self.vectors.items():
            if name in fields:
                raise ValueError(f"`images` and `vectors` both have the field {name!r}; keep one of them")
            fields[name] = gankit.VectorSpec(size)
        for name in ("image", "label"):
            if name in fields:
                raise ValueError(f"a further field cannot be called {name!r}; choose that column with `{name}`")
        if self.label_size is not None:
            fields["label"] = gankit.VectorSpec(self.label_size)
        return gankit.DataSpec(image=gankit.ImageSpec.any_size(channels), **fields)

    def names(self) -> list[str]:
        """The names of all chosen columns, each once."""
        chosen = [self.image, self.label, *self.images.values(), *self.vectors]
        return [*dict.fromkeys(name for name in chosen if name is not None)]


def find_columns(schema: Any, wanted: Columns, where: str) -> Columns:
    """The wanted columns, with those found that are None. ``label`` stays None for unlabeled data.

    Args:
        schema: a ``pyarrow.Schema``.
        wanted: the columns that the recipe names.
        where: the start of messages.

    Raises:
        gankit.DataError: a column is missing or has other content, or several could be meant.
    """
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise gankit.DataError(f"{where}: several columns are called {_listed(twice[:3])}; rename all but one")
    for name in wanted.names():
        if name not in schema.names:
            raise gankit.DataError(f"{where}: there is no column {name!r}{gankit.did_you_mean(name, schema.names)}")
    image = wanted.image or _only(schema, lambda name: _is_image(schema, name), "image", "images", where)
    if image is None:
        raise gankit.DataError(
            f"{where}: no column has images (the bytes of image files); it has {', '.join(map(_described, schema))}; "
            "set `image` to the column of their paths, if there is one"
        )
    label = wanted.label or _only(schema, lambda name: class_names(schema, name) is not None, "label", "classes", where)
    if label is None:
        label = next((name for name in LABEL_NAMES if name in schema.names and _is_number(schema, name)), None)
    found = wanted._replace(image=image, label=label)
    for name in (image, *wanted.images.values()):
        if not (_is_image(schema, name) or is_text(schema.field(name).type)):
            raise gankit.DataError(f"{where}: column {_described(schema.field(name))} has no images")
    sizes = [(name, f"vectors.{name}") for name in wanted.vectors]
    for name, key in [*sizes, *([] if label is None else [(label, "label")])]:
        _require_numbers(schema, name, key, key != "label" or wanted.label_size is not None, where)
    return found


def unused_label(schema: Any) -> str | None:
    """A note on a column that is called like a label, but holds no class numbers; None if there is none."""
    fields = [schema.field(name) for name in LABEL_NAMES if name in schema.names]
    return f"not used: column {_described(fields[0])}, which has no class numbers" if fields else None


def class_names(schema: Any, column: str) -> list[str] | None:
    """The names of the classes of a column, from the features that Hugging Face's datasets store; None without them."""
    try:
        feature = json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]
        names = feature["names"] if feature["_type"] == "ClassLabel" else None
    except (TypeError, KeyError, ValueError, RecursionError):
        return None
    return [*map(str, names)] if isinstance(names, list) else None


def _require_numbers(schema: Any, name: str, key: str, as_vector: bool, where: str) -> None:
    """Raises: gankit.DataError: a column does not hold numbers, or vectors of them if ``as_vector`` is set."""
    from pyarrow import types

    field = schema.field(name)
    column = f"{where}: {key}: column {_described(field)}"
    is_list = types.is_list(field.type) or types.is_large_list(field.type) or types.is_fixed_size_list(field.type)
    inner = field.type.value_type if is_list else field.type
    if is_text(inner):
        raise gankit.DataError(f"{column} is text, but {ADVICE_ON_TEXT}")
    if is_list and not as_vector and (types.is_floating(inner) or types.is_integer(inner)):
        raise gankit.DataError(f"{column} has vectors; set `label_size` to their length")
    if is_list != as_vector or not (types.is_floating(inner) or types.is_integer(inner) or types.is_boolean(inner)):
        raise gankit.DataError(f"{column} has no {'vectors of numbers' if as_vector else 'class numbers'}")
    if not as_vector and types.is_floating(inner):
        raise gankit.DataError(
            f"{column} has fractions or empty cells, not class numbers; fill in empty cells, or save fractions as "
            "lists of one number each"
        )


def _only(schema: Any, fits: Callable[[str], bool], key: str, what: str, where: str) -> str | None:
    """The only column that fits; None if none does. Raises: gankit.DataError: several do."""
    found = [name for name in schema.names if fits(name)]
    if len(found) > 1:
        raise gankit.DataError(f"{where}: the columns {_listed(found)} have {what}; set `{key}` to one of them")
    return found[0] if found else None


def _is_image(schema: Any, name: str) -> bool:
    """Whether a column holds files that are not known to be something else: bytes, or Hugging Face's {bytes, path}."""
    from pyarrow import types

    kind = schema.field(name).type
    try:
        if json.loads(schema.metadata[b"huggingface"])["info"]["features"][name].get("_type") == "Audio":
            return False
    except (TypeError, KeyError, ValueError, AttributeError, RecursionError):
        pass
    if types.is_struct(kind) and {field.name for field in kind} == {"bytes", "path"}:
        kind = kind.field("bytes").type
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_number(schema: Any, name: str) -> bool:
    from pyarrow import types

    return bool(types.is_integer(schema.field(name).type) or types.is_boolean(schema.field(name).type))


def is_text(kind: Any) -> bool:
    """Whether a type of Arrow is that of texts."""
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _described(field: Any) -> str:
    return f"{field.name!r} ({gankit.truncate(str(field.type))})"


def _listed(names: Iterable[str]) -> str:
    return " and ".join(map(repr, names))
