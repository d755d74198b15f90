"""Exported programs, run without gankit, generate gankit's images for inputs that the export did not compare."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import gankit
from gankit.export import export

BIGGAN = (
    "generator={name: biggan, width: 4, multipliers: [2, 1], attention: [], spectral_norm: false}",
    "conditional=true",
    "image.size=8",
    "dataset.size=8",
)


def own_images(run, count, seed, labels=None, **options):
    """Latents, and gankit's images fp32 [n c h w] before they become uint8."""
    generator = gankit.load_generator(run)
    drawn = generator.sampling.draw(count, seed, labels)
    return drawn.z, generator.sampling.generate(generator.module, drawn, options)


class TestOnnx:
    @pytest.fixture(autouse=True)
    def _session(self):
        onnxruntime = pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
        self.session = lambda path: onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def test_an_unconditional_generator(self, trained, capfd):
        run = trained("generator={name: dcgan, width: 4}")
        capfd.readouterr()
        done = export(run, "small.onnx", "onnx")
        assert capfd.readouterr() == ("", "")  # neither progress nor warnings of torch
        session = self.session("small.onnx")
        assert [(value.name, value.shape[1:]) for value in session.get_inputs()] == [("z", [16])]
        for count in (2, 70):
            z, images = own_images(run, count, seed=9)
            (found,) = session.run(["images"], {"z": z.numpy()})
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, images, atol=1e-5)
        assert 0 < done.difference < 1e-5
        assert str(Path(gankit.__file__).parents[1]).encode() not in Path("small.onnx").read_bytes()

    def test_labels_and_an_option(self, trained):
        run = trained(*BIGGAN)
        done = export(run, "small.onnx", "onnx", {"truncation": "input"})
        assert dict(done.shapes) == {"z": ("n", 16), "labels": ("n",), "truncation": (), "images": ("n", 3, 8, 8)}
        assert done.fixed == {}
        session = self.session("small.onnx")
        for truncation in (0.4, 1.9):
            z, images = own_images(run, 5, 3, [2, 0, 1, 1, 2], truncation=truncation)
            given = {"z": z.numpy(), "labels": np.array([2, 0, 1, 1, 2]), "truncation": np.array(truncation, np.float32)}
            np.testing.assert_allclose(session.run(["images"], given)[0], images, atol=1e-4)
        metadata = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
        checkpoint = json.loads((done.checkpoint / "manifest.json").read_text())
        assert metadata["classes"] == checkpoint["classes"]
        assert metadata["latent"] == {"dim": 16, "name": "normal", "params": {}}
        assert metadata["weights"]["sha256"] == checkpoint["files"]["generator_ema.safetensors"]
        assert metadata["gankit"] == gankit.__version__
        assert metadata["inputs"]["z"] == ["n", 16]
        assert metadata["options"] == {"fixed": {}, "inputs": {"truncation": None}}


RUN_WITHOUT_GANKIT = """
import json, sys, torch
extra = {"metadata.json": ""}
program = torch.export.load("small.pt2", extra_files=extra).module()
given = torch.load("given.pt")
torch.save(program(**given), "images.pt")
assert not any(name.startswith("gankit") for name in sys.modules)
print(json.loads(extra["metadata.json"])["options"])
"""


@pytest.mark.slow
def test_torch_export(trained):
    """With a size of its input that is larger than in training, in a process that cannot import gankit."""
    source = "dataset={name: derived, source: gray, dataset: {name: shapes, count: 16, size: 16}}"
    run = trained(source, "image.size=16", "generator={name: unet, width: 4, depth: 2, norm: instance}")
    done = export(run, "small.pt2", "torch-export")
    assert done.shapes["source"] == ("n", 1, "h", "w")
    with zipfile.ZipFile("small.pt2") as archive:
        assert not any(str(Path(gankit.__file__).parents[1]).encode() in archive.read(name) for name in archive.namelist())
    given = {"source": torch.rand(3, 1, 20, 28) * 2 - 1}
    torch.save(given, "given.pt")
    said = subprocess.run(
        [sys.executable, "-I", "-c", RUN_WITHOUT_GANKIT], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(said) == {"fixed": {}, "inputs": {}}
    expected = gankit.load_generator(run).module(**given)
    torch.testing.assert_close(torch.load("images.pt"), expected, atol=1e-5, rtol=0)


def test_safetensors(trained):
    run = trained(*BIGGAN)
    assert export(run, "small.safetensors", "safetensors").difference == 0
    with safe_open("small.safetensors", framework="pt") as file:
        described = {name: json.loads(text) for name, text in file.metadata().items()}
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    factory = gankit.Runtime().registries.generators.get(described["generator"]["name"]).factory
    image = gankit.ImageSpec(**described["image"])
    network = factory(image, described["latent"]["dim"], **described["generator"]["params"]).eval()
    network.load_state_dict(weights)
    z, images = own_images(run, 4, seed=1, labels=[0, 1, 2, 2])
    assert torch.equal(network(z, torch.tensor([0, 1, 2, 2])), images)
