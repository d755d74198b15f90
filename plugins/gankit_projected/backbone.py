"""A pretrained network from timm. Its weights must be on this machine: this module downloads nothing."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import nn

import gankit

DEFAULT = "tf_efficientnet_lite0"
REDUCTIONS = (4, 8, 16, 32)
FILES = ("model.safetensors", "pytorch_model.bin")
WANTED_BY = "'projected'"
REMEDY = "run: pip install 'gankit[metrics]'"


class Backbone(NamedTuple):
    """A network that maps images [n 3 h w] to feature maps, and the statistics of its training data.

    Attributes:
        network: images to a list of feature maps [n c h/r w/r], one for each r of `REDUCTIONS`.
        channels: channels of each feature map.
        mean: mean of each color channel for pixels in [0, 1].
        std: standard deviation of each color channel for pixels in [0, 1].
    """

    network: nn.Module
    channels: Sequence[int]
    mean: Sequence[float]
    std: Sequence[float]


def load_backbone(name: str) -> Backbone:
    """Load timm's pretrained network ``name`` on the CPU, or without weights within ``torch.device("meta")``.

    Raises:
        gankit.GankitError: timm or the weights are not on this machine.
        ValueError: timm has no such network, or the network lacks a feature map for one of `REDUCTIONS`.
    """
    timm = gankit.import_optional("timm", "timm", WANTED_BY, extra="metrics")
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0.6)
        hint = f"; did you mean '{close[0]}'?" if close else "; timm.list_models() lists all networks"
        raise ValueError(f"backbone: timm has no network called {name!r}{hint}")
    indices = _indices(timm, name)
    meta = torch.get_default_device().type == "meta"
    # timm's initialization must not change torch's random state
    with torch.device("meta" if meta else "cpu"), gankit.preserved_random_state():
        network = _build(timm, name, indices, pretrained=not meta)
    config = timm.get_pretrained_cfg(name)
    return Backbone(network, network.feature_info.channels(), config.mean, config.std)


def _indices(timm: ModuleType, name: str) -> tuple[int, ...]:
    """Indices of the network's feature maps for `REDUCTIONS`. Raises: ValueError: it lacks one of them."""
    try:
        with torch.device("meta"):
            reductions = timm.create_model(name, features_only=True).feature_info.reduction()
    except Exception as error:  # timm raises many types
        raise ValueError(f"backbone: timm's '{name}' has no feature maps ({' '.join(str(error).split())})") from None
    if not set(REDUCTIONS) <= set(reductions):
        raise ValueError(
            f"backbone: the feature maps of timm's '{name}' have reductions {list(reductions)}, but reductions "
            f"{list(REDUCTIONS)} are needed; use a convolutional network such as '{DEFAULT}' or 'resnet18'"
        )
    return tuple(list(reductions).index(reduction) for reduction in REDUCTIONS)


def _build(timm: ModuleType, name: str, indices: tuple[int, ...], pretrained: bool) -> Any:
    options: dict[str, Any] = {"features_only": True, "out_indices": indices}
    if not pretrained:
        return timm.create_model(name, **options)
    if name.partition(".")[0] == DEFAULT:
        with suppress(gankit.GankitError):  # without the package, weights that timm has downloaded serve as well
            return gankit.load_efficientnet_lite0(WANTED_BY, **options)
    file = _cached(timm.get_pretrained_cfg(name))
    if file is None:
        package = f" Or, for '{DEFAULT}': {REMEDY}" if name.partition(".")[0] == DEFAULT else ""
        raise gankit.GankitError(
            f"{WANTED_BY} needs the weights of timm's '{name}', which are not on this machine. Download them once, "
            f"with internet access: python -c \"import timm; timm.create_model('{name}', pretrained=True)\".{package}"
        )
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, **options).eval()


def _cached(config: Any) -> Path | None:
    """The file that timm has downloaded before, if any."""
    from huggingface_hub import try_to_load_from_cache

    if config.hf_hub_id:
        for name in FILES:
            found = try_to_load_from_cache(config.hf_hub_id, name)
            if isinstance(found, str):
                return Path(found)
    file = Path(torch.hub.get_dir(), "checkpoints", Path(config.url).name) if config.url else None
    return file if file is not None and file.is_file() else None
