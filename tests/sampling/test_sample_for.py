"""Images for given items of data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gankit

PLUGIN = Path(__file__).parent.parent / "paired_plugin.py"
RECIPE = {
    "name": "pairs",
    "image": {"size": 8},
    "dataset": "pairs",
    "loader": {"batch_size": 8},
    "generator": "enlarge",
    "discriminator": "compare",
    "train": {"steps": 1, "device": "cpu", "precision": "fp32"},
}


@pytest.fixture
def generator(tmp_path):
    runtime = gankit.Runtime(plugins=[PLUGIN])
    runtime.assemble(gankit.Recipe.parse(RECIPE), tmp_path / "run").fit()
    return runtime.load_generator(tmp_path / "run")


def test_each_image_is_that_of_its_item(generator):
    items = {name: values[:5] for name, values in generator.sampling.items.items()}
    with torch.no_grad():
        expected = generator.module(**items)
    found = generator.sample_for(items)
    assert float((found / 127.5 - 1 - expected).abs().max()) < 0.5 / 127
    assert torch.equal(generator.sample_for({name: values.flip(0) for name, values in items.items()}), found.flip(0))
    assert generator.sample_for(items, gain=0.0).unique().tolist() == [128]


SOURCE, PLACE = torch.zeros(2, 3, 4, 4), torch.zeros(2, 2)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"source": SOURCE}, r"needs source \[n, 3, 4, 4\], place \[n, 2\]; got source \[2, 3, 4, 4\]$"),
        ({"source": SOURCE[:, :2], "place": PLACE}, r"needs source .*; got source \[2, 2, 4, 4\], place \[2, 2\]"),
        ({"source": SOURCE, "place": PLACE[:1]}, r"; got source \[2, 3, 4, 4\], place \[1, 2\]"),
        ({"source": SOURCE, "place": PLACE, "labels": torch.zeros(2)}, r"; got .* labels \[2\]"),
        ({}, "count must be at least 1"),
    ],
)
def test_items_that_do_not_fit(generator, items, message):
    with pytest.raises(ValueError, match=message):
        generator.sample_for(items)
