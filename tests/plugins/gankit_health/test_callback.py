"""The callback: resuming, NaN, configuration, and the smallest runs."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest

import gankit
import gankit_health
from gankit.runs.json_lines import JsonLines
from gankit_health.callback import Health


def test_a_resumed_run_has_the_same_findings(assemble, runtime, tmp_path):
    changes = {
        "optimizers.generator.lr": 1e-5,
        "optimizers.discriminator.lr": 0.05,
        "generator": {"name": "Cutout"},
        "augmentations": [{"name": "diffaugment", "policy": ["cutout"]}],
        "callbacks": [{"name": "health", "every": 30}, {"name": "checkpoint", "every": 29}],
        "train.steps": 90,
    }

    def findings(directory):
        logged = JsonLines.read(directory / "events.jsonl")
        return [
            {key: value for key, value in event.items() if key != "at"}
            for event in logged
            if event["event"] in ("finding", "recovered")
        ]

    for _ in (whole := assemble(changes, "whole")):
        if whole.state.step == 87:  # in the midst of the steps whose gradients the next check is about
            shutil.copytree(tmp_path / "whole", tmp_path / "part")
    before = findings(tmp_path / "part")
    resumed = runtime.resume(tmp_path / "part")
    assert resumed.state.step == 87
    resumed.fit()
    assert findings(tmp_path / "part") == findings(tmp_path / "whole")
    assert 1 <= len(before) < len(findings(tmp_path / "whole"))


class Judged:
    """A run that has become NaN."""

    def __init__(self, step):
        self.state = type("State", (), {"step": step, "optimizers": {}})()
        self.total_steps, self.scalars, self.went = 300, {}, None
        self.recipe = SimpleNamespace(segments=[SimpleNamespace(step=250)])

    def not_finite(self):
        return gankit.NotFinite(self.state.step, ("discriminator_loss",))

    def recover(self, go_on):
        self.went = go_on


@pytest.mark.parametrize(("on_nan", "goes_on"), [("stop", False), ("roll_back", True)])
def test_nan_is_handled_by_the_run(on_nan, goes_on):
    run, health = Judged(200), Health(on_nan=on_nan)
    health.on_step_end(run)
    assert run.went is goes_on


def test_nan_is_checked_at_checks_and_at_the_end():
    for step, looks in ((99, False), (100, True), (101, False), (250, True), (300, True)):
        run = Judged(step)
        Health().on_step_end(run)
        assert (run.went is not None) == looks


def test_a_recipe_can_configure_the_callback(runtime, assemble):
    trainer = assemble({"callbacks": [{"name": "health", "every": 7}]})
    watches = [callback for callback in trainer.callbacks.named.values() if isinstance(callback, Health)]
    assert [watch.every for watch in watches] == [7]
    trainer = assemble({"callbacks": []}, "other")
    assert [callback.every for callback in trainer.callbacks.named.values() if isinstance(callback, Health)] == [100]


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("conditional", [False, True])
def test_the_smallest_runs_have_no_findings(tiny_plugin, tiny_recipe, tmp_path, channels, conditional):
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
