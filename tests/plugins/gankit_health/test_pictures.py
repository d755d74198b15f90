"""What pictures are judged by, against independent computations and against pictures whose fault is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from gankit_augment.diffaugment import color, cutout, translation
from gankit_datasets.shapes import Shapes
from gankit_health import missing_modes
from gankit_health.augmentation_leak import LeakDetector, flat_cells
from gankit_health.diversity import collapse, nearest, spread
from gankit_health.image_checks import ImageChecks
from gankit_health.image_features import energy_distance, quantized, reduced
from gankit_health.missing_modes import ModeCoverage, best_shares, on_simplex
from gankit_health.real_images import RealImages, k_means
from gankit_health.value_range import Values, value_range, values_of

SIDE = 16
KINDS = ("circle", "square", "triangle")


@pytest.fixture(scope="module")
def shapes():
    """Real images that the run does not look at, [3000 3 16 16] in [-1, 1], and their labels."""
    images, labels = Shapes(count=3000, size=SIDE, seed=5).tensors()
    return images.float() / 127.5 - 1, labels


class AsRun:
    """As much of a run as reals are taken from."""

    def __init__(self, labelled=True, augment=None, count=1500):
        self.images, self.labels = Shapes(count=count, size=SIDE).tensors()
        labels, length = self.labels, count

        class Data:
            classes = KINDS if labelled else None

            def __init__(self):
                self.labels = labels

            def __len__(self):
                return length

        self.dataset = Data()
        self.recipe = SimpleNamespace(augmentations=() if augment is None else (augment,), ema=None)
        self.augment = augment

    def real(self, count, labels=None):
        if labels is None:
            return self.images[:count]
        wanted = torch.tensor(labels)
        parts = [self.images[self.labels == k][: int((wanted == k).sum())] for k in wanted.unique()]
        return torch.cat(parts)


@pytest.fixture(scope="module")
def covered():
    return ModeCoverage(RealImages(AsRun(), 1024).groups)


class TestEnergyDistance:
    def test_against_all_pairs(self):
        random = np.random.default_rng(0)
        x, y = random.normal(size=(9, 4)), random.normal(0.5, size=(7, 4))

        def pairs(a, b):
            return [np.linalg.norm(p - q) for i, p in enumerate(a) for j, q in enumerate(b) if a is not b or i != j]

        expected = 2 * np.mean(pairs(x, y)) - np.mean(pairs(x, x)) - np.mean(pairs(y, y))
        found = energy_distance(torch.from_numpy(x), torch.from_numpy(y))
        assert float(found) == pytest.approx(expected, rel=1e-9)

    def test_none_within_one_distribution(self):
        random = torch.Generator().manual_seed(0)
        distances = [float(energy_distance(*torch.randn(2, 200, 5, generator=random))) for _ in range(40)]
        assert abs(np.mean(distances)) < 0.004
        assert min(distances) < 0 < max(distances)


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
    def test_nothing_is_missing_in_real_pictures(self, covered, shapes):
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
    def test_pictures_unlike_any_real_have_no_shares(self, covered, shapes, spoil):
        torch.manual_seed(0)
        assert covered.check(quantized(spoil(shapes[0][:256]))) == []

    def test_without_labels_images_that_look_alike_are_grouped(self):
        images = torch.zeros(400, 3, SIDE, SIDE)
        images[:200, 0], images[200:, 2] = 0.8, 0.8
        images += 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        assigned = k_means(images.flatten(1), 2)
        assert len(assigned[:200].unique()) == len(assigned[200:].unique()) == 1
        assert assigned[0] != assigned[200]
        groups = RealImages(AsRun(labelled=False), 1024).groups
        assert groups.names is None
        assert float(groups.frequencies.sum()) == pytest.approx(1)

    def test_without_labels_a_part_of_the_data(self, shapes):
        run = AsRun(labelled=False)
        run.images = torch.where(torch.arange(len(run.images)).view(-1, 1, 1, 1) % 2 == 0, run.images, 255 - run.images)
        covered = ModeCoverage(RealImages(run, 1024).groups)
        images = shapes[0][:256]
        assert covered.check(quantized(torch.cat([images[:128], -images[128:]]))) == []
        (finding,) = covered.check(quantized(images))
        assert finding.kind == missing_modes.KIND
        assert "of the real images and leave out the rest" in finding.message
        assert finding.figures["missing_share"] == pytest.approx(0.5, abs=0.1)

    def test_small_sets_are_not_judged(self):
        assert RealImages(AsRun(count=100, labelled=False), 1024).groups is None
        assert not RealImages(AsRun(count=40), 1024).enough


@pytest.fixture(scope="module")
def reals():
    return RealImages(AsRun(), 1024)


class TestCollapse:
    def test_spread_and_nearest_by_hand(self):
        images = torch.tensor([0.0, 0.2, 1.0]).view(3, 1, 1, 1).expand(3, 1, 8, 8)
        assert spread(images) == pytest.approx(np.std([0, 0.2, 1.0]), rel=1e-5)
        # 8 times each difference, as there are 64 places
        mean = np.sqrt(np.mean([0.2**2, 1.0**2, 0.8**2]))
        assert nearest(images) == pytest.approx(0.2 / mean, rel=1e-4)

    def test_real_pictures(self, reals, shapes):
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
    def test_pictures_more_alike_than_real_ones(self, reals, shapes, part, most, step, collapsed):
        images = shapes[0][:256]
        similar = images[:1] + part * (images - images.mean(dim=0))
        found, ratio = collapse(similar, reals, most, step)
        assert [finding.kind for finding in found] == ["mode_collapse"] * collapsed
        assert ratio == pytest.approx(part, rel=0.2)
        if collapsed:
            assert f"by {ratio:.1%} of what real images do" in found[0].message

    @pytest.mark.parametrize("few", [3, 12, 40])
    def test_a_few_pictures_again_and_again(self, reals, shapes, few):
        images = shapes[0][torch.arange(256) % few]
        images = images + 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        ((finding,), _) = collapse(images, reals, 0.9, 300)
        assert "collapsed to a few images" in finding.message

    def test_a_small_set_may_be_known_by_heart(self, shapes):
        reals = RealImages(AsRun(count=300), 1024)
        assert collapse(shapes[0][torch.arange(256) % 12], reals, 0.9, 300)[0] == []


class TestValueRange:
    REALS = Values(below=0.6, above=0.4, at_ends=0.05)

    def test_real_pictures(self, shapes):
        assert value_range(shapes[0][:100], values_of(shapes[0])) == []
        assert values_of(torch.tensor([-1.0, -0.5, 0.0, 0.5])) == Values(0.5, 0.25, 0.25)

    @pytest.mark.parametrize(
        ("fakes", "kind", "text"),
        [
            (lambda x: x.sigmoid(), "one_sided_range", "never below 0"),
            (lambda x: x.relu(), "one_sided_range", "where 60% of the real ones are"),
            (lambda x: -x.sigmoid(), "one_sided_range", "never above 0"),
            (lambda x: 3 * x, "range_overflow", "are beyond +-1.25"),
            (lambda x: 255 * x.sigmoid() - 100, "range_overflow", "End the network with tanh"),
            (lambda x: x.sign(), "range_saturated", "100% are at the ends of the range, where 5.0%"),
            (lambda x: x / 0, "images_not_finite", "100% of their values are NaN or infinite"),
        ],
    )
    def test_pictures_that_are_off(self, fakes, kind, text):
        (finding,) = value_range(
            fakes(torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0))), self.REALS
        )
        assert finding.kind == kind
        assert text in finding.message

    @pytest.mark.parametrize("part", [0.1, 0.5, 1.0])
    def test_pictures_that_are_not(self, part):
        noise = torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        assert value_range(part * noise.tanh(), self.REALS) == []
        assert value_range(part * noise.sigmoid(), Values(0.1, 0.9, 0.3)) == []  # nearly all white anyway


POLICIES = {
    "cutout": cutout,
    "color": color,
    "translation": translation,
    "all": lambda images: cutout(translation(color(images))),
}


@pytest.fixture(scope="module", params=sorted(POLICIES))
def leak(request):
    torch.manual_seed(0)
    augment = POLICIES[request.param]
    reals = RealImages(AsRun(augment=augment), 1024)
    return LeakDetector(reals, reals.augmented), augment


class TestLeak:
    def test_real_pictures_leak_nothing(self, leak, shapes):
        for part in shapes[0][:1280].split(256):
            assert leak[0].check(part) == []

    def test_augmented_pictures_do(self, leak, shapes):
        torch.manual_seed(1)
        (finding,) = leak[0].check(leak[1](shapes[0][:256]))
        assert finding.kind == "augmentation_leak"

    @pytest.mark.parametrize(
        "spoil",
        [lambda x: avg_pool2d(x, 5, 1, 2), lambda x: 0.2 * x, lambda x: torch.rand_like(x) * 2 - 1, lambda x: x * 0],
        ids=["blurred", "faint", "noise", "grey"],
    )
    def test_poor_pictures_do_not(self, leak, shapes, spoil):
        torch.manual_seed(1)
        assert leak[0].check(spoil(shapes[0][:256])) == []

    def test_squares_show_in_poor_pictures_too(self, shapes):
        torch.manual_seed(1)
        reals = RealImages(AsRun(augment=cutout), 1024)
        (finding,) = LeakDetector(reals, reals.augmented).check(cutout(avg_pool2d(shapes[0][:256], 5, 1, 2)))
        assert finding.figures["value"] == 0
        assert finding.figures["filled"] == pytest.approx(finding.figures["filled_in_augmented"], rel=0.15)

    def test_flat_places_by_hand(self):
        images = torch.rand(2, 3, 16, 16) * 0.5 + 0.4
        images[0, :, :4] = -0.5
        shares = flat_cells(images)
        assert float(shares[10]) == pytest.approx(2 * 8 / 128)
        assert float(shares.sum()) == pytest.approx(float(shares[10]))


def test_large_pictures_are_looked_at_small():
    assert reduced(torch.zeros(2, 3, 200, 100)).shape == (2, 3, 64, 64)
    assert reduced(torch.zeros(2, 3, 64, 48)).shape == (2, 3, 64, 48)
    assert quantized(torch.tensor([[[[-3.0, 0.001, 1.2]]]])).flatten().tolist() == pytest.approx(
        [-1, 0.00392, 1], abs=1e-4
    )


def test_a_picture_that_cannot_be_drawn_is_no_reason_to_fail(assemble):
    from gankit_health.callback import Health

    trainer = assemble({"train.steps": 20, "callbacks": [{"name": "health", "every": 10}]})
    watch = next(callback for callback in trainer.callbacks if isinstance(callback, Health))

    def fail(*args, **kwargs):
        raise RuntimeError("out of memory")

    logged = []
    trainer.generate = fail
    trainer.listeners.append(logged.append)
    trainer.fit()
    assert logged[1:-1] == [{"event": "not_judged", "reason": "its images: RuntimeError: out of memory"}]
    assert ImageChecks.check(watch._image_checks, trainer) == ([], [])
