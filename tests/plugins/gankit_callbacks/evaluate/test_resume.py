"""Evaluations of resumed runs."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import torch

import gankit
from gankit.evaluation import evaluate
from gankit.evaluation.evaluation_log import append_evaluation, read_evaluations

ROOT = Path(__file__).parents[4]


WANTED = {"metrics": ["gap"], "features": "colours", "samples": 70}


REQUEST = gankit.Request(**WANTED, device="cpu")


def evaluations(name: str = "run") -> list[gankit.Evaluation]:
    return read_evaluations(Path(name, "evaluations.jsonl"))


def events(name: str = "run") -> list[dict[str, Any]]:
    return [event for event in gankit.JsonLines.read(Path(name, "events.jsonl")) if event["event"] == "evaluated"]


def best(name: str = "run") -> list[str]:
    return names(Path(name, "best"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestResume:
    def test_a_resumed_run_has_the_same_scores(self, make, runtime, given):
        scores = [4.0, 7.0, 5.0, 6.0, 1.0, 9.0]
        given += scores
        make("whole", {"every": 1, "metrics": ["given"], "patience": 3}).fit()
        given[:] = [0.0, *scores]
        trainer = make("run", {"every": 1, "metrics": ["given"], "patience": 3})
        for _ in itertools.islice(trainer, 4):
            pass  # and is left early, after three steps that were seen by all
        state = torch.load(trainer.checkpoint / "state.pt", weights_only=True)["callbacks"]["evaluate"]
        assert (state["step"], state["value"], state["since"]) == (2, 7.0, 2)
        given[:] = [0.0, *scores[4:]]
        again = runtime.resume("run")
        again.fit()
        whole = [(record.evaluated.step, record.scores) for record in evaluations("whole")]
        assert [(record.evaluated.step, record.scores) for record in evaluations()] == whole
        assert best() == best("whole")
        assert again.ending == "given_colours has not improved since step 2: 7"

    def test_steps_played_again_are_not_written_again(self, make, runtime):
        make(callback={"every": 1}).fit()
        lines = Path("run/evaluations.jsonl").read_text()
        append_evaluation(Path("run/evaluations.jsonl"), evaluate("run", REQUEST, runtime))  # whose kind is another
        shutil.rmtree("run/checkpoints")
        runtime.resume("run", restart=True).fit()
        after = Path("run/evaluations.jsonl").read_text()
        assert after.startswith(lines)
        assert len(after.splitlines()) == len(lines.splitlines()) + 1
        assert [event["step"] for event in events()] == [1, 2, 3, 4, 5, 6]

    def test_another_protocol_is_written_and_begins_anew(self, make, runtime, given):
        given += [5.0, 4.0, 3.0]
        trainer = make(callback={"every": 1, "metrics": ["given"]})
        for _ in itertools.islice(trainer, 3):
            pass
        assert best() == ["step-00000001"]
        given[:] = [0.0, 1.0, 2.0, 1.0]
        runtime.resume("run", ["callbacks.evaluate.samples=20"]).fit()
        assert [record.samples for record in evaluations()] == [70, 70, 70, 20, 20, 20]
        assert best() == ["step-00000005"]

    def test_a_best_checkpoint_that_a_crash_left_unkept(self, make, runtime, given):
        given += [5.0, 4.0, 9.0]
        trainer = make(callback={"every": 1, "metrics": ["given"]})
        for _ in itertools.islice(trainer, 3):
            pass
        shutil.rmtree("run/best")
        Path("run/best/.step-00000003.77").mkdir(parents=True)
        runtime.resume("run").fit()
        assert best() == ["step-00000003"]

    def test_the_same_step_in_another_past(self, make, runtime, given):
        """Best at step 2, then back to the start with another learning rate, and best at step 2 again."""
        given += [1.0, 2.0, 0.0, 0.0, 0.0, 0.0]
        make(callback={"every": 1, "metrics": ["given"]}).fit()
        before = gankit.load_generator("run/best/step-00000002", plugins=[ROOT / "tests/tiny_plugin.py"]).sample(1)
        shutil.rmtree("run/checkpoints")
        given[:] = [0.0, 1.0, 2.0, -1.0]
        runtime.resume("run", ["optimizers.generator.lr=1"], restart=True).fit()
        found = [(record.evaluated.step, record.scores["given_colours"]) for record in evaluations()]
        assert found == [(1, 1.0), (2, 2.0), (3, 0.0), (4, 0.0), (5, 0.0), (6, 0.0), (3, -1.0)]
        after = gankit.load_generator("run/best/step-00000002", plugins=[ROOT / "tests/tiny_plugin.py"]).sample(1)
        assert best() == ["step-00000002"]
        assert not torch.equal(before, after)
