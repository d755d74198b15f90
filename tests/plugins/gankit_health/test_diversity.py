"""The checks for collapse, with spread and nearest neighbours computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gankit_health.diversity import collapse, nearest, spread
from gankit_health.real_images import RealImages


class TestCollapse:
    def test_spread_and_nearest_by_hand(self):
        images = torch.tensor([0.0, 0.2, 1.0]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
        assert spread(images) == pytest.approx(np.std([0, 0.2, 1.0]), rel=1e-5)
        # 8 times each difference, as there are 64 places
        mean = np.sqrt(np.mean([0.2**2, 1.0**2, 0.8**2]))
        assert nearest(images) == pytest.approx(0.2 / mean, rel=1e-4)

    def test_real_images(self, reals, shapes):
        found, ratio = collapse(shapes[0][:256], reals, 0.9, 5000)
        assert found == []
        assert ratio == pytest.approx(1, abs=0.1)

    @pytest.mark.parametrize(
        ("part", "most", "step", "collapsed"),
        [
            (0.03, 0.9, 5000, True),
            (0.03, 0.9, 400, False),  # a young G may
            (0.03, 0.0, 5000, False),  # and one that never had more
            (0.015, 0.0, 5000, True),
            (0.0, 0.0, 200, True),
            (0.15, 0.9, 5000, False),
        ],
    )
    def test_images_that_differ_less_than_real_ones(self, reals, shapes, part, most, step, collapsed):
        images = shapes[0][:256]
        similar = images[:1] + part * (images - images.mean(dim=0))
        found, ratio = collapse(similar, reals, most, step)
        assert [finding.kind for finding in found] == ["mode_collapse"] * collapsed
        assert ratio == pytest.approx(part, rel=0.2)
        if collapsed:
            assert f"vary {ratio:.1%} as much as real images" in found[0].message

    @pytest.mark.parametrize("few", [3, 12, 40])
    def test_a_few_repeated_images(self, reals, shapes, few):
        images = shapes[0][torch.arange(256) % few]
        images = images + 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        ((finding,), _) = collapse(images, reals, 0.9, 300)
        assert "collapsed to a few images" in finding.message

    def test_a_memorized_small_dataset_is_not_a_collapse(self, shapes, image_run):
        reals = RealImages(image_run(count=300), 1024)
        assert collapse(shapes[0][torch.arange(256) % 12], reals, 0.9, 300)[0] == []
