"""The diagnosis of runs that finished, failed, were rolled back or were killed."""

from __future__ import annotations

import json
import os
import time

import pytest

import gankit
from gankit.reports.diagnosis import diagnose


@pytest.fixture
def run(tiny_runtime, tiny_recipe, tmp_path):
    """A finished run's directory."""
    recipe = gankit.Recipe.load(tiny_recipe(tmp_path, callbacks=[{"name": "tiny", "save": True}]))
    trainer = tiny_runtime.assemble(recipe, tmp_path / "run")
    trainer.fit()
    return tmp_path / "run"


def add(file, *records):
    with file.open("a") as log:
        log.writelines(json.dumps(record) + "\n" for record in records)


def remove_the_ending(run):
    record = json.loads((run / "run.json").read_text()) | {"ended": None}
    (run / "run.json").write_text(json.dumps(record))


def test_a_finished_run(run):
    found = diagnose(run)
    assert found.status == "done at step 3, after 24 images"
    assert found.problems == []
    assert found.next_step is None
    assert [sentence.partition("  ")[2] for sentence in found.history] == ["started", "ended at step 3: done"]


def test_repeated_findings_are_joined_until_they_are_over(run):
    add(
        run / "events.jsonl",
        {"step": 100, "event": "finding", "finding": "mode_collapse", "message": "first"},
        {"step": 200, "event": "finding", "finding": "other", "message": "another"},
        {"step": 300, "event": "recovered", "finding": "mode_collapse"},
        {"step": 400, "event": "finding", "finding": "mode_collapse", "message": "again"},
        {"step": 500, "event": "finding", "finding": "mode_collapse", "message": "and again"},
    )
    problems = [(p.kind, p.message, p.first_step, p.end_step, p.reports) for p in diagnose(run).problems]
    assert problems == [
        ("mode_collapse", "first", 100, 300, 1),
        ("other", "another", 200, None, 1),
        ("mode_collapse", "and again", 400, None, 2),
    ]


def test_a_killed_run(run):
    remove_the_ending(run)
    assert diagnose(run).status.startswith("killed at step")  # nobody holds its lock
    (run / ".lock").unlink()  # as in runs of earlier versions, and on file systems without locks
    assert diagnose(run).status.startswith("probably running at step")
    for name in ("events.jsonl", "metrics.jsonl"):
        if (run / name).exists():
            os.utime(run / name, (time.time() - 7200,) * 2)
    found = diagnose(run)
    assert "killed at step" in found.status
    assert "last changed 2 hours ago" in found.status
    assert found.next_step == f"gankit resume {run}    continues from step-00000003"


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(121, "2 minutes"), (7_190, "120 minutes"), (7_210, "2 hours"), (172_000, "48 hours"), (172_900, "2 days")],
)
def test_the_age_of_the_log_of_a_killed_run(run, seconds, age):
    remove_the_ending(run)
    for file in run.glob("*.jsonl"):
        os.utime(file, (time.time() - seconds,) * 2)
    assert diagnose(run).status.endswith(f"last changed {age} ago")


def test_nan_in_the_log_of_a_run_that_did_not_report_it(run):
    remove_the_ending(run)
    (run / "metrics.jsonl").unlink(missing_ok=True)
    add(
        run / "metrics.jsonl",
        {"step": 10, "images": 80, "seconds": 1.0, "generator_loss": 0.5},
        {"step": 20, "images": 160, "seconds": 2.0, "generator_loss": "nan", "real_logits": "-inf"},
        {"step": 30, "images": 240, "seconds": 3.0, "generator_loss": "nan"},
    )
    (problem,) = diagnose(run).problems
    assert (problem.kind, problem.first_step) == ("not_finite", 20)
    assert "NaN or infinity in the log from step 20 on (generator_loss, real_logits)" in problem.message


def test_a_rollback_ends_a_nan_finding(run):
    add(
        run / "events.jsonl",
        {"step": 201, "event": "finding", "finding": "not_finite", "message": "broken"},
        {"step": 150, "event": "rolled_back", "from_step": 300, "without": []},
    )
    (problem,) = diagnose(run).problems
    assert (problem.first_step, problem.end_step) == (201, 300)


def test_the_history_contains_rollbacks_and_failures(run):
    add(
        run / "events.jsonl",
        {"at": "T", "step": 100, "event": "rolled_back", "from_step": 230, "without": [1, 2, 3]},
        {"at": "T", "step": 200, "event": "not_saved", "reason": "generator w is NaN or infinite"},
        {"at": "T", "step": 210, "event": "failed", "error": "failed: GankitError: " + 300 * "x"},
    )
    back, unsaved, failed = diagnose(run).history[-3:]
    assert back == "T  returned from step 230 to step 100, skipping a batch of 3 images"
    assert unsaved == "T  not saved at step 200: generator w is NaN or infinite"
    assert failed.startswith("T  failed after step 210: GankitError: xxx")
    assert failed.endswith("...")


def test_the_command(run, cli, tmp_path):
    said = cli("doctor", run)
    assert said.code == 0
    assert "done at step 3" in said.out
    assert "No problems of the training were found" in said.out
    add(run / "events.jsonl", {"step": 7, "event": "finding", "finding": "mode_collapse", "message": "All alike."})
    said = cli("doctor", run)
    assert "mode_collapse, from step 7 to the end:\n  All alike." in said.out
    said = cli("doctor", tmp_path / "nothing")
    assert (said.code, said.err.strip()) == (2, f"error: {tmp_path / 'nothing'}: no such run directory")


def finding(step, kind, event="finding"):
    return {"step": step, "event": event, "finding": kind, "message": f"{kind}!"}


class TestCauses:
    def test_what_follows_from_a_learning_rate(self, run, cli):
        add(
            run / "events.jsonl",
            finding(200, "mode_collapse"),
            finding(200, "discriminator_too_fast"),
            finding(300, "not_finite"),
        )
        found = diagnose(run)
        assert [(problem.kind, problem.cause) for problem in found.problems] == [
            ("discriminator_too_fast", None),
            ("mode_collapse", "discriminator_too_fast"),
            ("not_finite", "discriminator_too_fast"),
        ]
        lines = cli("doctor", run).out.splitlines()
        assert "mode_collapse, from step 200 to the end, probably a consequence of discriminator_too_fast:" in lines
        assert lines.index("  discriminator_too_fast!") < lines.index("  mode_collapse!")
        (advice,) = [line for line in lines if line.startswith("Advice:")]
        assert "restart" in advice
        assert f"initialize={run / 'checkpoints/step-00000003'}" in advice

    def test_what_was_there_before_or_long_after_does_not_follow(self, run):
        add(
            run / "events.jsonl",
            finding(100, "mode_collapse"),
            finding(200, "discriminator_too_fast"),
            finding(300, "discriminator_too_fast", "recovered"),
            finding(1301, "missing_modes"),
            finding(1300, "range_overflow"),
        )
        causes = {problem.kind: problem.cause for problem in diagnose(run).problems}
        assert causes == {
            "mode_collapse": None,
            "discriminator_too_fast": None,
            "range_overflow": "discriminator_too_fast",
            "missing_modes": None,
        }

    def test_problems_that_are_over_do_not_need_a_restart(self, run):
        assert diagnose(run).advice is None
        add(run / "events.jsonl", finding(100, "mode_collapse"), finding(200, "mode_collapse", "recovered"))
        assert diagnose(run).advice == "all problems are over; resume the run, or keep it"

    def test_a_nan_alone_is_resumed_from(self, run):
        add(run / "events.jsonl", finding(100, "not_finite"))
        assert diagnose(run).advice.startswith("resume")

    def test_a_problem_before_the_first_checkpoint_means_from_the_beginning(self, run):
        add(run / "events.jsonl", finding(3, "generator_too_fast"))
        assert "from the beginning" in diagnose(run).advice
