"""The checkpoint that every run leaves of its last whole step, however it ends."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

import gankit


class Failing:
    """A callback that raises after one step."""

    def __init__(self, step, error=ZeroDivisionError):
        self.step, self.error = step, error

    def on_step_end(self, run):
        if run.state.step == self.step:
            raise self.error


class BreaksInStep(gankit.Game):
    """A game whose third step fails after D's update, or before any of its two batches can be read."""

    def step(self):
        with gankit.frozen(self.generator):
            scalars = self.update("discriminator", self.next_batch())
        if self.state.step == 2:
            raise ZeroDivisionError
        return scalars


def test_a_run_without_callbacks_leaves_one(runtime, recipe, tmp_path, names):
    trainer = runtime.assemble(recipe(callbacks=[]), tmp_path / "run")
    trainer.fit()
    assert names(trainer) == ["step-00000004"]
    resumed = runtime.resume(tmp_path / "run", ["train.steps=6"])
    assert resumed.state.step == 4


@pytest.mark.parametrize("how", ["done", "stopped", "failed"])
def test_the_recipe_can_do_without_it(runtime, recipe, tmp_path, how, names):
    trainer = runtime.assemble(recipe(train={"final_checkpoint": False}), tmp_path / "run")
    if how == "failed":
        trainer.callbacks.add("failing", Failing(2))
        with pytest.raises(ZeroDivisionError):
            trainer.fit()
    for _ in trainer if how != "failed" else ():
        if how == "stopped":
            trainer.stop("enough")
    assert names(trainer) == []


def test_the_same_step_is_written_once(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=[{"name": "checkpoint", "every": 2}, "watcher"]), tmp_path / "run")
    trainer.fit()
    calls = trainer.callbacks.named["watcher"].calls
    assert [step for name, step in calls if name == "checkpoint"] == [2, 4]


def test_a_callback_that_fails_loses_no_step_of_any_log(runtime, recipe, tmp_path, names, weights, same):
    """Whatever its place: the callbacks after it see the step as well."""
    made = recipe(callbacks=[{"name": "metrics_log", "every": 1}, {"name": "checkpoint", "keep": 1, "every": 2}])
    whole = runtime.assemble(made, tmp_path / "whole")
    whole.fit()
    trainer = runtime.assemble(made, tmp_path / "run")
    trainer.callbacks.named = {"failing": Failing(3), **trainer.callbacks.named}
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert names(trainer) == ["step-00000003"]
    resumed = runtime.resume(tmp_path / "run")
    resumed.fit()
    assert same(weights(whole), weights(resumed))
    assert [line["step"] for line in gankit.JsonLines.read(tmp_path / "run/metrics.jsonl")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("workers", "discriminator_steps"),
    [(0, 1), (2, 3), *(pytest.param(*other, marks=pytest.mark.slow) for other in ((0, 3), (2, 1)))],
)
def test_images_that_cannot_be_read_lose_no_step(runtime, recipe, tmp_path, workers, discriminator_steps, weights, same):
    random = np.random.default_rng(0)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(40):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(pictures / f"{number}.png")
    made = recipe(
        dataset={"name": "image_folder", "path": str(pictures), "on_error": "skip"},
        loader={"batch_size": 8, "cache": "none", "workers": workers},
        train={"steps": 8, "discriminator_steps": discriminator_steps},
    )
    whole = runtime.assemble(made, tmp_path / "whole")
    whole.fit()
    trainer = runtime.assemble(made, tmp_path / "run")
    shutil.copytree(pictures, tmp_path / "copy")

    class Removing:
        def on_step_end(self, run):
            if run.state.step == 2:
                for path in pictures.iterdir():
                    path.unlink()

    trainer.callbacks.add("removing", Removing())
    with pytest.raises(gankit.DataError, match=r"\.png") as caught:
        trainer.fit()
    assert "on_error" not in str(caught.value)
    assert trainer.state.step >= 2
    assert trainer.checkpoint == tmp_path / f"run/checkpoints/step-{trainer.state.step:08}"
    shutil.copytree(tmp_path / "copy", pictures, dirs_exist_ok=True)
    resumed = runtime.resume(tmp_path / "run")
    resumed.fit()
    assert same(weights(whole), weights(resumed))


def test_a_step_that_fails_after_an_update_is_not_saved(runtime, recipe, add_components, tmp_path, names):
    add_components(runtime, games={"breaks": BreaksInStep})
    made = recipe(train={"game": {"name": "breaks"}}, callbacks=[{"name": "checkpoint", "every": 1}])
    trainer = runtime.assemble(made, tmp_path / "run")
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert names(trainer) == ["step-00000001", "step-00000002"]
    trainer = runtime.assemble(recipe(train={"game": {"name": "breaks"}}), tmp_path / "other")
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert names(trainer) == []
    trainer = runtime.assemble(recipe(train={"game": {"name": "breaks"}}), tmp_path / "by hand")
    trainer.step(), trainer.step()
    with pytest.raises(ZeroDivisionError):
        trainer.step()
    with pytest.raises(gankit.GankitError, match="the last step failed in the middle of its updates"):
        trainer.save()
    assert names(trainer) == []


def test_a_run_that_became_nan_is_not_saved(runtime, recipe, tmp_path, names):
    trainer = runtime.assemble(recipe(), tmp_path / "run")

    class Planting:
        def on_step_end(self, run):
            if run.state.step == 2:
                next(run.state.generator.parameters()).data.fill_(float("nan"))

    trainer.callbacks.add("planting", Planting())
    trainer.callbacks.add("failing", Failing(3))
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert names(trainer) == []


def test_an_interrupt_in_a_callback_does_not_wait_for_a_checkpoint(runtime, recipe, tmp_path, names):
    trainer = runtime.assemble(recipe(), tmp_path / "run")
    trainer.callbacks.add("failing", Failing(2, KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    assert names(trainer) == []
    exits = runtime.assemble(recipe(), tmp_path / "exits")
    exits.callbacks.add("failing", Failing(2, SystemExit))
    with pytest.raises(SystemExit):
        exits.fit()
    assert names(exits) == ["step-00000002"]
