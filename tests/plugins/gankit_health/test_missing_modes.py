"""The estimated shares of groups, and the check for missing modes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from gankit_health import missing_modes
from gankit_health.image_features import quantized
from gankit_health.missing_modes import ModeCoverage, best_shares, on_simplex
from gankit_health.real_images import RealImages, k_means

SIDE = 16
KINDS = ("circle", "square", "triangle")


@pytest.fixture(scope="module")
def covered(image_run):
    return ModeCoverage(RealImages(image_run(), 1024).groups)


class TestShares:
    @given(st.lists(st.floats(-3, 3), min_size=1, max_size=6))
    def test_the_nearest_point_of_the_simplex(self, values):
        values = torch.tensor(values)
        found = on_simplex(values)
        assert float(found.min()) >= 0
        assert float(found.sum()) == pytest.approx(1, abs=1e-5)
        # every direction into the simplex leads away from the values
        corners = torch.eye(len(values))
        assert float(((values - found) * (corners - found)).sum(dim=1).max()) <= 1e-4

    @settings(deadline=None, max_examples=25)
    @given(st.integers(0, 10_000))
    def test_the_best_of_all_mixtures(self, seed):
        random = torch.Generator().manual_seed(seed)
        groups = [torch.randn(30, 3, generator=random) + torch.randn(3, generator=random) for _ in range(3)]
        points = torch.randn(25, 3, generator=random) + torch.randn(3, generator=random)
        cross = torch.stack([torch.stack([torch.cdist(a, b).mean() for b in groups]) for a in groups])
        to = torch.stack([torch.cdist(points, group).mean() for group in groups])

        def distance(shares):
            return 2 * shares @ to - shares @ cross @ shares

        grid = [
            torch.tensor([a, b, 1 - a - b], dtype=torch.float32)
            for a in np.linspace(0, 1, 21)
            for b in np.linspace(0, 1 - a, 21)
        ]
        best = best_shares(to, cross)
        assert float(distance(best)) <= min(float(distance(shares)) for shares in grid) + 1e-5

    @pytest.mark.parametrize("true", [(0.5, 0.5, 0.0), (0.2, 0.3, 0.5), (0.0, 0.0, 1.0)])
    def test_the_shares_of_known_mixtures(self, covered, shapes, true):
        images, labels = shapes
        mixed = torch.cat([images[labels == k][: int(300 * share)] for k, share in enumerate(true)])
        fit = covered.fit(quantized(mixed))
        assert fit.shares.tolist() == pytest.approx(true, abs=0.08)
        assert fit.to_mixture < 0.03


class TestMissingModes:
    def test_real_images_miss_nothing(self, covered, shapes):
        for part in shapes[0][:2560].split(256):
            assert covered.check(quantized(part)) == []

    @pytest.mark.parametrize("kind", range(3))
    def test_one_class_only(self, covered, shapes, kind):
        images, labels = shapes
        (finding,) = covered.check(quantized(images[labels == kind][:256]))
        assert f"they show one class only, '{KINDS[kind]}', of 3" in finding.message
        assert finding.figures["shares"][KINDS[kind]] == 1
        assert finding.figures["missing_share"] == pytest.approx(2 / 3, abs=0.05)

    def test_one_class_missing(self, covered, shapes):
        images, labels = shapes
        (finding,) = covered.check(quantized(images[labels != 1][:256]))
        assert "1 of 3 classes are missing: 'square'" in finding.message

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda x: avg_pool2d(x, 5, 1, 2),
            lambda x: 0.2 * x,
            lambda x: torch.rand_like(x) * 2 - 1,
            lambda x: x.flip(1) * 0,
        ],
        ids=["blurred", "faint", "noise", "grey"],
    )
    def test_images_unlike_any_real_have_no_shares(self, covered, shapes, spoil):
        torch.manual_seed(0)
        assert covered.check(quantized(spoil(shapes[0][:256]))) == []

    def test_without_labels_images_that_look_alike_are_grouped(self, image_run):
        images = torch.zeros(400, 3, SIDE, SIDE)
        images[:200, 0], images[200:, 2] = 0.8, 0.8
        images += 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        assigned = k_means(images.flatten(1), 2)
        assert len(assigned[:200].unique()) == len(assigned[200:].unique()) == 1
        assert assigned[0] != assigned[200]
        groups = RealImages(image_run(labelled=False), 1024).groups
        assert groups.names is None
        assert float(groups.frequencies.sum()) == pytest.approx(1)

    def test_without_labels_a_part_of_the_data(self, shapes, image_run):
        run = image_run(labelled=False)
        run.images = torch.where(torch.arange(len(run.images)).view(-1, 1, 1, 1) % 2 == 0, run.images, 255 - run.images)
        covered = ModeCoverage(RealImages(run, 1024).groups)
        images = shapes[0][:256]
        assert covered.check(quantized(torch.cat([images[:128], -images[128:]]))) == []
        (finding,) = covered.check(quantized(images))
        assert finding.kind == missing_modes.KIND
        assert "of the real images and leave out the rest" in finding.message
        assert finding.figures["missing_share"] == pytest.approx(0.5, abs=0.1)

    def test_small_datasets_are_not_judged(self, image_run):
        assert RealImages(image_run(count=100, labelled=False), 1024).groups is None
        assert not RealImages(image_run(count=40), 1024).enough
