"""Components for runs that must come to the same in one process and in several; and faults."""

from __future__ import annotations

import gankit

from .data import Noise, Order, Pixels
from .faults import Doomed, Slow, Tells
from .networks import Down, Up
from .training import Alone, LogitsMean, Normalised, Overflowing, OwnDirection, Queue


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.generators.add("up", Up)
    registries.discriminators.add("down", Down)
    registries.datasets.add("noise", Noise)
    registries.losses.add("logits_mean", LogitsMean)
    registries.regularizers.add("own_direction", OwnDirection)
    registries.regularizers.add("own_direction_alone", Alone)
    registries.regularizers.add("normalised", Normalised)
    registries.regularizers.add("overflowing", Overflowing)
    registries.games.add("queue", Queue)
    registries.optimizers.add("doomed", Doomed)
    registries.optimizers.add("slow", Slow)
    registries.callbacks.add("tells", Tells)
    registries.features.add("watched_pixels", Pixels)
    registries.metrics.add("order", Order)
