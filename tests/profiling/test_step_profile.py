"""The profile of a training step: each phase is measured once, and the phases add up to the whole."""

from __future__ import annotations

import pytest
import torch

from gankit.profiling.step_profile import PARTS, Stopwatch, profile_steps


def test_each_phase_contains_the_time_of_its_own_work(trainer, clock):
    t = trainer(ema={"half_life_images": 100}, train={"steps": 3, "device": "cpu", "discriminator_steps": 2})
    clock.slow_down(t.setup.loader.source, "read", 1)
    clock.slow_down(t.context.loss, "discriminator", 20)
    clock.slow_down(t.context.loss, "generator", 300)
    for optimizer in t.state.optimizers.values():
        optimizer.register_step_pre_hook(lambda *_: clock.advance(4000))
    clock.slow_down(t.state.ema, "update", 50_000)
    for callback in t.callbacks.named.values():
        clock.slow_down(callback, "on_step_end", 600_000)
    clock.slow_down(t.setup.context.game, "step", 7_000_000)
    clock.slow_down(t.processes, "average_buffers", 80_000_000)
    clock.slow_down(t.processes, "while_other_ranks_wait", 900_000_000)
    profile = profile_steps(t, steps=5, warm_up=2)
    assert {name: seconds / 5 for name, seconds in profile.parts.items()} == {
        "data": 2,
        "D's turn": 40,
        "G's turn": 300,
        "optimizer": 12_000,
        "EMA": 50_000,
        "callbacks": 900_600_000,
        "other": 87_000_000,
    }
    assert tuple(profile.parts) == PARTS
    assert profile.callbacks == {"tiny": 5 * 600_000}
    assert profile.seconds == sum(profile.parts.values())


def test_the_phases_add_up_to_the_whole(trainer, clock):
    clock.tick = 1
    profile = profile_steps(trainer(), steps=3, warm_up=2)
    measured = profile.seconds + sum(profile.checkpoint.values())
    assert measured == sum(profile.parts.values()) + sum(profile.checkpoint.values()) == clock.now - 2  # first readings
    assert min(profile.seconds, profile.checkpoint["writing checkpoints"]) > 0
    assert 0 < sum(profile.callbacks.values()) <= profile.parts["callbacks"]
    assert (profile.steps, profile.images) == (3, 24)


def test_the_run_is_interrupted_after_the_measured_steps(trainer):
    t = trainer(ema={"half_life_images": 100})
    profile_steps(t, steps=2, warm_up=1)
    assert t.ending == "left early"
    assert (t.state.step, t.images) == (1 + 2 + 1, 32)  # the last one counts the floating-point operations


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_the_speed_is_measured_without_waiting_for_each_phase(trainer):
    t = trainer(train={"steps": 3, "device": "cuda", "precision": "bf16"})
    profile = profile_steps(t, steps=5, warm_up=5)
    assert 0 < profile.seconds <= sum(profile.parts.values()) * 1.5
    assert profile.images == 40
    assert 0 < profile.peak_bytes <= torch.cuda.max_memory_allocated()  # the matrix products follow later
    assert profile.flops / profile.seconds < profile.peak_flops


def test_a_stopwatch_synchronizes_only_while_it_is_running():
    calls = []
    stopwatch = Stopwatch(lambda: calls.append(1))
    stopwatch.lap("data")
    assert (sum(stopwatch.seconds.values()), calls) == (0, [])
    with stopwatch.running():
        stopwatch.lap("data")
    stopwatch.lap("data")
    assert (len(calls), list(stopwatch.seconds)) == (3, ["data", "callbacks"])
