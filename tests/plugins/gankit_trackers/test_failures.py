"""Trackers that fail, are slow, or are not installed: the training goes on, with one notice."""

from __future__ import annotations

import shutil
import sys
import threading
from itertools import pairwise
from typing import Any

import pytest
import torch

import gankit
from gankit_trackers import outbox, tracker
from gankit_trackers.outbox import Outbox


class Recording:
    """A log in memory. ``fault`` is called with the name of each record first."""

    def __init__(self, fault: Any = lambda name: None) -> None:
        self.records: list[tuple[Any, ...]] = []
        self.fault = fault

    def start(self, step: int) -> None:
        self.add("start", step)

    def add(self, name: str, *values: Any) -> None:
        self.fault(name)
        self.records.append((name, *values))

    def scalars(self, step, values) -> None:
        self.add("scalars", step, values)

    def image(self, step, name, image) -> None:
        self.add("image", step, name)

    def note(self, step, name, text) -> None:
        self.add("note", step, text)

    def checkpoint(self, step, folder) -> None:
        self.add("checkpoint", step, folder.name)

    def finish(self, step, ending, failed) -> None:
        self.add("finish", step, ending, failed)


@pytest.fixture
def logging_to(runtime, add_components):
    """``logging_to(log)``: registers the callback ``recording``, which logs there."""

    def register(log):
        class Tracker(tracker.Tracker):
            """Logs to memory."""

            name = client = "recording"

            def __init__(self, *, every: int = 1, images_every: int = 4, checkpoints: bool = True) -> None:
                super().__init__(every, images_every, checkpoints)

            def fits(self) -> None:
                """Nothing to install."""

            def _open(self, run: gankit.Run) -> Any:
                return log

        add_components(runtime, callbacks={"recording": Tracker})
        return {"name": "recording"}

    return register


def raising(error, of):
    """A fault of the records with the name ``of``."""

    def fault(name: str) -> None:
        if name == of:
            raise error

    return fault


def test_all_records_come_in_order(logging_to, tracked):
    log = Recording()
    tracked("run", logging_to(log)).fit()
    names = [(name, step) for name, step, *_ in log.records]
    assert names[:6] == [("start", 0), ("scalars", 1), ("image", 1), ("note", 2), ("scalars", 2), ("scalars", 3)]
    assert names[-4:] == [("scalars", 8), ("image", 8), ("checkpoint", 8), ("finish", 8)]
    assert log.records[-1] == ("finish", 8, "done", False)


def test_a_run_without_a_last_checkpoint_is_finished_as_well(logging_to, runtime, recipe, tmp_path):
    log = Recording()
    made = recipe(callbacks=[logging_to(log)], train={"steps": 2, "final_checkpoint": False})
    runtime.assemble(made, tmp_path / "run").fit()
    assert log.records[-1] == ("finish", 2, "done", False)


def test_a_run_whose_last_checkpoint_is_refused_is_finished_as_well(logging_to, tracked, events):
    log = Recording()
    trainer = tracked("run", logging_to(log), infinite_at=8)
    trainer.fit()
    assert {event["step"] for event in events(trainer.directory, "not_saved")} == {8}
    assert log.records[-1] == ("finish", 8, "done", False)


def test_the_checkpoint_of_a_segment_is_logged_before_the_end(logging_to, runtime, recipe, tmp_path):
    log = Recording()
    train = {"steps": 4, "final_checkpoint": False}
    segments = [{"step": 2, "set": {"optimizers.generator.lr": 1e-4}}]
    made = recipe(callbacks=[logging_to(log)], train=train, segments=segments)
    runtime.assemble(made, tmp_path / "run").fit()
    assert [record[0] for record in log.records[-2:]] == ["checkpoint", "finish"]


def test_a_record_that_fails_is_left_out(logging_to, tracked, notices):
    log = Recording(raising(OSError(28, "No space left on device"), of="image"))
    trainer = tracked("run", logging_to(log))
    trainer.fit()
    assert trainer.ending == "done"
    assert [step for name, step, *_ in log.records if name == "scalars" and step != 3] == [1, 2, 4, 5, 6, 7, 8]
    assert notices(trainer) == [
        "callback 'recording': [Errno 28] No space left on device; it continues with the next record; "
        "training is not affected"
    ]


def test_a_log_that_cannot_be_started_is_tried_again(logging_to, tracked, notices):
    attempts = iter([ConnectionError("refused"), ConnectionError("refused"), None])

    def fault(name: str) -> None:
        if name == "start" and (error := next(attempts)):
            raise error

    log = Recording(fault)
    trainer = tracked("run", logging_to(log))
    trainer.fit()
    assert [record[:2] for record in log.records][:2] == [("start", 0), ("image", 1)]  # the first scalars are lost
    assert log.records[-1] == ("finish", 8, "done", False)
    assert len(notices(trainer)) == 1


def test_a_log_that_never_answers_does_not_hold_up_the_run(logging_to, tracked, notices, monkeypatch):
    monkeypatch.setattr(tracker, "END_SECONDS", 0.1)
    gone = threading.Event()
    trainer = tracked("run", logging_to(Recording(lambda name: gone.wait())))
    trainer.fit()
    gone.set()
    assert (trainer.ending, trainer.state.step) == ("done", 8)
    assert notices(trainer) == [
        "callback 'recording': it did not take the last records within 0 seconds, and these are lost; "
        "training is not affected"
    ]


def test_a_checkpoint_that_is_deleted_during_its_upload(logging_to, tracked, notices, monkeypatch):
    """As a run does that keeps only newer ones."""
    log = Recording()
    monkeypatch.setattr(log, "checkpoint", lambda step, folder: shutil.rmtree(folder) if step == 4 else None)
    trainer = tracked("run", logging_to(log))
    trainer.fit()
    (notice,) = notices(trainer)
    assert "step-00000004 was deleted before its upload ended; keep more checkpoints" in notice


def test_records_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(outbox, "MAX_WAITING", 3)
    monkeypatch.setattr(outbox, "MAX_WAITING_BEFORE_LARGE", 1)
    at_work, go_on, done = threading.Event(), threading.Event(), []
    box = Outbox(Recording())
    box.put(lambda: (at_work.set(), go_on.wait()))
    at_work.wait()
    for number in range(5):
        box.put(lambda number=number: done.append(number))
        box.put(lambda number=number: done.append(f"large {number}"), large=True)
    go_on.set()
    box.close(lambda: done.append("last"), 60)
    assert done == [0, 1, 2, "last"]
    assert box.problem == "it is slower than the training, and some records are left out"


def test_a_run_that_fails_is_finished_as_failed(logging_to, tracked):
    log = Recording()
    with pytest.raises(RuntimeError, match="a fault"):
        tracked("run", logging_to(log), fail_at=3).fit()
    assert log.records[-1] == ("finish", 3, "failed: RuntimeError: a fault", True)


def test_values_are_read_at_the_interval_only(logging_to, runtime, recipe, tmp_path, monkeypatch):
    read = []
    whole = gankit.scalars_to_floats

    def counted(scalars):
        read.append(len(scalars))
        return whole(scalars)

    monkeypatch.setattr("gankit.training.scalar_reader.scalars_to_floats", counted)
    log = Recording()
    made = recipe(
        callbacks=[{**logging_to(log), "every": 4}, {"name": "metrics_log", "every": 100}],
        train={"steps": 7, "final_checkpoint": False},
        report=False,
    )
    trainer = runtime.assemble(made, tmp_path / "run")
    counts = [len(read) for _ in trainer]
    assert [step for name, step, *_ in log.records if name == "scalars"] == [1, 4, 7]
    assert [after - before for before, after in pairwise(counts)] == [0, 0, 1, 0, 0, 2]  # the log reads step 7, too


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow"])
def test_a_missing_library_is_named_before_training(name, runtime, recipe, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    made = recipe(callbacks=[{"name": name}])
    sentence = (
        f"callback '{name}' needs the package '{name}', which is not installed; run: pip install 'gankit\\[{name}\\]'"
    )
    with pytest.raises(gankit.RecipeError, match=sentence):
        runtime.check(made)
    with pytest.raises(gankit.RecipeError, match=sentence):
        runtime.assemble(made, tmp_path / "run")


@pytest.mark.slow  # MLflow creates a database
def test_trackers_do_not_affect_the_weights(tracked, tmp_path):
    trackers = []
    for name, options in {"tensorboard": {}, "wandb": {"mode": "offline"}, "mlflow": {"tracking_uri": "sqlite:///own.db"}}.items():
        try:
            __import__(name)
            trackers.append({"name": name, **options})
        except ImportError:
            pass
    if not trackers:
        pytest.skip("no tracker is installed")
    with_trackers, without = tracked("with", *trackers), tracked("without")
    with_trackers.fit()
    without.fit()
    for one, other in zip(with_trackers.state.generator.parameters(), without.state.generator.parameters(), strict=True):
        assert torch.equal(one, other)
