"""Which weights a run starts from: those of the source, except for skipped and copied ones."""

from __future__ import annotations

import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gankit

G, D = ("generator.linear.weight", "generator.linear.bias"), (
    "discriminator.hidden.weight", "discriminator.hidden.bias", "discriminator.out.weight", "discriminator.out.bias"
)  # fmt: skip
AVERAGE = tuple(name.replace("generator", "generator_ema") for name in G)


@pytest.mark.parametrize("initialize", ["first", {"from": "first"}, {"from": "first/checkpoints/step-00000003"}])
def test_all_networks_are_loaded(tiny, first, initialize, weights, different):
    assert different(weights(tiny("fresh")), first) == {*G, *D, *AVERAGE}
    assert different(weights(tiny("second", initialize=initialize)), first) == set()


@pytest.mark.parametrize(
    ("skip", "skipped"),
    [
        ((), ()),
        (["*.bias"], [name for name in (*G, *D, *AVERAGE) if name.endswith("bias")]),
        (["linear.*"], [*G, *AVERAGE]),
        (["generator.linear.*"], G),
        (["generator*weight", "hid*"], [G[0], AVERAGE[0], D[0], D[1]]),
        (["*"], [*G, *D, *AVERAGE]),
    ],
)
def test_skipped_weights_are_those_of_a_fresh_run(tiny, first, skip, skipped, weights, different):
    fresh = weights(tiny("fresh"))
    second = tiny("second", initialize={"from": "first", "skip": list(skip)})
    started = weights(second)
    assert different(started, first) == set(skipped)
    # the average of a skipped weight starts from that weight of G, which may have been loaded
    expected = {name for name in skipped if name not in AVERAGE or name.replace("_ema", "") in skipped}
    assert expected <= {name for name in started if torch.equal(started[name], fresh[name])} <= {*skipped}
    second.fit()
    assert second.ending == "done"


@given(names=st.sets(st.sampled_from([*G, *D, *AVERAGE])))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_exactly_the_skipped_weights_differ(tiny, first, names, weights, different):
    started = weights(tiny("second", initialize={"from": "first", "skip": sorted(names)}))
    assert different(started, first) - {*AVERAGE} == names - {*AVERAGE}
    for name in AVERAGE:
        source = name.replace("_ema", "") if name in names else name
        assert torch.equal(started[name], started[source] if name in names else first[source])


def test_only_the_named_networks_are_loaded(tiny, first, weights, different):
    fresh = weights(tiny("fresh"))
    started = weights(tiny("second", initialize={"from": "first", "networks": ["generator"]}))
    assert different(started, first) == {*D, *AVERAGE}
    assert different(started, fresh) == {*G, *AVERAGE}
    assert all(torch.equal(started[own], started[average]) for own, average in zip(G, AVERAGE, strict=True))


def test_a_run_without_an_average(tiny, first, weights, different):
    started = weights(tiny("second", ema=None, initialize="first"))
    assert started.keys() == {*G, *D}
    assert different(started, first) == set()


def test_an_average_starts_from_g_if_the_checkpoint_has_none(tiny, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny("first", ema=None).fit()
    started = weights(tiny("second", seed=3, initialize="first"))
    assert all(torch.equal(started[own], started[average]) for own, average in zip(G, AVERAGE, strict=True))
    with pytest.raises(gankit.RecipeError) as error:
        tiny("second", initialize={"from": "first", "networks": ["generator", "generator_ema"]})
    assert re.fullmatch(
        r".*tiny\.yaml:\d+:\d+: initialize\.networks\.1: the checkpoint lacks generator_ema\.safetensors; it has "
        r"generator, discriminator",
        str(error.value),
    )


class TestCopies:
    def test_into_a_module(self, tiny, first, weights, different):
        """The source lacks the module, so that only the copy gives it weights."""
        initialize = {"from": "first", "copy": {"discriminator.fake_score": "generator_ema"}}
        trainer = tiny("second", discriminator={"name": "judge"}, initialize=initialize)
        started = weights(trainer)
        copied = {f"discriminator.fake_score.{key}": first[f"generator_ema.{key}"] for key in ("linear.weight", "linear.bias")}
        assert different(copied, started) == set()
        assert different(first, started) == set()
        assert different(copied, {f"discriminator.fake_score.{k.partition('.')[2]}": first[k] for k in G}) == {*copied}
        trainer.fit()

    def test_between_modules_and_into_the_average(self, tiny, first, weights, different):
        copy = {"discriminator.fake_score.linear": "generator.linear", "generator_ema.linear": "generator.linear"}
        initialize = {"from": "first", "networks": [], "copy": copy}
        trainer = tiny("second", discriminator={"name": "judge"}, initialize=initialize)
        started, fresh = weights(trainer), weights(tiny("fresh", discriminator={"name": "judge"}))
        filled = {"discriminator.fake_score.linear.weight", "discriminator.fake_score.linear.bias", *AVERAGE}
        assert different(started, fresh) == filled
        for name in filled:
            assert torch.equal(started[name], first[f"generator.linear.{name.rpartition('.')[2]}"])
        trainer.step()  # which does not overwrite the average by G's weights
        assert all(not torch.equal(weights(trainer)[a], weights(trainer)[b]) for a, b in zip(G, AVERAGE, strict=True))

    def test_instead_of_the_same_network(self, tiny, first, weights, different):
        started = weights(tiny("second", initialize={"from": "first", "copy": {"generator": "generator_ema"}}))
        assert different(started, first) == {*G}
        assert all(torch.equal(started[own], first[average]) for own, average in zip(G, AVERAGE, strict=True))

    def test_without_skipped_weights(self, tiny, first, weights, different):
        initialize = {
            "from": "first",
            "skip": ["fake_score.linear.weight"],
            "copy": {"discriminator.fake_score": "generator"},
        }
        judge = {"name": "judge", "dim": 9}  # the weight would not fit
        started = weights(tiny("second", discriminator=judge, initialize=initialize))
        fresh = weights(tiny("fresh", discriminator=judge))
        assert different(first, started) == set()
        skipped = "discriminator.fake_score.linear.weight"
        assert torch.equal(started[skipped], fresh[skipped])
        assert torch.equal(started["discriminator.fake_score.linear.bias"], first[G[1]])


def test_one_name_of_a_shared_weight_suffices(tiny, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tied = {"name": "tied"}
    tiny("first", seed=5, discriminator=tied).fit()
    started = weights(tiny("second", discriminator=tied, initialize={"from": "first", "skip": ["again.*"]}))
    fresh = weights(tiny("fresh", discriminator=tied))
    assert torch.equal(started["discriminator.hidden.weight"], fresh["discriminator.hidden.weight"])
    assert not torch.equal(started["discriminator.out.weight"], fresh["discriminator.out.weight"])


def test_nothing_else_is_drawn_from_the_random_generators(tiny, first, weights, different):
    """Skipped weights and the steps are those of a run without ``initialize``."""
    one, other = tiny("second"), tiny("third", initialize={"from": "first", "skip": ["*"]})
    for _ in range(2):
        one.step()
        other.step()
    assert different(weights(one), weights(other)) == set()


def test_a_loaded_average_is_not_forgotten_by_the_ramp_up(tiny, first, tiny_runtime):
    """Whose half-life would be a fraction of the few images of the new run."""
    ema = {"half_life_images": 1e9, "ramp_up": 0.05}
    for initialize, kept in (("first", True), ({"from": "first", "skip": ["generator_ema.linear.bias"]}, False)):
        trainer = tiny("second" if kept else "third", initialize=initialize, ema=ema)
        before = {name: value.clone() for name, value in trainer.state.ema.module.state_dict().items()}
        next(iter(trainer))
        after = trainer.state.ema.module.state_dict()
        assert all(torch.allclose(after[name], value, rtol=0, atol=1e-6) for name, value in before.items()) is kept
        resumed = tiny_runtime.resume(trainer.directory)
        assert (resumed.state.ema.is_loaded, resumed.state.ema.updates) == (kept, 2)
