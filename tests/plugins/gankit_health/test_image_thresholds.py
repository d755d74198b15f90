"""Every threshold of the checks of generated images, just inside and just outside."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from gankit_health import augmentation_leak, diversity
from gankit_health.augmentation_leak import LeakDetector, flat_cells
from gankit_health.diversity import collapse, latent_use, spread
from gankit_health.missing_modes import Fit, ModeCoverage
from gankit_health.real_images import Groups, RealImages


def kinds(found):
    return [finding.kind for finding in found]


class TestLatentUse:
    def run(self, by_latent, by_label):
        """A conditional generator with given effects of its latents and labels."""

        def generate(count, seed, labels):
            latents = torch.tensor([1.0, -1.0]).repeat(count // 2).view(count, 1, 1, 1) * by_latent
            return latents + torch.tensor(labels).view(count, 1, 1, 1) * by_label * 2**0.5 + torch.zeros(1, 3, 4, 4)

        return SimpleNamespace(classes=("a", "b"), generate=generate)

    @pytest.mark.parametrize(
        ("by_latent", "by_label", "step", "expected"),
        [
            (0.5, 0.00049, 999, ["ignores_labels"]),
            (0.5, 0.00051, 999, []),
            (0.5, 0.0049, 1000, ["ignores_labels"]),
            (0.5, 0.0051, 1000, []),
            (0.5, 0.0049, 999, []),
            (0.9e-5, 0.5, 1, ["ignores_latent"]),
            (1.1e-5, 0.5, 1, []),
            (1e-3, 0.9e-5, 1, ["ignores_labels"]),
            (1e-3, 1.1e-5, 1, []),
        ],
    )
    def test_effects(self, by_latent, by_label, step, expected):
        run = self.run(by_latent, by_label)
        assert kinds(latent_use(run, torch.zeros(2, 3, 4, 4), step)) == expected

    def test_without_labels(self):
        run = SimpleNamespace(classes=None)
        pair = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 3, 4, 4)
        assert kinds(latent_use(run, 0.9e-5 * pair, 1)) == ["ignores_latent"]
        assert latent_use(run, 1.1e-5 * pair, 1) == []


class TestCollapse:
    @pytest.fixture
    def reals(self):
        images = torch.rand(400, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return SimpleNamespace(small=images, total=400)

    @pytest.mark.parametrize(
        ("ratio", "largest", "step", "collapsed"),
        [
            (0.0045, 0.0, 999, True),
            (0.0055, 0.0, 999, False),
            (0.019, 0.0, 1000, True),
            (0.021, 0.0, 1000, False),
            (0.099, 0.31, 1000, True),
            (0.099, 0.29, 1000, False),
            (0.101, 0.31, 1000, False),
            (0.099, 0.31, 999, False),
        ],
    )
    def test_spread(self, reals, monkeypatch, ratio, largest, step, collapsed):
        monkeypatch.setattr(diversity, "quantized", lambda images: images)  # rounding would change small spreads
        found, measured = collapse(reals.small[:100] * ratio, reals, largest, step)
        assert measured == pytest.approx(ratio, rel=0.05)
        assert kinds(found) == ["mode_collapse"] * collapsed

    @pytest.mark.parametrize(
        ("close", "total", "collapsed"), [(0.099, 400, True), (0.101, 400, False), (0.099, 399, False)]
    )
    def test_repeated_images(self, reals, monkeypatch, close, total, collapsed):
        reals.total = total
        distances = iter((close * 0.5, 0.5))
        monkeypatch.setattr(diversity, "nearest", lambda images: next(distances))
        assert kinds(collapse(reals.small[:100], reals, 0.0, 1)[0]) == ["mode_collapse"] * collapsed

    @pytest.mark.parametrize(("real_spread", "judged"), [(0.0099, False), (0.0101, True)])
    def test_reals_that_hardly_differ_are_no_reference(self, reals, real_spread, judged):
        reals.small = reals.small / spread(reals.small[:100]) * real_spread
        found, _ = collapse(torch.zeros(100, 3, 8, 8), reals, 0.0, 1)
        assert kinds(found) == ["mode_collapse"] * judged


class TestLeak:
    @pytest.fixture
    def detector(self):
        """Without attributes, which each test sets as far as its method reads them."""
        return object.__new__(LeakDetector)

    @pytest.mark.parametrize(
        ("plain", "filled", "fakes", "leaked"),
        [
            (0.0, 0.051, 0.05, True),
            (0.0, 0.049, 0.05, False),
            (0.059, 0.2, 0.2, True),
            (0.061, 0.2, 0.2, False),
            (0.0, 0.2, 0.051, True),
            (0.0, 0.2, 0.049, False),
            (0.0, 0.2, 0.59, True),
            (0.0, 0.2, 0.61, False),
        ],
    )
    def test_filled_cells(self, detector, monkeypatch, plain, filled, fakes, leaked):
        detector._plain, detector._filled, detector._value = torch.tensor([plain]), torch.tensor([filled]), 0
        monkeypatch.setattr(augmentation_leak, "flat_cells", lambda images: torch.tensor([fakes]))
        assert len(detector._filled_cells(torch.zeros(1, 3, 8, 8))) == leaked

    @pytest.mark.parametrize(
        ("apart", "to_reals", "to_augmented", "leaked"),
        [
            (1.0, 2.0, 0.59, True),
            (1.0, 2.0, 0.61, False),
            (0.0021, 2.0, 0.0, True),
            (0.0019, 2.0, 0.0, False),
            (1.0, 0.0042, 0.0, True),  # relative to a distance of 2 between reals
            (1.0, 0.0038, 0.0, False),
        ],
    )
    def test_similarity(self, detector, monkeypatch, apart, to_reals, to_augmented, leaked):
        detector._whitened, detector._apart, detector._own = (lambda features: features), apart, 2.0
        detector._reals, detector._augmented = to_reals, to_augmented
        monkeypatch.setattr(augmentation_leak, "energy_distance", lambda points, distance: distance)
        assert len(detector._similarity(torch.zeros(2, 3, 8, 8))) == leaked

    @pytest.mark.parametrize(("deviation", "flat"), [(0.039, True), (0.041, False)])
    def test_a_cell_is_flat_within_a_deviation(self, deviation, flat):
        images = torch.zeros(1, 1, 16, 16)
        images[..., ::2], images[..., 1::2] = deviation, -deviation
        assert bool(flat_cells(images)[20]) == flat


class TestMissingModes:
    def check(self, names, shares, *distances):
        """The findings for a fit with these shares of three groups."""
        random = torch.Generator().manual_seed(0)
        features = tuple(torch.randn(40, 6, generator=random) + shift for shift in (0, 2, 4))
        coverage = ModeCoverage(Groups(names, features, torch.tensor([0.5, 0.25, 0.25])))
        coverage.fit = lambda images: Fit(torch.tensor(shares), *distances)
        return coverage.check(torch.zeros(1))

    CLASSES = ("a", "b", "c")

    @pytest.mark.parametrize(
        ("names", "fit", "reported"),
        [
            (CLASSES, (0.041, 0.0, 0.041), True),
            (CLASSES, (0.039, 0.0, 0.039), False),
            (CLASSES, (1.0, 0.199, 1.0), True),
            (CLASSES, (1.0, 0.201, 1.0), False),
            (CLASSES, (1.0, 0.0, 0.71), True),
            (CLASSES, (1.0, 0.0, 0.69), False),
            (None, (0.081, 0.0, 0.081), True),
            (None, (0.079, 0.0, 0.079), False),
            (None, (1.0, 0.099, 1.0), True),
            (None, (1.0, 0.101, 1.0), False),
        ],
    )
    def test_distances(self, names, fit, reported):
        assert kinds(self.check(names, [0.5, 0.5, 0.0], *fit)) == ["missing_modes"] * reported

    @pytest.mark.parametrize(("share", "missing"), [(0.049, True), (0.051, False)])
    def test_a_group_is_missing_below_a_fifth_of_its_frequency(self, share, missing):
        found = self.check(self.CLASSES, [0.5, 0.5 - share, share], 1.0, 0.0, 1.0)
        assert len(found) == missing
        if missing:
            assert found[0].figures["missing_share"] == pytest.approx(0.25)


class TestGroups:
    @pytest.fixture
    def groups_of(self, image_run):
        """``groups_of(300, 100)``: the groups of a run with this number of images of each class."""

        def read(*counts):
            run = image_run(count=sum(counts))
            run.labels = run.dataset.labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
            return RealImages(run, sum(counts)).groups

        return read

    def test_frequencies_of_unbalanced_classes(self, groups_of):
        groups = groups_of(300, 100, 50)
        assert groups.frequencies.tolist() == pytest.approx([300 / 450, 100 / 450, 50 / 450])
        assert [len(part) for part in groups.features] == [112, 100, 50]

    @pytest.mark.parametrize(("rare", "names"), [(32, ("circle", "square", "triangle")), (31, ("circle", "square"))])
    def test_classes_need_thirty_two_images(self, groups_of, rare, names):
        assert groups_of(100, 100, rare).names == names

    def test_classes_are_read_up_to_128_images(self, groups_of):
        assert [len(part) for part in groups_of(600, 600).features] == [128, 128]

    @pytest.mark.parametrize(("classes", "by_class"), [(24, True), (25, False)])
    def test_more_than_24_classes_are_clustered(self, groups_of, classes, by_class):
        assert (groups_of(*[32] * classes).names is not None) == by_class

    @pytest.mark.parametrize(("count", "clustered"), [(320, True), (319, False)])
    def test_clusters_need_320_images(self, image_run, count, clustered):
        assert (RealImages(image_run(count=count, labelled=False), 1024).groups is not None) == clustered

    @pytest.mark.parametrize(("count", "enough"), [(64, True), (63, False)])
    def test_distributions_need_64_images(self, image_run, count, enough):
        assert RealImages(image_run(count=count), 1024).enough == enough
