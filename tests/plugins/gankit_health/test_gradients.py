"""Checks of gradient norms."""

from __future__ import annotations

import pytest

from gankit_health.gradient_checks import GradientChecks


class TestGradientChecks:
    def check(self, d, g, elements=1e4):
        return {"discriminator": (d, d / elements**0.5), "generator": (g, g / elements**0.5)}

    def test_healthy_gradients(self):
        watch = GradientChecks()
        for d, g in ((0.38, 71), (24, 36), (89, 64), (0.7, 90), (78, 9)):
            assert watch.check(self.check(d, g)) == []

    def test_a_generator_whose_gradient_vanishes(self):
        watch = GradientChecks()
        for _ in range(3):
            watch.check(self.check(1.0, 10.0))
        for _ in range(60):  # however long it lasts
            (finding,) = watch.check(self.check(1.0, 1e-4))
            assert finding.kind == "vanishing_gradient"
        assert "its norm is 0.0001, where 10 was usual" in finding.message
        assert watch.check(self.check(1.0, 5.0)) == []

    def test_a_zero_gradient_without_history(self):
        (finding,) = GradientChecks().check(self.check(1.0, 0.0))
        assert finding.kind == "vanishing_gradient"

    @pytest.mark.parametrize("player", ["discriminator", "generator"])
    def test_an_explosion(self, player):
        watch = GradientChecks()
        for _ in range(3):
            watch.check(self.check(1.0, 1.0))
        (finding,) = watch.check({**self.check(1.0, 1.0), player: (2e4, 1.0)})
        assert finding.kind == f"exploding_{player}_gradient"
        assert "train.clip_gradient" in finding.message

    @pytest.mark.parametrize(("d", "g", "text"), [(1e-4, 60.0, "almost won"), (5e5, 1.0, "such a steep discriminator")])
    def test_very_different_gradients(self, d, g, text):
        (finding,) = GradientChecks().check(self.check(d, g))
        assert finding.kind == "gradient_imbalance"
        assert text in finding.message
        assert finding.figures["ratio"] == pytest.approx(d / g)

    def test_without_gradients(self):
        assert GradientChecks().check({}) == []
