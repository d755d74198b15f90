"""Frozen networks of a run: recorded in its checkpoints by their fingerprints, and compared when these are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from ..messages import truncate
from ..networks.frozen import Frozen
from ..runs.checkpoint import Checkpoint
from ..runs.file_names import FROZEN
from ..runs.frozen_weights import load_frozen

FROZEN_NETWORKS = "frozen"  # the entry of the manifest
KeptWeights = Mapping[str, Mapping[str, Tensor]]
"""The weights of frozen networks, by network and name."""
KEPT = ("generator.", "codec")  # the start of the names of those that sampling needs, which the run directory keeps


def describe_frozen_networks(networks: Mapping[str, Frozen]) -> dict[str, Any]:
    """The entry of a manifest; empty without frozen networks."""
    return {FROZEN_NETWORKS: {name: network.fingerprint for name, network in networks.items()}} if networks else {}


def require_same_frozen_networks(networks: Mapping[str, Frozen], checkpoint: Checkpoint | None) -> None:
    """Raises: CheckpointError: a frozen network differs from the checkpoint's."""
    if checkpoint is None:
        return
    recorded = checkpoint.manifest.get(FROZEN_NETWORKS, {})
    for name, network in networks.items():
        known = recorded.get(name) if isinstance(recorded, Mapping) else None
        if known is not None and known != network.fingerprint:
            raise CheckpointError(
                f"{checkpoint.path}: was trained with another frozen network '{truncate(name)}': its SHA-256 was "
                f"{str(known)[:12]} and is {network.fingerprint[:12]} now; restore its weights"
            )


def read_kept_networks(checkpoint: Checkpoint) -> KeptWeights:
    """The weights that the run of a checkpoint keeps. Raises: CheckpointError: they cannot be read."""
    return load_frozen(checkpoint.folder_of(FROZEN)) if checkpoint.manifest.get(FROZEN_NETWORKS) else {}


def load_kept_networks(networks: Mapping[str, Frozen], stored: KeptWeights, checkpoint: Checkpoint) -> None:
    """Give the networks those of their weights that are stored.

    Raises:
        CheckpointError: they do not fit, or a network differs from the checkpoint's.
    """
    for name, network in networks.items():
        if name in stored:
            try:
                network.load(stored[name])
            except RuntimeError:
                raise CheckpointError(
                    f"{checkpoint.path}: the weights of '{name}' in {FROZEN} of its run directory do not fit"
                ) from None
    require_same_frozen_networks(networks, checkpoint)
