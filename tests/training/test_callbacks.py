"""The callbacks of a run: when they are called, and what is recorded when one fails."""

from __future__ import annotations

import json

import pytest

import gankit
from gankit.runs.json_lines import JsonLines

CALLBACKS = [{"name": "watcher"}, {"name": "checkpoint", "every": 4}]


def watcher(trainer):
    return next(c for c in trainer.callbacks.named.values() if hasattr(c, "calls")).calls


def test_callbacks_are_called_in_order(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS, train={"steps": 7}), tmp_path / "run")
    trainer.fit()
    assert watcher(trainer) == [
        ("start", 0),
        *(("step", n) for n in (1, 2, 3, 4)),
        ("checkpoint", 4),
        ("step", 5),
        ("step", 6),
        ("epoch", 6),
        ("step", 7),
        ("end: done", 7),
        ("checkpoint", 7),
    ]


def test_a_step_by_hand_calls_nobody(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "run")
    trainer.step()
    assert watcher(trainer) == []
    assert not (tmp_path / "run").exists()


def test_leaving_the_loop_early_saves(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS, train={"steps": 9}), tmp_path / "run")
    for _ in trainer:
        if trainer.state.step == 2:
            break
    assert watcher(trainer)[-2:] == [("end: left early", 2), ("checkpoint", 2)]
    assert json.loads((tmp_path / "run/run.json").read_text())["ended"]["reason"] == "left early"


def test_a_failing_callback_is_told_of_and_the_step_is_saved(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "run")

    class Broken:
        def on_step_end(self, run):
            raise ZeroDivisionError("oh")

    trainer.callbacks.add("broken", Broken())
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert watcher(trainer)[-2:] == [("checkpoint", 1), ("exception", 1)]
    assert trainer.ending == "failed: ZeroDivisionError: oh"
    assert [event["event"] for event in JsonLines.read(tmp_path / "run/events.jsonl")] == ["started", "failed"]
    assert trainer.checkpoint == tmp_path / "run/checkpoints/step-00000001"


@pytest.mark.parametrize("method", ["on_run_start", "on_run_end"])
def test_a_failure_at_the_start_or_the_end_is_recorded(runtime, recipe, tmp_path, method):
    trainer = runtime.assemble(recipe(callbacks=CALLBACKS), tmp_path / "run")

    def fail(run):
        raise ZeroDivisionError("oh")

    trainer.callbacks.add("broken", type("Broken", (), {method: staticmethod(fail)})())
    with pytest.raises(ZeroDivisionError):
        trainer.fit()
    assert json.loads((tmp_path / "run/run.json").read_text())["ended"]["reason"] == "failed: ZeroDivisionError: oh"
    assert watcher(trainer)[-1][0] == "exception"


def test_an_unknown_callback_method_is_refused(runtime, recipe):
    class Misspelt:
        def on_step_ends(self, run): ...

    trainer = runtime.assemble(recipe())
    with pytest.raises(gankit.GankitError, match="callback 'misspelt': .* has a method 'on_step_ends'; did you mean 'on_step_end'"):
        trainer.callbacks.add("misspelt", Misspelt())
