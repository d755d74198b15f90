"""Every threshold of the checks of scalars, gradients, weights and value ranges, just inside and just outside."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gankit_health.callback import Health, _initial_share_of_ema
from gankit_health.discriminator_saturation import discriminator_saturation
from gankit_health.gradient_checks import GradientChecks
from gankit_health.value_range import Values, value_range, values_of
from gankit_health.weight_changes import WeightChanges


def kinds(found):
    return [finding.kind for finding in found]


class TestSaturation:
    def judge(self, losses, margin=7.0):
        n = len(losses)
        values = {"discriminator_loss": losses, "generator_loss": [5.0] * n}
        return discriminator_saturation(values | {"real_logits": [margin] * n, "fake_logits": [0.0] * n})

    @pytest.mark.parametrize(
        ("losses", "margin", "reported"),
        [
            ([0.0099] * 200, 7.0, True),
            ([0.0101] * 200, 7.0, False),
            ([0.0] * 200, 7.0, True),
            ([-1e-6] * 200, 7.0, False),
            ([0.001] * 200, 0.51, True),
            ([0.001] * 200, 0.49, False),
            ([0.001] * 180 + [1.0] * 20, 7.0, True),
            ([0.001] * 179 + [1.0] * 21, 7.0, False),
            ([0.001] * 199, 7.0, False),
        ],
    )
    def test_loss_margin_share_and_window(self, losses, margin, reported):
        assert len(self.judge(losses, margin)) == reported


class TestGradients:
    def checks(self, d=1.0, g=1.0, steps=3):
        checks = GradientChecks()
        for _ in range(steps):
            assert checks.check({"discriminator": (d, 1.0), "generator": (g, 1.0)}) == []
        return checks

    @pytest.mark.parametrize(("norm", "expected"), [(9.9e-5, ["vanishing_gradient"]), (1.01e-4, [])])
    def test_vanished_relative_to_the_usual_norm(self, norm, expected):
        assert kinds(self.checks().check({"discriminator": (1.0, 1.0), "generator": (norm, 1.0)})) == expected

    @pytest.mark.parametrize(("rms", "expected"), [(0.99e-9, ["vanishing_gradient"]), (1.01e-9, [])])
    def test_vanished_by_root_mean_square(self, rms, expected):
        assert kinds(GradientChecks().check({"generator": (1.0, rms)})) == expected

    @pytest.mark.parametrize("player", ["discriminator", "generator"])
    @pytest.mark.parametrize(("norm", "exploded"), [(1.01e4, True), (0.99e4, False)])
    def test_exploded(self, player, norm, exploded):
        norms = {"discriminator": (1.0, 1.0), "generator": (1.0, 1.0), player: (norm, 1.0)}
        assert kinds(self.checks().check(norms)) == [f"exploding_{player}_gradient"] * exploded

    @pytest.mark.parametrize(
        ("d", "g", "reported"), [(0.99e-4, 1, True), (1.01e-4, 1, False), (0.99e4, 1, False), (1.01e4, 1, True)]
    )
    def test_imbalance(self, d, g, reported):
        norms = {"discriminator": (d, 1.0), "generator": (float(g), 1.0)}
        assert kinds(GradientChecks().check(norms)) == ["gradient_imbalance"] * reported

    @pytest.mark.parametrize(("steps", "exploded"), [(2, False), (3, True)])
    def test_an_explosion_needs_three_earlier_norms(self, steps, exploded):
        assert len(self.checks(steps=steps).check({"generator": (1e5, 1.0)})) == exploded

    def test_the_median_is_over_the_last_fifty_norms(self):
        checks = self.checks(steps=30)
        for _ in range(26):
            checks.check({"generator": (5.0, 1.0)})
        assert checks.check({"generator": (4.9e4, 1.0)}) == []  # 24 times 1 and 26 times 5: the median is 5

    def test_abnormal_norms_do_not_change_the_median(self):
        checks = self.checks()
        for _ in range(10):
            assert kinds(checks.check({"generator": (2e4, 1.0)})) == ["exploding_generator_gradient"]


class TestWeights:
    def state(self, lr=(1.0, 1.0), optimizers=(torch.optim.SGD, torch.optim.SGD)):
        networks = {player: nn.Linear(1, 1, bias=False) for player in ("discriminator", "generator")}
        for network in networks.values():
            nn.init.ones_(network.weight)
        built = {
            player: kind(networks[player].parameters(), lr=rate)
            for player, rate, kind in zip(networks, lr, optimizers, strict=True)
        }
        return SimpleNamespace(step=0, optimizers=built, players=networks, **networks)

    def check(self, state, drifts, standing=(), steps=100):
        """Moves each weight as far, at right angles to it, as the drifts say."""
        changes = WeightChanges()
        changes.start(state)
        state.step += steps
        for player, drift in zip(("discriminator", "generator"), drifts, strict=True):
            nn.init.constant_(getattr(state, player).weight, math.sqrt(1 + drift**2))
        return kinds(changes.check(state, standing)[1])

    @pytest.mark.parametrize(
        ("drifts", "expected"),
        [
            ((0.76, 0.01), ["discriminator_too_fast"]),
            ((0.74, 0.01), []),
            ((0.01, 0.76), ["generator_too_fast"]),
            ((0.01, 0.74), []),
            ((0.81, 0.1), ["discriminator_too_fast"]),
            ((0.79, 0.1), []),
        ],
    )
    def test_too_fast(self, drifts, expected):
        assert self.check(self.state(), drifts) == expected

    @pytest.mark.parametrize(
        ("drifts", "lr", "reported"),
        [
            ((0.31, 0.01), 20.1, True),
            ((0.31, 0.01), 19.9, False),
            ((0.29, 0.01), 20.1, False),
            ((0.41, 0.2), 20.1, True),
            ((0.39, 0.2), 20.1, False),
        ],
    )
    def test_too_fast_with_unequal_learning_rates(self, drifts, lr, reported):
        assert self.check(self.state((lr, 1.0)), drifts) == ["discriminator_too_fast"] * reported

    def test_learning_rates_of_different_optimizers_are_not_compared(self):
        assert self.check(self.state((100.0, 1.0), (torch.optim.SGD, torch.optim.Adam)), (0.31, 0.01)) == []

    @pytest.mark.parametrize(
        ("drifts", "reported"), [((0.16, 0.01), True), ((0.14, 0.01), False), ((0.21, 0.1), True), ((0.19, 0.1), False)]
    )
    def test_a_reported_network_stays_reported_above_lower_bounds(self, drifts, reported):
        found = self.check(self.state(), drifts, ["discriminator_too_fast"])
        assert found == ["discriminator_too_fast"] * reported

    @pytest.mark.parametrize(("steps", "reported"), [(99, False), (100, True)])
    def test_changes_are_measured_over_a_hundred_steps(self, steps, reported):
        assert self.check(self.state(), (5.0, 0.01), steps=steps) == ["discriminator_too_fast"] * reported

    def test_changes_over_more_steps_are_scaled(self):
        assert self.check(self.state(), (1.49, 0.01), steps=200) == []
        assert self.check(self.state(), (1.51, 0.01), steps=200) == ["discriminator_too_fast"]

    @pytest.mark.parametrize(("rate", "cause"), [(0.0, "its learning rate is 0"), (0.1, "check that its optimizer")])
    def test_frozen(self, rate, cause):
        state, changes = self.state((1.0, rate)), WeightChanges()
        changes.start(state)
        nn.init.constant_(state.discriminator.weight, 1.0001)
        (finding,) = changes.check(state, [])[1]
        assert finding.kind == "frozen_generator"
        assert cause in finding.message


class TestValueRange:
    def fakes(self, special, share):
        """Values of +-0.5, of which a share, in thousandths, is replaced."""
        values = torch.tensor([0.5, -0.5]).repeat(500)
        values[:share] = special
        return values.view(1, 1, 10, 100)

    REALS = Values(below=0.5, above=0.5, at_ends=0.05)

    @pytest.mark.parametrize(
        ("special", "share", "expected"),
        [
            (1.26, 50, ["range_overflow"]),
            (1.26, 49, []),
            (1.24, 400, []),
            (0.99, 500, ["range_saturated"]),
            (0.99, 499, []),
            (0.98, 900, []),
            (math.inf, 1, ["images_not_finite"]),
        ],
    )
    def test_overflow_and_saturation(self, special, share, expected):
        assert kinds(value_range(self.fakes(special, share), self.REALS)) == expected

    @pytest.mark.parametrize(("at_ends", "reported"), [(0.19, True), (0.21, False)])
    def test_saturation_relative_to_the_reals(self, at_ends, reported):
        found = value_range(self.fakes(-1.0, 600), self.REALS._replace(at_ends=at_ends))
        assert kinds(found) == ["range_saturated"] * reported

    @pytest.mark.parametrize(("share", "reported"), [(0.21, True), (0.19, False)])
    def test_one_sided_only_if_the_reals_use_the_other_side(self, share, reported):
        positive = self.fakes(0.0, 0).abs()
        found = value_range(positive, Values(below=share, above=1 - share, at_ends=0.0))
        assert kinds(found) == ["one_sided_range"] * reported
        found = value_range(-positive, Values(below=1 - share, above=share, at_ends=0.0))
        assert kinds(found) == ["one_sided_range"] * reported

    def test_values_at_the_ends(self):
        assert values_of(torch.tensor([-0.995, -0.985, 0.985, 0.995])).at_ends == 0.5


class TestSchedule:
    @pytest.mark.parametrize(
        ("step", "due"), [(100, True), (300, True), (400, False), (500, True), (600, False), (1000, True)]
    )
    def test_images_are_checked_at_the_first_three_checks_and_every_five_hundred_steps(self, step, due):
        assert Health()._images_due(step) == due

    @pytest.mark.parametrize(("step", "enabled"), [(94, False), (95, True), (99, True), (100, False), (995, True)])
    def test_gradients_are_measured_in_the_five_steps_before_a_check(self, step, enabled):
        recipe = SimpleNamespace(segments=())
        run = SimpleNamespace(state=SimpleNamespace(step=step), total_steps=1000, recipe=recipe)
        assert Health()._check_is_near(run) == enabled

    @pytest.mark.parametrize(("images", "judged"), [(4300, False), (4350, True)])  # 2 ** -4.3 and 2 ** -4.35
    def test_an_average_of_mostly_initial_weights_is_not_judged(self, images, judged):
        ema = SimpleNamespace(half_life_images=1000.0, ramp_up=None)
        run = SimpleNamespace(recipe=SimpleNamespace(ema=ema), images=images, state=SimpleNamespace(step=10))
        run.generated = []
        health = Health()
        health._image_checks.check = lambda run: ([], run.generated.append(1) or [])
        health._check_images(run)
        assert len(run.generated) == judged
        assert _initial_share_of_ema(run) == pytest.approx(2 ** -(images / 1000))

    def test_a_ramped_average_forgets_its_initial_weights_sooner(self):
        ema = SimpleNamespace(half_life_images=1e6, ramp_up=0.05)
        run = SimpleNamespace(recipe=SimpleNamespace(ema=ema), images=16, state=SimpleNamespace(step=4))
        assert _initial_share_of_ema(run) == pytest.approx(4 ** (-0.693 / 0.05))
