"""A run that becomes NaN: noticed on the device, found by a replay, and what is said of it."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import gankit
from gankit.anomaly.detect import NonFiniteDetector
from gankit.interfaces import NotFinite


@pytest.mark.parametrize("every", [1000, 1])
@pytest.mark.parametrize(("backward", "layer", "what"), [(False, "fuse (Fuse)", "output"), (True, "scale", "gradient")])
def test_step_layer_and_batch_are_named(broken_run, events, marked_step, tmp_path, backward, layer, what, every):
    trainer = broken_run(tmp_path / "run", backward=backward, every=every)
    step, indices = marked_step(trainer)
    with pytest.raises(gankit.GankitError, match=rf"in step {step}, the {what}.* of discriminator .*on_nan: roll_back"):
        trainer.fit()
    (event,) = events(tmp_path / "run", "finding")
    figures = event["figures"]
    assert event["finding"] == "not_finite"
    assert (figures["broke_at_step"], figures["network"], figures["layer"], figures["what"]) == (
        step,
        "discriminator",
        layer,
        what,
    )
    assert figures["indices"] == indices
    saved = load_file(tmp_path / "run/not_finite" / f"step-{step:08d}.safetensors")
    assert saved["indices"].tolist() == indices
    assert saved["images"][indices.index(21), 0, 0, 0] == 1.0
    assert (tmp_path / "run/not_finite" / f"step-{step:08d}.png").is_file()
    for checkpoint in (tmp_path / "run/checkpoints").glob("step-*"):
        for file in checkpoint.glob("*.safetensors"):
            assert all(bool(tensor.isfinite().all()) for tensor in load_file(file).values())
    assert json.loads((tmp_path / "run/run.json").read_text())["ended"]["reason"].startswith("failed")


@pytest.mark.parametrize("every", [1000, 2])
@pytest.mark.parametrize("go_on", [False, True])
def test_a_weight_broken_from_outside_is_named(runtime, recipe, events, tmp_path, go_on, every):
    callbacks = [{"name": "caretaker", "go_on": go_on, "plant_at": 5}, {"name": "checkpoint", "every": every}]
    trainer = runtime.assemble(recipe(callbacks=callbacks, train={"steps": 8}), tmp_path / "run")
    message = "generator layers.0.weight became NaN or infinite at step 6, .* outside the steps"
    if go_on:
        trainer.fit()
        assert trainer.state.step == 8
        assert trainer.state.position == 64
        (event,) = events(tmp_path / "run", "finding")
        assert event["figures"]["noticed_in"] == ["generator layers.0.weight"]
        assert event["figures"]["indices"] == trainer.setup.loader.order.at(40, 8)[0].tolist()
        assert (event["step"], event["fatal"]) == (6, False)
    else:
        with pytest.raises(gankit.GankitError, match=message):
            trainer.fit()


def test_nothing_is_said_of_a_run_that_is_well(runtime, recipe, events, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=["caretaker"]), tmp_path / "run")
    for _ in trainer:
        assert trainer.not_finite() is None
    assert events(tmp_path / "run", "finding") == []


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_detector_keeps_the_first_step(runtime, recipe, device):
    """By layers on a CPU, by networks elsewhere; later ones change nothing."""
    state = runtime.assemble(recipe()).state
    detector = NonFiniteDetector(state, torch.device(device))
    detector.check_weights(1)
    detector.check_scalars({"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, 1)
    assert detector.first() is None
    detector.check_scalars({"a": torch.tensor(1.0), "b": torch.tensor(float("inf"))}, 2)
    with torch.no_grad():
        next(state.discriminator.parameters())[0, 0, 0, 0] = float("nan")
    detector.check_weights(3)
    detector.check_scalars({"a": torch.tensor(float("nan")), "b": torch.tensor(1.0), "c": torch.tensor(1.0)}, 3)
    assert detector.first() == NotFinite(2, ("b",))
    detector.reset()
    detector.check_weights(4)
    first = next(state.discriminator.named_parameters())[0]
    assert detector.first() == NotFinite(4, (f"discriminator {first}" if device == "cpu" else "discriminator",))


def test_what_the_last_step_breaks_is_found(runtime, recipe, add_components, tmp_path):
    class Breaking(torch.optim.SGD):
        steps = 0

        def step(self, closure=None):
            super().step(closure)
            self.steps += 1
            if self.steps == 4:
                with torch.no_grad():
                    self.param_groups[0]["params"][0].fill_(float("inf"))

    def breaking(parameters: list[nn.Parameter], *, lr: float = 1e-4) -> torch.optim.Optimizer:
        return Breaking(parameters, lr=lr)

    add_components(runtime, optimizers={"breaking": breaking})
    optimizers = {"generator": {"name": "breaking"}, "discriminator": {"name": "adam", "lr": 2e-4}}
    trainer = runtime.assemble(recipe(optimizers=optimizers, callbacks=[{"name": "caretaker"}]), tmp_path / "run")
    with pytest.raises(gankit.GankitError, match="generator .* became NaN or infinite at step 5"):
        trainer.fit()


def test_a_buffer_may_be_infinite(runtime, recipe, tmp_path):
    """Such as the mask of an attention."""
    trainer = runtime.assemble(recipe(callbacks=["checkpoint"], train={"steps": 2}), tmp_path / "run")
    trainer.state.discriminator.register_buffer("mask", torch.tensor([0.0, -float("inf")]))
    trainer.fit()
    assert (tmp_path / "run/checkpoints/step-00000002").is_dir()
