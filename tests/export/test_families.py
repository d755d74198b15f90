"""Every built-in generator in every format: the exported file generates the images that gankit generates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gankit
from gankit.export import export

SOURCE = "dataset={name: derived, source: gray, dataset: {name: shapes, count: 16, size: 32}}"
LOW = "dataset={name: derived, source: downscale, scale: 4, dataset: {name: shapes, count: 16, size: 32}}"
CONDITIONAL = "conditional=true"
FAMILIES = {
    "dcgan": ["generator={name: dcgan, width: 4}", CONDITIONAL],
    "resnet": ["generator={name: resnet, width: 8}"],
    "sagan": ["generator={name: resnet, width: 16, spectral_norm: true, attention: [16]}", CONDITIONAL],
    "biggan": ["generator={name: biggan, width: 4}", CONDITIONAL],
    "biggan_unconditional": ["generator={name: biggan, width: 4}"],
    "r3gan": ["generator={name: r3gan, width: 16, blocks: 1}", CONDITIONAL],
    "r3gan_box": ["generator={name: r3gan, width: 16, blocks: 1, resampling: box, patch: 2}"],
    "stylegan2": ["generator={name: stylegan2, width: 8, style_dim: 16}"],
    "stylegan2_conditional": [
        "generator={name: stylegan2, width: 8, style_dim: 16, architecture: residual, clamp: 256, style_mixing: 0.9}",
        CONDITIONAL,
    ],
    "fastgan": ["generator={name: fastgan, width: 8}"],
    "fastgan_conditional": ["generator={name: fastgan, width: 8}", CONDITIONAL, "image.size=64"],
    "unet": [SOURCE, "generator={name: unet, width: 4}"],
    "unet_of_any_size": [SOURCE, "generator={name: unet, width: 4, norm: instance, depth: 3}"],
    "resnet_translator": [SOURCE, "generator={name: resnet_translator, width: 4, blocks: 2}"],
    "two_translators": [
        SOURCE, "generator={name: two_translators, width: 4, blocks: 2}", "loss=lsgan", "train.game=cyclegan",
        "discriminator={name: two_patchgans, width: 4, layers: 1}",
    ],
    "srresnet": [LOW, "generator={name: srresnet, width: 8, blocks: 1}"],
    "rrdbnet": [LOW, "generator={name: rrdbnet, width: 8, blocks: 1, growth: 4}"],
}  # fmt: skip
SUFFIXES = {"safetensors": "safetensors", "torch-export": "pt2", "onnx": "onnx"}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_format(trained, family):
    pytest.importorskip("onnxruntime")
    run = trained(*FAMILIES[family])
    images = gankit.load_generator(run).sample(8).float()
    assert images.std(dim=0).mean() > 2  # levels of 256: the images differ
    for name, suffix in SUFFIXES.items():
        done = export(run, f"{family}.{suffix}", name)
        assert done.path.is_file()
        assert [path.name for path in Path().glob(f"*{suffix}*")] == [done.path.name]


def test_every_built_in_generator_is_in_a_family():
    tested = re.findall(r"generator=\{name: (\w+)", str(FAMILIES))
    assert {*tested} == {entry.name for entry in gankit.Runtime().registries.generators}
