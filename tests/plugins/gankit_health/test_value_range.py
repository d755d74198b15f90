"""The check of the range of generated values."""

from __future__ import annotations

import pytest
import torch

from gankit_health.value_range import Values, value_range, values_of


class TestValueRange:
    REALS = Values(below=0.6, above=0.4, at_ends=0.05)

    def test_real_images(self, shapes):
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
    def test_images_outside_of_the_range(self, fakes, kind, text):
        (finding,) = value_range(
            fakes(torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0))), self.REALS
        )
        assert finding.kind == kind
        assert text in finding.message

    @pytest.mark.parametrize("part", [0.1, 0.5, 1.0])
    def test_images_inside_the_range(self, part):
        noise = torch.randn(50, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        assert value_range(part * noise.tanh(), self.REALS) == []
        assert value_range(part * noise.sigmoid(), Values(0.1, 0.9, 0.3)) == []  # nearly all white anyway
