"""``gankit sample`` writes the images that the generator makes from the same arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gankit


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("interpolate", [False, True])
def test_the_seed_selects_the_images(
    cli, tiny_runtime, tiny_plugin, tiny_plugin_file, tiny_recipe, tmp_path, monkeypatch, seed, interpolate
):
    monkeypatch.chdir(tmp_path)
    tiny_runtime.assemble(gankit.Recipe.load(tiny_recipe(tmp_path)), Path("run")).fit()
    generator = gankit.load_generator("run", plugins=[tiny_plugin])
    words = ["sample", "run", "--count", 2, "--seed", seed, "--out", "grid.png", "--plugin", tiny_plugin_file]
    if interpolate:
        said = cli(*words, "--interpolate", 3)
        images = generator.interpolate(2, 3, seed).flatten(0, 1)
        other = generator.interpolate(2, 3, seed + 1).flatten(0, 1)
    else:
        said = cli(*words)
        images, other = generator.sample(2, seed), generator.sample(2, seed + 1)
    assert said.code == 0, said.err
    assert not images.equal(other)
    gankit.save_grid(images, "expected.png", columns=3 if interpolate else None)
    assert np.array_equal(np.asarray(Image.open("grid.png")), np.asarray(Image.open("expected.png")))
