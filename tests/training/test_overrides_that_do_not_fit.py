"""An override that a checkpoint cannot continue with is refused at the override, and leaves the run as it was."""

from __future__ import annotations

import re

import pytest
import torch

import gankit
from gankit.runs.json_lines import JsonLines

RMSPROP = "optimizers.generator={name: rmsprop, lr: 1e-4}"


@pytest.fixture
def run(runtime, recipe, made_once, files):
    """A finished run of two steps, and the content of its files."""
    made = recipe(conditional=True, callbacks=[{"name": "checkpoint"}], train={"steps": 2})
    directory = made_once("overrides", lambda new: runtime.assemble(made, new).fit())
    return directory, files(directory)


@pytest.mark.parametrize(
    ("override", "key", "message"),
    [
        (RMSPROP, "optimizers.generator", "holds the state of Adam, which RMSprop cannot continue from; resume with"),
        ("optimizers.generator.name=sgd", "optimizers.generator", "holds the state of Adam, which SGD cannot"),
        ("generator.width=16", "generator.width", "does not fit the networks of the run's checkpoint; resume without"),
        ("discriminator={name: plain}", "discriminator", "does not fit the networks of the run's checkpoint"),
        ("latent.dim=16", "latent.dim", "does not fit the networks of the run's checkpoint"),
        ("image.size=32", "image.size", "does not fit the networks of the run's checkpoint"),
        ("ema={half_life_images: 40}", "ema", r"does not fit .*lacks generator_ema\.safetensors"),
        ("conditional=false", "conditional", r"this run has none \(conditional: false\)"),
    ],
)
def test_it_is_refused_and_nothing_changes(run, runtime, override, key, message, files):
    directory, before = run
    with pytest.raises(gankit.RecipeError) as error:
        runtime.resume(directory, ["train.steps=4", override])
    [problem] = error.value.problems
    assert problem.place == f"command line: {override}"
    assert problem.path == key
    assert re.search(message, problem.message), problem.message
    assert files(directory) == before
    runtime.resume(directory, ["train.steps=3"]).fit()


def test_a_new_name_hides_nothing(run, runtime):
    directory, _ = run
    with pytest.raises(gankit.RecipeError, match=r"generator\.width: does not fit the networks") as error:
        runtime.resume(directory, ["name=other", "generator.width=16"])
    assert len(error.value.problems) == 1


def test_a_parameter_that_the_saved_state_does_not_support(runtime, recipe, add_components, tmp_path, files):
    def variant(parameters, *, lr: float = 1e-3, amsgrad: bool = False):
        return torch.optim.Adam(parameters, lr=lr, amsgrad=amsgrad)

    add_components(runtime, optimizers={"adam_variant": variant})
    both = {player: {"name": "adam_variant"} for player in ("generator", "discriminator")}
    made = recipe(optimizers=both, callbacks=[{"name": "checkpoint"}], train={"steps": 2})
    runtime.assemble(made, tmp_path / "run").fit()
    before = files(tmp_path / "run")
    with pytest.raises(
        gankit.RecipeError,
        match=r"command line: optimizers\.generator\.amsgrad=true: .*cannot continue from its saved state .*max_exp_avg",
    ):
        runtime.resume(tmp_path / "run", ["train.steps=4", "optimizers.generator.amsgrad=true"])
    assert files(tmp_path / "run") == before
    runtime.resume(tmp_path / "run", ["train.steps=4", "optimizers.generator.lr=0.1"]).fit()


def test_settings_are_saved_once_a_step_was_done_with_them(runtime, recipe, add_components, tmp_path):
    """They may fail in the first step for a reason that nothing could foresee, such as too little memory."""

    class Fails:
        interval = 1

        def discriminator(self, turn):
            raise RuntimeError("no")

    add_components(runtime, regularizers={"fails": Fails})
    runtime.assemble(recipe(callbacks=[{"name": "checkpoint"}], train={"steps": 2}), tmp_path / "run").fit()
    before = (tmp_path / "run/recipe.yaml").read_text()
    with pytest.raises(RuntimeError, match="no"):
        runtime.resume(tmp_path / "run", ["train.steps=4", "regularizers=[fails]"]).fit()
    assert (tmp_path / "run/recipe.yaml").read_text() == before
    trainer = runtime.resume(tmp_path / "run", ["train.steps=4"])
    for _ in trainer:
        assert (tmp_path / "run/recipe.yaml").read_text() != before
        break
    assert runtime.resume(tmp_path / "run").total_steps == 4


class TestWithoutCheckpoint:
    @pytest.fixture
    def lost(self, trained_run, tmp_path):
        """A run that has lost its checkpoints."""
        directory = tmp_path / trained_run()
        for path in sorted((directory / "checkpoints").rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        return directory

    def test_a_run_with_steps_does_not_start_again_unasked(self, lost, tiny_runtime, files):
        before = files(lost)
        with pytest.raises(
            gankit.CheckpointError,
            match=r"has no checkpoint, although its records reach step 3\. Restore .*checkpoints, or .*: --restart",
        ):
            tiny_runtime.resume(lost)
        assert files(lost) == before
        tiny_runtime.resume(lost, restart=True).fit()
        events = [event["event"] for event in JsonLines.read(lost / "events.jsonl")]
        assert events == ["started", "resumed", "ended"]

    def test_metrics_alone_show_the_steps_of_a_killed_run(self, lost, tiny_runtime):
        (lost / "run.json").unlink()
        (lost / "metrics.jsonl").write_text('{"step": 1}\n{"step": 3}\n')
        with pytest.raises(gankit.CheckpointError, match="its records reach step 3"):
            tiny_runtime.resume(lost)

    def test_a_run_without_a_step_simply_starts(self, lost, tiny_runtime):
        (lost / "run.json").unlink()
        trainer = tiny_runtime.resume(lost)
        assert trainer.state.step == 0
        trainer.fit()

    def test_a_restart_does_not_discard_checkpoints(self, trained_run, tiny_runtime, tmp_path):
        directory = tmp_path / trained_run()
        with pytest.raises(gankit.CheckpointError, match="has checkpoints, so it cannot be restarted"):
            tiny_runtime.resume(directory, restart=True)
        assert tiny_runtime.resume(directory).state.step == 3

    def test_torchrun_restarts_a_run_that_had_no_checkpoint_yet(self, lost, cli, tiny_plugin_file, monkeypatch):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
        said = cli("run", lost / "recipe.yaml", "--out", lost, "--plugin", tiny_plugin_file)
        assert said.code == 0, said.err
        assert "done: step 3" in said.out

    def test_commands_that_advise_to_start_again_name_the_option(self, lost, cli):
        (lost / "run.json").unlink()
        (lost / "metrics.jsonl").write_text('{"step": 3}\n')
        assert f"gankit resume {lost} --restart    starts again" in cli("doctor", lost).out
