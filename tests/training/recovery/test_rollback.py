"""A run that becomes NaN, and goes back to a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gankit


@pytest.mark.parametrize("every", [1000, 2])
@pytest.mark.parametrize("backward", [False, True])
def test_rolled_back_it_goes_on_without_that_batch(broken_run, events, marked_step, tmp_path, backward, every):
    trainer = broken_run(tmp_path / "run", go_on=True, backward=backward, every=every)
    _, indices = marked_step(trainer)
    trainer.fit()
    assert trainer.ending == "done"
    assert all(bool(p.isfinite().all()) for p in trainer.state.discriminator.parameters())
    assert (trainer.state.step, trainer.state.images) == (12, 96)
    lines = list(gankit.JsonLines.read(tmp_path / "run/metrics.jsonl"))
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert all(isinstance(line["discriminator_loss"], float) for line in lines)
    rolled = events(tmp_path / "run", "rolled_back")
    assert rolled[0]["without"] == indices
    assert trainer.state.position == 96 + 8 * len(rolled)  # a second epoch brings image 21 again
    assert all(21 in event["without"] for event in rolled)


def test_a_run_rolled_back_resumes_to_the_same_weights(runtime, broken_run, tmp_path):
    whole = broken_run(tmp_path / "whole", go_on=True, every=2)
    whole.fit()
    for _ in (parts := broken_run(tmp_path / "parts", go_on=True, every=2)):
        if parts.state.step == 9:
            break
    resumed = runtime.resume(tmp_path / "parts")
    resumed.fit()
    assert resumed.state.skipped == whole.state.skipped != []
    for one, other in zip(whole.state.generator.parameters(), resumed.state.generator.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_breaks_always_ends_the_run(runtime, recipe, add_components, events, tmp_path):
    """Not the batch's fault: after a few attempts it is over."""

    class Dividing(nn.Module):
        def __init__(self, image: gankit.ImageSpec) -> None:
            super().__init__()
            self.calls, self.out = 0, nn.Linear(image.channels * image.height * image.width, 1)

        def forward(self, images, labels=None):
            self.calls += 1
            return self.out(images.flatten(1)) / (0.0 if self.calls > 8 else 1.0)

    add_components(runtime, discriminators={"dividing": Dividing})
    trainer = runtime.assemble(
        recipe(discriminator="dividing", callbacks=[{"name": "caretaker", "go_on": True}], train={"steps": 12}),
        tmp_path / "run",
    )
    with pytest.raises(gankit.GankitError, match="has returned to step 0 3 times"):
        trainer.fit()
    assert len(events(tmp_path / "run", "rolled_back")) == 3


def test_images_are_said_to_be_left_out_only_where_they_are(runtime, recipe, events, tmp_path):
    callbacks = [{"name": "caretaker", "go_on": True, "plant_at": 5}, {"name": "checkpoint", "every": 2}]
    trainer = runtime.assemble(recipe(callbacks=callbacks, train={"steps": 8}), tmp_path / "run")
    trainer.fit()
    assert [event["without"] for event in events(tmp_path / "run", "rolled_back")] == [[]]


def test_a_lower_learning_rate_stays_after_going_back(runtime, broken_run, events, tmp_path):
    """What the recipe says now, not what the checkpoint's optimizer said."""
    for _ in (first := broken_run(tmp_path / "run", go_on=True, every=2)):
        if first.state.step == 2:
            break
    resumed = runtime.resume(tmp_path / "run", ["optimizers.generator.lr=1e-6"])
    resumed.fit()
    assert events(tmp_path / "run", "rolled_back")
    assert resumed.state.optimizers["generator"].param_groups[0]["lr"] == 1e-6


def test_the_learning_rate_of_the_recipe_stays_after_a_rollback(runtime, recipe, events, tmp_path):
    """The checkpoint was written with another learning rate than the run has now."""
    callbacks = [{"name": "caretaker"}, {"name": "checkpoint", "every": 2}]
    runtime.assemble(recipe(callbacks=callbacks, train={"steps": 2}), tmp_path / "run").fit()
    resumed = runtime.resume(
        tmp_path / "run",
        ["train.steps=5", "optimizers.generator.lr=0.001", "callbacks.0.go_on=true", "callbacks.0.plant_at=3"],
    )
    resumed.fit()
    assert [event["from_step"] for event in events(tmp_path / "run", "rolled_back")] == [4]
    assert resumed.state.optimizers["generator"].param_groups[0]["lr"] == 0.001
    assert resumed.state.optimizers["discriminator"].param_groups[0]["lr"] == 2e-4


def test_the_state_of_callbacks_returns_to_the_checkpoint(runtime, recipe, events, tmp_path):
    class Counting:
        steps = 0

        def on_step_end(self, run):
            self.steps += 1

        def state_dict(self):
            return {"steps": self.steps}

        def load_state_dict(self, state):
            self.steps = state["steps"]

    callbacks = [{"name": "caretaker", "go_on": True, "plant_at": 5}, {"name": "checkpoint", "every": 2}]
    trainer = runtime.assemble(recipe(callbacks=callbacks, train={"steps": 8}), tmp_path / "run")
    trainer.callbacks.add("counting", counting := Counting())
    trainer.fit()
    assert [event["from_step"] for event in events(tmp_path / "run", "rolled_back")] == [6]
    assert counting.steps == 8


def test_a_callback_that_refuses_its_first_state_is_named(runtime, recipe, tmp_path):
    class Refusing:
        def on_run_end(self, run): ...

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            raise ValueError("boom")

    callbacks = [{"name": "caretaker", "go_on": True, "plant_at": 1}]
    trainer = runtime.assemble(recipe(callbacks=callbacks, train={"steps": 3}), tmp_path / "run")
    trainer.callbacks.add("refusing", Refusing())
    message = r"^the initial state: the state of 'refusing' does not fit: ValueError: boom$"
    with pytest.raises(gankit.CheckpointError, match=message):
        trainer.fit()


def test_recoveries_are_counted_from_the_last_checkpoint(runtime, recipe, events, tmp_path):
    """Five failures with checkpoints between them do not end a run; more than three from one checkpoint do."""

    class Planting:
        def __init__(self):
            self.steps = [3, 7, 11, 15, 19]

        def on_step_end(self, run):
            if run.state.step in self.steps:
                self.steps.remove(run.state.step)
                run.state.generator.layers[0].weight.data.fill_(float("nan"))

    callbacks = [{"name": "caretaker", "go_on": True}, {"name": "checkpoint", "every": 2}]
    trainer = runtime.assemble(recipe(callbacks=callbacks, train={"steps": 22}), tmp_path / "run")
    trainer.callbacks.add("planting", Planting())
    trainer.fit()
    assert len(events(tmp_path / "run", "rolled_back")) == 5
    assert trainer.ending == "done"


def test_weights_that_are_nan_are_not_saved(runtime, recipe, events, tmp_path):
    class Planting:
        def on_step_end(self, run):
            if run.state.step == 4:
                run.state.discriminator.out.weight.data[0, 0] = float("nan")

    changes = {"discriminator": {"name": "fused"}, "train": {"steps": 4}}
    trainer = runtime.assemble(recipe(callbacks=[{"name": "checkpoint", "every": 2}], **changes), tmp_path / "run")
    trainer.callbacks.add("planting", Planting())
    trainer.fit()
    assert [checkpoint.name for checkpoint in trainer.checkpoints] == ["step-00000002"]
    (event,) = {event["reason"] for event in events(tmp_path / "run", "not_saved")}
    assert event == "discriminator out.weight is NaN or infinite: the last checkpoint stays the newest"


def test_a_batch_is_skipped_where_it_overlaps_a_skipped_one(runtime, recipe):
    """Batches have other bounds if a run is resumed with another batch size."""
    state = runtime.assemble(recipe()).state
    state.skipped.append((8, 8))
    assert [state.skips(position, 4) for position in (4, 5, 8, 12, 15, 16)] == [False, True, True, True, True, False]
    assert state.skips(0, 100)


def test_the_step_of_a_nan_that_only_a_scalar_has_is_named(runtime, recipe, add_components, events, tmp_path):
    class Marked:
        """NaN in its value, but not in its gradient, for one batch."""

        def discriminator(self, turn: gankit.Turn) -> torch.Tensor:
            value = turn.real_logits.mean() * 0
            return value + torch.where(turn.real[0, 0, 0, 0] == self.pixel, torch.nan, 0.0)

    add_components(runtime, regularizers={"marked": Marked})
    callbacks = [{"name": "health", "every": 1, "pictures_every": 1000}, {"name": "checkpoint", "every": 2}]
    trainer = runtime.assemble(recipe(regularizers=["marked"], callbacks=callbacks, train={"steps": 8}), tmp_path / "run")
    Marked.pixel = trainer.setup.loader.at(4 * 8, 8).images[0, 0, 0, 0].clone()  # of step 5
    with pytest.raises(gankit.GankitError, match="in step 5, "):
        trainer.fit()
    (finding,) = [event for event in events(tmp_path / "run", "finding") if event["finding"] == "not_finite"]
    assert (finding["figures"]["broke_at_step"], finding["figures"]["noticed_at_step"]) == (5, 5)


def test_gradient_norms_after_a_return_are_those_of_a_run_without_that_batch(runtime, broken_run, tmp_path):
    returned = broken_run(tmp_path / "returned", go_on=True, every=4)
    returned.fit()
    direct = broken_run(tmp_path / "direct", go_on=True, every=4)
    direct.state.skipped = [*returned.state.skipped]
    direct.fit()
    norms = [
        [(line["generator_gradient"], line["discriminator_gradient"]) for line in gankit.JsonLines.read(path)]
        for path in (tmp_path / "returned/metrics.jsonl", tmp_path / "direct/metrics.jsonl")
    ]
    assert norms[0] == norms[1]


def test_nan_in_any_turn_of_d_is_noticed(runtime, recipe, add_components, tmp_path):
    class Once:
        calls = 0

        def discriminator(self, turn: gankit.Turn) -> torch.Tensor:
            self.calls += 1
            return turn.real_logits.mean() * 0 + (torch.inf if self.calls == 5 else 0.0)  # in the first turn of step 3

    add_components(runtime, regularizers={"once": Once})
    callbacks = [{"name": "health", "every": 1, "pictures_every": 1000}]
    train = {"steps": 6, "discriminator_steps": 2}
    trainer = runtime.assemble(recipe(regularizers=["once"], callbacks=callbacks, train=train), tmp_path / "run")
    with pytest.raises(gankit.GankitError, match="NaN or inf"):
        trainer.fit()
    assert trainer.state.step <= 3
