"""A run that was stopped and resumed ends as one that never stopped: bit for bit, in fp32 on the CPU."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

import gankit
from gankit.runs.file_names import checkpoints
from gankit.runs.json_lines import JsonLines

EVERYTHING = {
    "conditional": True,
    "loader": {"flip": True},
    "regularizers": [{"name": "r1", "gamma": 0.1, "interval": 3}],
    "augmentations": [{"name": "diffaugment"}],
    "ema": {"half_life_images": 40},
    "callbacks": [{"name": "sample_images", "every": 3}, {"name": "checkpoint", "every": 2, "keep": 2}],
    "train": {"steps": 9},
}


def content(directory):
    """Hashes of all that must not depend on interruptions."""
    newest = checkpoints(directory)[-1]
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in newest.glob("*.safetensors")}
    pictures = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.glob("*samples*.png")}
    clocks = ("seconds", "images_per_second", "peak_memory_mib")
    metrics = [
        {k: v for k, v in line.items() if k not in clocks} for line in JsonLines.read(directory / "metrics.jsonl")
    ]
    return newest.name, hashes, pictures, metrics


@pytest.fixture
def whole(runtime, recipe, made_once):
    """The content of a run that is never stopped."""
    return content(made_once("whole", lambda new: runtime.assemble(recipe(**EVERYTHING), new).fit(), "whole"))


@pytest.mark.parametrize("stop_at", [1, *(pytest.param(step, marks=pytest.mark.slow) for step in (2, 8)), 5])
def test_stopped_and_resumed_is_as_never_stopped(runtime, recipe, whole, tmp_path, stop_at):
    trainer = runtime.assemble(recipe(**EVERYTHING), tmp_path / "parts")
    for _ in trainer:
        if trainer.state.step == stop_at:
            break
    resumed = runtime.resume(tmp_path / "parts")
    assert resumed.state.step == stop_at
    resumed.fit()
    assert content(tmp_path / "parts") == whole
    assert len(checkpoints(tmp_path / "parts")) == 2


def test_a_run_cut_off_after_a_checkpoint_repeats_what_was_lost(runtime, recipe, whole, tmp_path):
    """As after a power cut: logs and pictures are ahead of the newest checkpoint."""
    trainer = runtime.assemble(recipe(**EVERYTHING), tmp_path / "parts")
    for _ in trainer:
        if trainer.state.step == 5:
            shutil.copytree(tmp_path / "parts", tmp_path / "cut")
    assert checkpoints(tmp_path / "cut")[-1].name == "step-00000004"
    runtime.resume(tmp_path / "cut").fit()
    assert content(tmp_path / "cut") == whole


def test_a_run_without_a_checkpoint_starts_again_on_request(runtime, recipe, tmp_path):
    made = recipe(train={"steps": 3, "final_checkpoint": False})
    runtime.assemble(made, tmp_path / "run").fit()
    resumed = runtime.resume(tmp_path / "run", restart=True)
    assert resumed.state.step == 0
    resumed.fit()
    assert [line["step"] for line in JsonLines.read(tmp_path / "run/metrics.jsonl")] == [1, 3]


def test_a_finished_run_is_finished(runtime, recipe, tmp_path):
    runtime.assemble(recipe(**EVERYTHING), tmp_path / "run").fit()
    before = content(tmp_path / "run")
    resumed = runtime.resume(tmp_path / "run")
    assert resumed.finished
    resumed.fit()
    assert content(tmp_path / "run") == before


def test_overrides_on_resume_take_effect(runtime, recipe, tmp_path):
    runtime.assemble(recipe(**EVERYTHING), tmp_path / "run").fit()
    resumed = runtime.resume(tmp_path / "run", ["train.images=96", "optimizers.generator.lr=0.5"])
    assert resumed.total_steps == 12
    resumed.step()
    assert resumed.state.optimizers["generator"].param_groups[0]["lr"] == 0.5
    assert resumed.state.optimizers["discriminator"].param_groups[0]["lr"] == 2e-4


def test_other_networks_are_refused(runtime, recipe, tmp_path):
    runtime.assemble(recipe(**EVERYTHING), tmp_path / "run").fit()
    with pytest.raises(
        gankit.RecipeError,
        match=r"generator\.width: does not fit the networks .*generator\.safetensors: .*size mismatch",
    ):
        runtime.resume(tmp_path / "run", ["generator.width=16"])


PLUGIN = """
import time, torch, gankit

class Pictures:
    split, classes = "train", None
    spec = gankit.ImageSpec(16, 16, 3)
    def __init__(self, *, delay: float = 0.0): ...
    def prepare(self): ...
    def __len__(self): return 48
    def __getitem__(self, index):
        random = torch.Generator().manual_seed(index)
        return torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8, generator=random), 0

class Slow:
    def on_step_end(self, run): time.sleep(0.05)

@gankit.hookimpl
def register(registries):
    registries.datasets.add("noise", Pictures)
    registries.callbacks.add("slow", Slow)
"""


@pytest.fixture
def command(tmp_path, recipe):
    """Runs ``gankit VERB ...`` with the plugin above in a process of its own."""
    (tmp_path / "noise.py").write_text(PLUGIN)
    callbacks = [{"name": "sample_images", "every": 4}, {"name": "checkpoint", "every": 5}, {"name": "slow"}]
    made = recipe(
        dataset={"name": "noise"}, latent={"name": "normal", "dim": 8}, callbacks=callbacks, train={"steps": 30}
    )
    (tmp_path / "recipe.yaml").write_text(made.to_yaml())

    def start(*words):
        line = [sys.executable, "-m", "gankit", *words, "--plugin", "noise.py"]
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            line,
            cwd=tmp_path,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    return start


def wait_for_step(path, step):
    for _ in range(600):
        if path.exists() and len(path.read_text().splitlines()) >= step:
            return
        time.sleep(0.05)
    raise AssertionError(f"no step {step}")


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="SIGINT", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, id="SIGKILL", marks=pytest.mark.slow),  # `tests/crashes` has quicker ones
    ],
)
def test_a_signal_and_resume_end_in_the_same_weights(command, tmp_path, number):
    whole = command("run", "recipe.yaml", "--out", "whole")
    assert whole.wait() == 0, whole.stderr.read()
    parts = command("run", "recipe.yaml", "--out", "parts", "callbacks.slow={name: slow}")
    wait_for_step(tmp_path / "parts/metrics.jsonl", 2)
    parts.send_signal(number)
    out, err = parts.communicate()
    assert "Traceback" not in err
    if number is signal.SIGKILL:
        assert parts.returncode == -9
    else:
        assert parts.returncode == 128 + number
        assert f"{number.name}: saving and stopping after this step" in err
        assert "to continue from parts/checkpoints/step-" in out
        assert "gankit resume parts --plugin noise.py" in out
        ended = json.loads((tmp_path / "parts/run.json").read_text())["ended"]
        assert ended["reason"] == number.name
        assert 0 < ended["step"] < 30
    again = command("resume", "parts")
    assert again.wait() == 0, again.stderr.read()
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


@pytest.mark.slow
def test_a_signal_to_the_whole_group_saves_where_workers_decode(command, start, tmp_path):
    """As schedulers and ``timeout`` send it."""
    (tmp_path / "signal_all.py").write_text(
        "import gankit, os\n"
        "class SignalAll:\n"
        "    def on_step_end(self, run):\n"
        "        if run.state.step == 2: os.system('kill -TERM 0')\n"  # not by the run itself, which workers obey
        "@gankit.hookimpl\n"
        "def run_callbacks(recipe): return [SignalAll()]\n"
    )
    words = ["loader.cache=none", "loader.workers=2", "--plugin", "noise.py", "--plugin", "signal_all.py"]
    assert start("run", "recipe.yaml", "--out", "run", *words, group=True).status == 143
    said = (tmp_path / "log.txt").read_text()
    assert "Traceback" not in said
    assert said.count("SIGTERM: saving and stopping after this step") == 1
    assert "to continue from run/checkpoints/step-" in said


class Remembering:
    """A regularizer with a state."""

    def __init__(self, *, by: int = 1, interval: int = 1) -> None:
        self.interval, self.by, self.total = interval, by, 0

    def discriminator(self, turn):
        self.total += self.by
        return turn.real_logits.mean() * 0

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


def test_states_follow_their_components(runtime, recipe, add_components, tmp_path):
    add_components(runtime, regularizers={"one": Remembering, "two": Remembering})
    parts = [{"name": "one"}, {"name": "two", "by": 10}]
    made = recipe(regularizers=parts, callbacks=[{"name": "checkpoint"}], train={"steps": 3})
    runtime.assemble(made, tmp_path / "run").fit()
    turned = runtime.resume(tmp_path / "run", ["regularizers=[two, one, r1]", "train.steps=4"])
    totals = {name: part.total for name, part in turned.context.regularizers.items() if name != "r1"}
    assert totals == {"two": 30, "one": 3}
    added = runtime.resume(
        tmp_path / "run", ["regularizers=[one, one]", "augmentations=[diffaugment]", "train.steps=4"]
    )
    assert [part.total for part in added.context.regularizers.values()] == [3, 0]
    added.fit()
    resumed = [event for event in JsonLines.read(tmp_path / "run/events.jsonl") if event["event"] == "resumed"]
    assert resumed[0]["without_state"] == ["regularizers.one#2", "augmentations.diffaugment"]


def test_a_damaged_newest_checkpoint_says_how_to_go_on(runtime, recipe, tmp_path):
    runtime.assemble(recipe(**EVERYTHING), tmp_path / "run").fit()
    newest = checkpoints(tmp_path / "run")[-1]
    (newest / "generator.safetensors").write_bytes(b"x")
    with pytest.raises(
        gankit.CheckpointError, match=f"SHA-256 .*to continue from step-00000008, delete {newest} and resume"
    ):
        runtime.resume(tmp_path / "run")


def test_the_state_in_a_checkpoint_is_read_without_unpickling(runtime, recipe, tmp_path):
    runtime.assemble(recipe(**EVERYTHING), tmp_path / "run").fit()
    state = torch.load(checkpoints(tmp_path / "run")[-1] / "state.pt", weights_only=True)
    assert state["training"]["images"] == 72
    assert set(state["training"]["optimizers"]) == {"generator", "discriminator"}
