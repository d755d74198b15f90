"""The real items that samples are generated from, if the generator asks for fields of the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from ..data.encodings.image_codec import ImageCodec
from ..data.image_cache import StreamedSource
from ..data.items import Item
from ..data.loader import Loader
from ..data.resize import to_float
from ..game.game import Game, has_own_generate
from ..injection import default_values, forward_names, positional_names
from ..interfaces import DataSpec, ImageSpec, VectorSpec
from ..interfaces.data_spec import IMAGE, LABEL
from ..runs.sampling_items import MAX_BYTES, MAX_ITEMS, MIN_ITEMS


def sampling_fields(generator: nn.Module, data: DataSpec, game: Game) -> dict[str, str]:
    """The fields of real items that a sample needs: their names in the data, by the generator's own names for them.

    A game that generates images in its own way may ask for any field. The real image is needed only if G's ``forward``
    has no default for it.
    """
    if has_own_generate(game):
        names = (*data.fields, *(name for name in positional_names(generator.forward) if name == IMAGE))
    else:
        names = forward_names("generator", generator, [*data.fields])
    optional = default_values(generator.forward)
    wanted = {name: name for name in names if name in data.fields or (name == IMAGE and name not in optional)}
    return wanted | ({"labels": LABEL} if data.label is not None else {})


class SampledItems(NamedTuple):
    """The real items that samples are generated from.

    Attributes:
        fields: those that the generator asks for, each [m ...].
        specs: of these fields.
        targets: the real images [m c h w], if the fields belong to them.
    """

    fields: Mapping[str, Tensor]
    specs: Mapping[str, ImageSpec | VectorSpec]
    targets: Tensor | None


def items_for_sampling(generator: nn.Module, data: DataSpec, loader: Loader, game: Game) -> SampledItems:
    """Items of held-out data, or random items of training.

    A dataset may have a method ``held_out()``, which returns a prepared dataset of the same kind.
    """
    wanted = sampling_fields(generator, data, game)
    specs = {name: data[name] for name in wanted if name in data}
    if not wanted:
        return SampledItems({}, {}, None)
    fields = [*dict.fromkeys([*wanted.values(), *([] if {*wanted} & {*data.independent} else [IMAGE])])]
    size = sum(math.prod(loader.data.shape_of(name)) for name in fields)
    source: Any = loader.source
    count = max(MIN_ITEMS, min(MAX_ITEMS, MAX_BYTES // size))
    order = loader.order.at(0, min(count, loader.count)).indices
    if hasattr(loader.dataset, "held_out"):
        held_out = loader.dataset.held_out()
        source = StreamedSource(held_out, loader.data, loader.settings.fit)
        chosen = min(count, len(held_out))  # evenly, because files are often sorted by class
        order = np.arange(chosen) * len(held_out) // chosen
    items = source.read(order, fields)
    targets = to_inputs(items, {IMAGE: IMAGE}, None)[IMAGE] if IMAGE in fields else None
    return SampledItems(to_inputs(items, wanted, loader.codec), specs, targets)


def to_inputs(items: Item, wanted: Mapping[str, str], codec: ImageCodec | None) -> dict[str, Tensor]:
    """Items as samples are generated from them: images in [-1, 1] and vectors, fp32 on the CPU.

    Args:
        items: raw, as a source reads them.
        wanted: of `sampling_fields`.
        codec: encodes the real image; None without a codec.
    """
    found = {name: items[field].cpu() for name, field in wanted.items()}
    floats = {name: to_float(values) if values.dim() == 4 else values.float() for name, values in found.items()}
    if IMAGE in floats and codec is not None:
        floats[IMAGE] = codec.encode(floats[IMAGE]).float().cpu()
    return floats
