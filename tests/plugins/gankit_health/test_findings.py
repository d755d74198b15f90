"""What is said, and when; what the watch costs; what it remembers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import gankit
import gankit_health
from gankit.jsonl import JsonLines
from gankit_health.callback import Health
from gankit_health.discriminator_saturation import WINDOW, discriminator_saturation
from gankit_health.findings import Finding, FindingLog, percent
from gankit_health.gradient_checks import GradientChecks
from gankit_health.gradient_norms import GradientNorms
from gankit_health.recent_scalars import NAMES, RecentScalars, to_floats
from gankit_health.weight_changes import norm, tensor_sums


def said(events):
    return [(event["event"], event["finding"]) for event in events]


class TestStanding:
    def test_a_sure_finding_is_said_at_once_and_once(self):
        standing, sure = FindingLog(), [Finding("a", "A.", {"x": 1}, sure=True)]
        (event,) = standing.update(["a"], sure)
        assert event == {"event": "finding", "finding": "a", "message": "A.", "figures": {"x": 1}}
        assert standing.update(["a"], sure) == []
        assert "a" in standing

    def test_another_needs_a_second_look_in_a_row(self):
        standing, doubt = FindingLog(), [Finding("a", "A.")]
        assert standing.update(["a"], doubt) == []
        assert standing.suspects(["a"])
        assert standing.update(["a"], []) == []
        assert not standing.suspects(["a"])
        assert standing.update(["a"], doubt) == []
        assert said(standing.update(["a"], doubt)) == [("finding", "a")]

    def test_what_is_gone_is_said_too_and_may_come_back(self):
        standing, sure = FindingLog(), [Finding("a_b", "A.", sure=True)]
        standing.update(["a_b"], sure)
        assert standing.update(["c"], []) == []  # nobody looked
        (event,) = standing.update(["a_b"], [])
        assert event == {"event": "recovered", "finding": "a_b", "message": "a b: no longer seen."}
        assert said(standing.update(["a_b"], sure)) == [("finding", "a_b")]

    def test_it_goes_on_where_it_stood(self):
        standing, other = FindingLog(), FindingLog()
        standing.update(["a", "b"], [Finding("a", "A.", sure=True), Finding("b", "B.")])
        other.load_state_dict(standing.state_dict())
        again = [Finding("a", "A.", sure=True), Finding("b", "B.")]
        assert said(other.update(["a", "b"], again)) == [("finding", "b")]

    def test_a_run_that_went_back_does_not_repeat_itself(self):
        standing, sure = FindingLog(), [Finding("a", "A.", sure=True)]
        before = standing.state_dict()
        standing.update(["a"], sure)
        standing.load_state_dict(before)
        assert standing.update(["a"], sure) == []


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0%"), (0.00004, "0.004%"), (0.0123, "1.2%"), (0.1, "10%"), (0.876, "88%"), (1.0, "100%")],
)
def test_percent(share, text):
    assert percent(share) == text


class Untouchable(torch.Tensor):
    """A figure on a device: whoever computes with it or reads it is found out."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function.__name__} was called between checks")


class TestWindow:
    @given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=30), st.integers(1, 10), st.integers(0, 30))
    def test_the_last_values_however_often_they_are_read(self, figures, length, read_at):
        window = RecentScalars(length)
        for index, value in enumerate(figures):
            if index == read_at:
                window.values()
            window.add({"discriminator_loss": torch.tensor(value), "elsewhere": torch.tensor(1.0)})
        assert window.values()["discriminator_loss"] == figures[-length:]
        assert window.values()["real_logits"] == []
        assert set(window.values()) == set(NAMES)

    def test_it_goes_on_where_it_stood(self):
        window, other = RecentScalars(3), RecentScalars(3)
        for value in range(5):
            window.add({"real_logits": torch.tensor(float(value))})
        other.add({"real_logits": torch.tensor(9.0)})
        other.load_state_dict(window.state_dict())
        assert other.values()["real_logits"] == [2.0, 3.0, 4.0]

    def test_figures_of_many_types_in_one_go(self):
        mixed = [torch.tensor(1.5), torch.tensor(2.5, dtype=torch.float64), torch.ones(1)]
        assert to_floats(mixed) == [1.5, 2.5, 1.0]

    def test_adding_does_not_touch_a_figure(self):
        figure = torch.tensor(1.0).as_subclass(Untouchable)
        with pytest.raises(AssertionError, match="between checks"):
            float(figure)
        RecentScalars(5).add(dict.fromkeys(NAMES, figure))


def test_nothing_is_computed_between_checks(assemble):
    trainer = assemble({"train.steps": 30})
    health = Health()
    steps = iter(trainer)
    next(steps)
    health.on_run_start(trainer)
    for _ in range(20):
        next(steps)
        trainer.scalars = {name: torch.tensor(1.0).as_subclass(Untouchable) for name in NAMES}
        health.on_step_end(trainer)
    steps.close()


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

    def test_a_game_that_reports_no_logits(self):
        figures = {**values(0.001), "real_logits": [], "fake_logits": []}
        assert len(discriminator_saturation(figures)) == 1


class TestGradientWatch:
    def check(self, d, g, elements=1e4):
        return {"discriminator": (d, d / elements**0.5), "generator": (g, g / elements**0.5)}

    def test_healthy_ones(self):
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

    def test_one_that_never_was(self):
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
    def test_two_that_are_worlds_apart(self, d, g, text):
        (finding,) = GradientChecks().check(self.check(d, g))
        assert finding.kind == "gradient_imbalance"
        assert text in finding.message
        assert finding.figures["ratio"] == pytest.approx(d / g)

    def test_a_game_without_optimizers(self):
        assert GradientChecks().check({}) == []


class TestGradientNorms:
    def networks(self):
        torch.manual_seed(0)

        class State:
            generator, discriminator = nn.Linear(3, 4), nn.Linear(4, 1)

        state = State()
        state.optimizers = {
            side: torch.optim.SGD(getattr(state, side).parameters(), lr=0.1) for side in ("generator", "discriminator")
        }
        return state

    def update(self, state, side, scale=1.0):
        network = getattr(state, side)
        optimizer = state.optimizers[side]
        optimizer.zero_grad()
        (scale * network(torch.ones(2, network.in_features)).square().sum()).backward()
        expected = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
        optimizer.step()
        return float(expected)

    def test_the_first_update_of_each_armed_step(self):
        state, norms = self.networks(), GradientNorms()
        norms.attach(state)
        self.update(state, "discriminator")
        assert norms.read() == {}
        norms.enabled = True
        expected = []
        for _ in range(3):
            expected.append(self.update(state, "discriminator"))
            self.update(state, "discriminator", scale=100.0)  # a penalty's own update
            norms.next_step()
        found, size = norms.read()["discriminator"]
        assert found == pytest.approx(sorted(expected)[1], rel=1e-6)
        assert size == pytest.approx(found / math.sqrt(5), rel=1e-6)
        assert norms.read() == {}

    def test_it_leaves_the_optimizers_as_they_were(self):
        state, norms = self.networks(), GradientNorms()
        norms.attach(state)
        norms.attach(state)
        norms.enabled = True
        self.update(state, "generator")
        assert len(norms._norms["generator"]) == 1
        norms.read()
        norms.detach()
        norms.enabled = True
        norms.next_step()
        self.update(state, "generator")
        assert norms.read() == {}


def test_prints_see_every_change_of_what_is_trained():
    network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    before = tensor_sums(network)
    assert norm(before) == pytest.approx(float(nn.utils.get_total_norm(list(network.parameters()))), rel=1e-6)
    network[1].running_mean += 1
    assert tensor_sums(network) == before
    with torch.no_grad():
        network[0].weight[0] = network[0].weight[0].flip(0)
    moved = tensor_sums(network)
    assert norm(moved) == pytest.approx(norm(before))
    with torch.no_grad():
        network[0].weight[0, 0] += 1e-6
    assert tensor_sums(network) != moved
    network.requires_grad_(False)
    assert tensor_sums(network) == []


def test_a_resumed_run_finds_the_same(assemble, runtime, tmp_path):
    changes = {
        "optimizers.generator.lr": 1e-5,
        "optimizers.discriminator.lr": 0.05,
        "generator": {"name": "Cutout"},
        "augmentations": [{"name": "diffaugment", "policy": ["cutout"]}],
        "callbacks": [{"name": "health"}, {"name": "checkpoint", "every": 150}],
    }

    def findings(directory):
        logged = JsonLines.read(directory / "events.jsonl")
        return [
            {key: value for key, value in event.items() if key != "at"}
            for event in logged
            if event["event"] in ("finding", "recovered")
        ]

    whole = assemble(changes, "whole")
    whole.fit()
    part = assemble(changes, "part")
    for _ in part:
        if part.state.step == 198:  # in the midst of the steps whose gradients the next check is about
            break
    newest = tmp_path / "part/checkpoints/step-00000198"
    assert newest.is_dir()
    runtime.resume(tmp_path / "part").fit()
    assert findings(tmp_path / "part") == findings(tmp_path / "whole")
    assert len(findings(tmp_path / "whole")) >= 2


class Judged:
    """A run that has become NaN."""

    def __init__(self, step):
        self.state = type("State", (), {"step": step, "optimizers": {}})()
        self.total_steps, self.scalars, self.went = 300, {}, None

    def not_finite(self):
        return gankit.NotFinite(self.state.step, ("discriminator_loss",))

    def recover(self, go_on):
        self.went = go_on


@pytest.mark.parametrize(("on_nan", "goes_on"), [("stop", False), ("roll_back", True)])
def test_nan_is_the_runs_to_deal_with(on_nan, goes_on):
    run, health = Judged(200), Health(on_nan=on_nan)
    health.on_step_end(run)
    assert run.went is goes_on


def test_nan_is_looked_for_at_checks_and_at_the_end():
    for step, looks in ((99, False), (100, True), (101, False), (300, True)):
        run = Judged(step)
        Health().on_step_end(run)
        assert (run.went is not None) == looks


def test_a_recipe_that_names_it_sets_it_up_itself(runtime, assemble):
    trainer = assemble({"callbacks": [{"name": "health", "every": 7}]})
    watches = [callback for callback in trainer.callbacks if isinstance(callback, Health)]
    assert [watch.every for watch in watches] == [7]
    trainer = assemble({"callbacks": []}, "other")
    assert [callback.every for callback in trainer.callbacks if isinstance(callback, Health)] == [100]


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_smallest_runs_are_left_alone(tiny_plugin, tiny_recipe, tmp_path, channels, conditional):
    runtime = gankit.Runtime(plugins=[tiny_plugin, gankit_health], discover=False)
    path = tiny_recipe(
        tmp_path,
        conditional=conditional,
        image={"size": 8},
        dataset={"name": "tiny", "count": 4, "side": 8, "channels": channels},
        loader={"batch_size": 4},
        callbacks=[{"name": "health", "every": 2, "samples": 32}],
        train={"steps": 9, "device": "cpu", "precision": "fp32"},
    )
    runtime.assemble(gankit.Recipe.load(path), tmp_path / "run").fit()
    logged = [event["event"] for event in JsonLines.read(tmp_path / "run/events.jsonl")]
    assert logged == ["started", "ended"]
