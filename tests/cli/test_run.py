"""``gankit run`` and ``gankit resume``."""

from __future__ import annotations

import gc
import re
import shlex
import signal
from pathlib import Path

import pytest
import yaml

import gankit

COUNT_TRAINERS = '''
import gc

import gankit


class CountTrainers:
    def on_run_start(self, run):
        print("trainers:", sum(isinstance(found, gankit.Trainer) for found in gc.get_objects()))


@gankit.hookimpl
def register(registries):
    registries.callbacks.add("count_trainers", CountTrainers)
'''


class TestRun:
    def test_run_resume_and_sample(self, cli, tiny):
        said = cli("run", *tiny)
        assert (said.code, said.err) == (0, "")
        lines = said.out.splitlines()
        assert lines[0] == "preparing tiny ..."
        assert lines[1] == "tiny: 3 steps into results/tiny/"
        assert re.fullmatch(r"step 1/3  [\d,]+ images/s  loss D [\d.]+ G [\d.]+  D\(real\) \S+ D\(fake\) \S+  0:0\d left", lines[2])
        assert lines[-1] == "done: step 3, 24 images; see results/tiny/"

        said = cli("resume", "results/tiny", *tiny[1:])
        assert said.code == 0
        assert said.out == "results/tiny: is finished: 3 steps; to train longer, add train.steps=N\n"
        said = cli("resume", "results/tiny", "train.steps=5", *tiny[1:])
        assert said.code == 0
        assert "done: step 5, 40 images" in said.out

        grids = []
        for seed in (0, 0, 1):
            said = cli("sample", "results/tiny", "--count", 6, "--seed", seed, "--out", "deep/grid.png", *tiny[1:])
            assert said.code == 0
            assert said.out == f"deep/grid.png: 6 images of results/tiny/checkpoints/step-00000005, seed {seed}\n"
            grids.append(Path("deep/grid.png").read_bytes())
        assert grids[0] == grids[1] != grids[2]
        said = cli("sample", "results/tiny/checkpoints/step-00000003", "truncation=0", "--out", "zero.png", *tiny[1:])
        assert said.code == 0

    def test_each_run_gets_its_own_directory(self, cli, tiny):
        assert "into results/tiny/" in cli("run", *tiny).out
        assert "into results/tiny-2/" in cli("run", *tiny).out
        assert "into results/tiny-3/" in cli("run", *tiny).out

    def test_overrides_reach_the_run(self, cli, tiny):
        said = cli("run", tiny[0], "train.epochs=1", "name=mine", *tiny[1:])
        assert "mine: 4 steps into results/mine/" in said.out
        assert yaml.safe_load(Path("results/mine/recipe.yaml").read_text())["train"]["epochs"] == 1

    def test_a_failure_after_the_first_step_exits_with_code_1(self, cli, tiny, tmp_path):
        Path("late.py").write_text(
            "import gankit\n"
            "class Late:\n"
            "    def on_step_end(self, run):\n"
            "        if run.state.step == 2: raise gankit.GankitError('the disk is full')\n"
            "        run.save()\n"
            "@gankit.hookimpl\n"
            "def run_callbacks(recipe): return [Late()]\n"
        )
        said = cli("run", *tiny, "--plugin", "late.py", "--out", "mine")
        assert said.code == 1
        assert said.err == "error: the disk is full; callback 'Late', on_step_end\n"
        assert "to continue from mine/checkpoints/step-00000002:\n  gankit resume mine --plugin" in said.out
        assert "--plugin late.py" in said.out

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_saves_and_prints_how_to_continue(self, cli, tiny, number, code):
        Path("stop.py").write_text(
            "import gankit, os\n"
            "class Stop:\n"
            "    def on_step_end(self, run):\n"
            f"        if run.state.step == 2: os.kill(os.getpid(), {int(number)})\n"
            "@gankit.hookimpl\n"
            "def run_callbacks(recipe): return [Stop()]\n"
        )
        before = signal.getsignal(number)
        said = cli("run", tiny[0], "train.steps=9", *tiny[1:], "--plugin", "stop.py")
        assert signal.getsignal(number) is before
        assert said.code == code
        assert f"warning: {number.name}: saving and stopping after this step" in said.err
        assert f"stopped after step 2: {number.name}" in said.out
        resume = said.out.splitlines()[-1].split()
        assert resume[:3] == ["gankit", "resume", "results/tiny"]
        Path("stop.py").write_text("import gankit\n@gankit.hookimpl\ndef run_callbacks(recipe): return []\n")
        said = cli(*resume[1:])
        assert said.code == 0, said.err
        assert "done: step 9" in said.out

    def test_the_printed_command_repeats_overrides_that_are_not_saved_yet(self, cli, tiny):
        Path("broken.py").write_text(
            "import gankit, os\n"
            "class Broken:\n"
            "    def discriminator(self, turn):\n"
            "        if turn.real.device.type == 'cpu' and os.path.exists('broken'): raise gankit.GankitError('broken')\n"
            "        return (turn.fake_logits - turn.real_logits).mean()\n"
            "    def generator(self, turn): return -turn.fake_logits.mean()\n"
            "@gankit.hookimpl\n"
            "def register(registries): registries.losses.add('broken', Broken)\n"
        )
        plugins = [*tiny[1:], "--plugin", "broken.py"]
        assert cli("run", tiny[0], *plugins, "--out", "mine").code == 0
        Path("broken").touch()
        said = cli("resume", "mine", "loss=broken", "train.steps=5", "--accept-changes", *plugins)
        assert said.code == 1
        words = shlex.split(said.out.splitlines()[-1])
        assert words[:6] == ["gankit", "resume", "mine", "loss=broken", "train.steps=5", "--accept-changes"]
        Path("broken").unlink()
        said = cli(*words[1:])
        assert said.code == 0, said.err
        assert gankit.Recipe.load(Path("mine/recipe.yaml")).segments[0].set == {"loss": "broken"}

    def test_a_run_that_fails_without_a_checkpoint_is_restarted(self, cli, tiny):
        said = cli("run", *tiny, "optimizers.generator.lr=1.0e38", "optimizers.discriminator.lr=1.0e38", "--out", "mine")
        assert said.code == 1, said.out
        assert re.search(r"no checkpoint was saved; to start again: gankit resume mine .*--restart$", said.out.strip())
        assert "starts again" in cli("doctor", "mine").out

    def test_the_trainer_of_a_segment_is_freed_before_the_next(self, cli, tiny):
        Path("count.py").write_text(COUNT_TRAINERS)
        segments = "segments=[{step: 1, set: {optimizers.generator.lr: 0.001}}, {step: 2, set: {optimizers.generator.lr: 0.002}}]"
        gc.collect()  # trainers of other tests
        said = cli("run", *tiny, "--plugin", "count.py", "callbacks=[count_trainers]", segments)
        assert said.code == 0, said.err
        counts = [int(line.split()[1]) for line in said.out.splitlines() if line.startswith("trainers:")]
        assert len(counts) == 3
        assert len({*counts}) == 1

    def test_an_interrupt_before_the_first_step(self, cli, tiny):
        Path("slow.py").write_text(
            "import gankit\n"
            "class Slow:\n"
            "    def __init__(self): raise KeyboardInterrupt\n"
            "@gankit.hookimpl\n"
            "def register(registries): registries.losses.add('slow', Slow)\n"
        )
        said = cli("run", tiny[0], "loss=slow", *tiny[1:], "--plugin", "slow.py")
        assert said.code == 130
        assert said.err == "error: interrupted before the first step\n"


def test_a_fault_before_there_is_a_directory_is_shown_itself(cli, tiny, monkeypatch):
    def fail(*_):
        raise RuntimeError("the clock is wrong")

    monkeypatch.setattr("gankit.training.run_recorder.create_run_directory", fail)
    with pytest.raises(RuntimeError, match="the clock is wrong"):
        cli("run", *tiny)


def test_results_is_a_link_to_a_missing_folder(cli, tiny_recipe, tiny_plugin_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results").symlink_to("unplugged")
    recipe = tiny_recipe(tmp_path)
    for words in ([], ["--out", "results/mine"]):
        said = cli("run", recipe, "--plugin", tiny_plugin_file, *words)
        assert said.code == 2
        assert "cannot be created: results is a link to unplugged, which does not exist" in said.err
    runtime = gankit.Runtime([str(tiny_plugin_file)], discover=False)
    with pytest.raises(gankit.GankitError, match="results is a link to unplugged"):
        runtime.assemble(runtime.load(recipe))
