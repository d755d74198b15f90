"""BatchNorm on batches of one image, which takes the image itself for the batch's statistics."""

from __future__ import annotations

from typing import Any

from torch import nn

import gankit

from .findings import Finding

KIND = "batch_norm_of_one"
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def batch_norm_of_one(recipe: Any, state: gankit.State) -> list[Finding]:
    """Whether a network with BatchNorm is trained on single images: by its batch, or by how that is split."""
    batch, part = recipe.loader.batch_size, recipe.train.microbatch
    if batch == 1:
        cause, cure = "loader.batch_size is 1", "raise it"
    elif part == 1:
        cause, cure = "train.microbatch is 1", "raise it"
    elif part is not None and batch % part == 1:
        cause, cure = f"train.microbatch {part} leaves one image of a batch of {batch}", "let it divide the batch"
    else:
        return []
    layers = [
        f"{player}.{name}"
        for player in ("generator", "discriminator")
        for name, module in getattr(state, player).named_modules()
        if isinstance(module, NORMS)
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
            {"layers": layers, "batch_size": batch, "microbatch": part},
            sure=True,
        )
    ]
