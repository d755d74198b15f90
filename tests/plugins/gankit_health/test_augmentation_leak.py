"""The check for leaking augmentations."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import avg_pool2d

from gankit_augment.diffaugment import color, cutout, translation
from gankit_health.augmentation_leak import LeakDetector, flat_cells
from gankit_health.real_images import RealImages

POLICIES = {
    "cutout": cutout,
    "color": color,
    "translation": translation,
    "all": lambda images: cutout(translation(color(images))),
}


@pytest.fixture(scope="module", params=sorted(POLICIES))
def leak(request, image_run):
    torch.manual_seed(0)
    augment = POLICIES[request.param]
    return LeakDetector(RealImages(image_run(augment=augment), 1024)), augment


class TestLeak:
    def test_real_images_do_not_leak(self, leak, shapes):
        for part in shapes[0][:1280].split(256):
            assert leak[0].check(part) == []

    def test_augmented_images_leak(self, leak, shapes):
        torch.manual_seed(1)
        (finding,) = leak[0].check(leak[1](shapes[0][:256]))
        assert finding.kind == "augmentation_leak"

    @pytest.mark.parametrize(
        "spoil",
        [lambda x: avg_pool2d(x, 5, 1, 2), lambda x: 0.2 * x, lambda x: torch.rand_like(x) * 2 - 1, lambda x: x * 0],
        ids=["blurred", "faint", "noise", "grey"],
    )
    def test_poor_images_do_not_leak(self, leak, shapes, spoil):
        torch.manual_seed(1)
        assert leak[0].check(spoil(shapes[0][:256])) == []

    def test_cutout_is_found_in_poor_images(self, shapes, image_run):
        torch.manual_seed(1)
        reals = RealImages(image_run(augment=cutout), 1024)
        (finding,) = LeakDetector(reals).check(cutout(avg_pool2d(shapes[0][:256], 5, 1, 2)))
        assert finding.figures["value"] == 0
        assert finding.figures["filled"] == pytest.approx(finding.figures["filled_in_augmented"], rel=0.15)

    def test_augmentations_that_become_stronger(self, shapes, image_run):
        """As ADA's, whose probability is zero at the first check."""
        run = image_run(augment=lambda images: images)
        reals = RealImages(run, 1024)
        torch.manual_seed(1)
        fakes = cutout(shapes[0][:256])
        assert LeakDetector(reals).check(fakes) == []
        run.augment = cutout
        (finding,) = LeakDetector(reals).check(fakes)
        assert finding.kind == "augmentation_leak"

    def test_flat_cells_by_hand(self):
        images = torch.rand(2, 3, 16, 16) * 0.5 + 0.4
        images[0, :, :4] = -0.5
        shares = flat_cells(images)
        assert float(shares[10]) == pytest.approx(2 * 8 / 128)
        assert float(shares.sum()) == pytest.approx(float(shares[10]))
