"""Weight files in the formats of other projects, with random weights, written without the code of these projects."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit.conversion.import_weights import ImportedWeights, import_weights
from gankit.conversion.recognition import GivenFile

BUFFERS = ("noise_const", "w_avg", "resample_filter")
LOW_PASS = torch.tensor([1.0, 3.0, 3.0, 1.0])


class Foreign(NamedTuple):
    """A network of another project: its tensors and the attributes of its modules, by dotted path."""

    tensors: dict[str, Tensor]
    attributes: dict[str, Any]


class EasyDict(dict[str, Any]):
    """As in ``dnnlib.util``."""


def _reconstruct_persistent_obj(meta: Any) -> Any:
    raise AssertionError("the code of a file was executed")


class Persistent:
    """Is pickled as a class with ``torch_utils.persistence.persistent_class``: with the source code of its module."""

    def __init__(self, state: Mapping[str, Any], source: str) -> None:
        self.state, self.source = dict(state), source

    def __reduce__(self) -> Any:
        meta = {"type": "class", "version": 6, "module_src": self.source, "class_name": "Layer", "state": self.state}
        return _reconstruct_persistent_obj, (meta,), None


@pytest.fixture(autouse=True)
def _modules_of_the_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the pickles of StyleGAN2-ADA name, so that they can be written."""
    for name, value in (("torch_utils.persistence", _reconstruct_persistent_obj), ("dnnlib.util", EasyDict)):
        module = ModuleType(name)
        setattr(module, value.__name__, value)
        monkeypatch.setattr(value, "__module__", name)
        monkeypatch.setitem(sys.modules, name.partition(".")[0], ModuleType(name.partition(".")[0]))
        monkeypatch.setitem(sys.modules, name, module)


def as_module(foreign: Foreign, make: Callable[[dict[str, Any]], Any]) -> Any:
    """The tree of modules that have these tensors and attributes, each made from its state."""
    parts = {path.rpartition(".")[0] for path in (*foreign.tensors, *foreign.attributes)} | {""}
    paths = sorted({".".join(path.split(".")[:end]) for path in parts for end in range(1, path.count(".") + 2)} | {""})

    def build(path: str) -> Any:
        state: dict[str, Any] = {
            "training": False,
            "_parameters": OrderedDict(),
            "_buffers": OrderedDict(),
            "_non_persistent_buffers_set": set(),
            "_backward_hooks": OrderedDict(),
            "_modules": OrderedDict(),
            "_init_args": (),
            "_init_kwargs": EasyDict(size=np.float64(1.5)),
        }
        for name, tensor in foreign.tensors.items():
            above, _, leaf = name.rpartition(".")
            if above == path and leaf in BUFFERS:
                state["_buffers"][leaf] = tensor
            elif above == path:
                state["_parameters"][leaf] = nn.Parameter(tensor, requires_grad=False)
        state |= {name.rpartition(".")[2]: value for name, value in foreign.attributes.items() if name.rpartition(".")[0] == path}
        for below in paths:
            if below and below.rpartition(".")[0] == path and below != path:
                state["_modules"][below.rpartition(".")[2]] = build(below)
        return make(state)

    return build("")


@pytest.fixture
def persistent_pickle() -> Callable[..., bytes]:
    """``persistent_pickle(source="", G=Foreign, ...)``: the bytes of a ``.pkl`` of StyleGAN2-ADA."""

    def write(source: str = "class Layer: pass", **networks: Foreign) -> bytes:
        entries: dict[str, Any] = {key: as_module(net, lambda state: Persistent(state, source)) for key, net in networks.items()}
        return pickle.dumps(entries | {"training_set_kwargs": EasyDict(path="x"), "augment_pipe": None})

    return write


def random(*shape: int) -> Tensor:
    return torch.randn(shape)


@pytest.fixture
def stylegan2_generator() -> Callable[..., Foreign]:
    """``stylegan2_generator(size, classes, architecture, clamp)``: with the names and shapes of StyleGAN2-ADA."""

    def make(size: int = 8, classes: int = 0, architecture: str = "skip", clamp: float | None = None) -> Foreign:
        tensors: dict[str, Tensor] = {}
        attributes: dict[str, Any] = {"mapping.w_avg_beta": 0.99}

        def linear(name: str, inputs: int, outputs: int, activation: str = "linear", gain: float = 1.0) -> None:
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = random(outputs, inputs) / gain, random(outputs) / gain
            attributes.update({f"{name}.activation": activation, f"{name}.bias_gain": gain})

        def styled(name: str, inputs: int, outputs: int, side: int | None) -> None:
            linear(f"{name}.affine", 6, inputs)
            kernel = 3 if side else 1
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = random(outputs, inputs, kernel, kernel), random(outputs)
            attributes[f"{name}.conv_clamp"] = clamp
            if side:
                tensors[f"{name}.noise_const"], tensors[f"{name}.noise_strength"] = random(side, side), random()
                tensors[f"{name}.resample_filter"] = torch.outer(LOW_PASS, LOW_PASS) / 64
                attributes[f"{name}.activation"] = "lrelu"

        if classes:
            linear("mapping.embed", classes, 6)
        linear("mapping.fc0", 5 + (6 if classes else 0), 6, "lrelu", 0.01)
        linear("mapping.fc1", 6, 6, "lrelu", 0.01)
        tensors["mapping.w_avg"] = random(6)
        widths = {4: 4, 8: 4, 16: 2}
        tensors["synthesis.b4.const"] = random(4, 4, 4)
        for side in (side for side in widths if side <= size):
            block, inputs, outputs = f"synthesis.b{side}", widths.get(side // 2, 0), widths[side]
            if side > 4:
                styled(f"{block}.conv0", inputs, outputs, side)
            styled(f"{block}.conv1", outputs, outputs, side)
            if architecture == "skip" or side == size:
                styled(f"{block}.torgb", outputs, 3, None)
            if architecture == "resnet" and side > 4:
                tensors[f"{block}.skip.weight"] = random(outputs, inputs, 1, 1)
                attributes[f"{block}.skip.activation"] = "linear"
                attributes[f"{block}.skip.conv_clamp"] = None
        return Foreign(tensors, attributes)

    return make


@pytest.fixture
def stylegan2_discriminator() -> Callable[..., Foreign]:
    """The same for a discriminator."""

    def make(size: int = 8, classes: int = 0, architecture: str = "resnet") -> Foreign:
        tensors: dict[str, Tensor] = {}
        attributes: dict[str, Any] = {"b4.mbstd.group_size": 2, "b4.mbstd.num_channels": 1}

        def layer(name: str, shape: tuple[int, ...], activation: str = "lrelu", gain: float = 1.0) -> None:
            tensors[f"{name}.weight"], tensors[f"{name}.bias"] = random(*shape) / gain, random(shape[0]) / gain
            attributes.update({f"{name}.activation": activation, f"{name}.bias_gain": gain})
            if len(shape) == 4:
                attributes[f"{name}.conv_clamp"] = None

        widths = {16: 2, 8: 4, 4: 4}
        for side in (side for side in widths if side <= size):
            name, inputs, outputs = f"b{side}", widths[side], widths.get(side // 2, 0)
            if side == size or architecture == "skip":
                layer(f"{name}.fromrgb", (inputs, 3, 1, 1))
            if side > 4:
                layer(f"{name}.conv0", (inputs, inputs, 3, 3))
                layer(f"{name}.conv1", (outputs, inputs, 3, 3))
                tensors[f"{name}.resample_filter"] = torch.outer(LOW_PASS, LOW_PASS) / 64
            if side > 4 and architecture == "resnet":
                layer(f"{name}.skip", (outputs, inputs, 1, 1), "linear")
                del tensors[f"{name}.skip.bias"]
        layer("b4.conv", (4, 5, 3, 3))
        layer("b4.fc", (4, 64))
        layer("b4.out", (4 if classes else 1, 4), "linear")
        if classes:
            layer("mapping.embed", (4, classes), "linear")
            for number in range(3):
                layer(f"mapping.fc{number}", (4, 4), "lrelu", 0.01)
        return Foreign(tensors, attributes)

    return make


@pytest.fixture
def import_files(tmp_path: Path) -> Callable[..., ImportedWeights]:
    """``import_files(a=bytes or state dict, ...)``: imports files of this content, whatever their kind."""

    def run(format_name: str | None = None, classes: list[str] | None = None, **files: Any) -> ImportedWeights:
        given = []
        for name, content in files.items():
            path = tmp_path / name
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                torch.save(content, path)
            given.append(GivenFile(path, None))
        return import_weights(given, gankit.Runtime().registries, format_name, classes)

    return run
