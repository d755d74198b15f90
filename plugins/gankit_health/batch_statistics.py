"""BatchNorm on batches of one image, which takes the image itself for the batch's statistics."""

from __future__ import annotations

from typing import Any

from torch import nn

import gankit

from .findings import Finding

KIND = "batch_norm_of_one"
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)  # the last one over all processes


def batch_norm_of_one(recipe: Any, state: gankit.State, world_size: int = 1) -> list[Finding]:
    """Whether a network with BatchNorm is trained on single images: by its batch, or by how that is split.

    Of several processes each has its share of the batch; `SyncBatchNorm` sees those of all at once.
    """
    batch, part = recipe.loader.batch_size, recipe.train.microbatch
    share = batch // world_size
    if share == 1:
        of_each = "" if world_size == 1 else f", one image for each of {world_size} processes"
        cause, cure = f"loader.batch_size is {batch}{of_each}", "raise it"
    elif part == 1:
        cause, cure = "train.microbatch is 1", "raise it"
    elif part is not None and share % part == 1:
        of_each = "" if world_size == 1 else f" that each of {world_size} processes has"
        cause, cure = f"train.microbatch {part} leaves one image of a batch of {share}{of_each}", "let it divide that"
    else:
        return []
    layers = [
        f"{player}.{name}"
        for player in ("generator", "discriminator")
        for name, module in getattr(state, player).named_modules()
        if isinstance(module, NORMS if world_size == 1 else NORMS[:-1])
    ]
    if not layers:
        return []
    more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
    return [
        Finding(
            KIND,
            f"BatchNorm sees one image at a time in {layers[0]}{more}: {cause}. It subtracts the image's own mean, so "
            f"that nothing it learns holds for others; {cure}, or use a norm without batch statistics "
            "(discriminator.norm=layer).",
            {"layers": layers, "batch_size": batch, "microbatch": part, "world_size": world_size},
            sure=True,
        )
    ]
