"""The grids of generators that take images: each generated image stands between its source and the real image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import gankit

PLUGIN = Path(__file__).parents[2] / "paired_plugin.py"
SIDE, SCALE, PADDING = 8, 8, 2


@pytest.fixture
def train(tmp_path):
    def run(**sections):
        recipe = {
            "name": "pairs",
            "image": {"size": SIDE},
            "dataset": "held_out",
            "latent": {"name": "normal", "dim": 5},
            "loader": {"batch_size": 8},
            "generator": "enlarge",
            "discriminator": "flat",
            "callbacks": [{"name": "sample_images", "every": 1, "count": 9, "columns": 7, "seed": 4}],
            "train": {"steps": 1, "device": "cpu"},
        }
        trainer = gankit.Runtime(plugins=[PLUGIN]).assemble(gankit.Recipe.parse(recipe | sections), tmp_path / "run")
        trainer.fit()
        return trainer

    return run


def cells(directory, columns):
    with Image.open(directory / "fake_samples_epoch_000.png") as opened:
        pixels = np.array(opened)
    step = SIDE * SCALE + PADDING
    rows, width = (pixels.shape[0] - PADDING) // step, (pixels.shape[1] - PADDING) // step
    assert width == columns
    cut = [
        pixels[PADDING + row * step :, PADDING + column * step :][: SIDE * SCALE : SCALE, : SIDE * SCALE : SCALE]
        for row in range(rows)
        for column in range(width)
    ]
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2)


def test_source_generated_and_real(train, tmp_path):
    trainer = train()
    made = cells(tmp_path / "run", columns=6)[:9]  # 3 items of 3 images; 2 items in a row
    inputs = trainer.inputs(3, seed=4)
    assert inputs["source"].shape == (3, 3, 4, 4)
    assert torch.equal(made[0::3], F.interpolate(inputs["source"].float(), scale_factor=2).byte())
    assert torch.equal(made[1::3], trainer.sample(3, seed=4))
    assert torch.equal(made[2::3], inputs["image"])
    held_out = trainer.dataset.held_out()
    images = [held_out[index]["image"] for index in range(len(held_out))]
    assert all(any(torch.equal(image, known) for known in images) for image in inputs["image"])
    assert not inputs["source"].any()  # as the plugin's held-out items have it


def test_unpaired_data_have_no_real_image_for_a_source(train, tmp_path):
    trainer = train(dataset={"name": "pairs", "independent": ["source"]})
    made = cells(tmp_path / "run", columns=6)[:8]
    assert set(trainer.inputs(4, seed=4)) == {"source", "place"}
    assert torch.equal(made[1::2], trainer.sample(4, seed=4))


def test_a_generator_without_images_of_the_data_has_a_plain_grid(train, tmp_path):
    trainer = train(generator={"name": "dcgan", "width": 4}, image={"size": 8})
    assert trainer.inputs(2) == {}
    assert torch.equal(cells(tmp_path / "run", columns=7)[:9], trainer.sample(9, seed=4))
