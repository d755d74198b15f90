"""The programs in docs/export.md."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gankit

ROOT = Path(__file__).parents[3]


@pytest.fixture
def train_to_export(checkout):
    """``train_to_export(recipe, *overrides)``: a run of the recipe at 16 px in its usual directory, after one step."""

    def train(recipe: str, *overrides: str) -> None:
        small = ["dataset={name: shapes, count: 8, size: 16}", "image.size=16", "loader.batch_size=4", "train={steps: 1}"]
        small += ["discriminator={name: dcgan, width: 4}", "augmentations=[]", "regularizers=[]", "callbacks=[checkpoint]"]
        runtime = gankit.Runtime()
        runtime.assemble(runtime.load_checked(f"recipes/{recipe}.yaml", [*small, *overrides]), f"results/{recipe}").fit()

    return train


def test_an_exported_onnx_file(train_to_export, blocks):
    """The documented export, and the documented program, which saves images."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    train_to_export("dcgan_cifar10", "generator.width=4")
    for part in ("gankit.export", "onnxruntime"):
        (program,) = (text for text in blocks("docs/export.md") if f"import {part}" in text or f"from {part}" in text)
        exec(program, {})
    for number in range(8):
        with Image.open(f"image_{number}.png") as image:
            assert (image.size, image.mode) == ((16, 16), "RGB")
            assert np.asarray(image).std() > 0


@pytest.mark.slow
def test_an_exported_torch_program(train_to_export, cli, block):
    """The documented command, and the documented program, which saves an image of each class."""
    train_to_export("stylegan2_cifar10_conditional", "generator={name: stylegan2, width: 4, style_dim: 16}")
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^gankit (.* --format torch-export .*)", text, flags=re.M)
    said = cli(*command.split())
    assert (said.code, said.err) == (0, "")
    program = block("docs/export.md", "torch.export.load")
    exec(program, {})
    with Image.open("classes.png") as image:
        assert np.asarray(image).std() > 0
