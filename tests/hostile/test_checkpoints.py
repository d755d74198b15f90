"""Untrusted checkpoints: each fault gives one error, in bounded time and memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import gankit
from gankit import CheckpointError

NAME = "step-00000003"


@pytest.fixture(autouse=True)
def _bounded(within):
    with within(10, 1024):
        yield


def set_at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *inner, last = path.split(".")
        for key in inner:
            manifest = manifest[key]
        manifest[last] = value

    return change


class TestManifests:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (set_at("generator.params.width", 2**22), "weights are described, and "),
            (set_at("generator.params.width", 10**9), "weights are described, and "),
            (set_at("generator.params.width", 10**30), "does not describe a generator: "),
            (set_at("latent.dim", 10**9), "weights are described, and "),
            (set_at("latent.dim", 10**12), "weights are described, and "),
            (set_at("image.height", 16_384), "dcgan cannot make images of 16384x8"),
            (set_at("image", {"height": 16_384, "width": 16_384, "channels": 4, "classes": 0}), "weights are described, and "),
            (set_at("images", "9" * 10_000), "does not describe a generator: "),
            (set_at("files", {"generator.safetensors": 10**30}), "its SHA-256 differs from the manifest"),
            (set_at("files", {"\0.safetensors": ""}), "is missing; the checkpoint is damaged"),
            (set_at("files", {f"{n}.safetensors": "" for n in range(100_000)}), "is missing; the checkpoint is damaged"),
            (set_at("files", {"/etc/passwd.safetensors": ""}), "is not a file of a checkpoint; do not trust this checkpoint"),
            (set_at("files", {"..\\generator.safetensors": ""}), "is missing; the checkpoint is damaged"),
        ],
    )  # fmt: skip
    def test_networks_that_differ_from_the_stored_weights(self, run, change, message, rehash):
        rehash(run / "checkpoints" / NAME, change)
        with pytest.raises(CheckpointError) as caught:
            gankit.load_generator(run)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 1_000

    def test_a_number_of_100000_digits(self, run):
        manifest = run / "checkpoints" / NAME / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"step": 3', '"step": ' + "9" * 100_000))
        with pytest.raises(CheckpointError, match="cannot be read"):
            gankit.load_generator(run)

    def test_more_images_than_the_limit(self, run):
        with pytest.raises(ValueError, match=r"100000000000 images have .* values, above the limit of 2,147,483,648"):
            gankit.load_generator(run).sample(10**11)

    @pytest.mark.parametrize("step", [None, "x", -1, 1.5, [], 10**30])
    def test_invalid_steps(self, cli, run, step, rehash):
        rehash(run / "checkpoints" / NAME, set_at("step", step))
        said = cli("eval", run, "--samples", 32, "--metrics", "fd", "--features", "inception")
        assert said.code == 2, said
        assert "Traceback" not in said.err

    def test_a_manifest_that_is_a_pipe(self, run):
        manifest = run / "checkpoints" / NAME / "manifest.json"
        manifest.unlink()
        os.mkfifo(manifest)
        with pytest.raises(CheckpointError, match=r"manifest.json: cannot be read: is not a regular file"):
            gankit.load_generator(run)


class TestWeights:
    @pytest.mark.parametrize(
        "harm",
        [
            lambda tensors: tensors | {"more": torch.zeros(3)},
            lambda tensors: tensors | {"../../x": torch.zeros(3)},
            lambda tensors: {name: tensor.flatten() for name, tensor in tensors.items()},
            lambda tensors: {name: tensor[:0] for name, tensor in tensors.items() if tensor.ndim},
            lambda tensors: {},
            lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.endswith("weight")},
        ],
        ids=["extra", "path", "flat", "empty", "none", "less"],
    )
    @pytest.mark.parametrize("side", ["generator", "discriminator"])
    def test_tensors_of_other_names_or_shapes(self, run, side, harm, rehash):
        checkpoint = run / "checkpoints" / NAME
        for file in checkpoint.glob(f"{side}*.safetensors"):
            save_file(harm(load_file(file)), file)
        rehash(checkpoint)
        with pytest.raises(CheckpointError, match="does not fit this network: "):
            gankit.load_generator(run) if side == "generator" else gankit.Runtime().resume(run)

    @pytest.mark.parametrize(
        "header",
        [
            {"layers.0.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
            {"layers.0.weight": {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 8]}},
            {"layers.0.weight": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}},
            {"layers.0.weight": {"dtype": "F32", "shape": [-1], "data_offsets": [8, 4]}},
            {"__metadata__": {"tied:layers.0.weight": "nothing"}},
            [],
        ],
    )
    def test_false_headers(self, run, header, rehash):
        text = json.dumps(header).encode()
        checkpoint = run / "checkpoints" / NAME
        for length in (len(text), 2**63, 0, 90_000_000):
            for file in checkpoint.glob("generator*.safetensors"):
                file.write_bytes(length.to_bytes(8, "little") + text + bytes(8))
            rehash(checkpoint)
            with pytest.raises(CheckpointError, match="does not fit this network: "):
                gankit.load_generator(run)
