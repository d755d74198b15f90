"""Check of BatchNorm on batches of one image, where each image is normalized by its own statistics."""

from __future__ import annotations

from typing import Any

from torch import nn

import gankit

from .findings import Finding

KIND = "batch_norm_of_one"
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def batch_norm_of_one(recipe: Any, state: gankit.State, world_size: int = 1) -> list[Finding]:
    """Report BatchNorm layers that see one image at a time, because of the batch size or the microbatch size.

    Each process gets an equal share of the batch; `SyncBatchNorm` uses the images of all processes.
    """
    batch, microbatch = recipe.loader.batch_size, recipe.train.microbatch
    share = batch // world_size
    if share == 1:
        per_process = "" if world_size == 1 else f", one image for each of {world_size} processes"
        cause, remedy = f"loader.batch_size is {batch}{per_process}", "increase it"
    elif microbatch == 1:
        cause, remedy = "train.microbatch is 1", "increase it"
    elif microbatch is not None and share % microbatch == 1:
        per_process = "" if world_size == 1 else f" in each of {world_size} processes"
        cause = f"train.microbatch {microbatch} leaves one image of a batch of {share}{per_process}"
        remedy = "choose one that divides the batch"
    else:
        return []
    layers = [
        f"{player}.{name}"
        for player, network in state.players.items()
        for name, module in network.named_modules()
        if isinstance(module, NORMS)
        and not (world_size > 1 and isinstance(module, nn.SyncBatchNorm))  # which sees the images of all processes
    ]
    if not layers:
        return []
    more = f" and {len(layers) - 1} more" if len(layers) > 1 else ""
    return [
        Finding(
            KIND,
            f"BatchNorm sees one image at a time in {layers[0]}{more}: {cause}. It subtracts the image's own mean, so "
            f"what it learns does not hold for other images; {remedy}, or use a norm without batch statistics "
            "(discriminator.norm=layer).",
            {"layers": layers, "batch_size": batch, "microbatch": microbatch, "world_size": world_size},
            sure=True,
        )
    ]
