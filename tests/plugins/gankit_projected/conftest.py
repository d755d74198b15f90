"""The pretrained network, read once."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator

import pytest
import torch

from gankit_projected.backbone import DEFAULT, Backbone, load_backbone


@pytest.fixture(scope="session", autouse=True)
def _default_backbone_is_read_once() -> Iterator[None]:
    """Every discriminator has its own copy. `load_backbone` itself remains as it is, for the tests of it."""
    read: dict[str, Backbone] = {}

    def load(name: str) -> Backbone:
        device = torch.get_default_device().type
        if name != DEFAULT or sys.modules.get("timm") is None:
            return load_backbone(name)
        if device not in read:
            read[device] = load_backbone(name)
        return copy.deepcopy(read[device])

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("gankit_projected.projected_features.load_backbone", load)
        yield
