"""The Inception-v3 of 2015 (TensorFlow), which FID, KID and IS are computed with."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

import gankit

from .frozen_extractor import extract, fingerprint, float32_inference, freeze
from .inception_weights import FILE, find_weights, is_original
from .optional_imports import import_optional

NAME = "features 'inception'"


class Inception:
    """The 2048 pooled features of the Inception-v3 of 2015 and its 1008 logits without bias, from torch-fidelity.

    Scores are called FID, KID and IS only with the original weights.

    Args:
        weights: path of ``weights-inception-2015-12-05-6726825d.pth``; downloaded (96 MB) by default.

    Raises:
        gankit.GankitError: the weights are missing, or belong to another network.
    """

    resizer = "bilinear, not antialiased, as TensorFlow 1 does it, to 299 x 299"

    def __init__(self, *, weights: Path | None = None) -> None:
        import_optional("torch_fidelity", "torch-fidelity", NAME)
        path = find_weights(weights)
        network = _build(path).float().eval()
        self.hash = fingerprint(network)
        probe = torch.arange(3 * 32**2).to(torch.uint8).view(1, 3, 32, 32)
        self._network = freeze(gankit.without_batch_norms(network, probe))
        self.established: Mapping[str, str] = {"fd": "FID", "kid": "KID", "is": "IS"} if is_original(path) else {}

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [n c h w], with 1 or 3 channels, to features [n 2048], float32. Raises: ValueError."""
        return extract(self._network, lambda some: self._network(some)[0], images)

    def logits(self, features: Tensor) -> Tensor:
        """Features [n 2048] to class logits [n 1008]."""
        with float32_inference(self._network, features.device):
            return features @ self._network.fc.weight.T  # type: ignore[operator,union-attr]


def _build(path: Path) -> nn.Module:
    module = import_optional("torch_fidelity.feature_extractor_inceptionv3", "torch-fidelity", NAME)
    # the library would unpickle anything in the file, so it gets a copy that holds only tensors
    tensors = io.BytesIO()
    try:
        torch.save(torch.load(path, map_location="cpu", weights_only=True), tensors)
        tensors.seek(0)
        with torch.device("cpu"), gankit.preserved_random_state():
            network: nn.Module = module.FeatureExtractorInceptionV3(
                "inception", ["2048"], feature_extractor_weights_path=tensors
            )
    except (OSError, EOFError, RuntimeError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        reason = str(error).partition("\n")[0]
        raise gankit.DataError(
            f"{NAME}: {path} does not contain this network's weights ({reason}); give the path of {FILE}"
        ) from error
    return network
