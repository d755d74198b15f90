"""Overrides on resume are recorded with their step, and the saved recipe reproduces the whole run."""

from __future__ import annotations

import hashlib
import shutil

import pytest
import yaml

import gankit
from gankit.runs.checkpoint import Checkpoint
from gankit.runs.file_names import checkpoints

CALLBACKS = [{"name": "metrics_log", "every": 1}, {"name": "checkpoint", "every": 2}]
EVERYTHING = {
    "latent": {"name": "normal", "dim": 8},
    "dataset": {"name": "shapes", "count": 40, "size": 16},
    "ema": {"half_life_images": 40},
    "augmentations": [{"name": "diffaugment"}],
    "callbacks": CALLBACKS,
    "train": {"steps": 4},
}
LR = "optimizers.generator.lr"


def weights(directory):
    newest = checkpoints(directory)[-1]
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in newest.glob("*.safetensors")}
    return newest.name, hashes, Checkpoint.open(newest).load_state()["training"]["position"]


def saved(directory):
    return yaml.safe_load((directory / "recipe.yaml").read_text())


def play(runtime, recipe, directory):
    """Train every segment of a recipe, as ``gankit run`` does."""
    trainer = runtime.assemble(recipe, directory)
    trainer.fit()
    ends = [trainer.state.step]
    while trainer.segment_ended:
        trainer = runtime.resume(directory)
        trainer.fit()
        ends.append(trainer.state.step)
    return ends


@pytest.fixture
def run(runtime, recipe, made_once):
    """A run of four steps that was continued twice with other settings, and once only for longer."""

    def make(directory):
        runtime.assemble(recipe(**EVERYTHING), directory).fit()
        runtime.resume(directory, ["train.steps=6", f"{LR}=0.01", "callbacks.metrics_log.every=2"]).fit()
        runtime.resume(directory, ["train.steps=7"]).fit()
        runtime.resume(directory, ["train.steps=9", "loss=hinge", f"{LR}=0.02"]).fit()

    return made_once("segments", make)


def test_the_saved_recipe_has_the_beginning_and_the_segments(run):
    recipe = saved(run)
    assert recipe["optimizers"]["generator"]["lr"] == 2e-4
    assert recipe["loss"]["name"] == "bce"
    assert recipe["train"]["steps"] == 9
    assert recipe["segments"] == [
        {"step": 4, "set": {LR: 0.01, "callbacks.metrics_log.every": 2}},
        {"step": 7, "set": {"loss": "hinge", LR: 0.02}},
    ]


def test_running_the_saved_recipe_gives_the_same_weights(run, runtime, tmp_path):
    again = tmp_path / "again"
    assert play(runtime, runtime.load(run / "recipe.yaml"), again) == [4, 7, 9]
    assert weights(again) == weights(run)
    assert saved(again) == saved(run)
    without = tmp_path / "without"
    play(runtime, runtime.load(run / "recipe.yaml", ["segments=[]"]), without)
    assert weights(without) != weights(run)


def test_a_new_run_of_it_is_resumed_where_it_was_stopped(run, runtime, tmp_path):
    trainer = runtime.assemble(runtime.load_checked(run / "recipe.yaml"), tmp_path / "again")
    for _ in trainer:
        if trainer.state.step == 3:
            break
    for step in (4, 5, 7, 9):
        trainer = runtime.resume(tmp_path / "again")
        for _ in trainer:
            if trainer.state.step == step:
                break
    assert weights(tmp_path / "again") == weights(run)
    assert saved(tmp_path / "again") == saved(run)


def test_the_command_plays_all_segments(run, cli, tmp_path):
    said = cli("run", run / "recipe.yaml", "--out", tmp_path / "again")
    assert said.code == 0, said.err
    assert "step 4: end of a segment of the recipe" in said.out
    assert "done: step 9" in said.out
    assert weights(tmp_path / "again") == weights(run)


def test_overrides_are_logged_and_printed(run, cli, events):
    first, second, third = events(run, "overridden")
    assert (first["step"], second["step"], third["step"]) == (4, 6, 7)
    assert first["settings"][LR] == 0.01
    assert first["previous"][LR] == 2e-4
    assert second["settings"] == {"train.steps": 7}
    said = cli("resume", run, f"{LR}=0.03", "train.steps=10")
    assert said.code == 0, said.err
    assert "from step 9: " in said.out
    assert f"{LR}=0.03 (was 0.02)" in said.out
    assert f"changed settings at step 9: {LR}=0.03 (was 0.02)" in cli("doctor", run).out


def test_compare_shows_which_steps_a_setting_holds_for(run, runtime, recipe, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runtime.assemble(recipe(**EVERYTHING), tmp_path / "other").fit()
    said = cli("compare", run, "other", "--count", "1")
    assert said.code == 0, said.err
    assert "0.0002, from step 4: 0.01, from step 7: 0.02" in said.out


def test_the_same_settings_again_change_nothing(run, runtime):
    before = (run / "recipe.yaml").read_text()
    runtime.resume(run, [f"{LR}=0.02", "train.steps=9"])
    trainer = runtime.resume(run, [f"{LR}=0.02", "train.steps=10"])
    trainer.fit()
    assert (run / "recipe.yaml").read_text() == before.replace("steps: 9", "steps: 10")


def test_another_try_at_the_same_step_replaces_the_settings(run, runtime):
    trainer = runtime.resume(run, ["train.steps=11", f"{LR}=0.03", "callbacks.checkpoint.every=50"])
    killed = killed_after_a_step(trainer, run.with_name("killed"))
    runtime.resume(killed, [f"{LR}=0.04"]).fit()
    assert saved(killed)["segments"][-1] == {"step": 9, "set": {LR: 0.04, "callbacks.checkpoint.every": 50}}


@pytest.mark.parametrize(
    "words",
    [
        ["optimizers={generator: {lr: 0.03}}", "optimizers={discriminator: {lr: 0.04}}"],
        [f"{LR}=0.03", "optimizers.generator={lr: 0.05}", f"{LR}=0.06"],
        ["optimizers={generator: {lr: 0.03}}", f"{LR}=0.05", "optimizers={discriminator: {lr: 0.04}}"],
    ],
)
def test_overrides_of_one_setting_are_saved_as_they_were_trained_with(run, runtime, words):
    trainer = runtime.resume(run, ["train.steps=11", *words])
    used = trainer.recipe.optimizers
    trainer.fit()
    assert gankit.Recipe.load(run / "recipe.yaml").at(9).optimizers == used
    assert runtime.resume(run, ["train.steps=12"]).recipe.optimizers == used


def killed_after_a_step(trainer, directory):
    """A copy of the run's directory as it is during its first step after a start."""
    for _ in trainer:
        shutil.copytree(trainer.directory, directory)
        break
    return directory


def test_segments_are_checked_with_their_places(runtime, recipe, tmp_path):
    data = yaml.safe_load(recipe(**EVERYTHING).to_yaml())

    def refused(segments, message):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({**data, "segments": segments}, sort_keys=False))
        with pytest.raises(gankit.RecipeError, match=message):
            runtime.load(tmp_path / "recipe.yaml")

    refused(
        [{"step": 2, "set": {"generator.widht": 8}}], r"recipe\.yaml:\d+:\d+: generator\.widht: .*did you mean 'width'"
    )
    refused([{"step": 2, "set": {"train.steps": 8}}], r"a segment cannot set train\.steps; the length belongs")
    refused([{"step": 2, "set": {"train": {"steps": 8}}}], r"a segment cannot set train\.steps; the length belongs")
    refused([{"step": 2, "set": {"segments": []}}], "a segment cannot set 'segments'")
    refused([{"step": 0, "set": {LR: 1}}], r"segments\.0\.step: should be greater than 0")
    refused([{"step": 2, "set": {LR: 1}}, {"step": 2, "set": {LR: 2}}], r"in the order of their steps.*\[2, 2\]")
    refused([{"step": 2, "set": {LR: 0.1}}, {"step": 3, "set": {LR: "x"}}], r"optimizers\.generator\.lr: .*'x'")


def test_a_text_of_a_whole_number_is_a_step(recipe):
    data = {**recipe(**EVERYTHING).document.data, "segments": [{"step": "2.0", "set": {LR: 0.3}}]}
    rates = [gankit.Recipe.parse(data).at(step).optimizers.generator.params["lr"] for step in (1, 2)]
    assert rates == [gankit.Recipe.parse(data).optimizers.generator.params["lr"], 0.3]


def test_segments_do_not_change_on_resume(run, runtime):
    with pytest.raises(gankit.RecipeError, match=r"command line: segments=\[\]: segments: cannot be changed on resume"):
        runtime.resume(run, ["segments=[]"])


def test_overrides_before_the_first_checkpoint_change_the_recipe_itself(runtime, recipe, tmp_path):
    killed = killed_after_a_step(runtime.assemble(recipe(**EVERYTHING), tmp_path / "run"), tmp_path / "killed")
    runtime.resume(killed, [f"{LR}=0.1"], restart=True).fit()
    assert saved(killed)["optimizers"]["generator"]["lr"] == 0.1
    assert "segments" not in saved(killed)


class Planting:
    """A callback that plants a NaN before the second step."""

    def __init__(self, *, buffer: bool) -> None:
        self.buffer = buffer

    def on_step_end(self, run):
        if run.state.step == 1:
            network = run.state.generator
            tensors = network.buffers() if self.buffer else network.parameters()
            next(tensor for tensor in tensors if tensor.is_floating_point()).data.fill_(float("nan"))


@pytest.mark.parametrize(
    ("buffer", "message"),
    [(False, "generator .* became NaN"), (True, "a segment ends at step 2, but the next one has no checkpoint")],
    ids=["weights", "statistics of BatchNorm"],
)
def test_a_segment_that_ends_with_nan_ends_the_run(runtime, recipe, add_components, tmp_path, buffer, message):
    add_components(runtime, callbacks={"planting": Planting})
    sections = EVERYTHING | {"ema": None, "generator": {"name": "dcgan", "width": 4}}
    made = recipe(**sections | {"callbacks": [{"name": "planting", "buffer": buffer}], "segments": [{"step": 2, "set": {LR: 0.01}}]})
    trainer = runtime.assemble(made, tmp_path / "run")
    with pytest.raises(gankit.GankitError, match=message):
        trainer.fit()
    assert not trainer.segment_ended


def test_steps_by_hand_end_with_the_segment(runtime, recipe, tmp_path):
    sections = EVERYTHING | {"segments": [{"step": 2, "set": {LR: 0.01}}]}
    whole = play(runtime, recipe(**sections), tmp_path / "whole")
    trainer = runtime.assemble(recipe(**sections), tmp_path / "run")
    trainer.step(), trainer.step()
    with pytest.raises(gankit.GankitError, match="the segment of the recipe is finished: end it with fit"):
        trainer.step()
    trainer.fit()
    assert trainer.segment_ended
    runtime.resume(tmp_path / "run").fit()
    assert whole == [2, 4]
    assert weights(tmp_path / "run") == weights(tmp_path / "whole")


def test_a_segment_may_change_the_data(runtime, recipe, events, tmp_path):
    segments = [{"step": 2, "set": {"dataset.count": 60}}]
    assert play(runtime, recipe(**EVERYTHING, segments=segments), tmp_path / "run") == [2, 4]
    (accepted,) = events(tmp_path / "run", "changes_accepted")
    assert "40" in str(accepted)
    assert "60" in str(accepted)
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000004")
    with pytest.raises(gankit.CheckpointError, match="was trained with other data"):  # another change than the segment's
        runtime.resume(tmp_path / "run", ["dataset.count=50", "train.steps=6"]).fit()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator.width": 16}, r"generator\.width: gives the generator other weights than .* before this segment"),
        ({"image.size": 32}, r"image\.size: gives the (generator|discriminator) other weights"),
        ({"optimizers.generator.name": "rmsprop"}, r"optimizers\.generator: the optimizer cannot continue"),
        ({"ema": {"half_life_images": 40}}, r"ema: an EMA must average from the first step"),
    ],
)
def test_a_segment_that_cannot_continue_is_found_before_the_first_step(runtime, recipe, settings, message):
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.check(recipe(**EVERYTHING | {"ema": None, "segments": [{"step": 2, "set": settings}]}))


def test_a_segment_may_remove_the_ema_and_change_the_optimizer_and_the_data(runtime, recipe, tmp_path):
    settings = {"ema": None, "optimizers.generator.betas": [0.1, 0.9], "dataset.count": 50}
    checked = runtime.check(recipe(**EVERYTHING | {"segments": [{"step": 2, "set": settings}]}))
    assert play(runtime, checked, tmp_path / "run") == [2, 4]
