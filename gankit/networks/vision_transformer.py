"""Pretrained vision transformers of timm, from the Hugging Face Hub or from a file."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ..errors import DataError, GankitError
from ..hub_client import HubError, download
from ..messages import one_line, truncate
from ..optional_imports import import_optional
from ..sources import HubFolder

FILE = "model.safetensors"  # in the repositories of timm
EXTRA = "metrics"


def load_vision_transformer(model: str, weights: Path | None, wanted_by: str) -> nn.Module:
    """A vision transformer of timm with pretrained weights, on the CPU, in fp32 and in eval mode.

    Random generators do not change.

    Args:
        model: its name in timm with the tag of its weights, such as ``vit_large_patch14_dinov2.lvd142m``.
        weights: a file with these weights, safetensors or a state dict of PyTorch, by their names in timm, in DINOv2,
            in OpenAI's CLIP or in OpenCLIP. None downloads them to the cache of ``huggingface_hub``.
        wanted_by: the component that needs the network, for error messages.

    Raises:
        GankitError: timm is not installed, or the download failed.
        DataError: the file does not exist, or does not contain these weights.
    """
    timm = import_optional("timm", "timm", wanted_by, EXTRA)
    transformers = import_optional("timm.models.vision_transformer", "timm", wanted_by, EXTRA)
    with torch.device("meta"):  # where nothing is initialized or drawn
        network: nn.Module = timm.create_model(model, pretrained=False)
    repository: str = network.pretrained_cfg["hf_hub_id"]  # type: ignore[index,assignment]
    path = _download(repository, wanted_by) if weights is None else _require_file(weights, repository, wanted_by)
    try:
        if path.suffix == ".safetensors":
            tensors = load_file(path)
        else:
            tensors = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(transformers.checkpoint_filter_fn(tensors, network), assign=True)
    except (
        *(OSError, EOFError, RuntimeError, TypeError, AttributeError, LookupError, ValueError),
        *(pickle.UnpicklingError, SafetensorError),
    ) as error:
        raise DataError(
            f"{wanted_by}: {path} does not contain the weights of {model} ({truncate(one_line(error), 200)}); give "
            f"the path of {FILE} of the repository {repository} on the Hugging Face Hub"
        ) from error
    return network.float().eval()


def _download(repository: str, wanted_by: str) -> Path:
    """The file in the cache of ``huggingface_hub``. Raises: GankitError: it can't be downloaded."""
    remedy = f"or download {FILE} of this repository in another way, and set `weights: PATH/{FILE}`"
    try:
        found = download(HubFolder(repository), FILE)
    except HubError as error:
        raise GankitError(f"{wanted_by}: the weights cannot be downloaded: {error}; {remedy}") from error
    if found is None:
        raise GankitError(f"{wanted_by}: the repository {repository} on the Hugging Face Hub lacks {FILE}; {remedy}")
    return found.path


def _require_file(weights: Path, repository: str, wanted_by: str) -> Path:
    path = weights.expanduser()
    if not path.is_file():
        raise DataError(
            f"{wanted_by}: `weights: {weights}` is not a file; give the path of {FILE} of the repository {repository} "
            "on the Hugging Face Hub, or omit `weights` to download it"
        )
    return path
