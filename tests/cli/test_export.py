"""``gankit export``: what it prints, and what it refuses."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
import torch

import gankit

RUN = ("run", "--format", "torch-export", "--out", "small.pt2")
CHECKPOINT = "run/checkpoints/step-00000003"


@pytest.fixture
def run(trained_run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return trained_run("run", generator={"name": "tiny", "gain": {"start": 1.0, "end": 3.0, "over_images": 20}})


@pytest.fixture
def plugin(tiny_plugin_file):
    return "--plugin", tiny_plugin_file


def test_a_program(cli, run, plugin):
    said = cli("export", *RUN, "truncation=0.5", *plugin)
    assert (said.code, said.err) == (0, "")
    first, inputs, fixed, difference = said.out.splitlines()
    size = Path("small.pt2").stat().st_size
    assert first == f"small.pt2: {size:,} bytes, of run/checkpoints/step-00000003"
    assert inputs == "inputs: z [n 4]; output: images [n 3 16 16]"
    assert fixed == "fixed options: truncation=0.5"
    assert difference == "largest absolute difference from gankit's images, in [-1, 1]: 0"
    generator = gankit.load_generator("run", plugins=[plugin[1]])
    drawn = generator.sampling.draw(5, 7)
    images = torch.export.load("small.pt2").module()(z=drawn.z)
    own = generator.sampling.generate(generator.module, drawn, {"truncation": 0.5})
    torch.testing.assert_close(images, own)
    assert cli("export", *RUN, *plugin).out.splitlines()[1] == "inputs: z [n 4], truncation; output: images [n 3 16 16]"


def test_weights(cli, run, plugin):
    """The scheduled parameter of the network has the value that it had at the checkpoint."""
    said = cli("export", "run/checkpoints/step-00000003", "--format", "safetensors", *plugin)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("generator.safetensors: ")
    assert said.out.splitlines()[1].endswith("[-1, 1]: 0")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "--format", "onx"], "--format 'onx': unknown format; did you mean 'onnx'?"),
        ([*RUN[:4], "small.onnx"], "small.onnx: has the suffix .onnx; a file in the format torch-export has the suffix .pt2"),
        ([*RUN[:4], "small"], "small: has no suffix; a file in the format torch-export"),
        ([*RUN[:4], "nowhere/small.pt2"], "nowhere/small.pt2: nowhere is not an existing folder; create it first"),
        ([*RUN[:4], "taken.pt2"], "taken.pt2: is a folder; give the name of a file"),
        (["run", "--format", "safetensors", "--out", f"{CHECKPOINT}/generator.safetensors"], f"{CHECKPOINT}/generator.safetensors: is in the folder of a checkpoint, which stays as it is; choose another folder"),
        ([*RUN, "truncatoin=1"], "sampling option 'truncatoin': unknown key; did you mean 'truncation'?"),
        ([*RUN, "truncation=[1]"], "sampling option 'truncation': should be a number; got [1]"),
        ([*RUN, "truncation"], "command line: truncation: an option is NAME=VALUE"),
        ([*RUN, "--tolerance", "0"], "--tolerance 0: must be above 0"),
        (["run", "--format", "safetensors", "truncation=1"], "stores weights, which have no sampling options; remove truncation"),
        (["nowhere", *RUN[1:]], "nowhere: no such run or checkpoint"),
    ],
)  # fmt: skip
def test_wrong_usage(refused, run, plugin, words, message):
    Path("taken.pt2").mkdir()
    before = sorted(Path().iterdir())
    said = refused("export", *words, *plugin)
    assert message in said
    assert said.count("\n") == 1
    assert sorted(Path().iterdir()) == before


def test_a_damaged_run(refused, run, plugin):
    weights = run / "checkpoints" / "step-00000003" / "generator.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "generator.safetensors: its SHA-256 differs from the manifest" in refused("export", *RUN, *plugin)
    shutil.rmtree(run / "checkpoints")
    assert refused("export", *RUN, *plugin) == "run: this run has no checkpoint yet\n"
    assert not Path("small.pt2").exists()


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package(refused, run, plugin, monkeypatch, package):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    for loaded in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    said = refused("export", "run", "--format", "onnx", *plugin)
    assert re.fullmatch(
        rf"--format onnx needs the package '{package}', which .*; run: pip install 'gankit\[export\]'\n", said
    )
