"""The check of D's loss."""

from __future__ import annotations

import math

import pytest

from gankit_health.discriminator_saturation import WINDOW, discriminator_saturation


def values(d, g=5.0, real=7.0, fake=-7.0, count=WINDOW):
    return {
        "discriminator_loss": [d] * count,
        "generator_loss": [g] * count,
        "real_logits": [real] * count,
        "fake_logits": [fake] * count,
    }


class TestSaturation:
    @pytest.mark.parametrize("loss", [0.0, 0.0019, 0.0099])
    def test_a_loss_at_its_floor(self, loss):
        (finding,) = discriminator_saturation(values(loss, 9.71))
        assert finding.kind == "discriminator_saturated"
        assert "below 0.01 in 100% of the last 200 steps" in finding.message
        assert "9.71" in finding.message

    @pytest.mark.parametrize(
        "figures",
        [
            values(0.02),
            values(-3.8, real=2.0, fake=-1.8),  # a critic that tells them apart
            values(0.001, real=0.2, fake=0.2),  # one that does not yet
            values(0.001, count=WINDOW - 1),
            values(math.nan),
            {**values(0.001), "discriminator_loss": [0.001] * (WINDOW - 21) + [0.3] * 21},
        ],
        ids=["learning", "critic", "undecided critic", "too early", "nan", "a tenth of the steps"],
    )
    def test_anything_else(self, figures):
        assert discriminator_saturation(figures) == []

    def test_without_logits(self):
        figures = {**values(0.001), "real_logits": [], "fake_logits": []}
        assert len(discriminator_saturation(figures)) == 1
