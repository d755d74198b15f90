"""Encode the data of a recipe with its codec, for later runs."""

from __future__ import annotations

from pathlib import Path

from ..data.datasets import describe_dataset, prepare_dataset
from ..data.encodings.encoding_index import EncodingIndex
from ..data.encodings.write_encodings import write_encodings
from ..data.image_cache import StreamedSource
from ..device.engine import Engine
from ..device.find_device import find_device
from ..interfaces import Report, no_report
from ..recipe.checked_recipe import CheckedRecipe
from .codec import PATH, build_codec
from .run_data import data_of_run


def encode_data(checked: CheckedRecipe, folder: Path, shard_bytes: int, report: Report = no_report) -> EncodingIndex:
    """Write the encodings of all items, which a run of the recipe uses with ``loader.encodings``.

    Args:
        checked: the recipe. If it or one of its segments mirrors images, mirrored images are encoded too.
        folder: to write to. Complete shards of an interrupted call are kept.
        shard_bytes: the largest size of a file.
        report: called with the progress.

    Raises:
        RecipeError: the recipe lacks a codec with weights, or its crops are random.
        GankitError: the data or the codec cannot be read, or the folder cannot be written.
    """
    recipe, document = checked.recipe, checked.recipe.document
    train, loader = recipe.train, recipe.loader
    if loader.crop == "random":
        message = "is random, but one fixed crop of each image is encoded; set it to center"
        raise document.error(("loader", "crop"), message)
    engine = Engine(find_device(train.device), train.precision, tf32=train.tf32, deterministic=train.deterministic)
    dataset = checked.build("dataset")
    prepare_dataset(dataset, report)
    data = data_of_run(recipe, dataset, describe_dataset(dataset))
    with engine.build_scope(recipe.seed):
        codec = build_codec(checked, data, engine.device, engine.dtype, resumed=None)
    if codec is None or codec.fingerprint is None:
        message = "is missing; add the codec whose encodings are to be stored"
        if codec is not None:
            message = (
                "has no weights, by which its encodings could be recognized; use a codec that is a torch.nn.Module"
            )
        raise document.error(PATH, message)
    mirrored = any(recipe.at(step).loader.flip for step in (0, *(segment.step for segment in recipe.segments)))
    source = StreamedSource(dataset, data, loader.fit)
    return write_encodings(folder, source, codec, mirrored, shard_bytes, report)
