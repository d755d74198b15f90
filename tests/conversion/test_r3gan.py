"""R3GAN's pickles, whose classes are named only, against the network of the paper (arXiv 2501.05441, sec. 4)."""

from __future__ import annotations

import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

WIDTHS, BLOCKS, GROUP, LATENT, CLASSES, EMBEDDING = (6, 4), (2, 1), 4, 3, 5, 2  # of 4 and of 8 px
LINE = torch.tensor([1.0, 3.0, 3.0, 1.0])


class Module:
    """A module that is pickled under the name of its class in the project."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@pytest.fixture(autouse=True)
def _modules_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("R3GAN", "R3GAN.Networks"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["R3GAN.Networks"].Module = Module  # type: ignore[attr-defined]
    monkeypatch.setattr(Module, "__module__", "R3GAN.Networks")


def pickled(**networks: dict[str, Tensor]) -> bytes:
    def build(prefix: str, tensors: dict[str, Tensor]) -> Module:
        inside = [name.removeprefix(prefix) for name in tensors if name.startswith(prefix)]
        own = {name: nn.Parameter(tensors[prefix + name]) for name in inside if "." not in name}
        names = dict.fromkeys(name.partition(".")[0] for name in inside if "." in name)
        data_type = torch.bfloat16 if prefix == "Model.MainLayers.1." else torch.float32
        below = {name: build(f"{prefix}{name}.", tensors) for name in names}
        return Module({"_parameters": own, "_buffers": {}, "_modules": below, "DataType": data_type})

    entries = {key: build("", tensors) for key, tensors in networks.items()}
    return pickle.dumps(entries | {"cur_nimg": 3, "G_opt_state": {"state": {0: {"exp_avg": torch.zeros(2)}}}})


def blocks(path: str, width: int, first: int, count: int) -> dict[str, Tensor]:
    inner, tensors = 2 * width, {}
    for number in range(first, first + count):
        for layer, shape in enumerate(((inner, width, 1, 1), (inner, GROUP, 3, 3), (width, inner, 1, 1)), start=1):
            tensors[f"{path}.{number}.LinearLayer{layer}.Layer.weight"] = torch.randn(shape) / 4
        for layer in (1, 2):
            tensors[f"{path}.{number}.NonLinearity{layer}.Bias"] = torch.randn(inner)
    return tensors


@pytest.fixture
def generator() -> dict[str, Tensor]:
    torch.manual_seed(0)
    path = "Model.MainLayers"
    return {
        f"{path}.0.Layers.0.Basis": torch.randn(WIDTHS[0], 4, 4),
        f"{path}.0.Layers.0.LinearLayer.weight": torch.randn(WIDTHS[0], LATENT + EMBEDDING),
        **blocks(f"{path}.0.Layers", WIDTHS[0], 1, BLOCKS[0]),
        f"{path}.1.Layers.0.LinearLayer.Layer.weight": torch.randn(WIDTHS[1], WIDTHS[0], 1, 1),
        f"{path}.1.Layers.0.Resampler.Kernel": torch.outer(LINE, LINE) / 64,
        **blocks(f"{path}.1.Layers", WIDTHS[1], 1, BLOCKS[1]),
        "Model.AggregationLayer.Layer.weight": torch.randn(3, WIDTHS[1], 1, 1),
        "Model.EmbeddingLayer.weight": torch.randn(EMBEDDING, CLASSES),
    }


@pytest.fixture
def discriminator() -> dict[str, Tensor]:
    torch.manual_seed(1)
    path = "Model.MainLayers"
    return {
        "Model.ExtractionLayer.Layer.weight": torch.randn(WIDTHS[1], 3, 1, 1),
        **blocks(f"{path}.0.Layers", WIDTHS[1], 0, BLOCKS[1]),
        f"{path}.0.Layers.1.LinearLayer.Layer.weight": torch.randn(WIDTHS[0], WIDTHS[1], 1, 1),
        f"{path}.0.Layers.1.Resampler.Kernel": torch.outer(LINE, LINE) / 64,
        **blocks(f"{path}.1.Layers", WIDTHS[0], 0, BLOCKS[0]),
        f"{path}.1.Layers.2.Basis.weight": torch.randn(WIDTHS[0], 1, 4, 4),
        f"{path}.1.Layers.2.LinearLayer.weight": torch.randn(7, WIDTHS[0]),
        "Model.EmbeddingLayer.weight": torch.randn(7, CLASSES),
    }


def residual(x: Tensor, weights: dict[str, Tensor], path: str) -> Tensor:
    def layer(y: Tensor, number: int) -> Tensor:
        kernel = weights[f"{path}.LinearLayer{number}.Layer.weight"]
        return F.conv2d(y, kernel, padding=kernel.shape[-1] // 2, groups=y.shape[1] // kernel.shape[1])

    y = layer(x, 1)
    for number in (1, 2):
        y = layer(F.leaky_relu(y + weights[f"{path}.NonLinearity{number}.Bias"][:, None, None], 0.2), number + 1)
    return x + y


def depthwise(x: Tensor, up: bool) -> Tensor:
    kernel = (torch.outer(LINE, LINE) / 64).expand(x.shape[1], 1, 4, 4)
    function, gain = (F.conv_transpose2d, 4) if up else (F.conv2d, 1)
    return function(x, gain * kernel, stride=2, padding=1, groups=x.shape[1])


def test_images_and_logits(generator, discriminator, import_files):
    imported = import_files(file=pickled(G=generator, G_ema=generator, D=discriminator))
    z, labels = torch.randn(4, LATENT), torch.tensor([0, 4, 2, 2])
    w, path = generator, "Model.MainLayers"
    x = torch.cat([z, w["Model.EmbeddingLayer.weight"].t()[labels]], dim=1) @ w[f"{path}.0.Layers.0.LinearLayer.weight"].t()
    x = w[f"{path}.0.Layers.0.Basis"] * x[:, :, None, None]
    for number in (1, 2):
        x = residual(x, w, f"{path}.0.Layers.{number}")
    x = depthwise(F.conv2d(x, w[f"{path}.1.Layers.0.LinearLayer.Layer.weight"]), up=True)
    images = F.conv2d(residual(x, w, f"{path}.1.Layers.1"), w["Model.AggregationLayer.Layer.weight"])
    w = discriminator
    x = residual(F.conv2d(images, w["Model.ExtractionLayer.Layer.weight"]), w, f"{path}.0.Layers.0")
    x = F.conv2d(depthwise(x, up=False), w[f"{path}.0.Layers.1.LinearLayer.Layer.weight"])
    for number in (0, 1):
        x = residual(x, w, f"{path}.1.Layers.{number}")
    x = F.conv2d(x, w[f"{path}.1.Layers.2.Basis.weight"], groups=WIDTHS[0]).flatten(1)
    logits = ((x @ w[f"{path}.1.Layers.2.LinearLayer.weight"].t()) * w["Model.EmbeddingLayer.weight"].t()[labels]).sum(1)
    with torch.no_grad():
        for name in ("generator", "generator_ema"):
            torch.testing.assert_close(imported.networks[name](z, labels), images, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(imported.networks["discriminator"](images, labels), logits, rtol=1e-4, atol=1e-3)
    params = imported.components["generator"].plain_params()
    assert (params["width"], params["blocks"], params["full_precision_stages"]) == ([*WIDTHS], [*BLOCKS], 1)
    assert imported.data.image == gankit.ImageSpec(8, 8, 3, CLASSES)


def test_groups_of_different_sizes_are_refused(generator, import_files):
    generator["Model.MainLayers.1.Layers.1.LinearLayer2.Layer.weight"] = torch.randn(8, 2, 3, 3)
    with pytest.raises(gankit.GankitError, match="its groups have 2, 4 channels; gankit has one size"):
        import_files(file=pickled(G=generator))
