"""Programs that use trained generators: samples, translation, import, the Hub and the explorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gankit

ROOT = Path(__file__).parents[3]


def test_what_d_sees(checkout, block):
    """The documented program makes the documented grid: real images above the same images, augmented."""
    program = block("docs/augmentation.md")
    exec(program, {})
    with Image.open("seen_by_d.png") as made, Image.open(ROOT / "docs/images/seen_by_d.png") as shown:
        assert made.size == shown.size
        made_rows, shown_rows = (np.split(np.asarray(image)[2:], 4) for image in (made, shown))
    assert np.array_equal(made_rows[0], shown_rows[0])
    for row in made_rows[1:]:
        assert not np.array_equal(row, made_rows[0])
        assert np.abs(row.astype(float) - made_rows[0]).mean() < 30  # levels of 256: they are still recognizable


def test_sharing_in_python(hub, checkout, block):
    """The documented program pushes a run to a server with the Hub's interface, and loads it from there."""
    runtime = gankit.Runtime()
    small = ["image.size=16", "generator.width=4", "discriminator.width=4", "train.steps=2", "dataset.count=64"]
    runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", [*small, "callbacks=[]"]), "results/mine").fit()
    program = block("docs/hub.md")
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["url"].startswith(f"{hub.url}/owner/name/commit/")
    assert torch.equal(names["images"], runtime.load_generator("results/mine").sample(16, seed=0))


def test_translating_a_photo_in_python(checkout, block):
    """The documented program colors a gray photo of any size with a run of the recipe."""
    shapes = "{name: shapes, count: 16, size: 16}"
    data = [f"dataset.dataset={shapes}", f"dataset.held_out={shapes}"]
    small = ["train.steps=1", "loader.batch_size=4", "generator.width=4", "discriminator.width=4", "callbacks=[checkpoint]"]
    runtime = gankit.Runtime()
    name = "pix2pix_cifar10_colorize"
    runtime.assemble(runtime.load_checked(f"recipes/{name}.yaml", [*small, *data]), f"results/{name}").fit()
    Image.new("RGB", (90, 50), "gray").save("photo.jpg")
    program = block("docs/translation.md", "load_generator")
    exec(program, {})
    with Image.open("colored.png") as colored:
        assert (colored.size, colored.mode) == ((90, 50), "RGB")


def test_importing_in_python(checkout, block):
    program = block("docs/import.md")
    registries, image = gankit.Runtime().registries, gankit.ImageSpec(64, 64, 3)
    generator = registries.generators.get("dcgan").factory(image, 4, width=2).state_dict()
    discriminator = registries.discriminators.get("dcgan").factory(image, width=2).state_dict()
    discriminator["features.11.weight"] = discriminator.pop("logit.weight")
    torch.save({name.replace("layers", "main"): tensor for name, tensor in generator.items()}, "netG.pth")
    torch.save({name.replace("features", "main"): tensor for name, tensor in discriminator.items()}, "netD.pth")
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["images"].shape == (4, 3, 64, 64)


def test_the_explorer(checkout, capsys, blocks):
    """The documented page is a part of another server, or served alone."""
    pytest.importorskip("gradio")
    from starlette.testclient import TestClient

    mounted, alone = blocks("docs/explorer.md")
    names = {}
    exec(mounted, names)
    with TestClient(names["app"]) as client:
        assert "CIFAR-10 - gankit" in client.get("/explore/").text
    exec(alone, {})
    assert capsys.readouterr().out == "200\n"
