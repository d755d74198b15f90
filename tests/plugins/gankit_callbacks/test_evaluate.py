"""The callback `evaluate`: scores as `gankit eval` gives them, the best checkpoint, patience, and an undisturbed run."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import gankit
from gankit.evaluation.evaluation_log import append_evaluation, read_evaluations
from gankit.evaluation.evaluate import evaluate
from gankit_callbacks import best_checkpoint
from gankit_callbacks.evaluate import Best, Evaluate

ROOT = Path(__file__).parents[3]
SCORERS = ROOT / "tests/evaluation/scorers_plugin.py"
WANTED = {"metrics": ["gap"], "features": "colours", "samples": 70}
REQUEST = gankit.Request(**WANTED, device="cpu")


class Given:
    """A metric whose scores the test has written down, and that draws random numbers; needs two generated images."""

    uses = "features"
    scores: list[float] = []  # noqa: RUF012
    better = {"given": "higher"}  # noqa: RUF012

    def require(self, real: int, generated: int) -> None:
        if generated < 2:
            raise ValueError(f"2 generated images are needed, and {generated} were given: raise `samples`")

    def update(self, values: torch.Tensor, real: bool) -> None:
        torch.rand(1), np.random.rand()

    def compute(self) -> dict[str, float]:
        return {"given": self.scores.pop(0) if self.scores else 0.0}


class Noisy(torch.nn.Module):
    """With what training changes and sampling must not: BatchNorm, dropout, and noise of its own."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, gain: gankit.Scheduled = 1.0) -> None:
        super().__init__()
        self.image, self.gain = image, gain
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(latent_dim, 8 * 16), torch.nn.Unflatten(1, (8, 4, 4)), torch.nn.BatchNorm2d(8),
            torch.nn.Dropout(0.1), torch.nn.ReLU(), torch.nn.ConvTranspose2d(8, image.channels, 4, 4),
        )  # fmt: skip

    def forward(self, z: torch.Tensor, labels: torch.Tensor | None = None, *, heat: float = 1.0) -> torch.Tensor:
        return (self.gain * self.layers(z + 0.01 * heat * torch.randn_like(z))).tanh()


class Plugin:
    @gankit.hookimpl
    def register(self, registries: gankit.Registries) -> None:
        registries.metrics.add("given", Given)
        registries.generators.add("noisy", Noisy)


@pytest.fixture
def runtime(tiny_plugin):
    return gankit.Runtime(plugins=[tiny_plugin, SCORERS, Plugin()])


@pytest.fixture
def given():
    """The scores of the evaluations to come; the first is the rehearsal's."""
    Given.scores = [0.0]
    yield Given.scores
    Given.scores = []


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def make(runtime, tiny_recipe, tmp_path):
    """``make("name", every=2, ..., recipe sections) -> trainer``, with the callback where it is given something."""

    def build(name: str = "run", callback: dict[str, Any] | None = None, **sections: Any) -> gankit.Trainer:
        own = [] if callback is None else [{"name": "evaluate", **WANTED, **callback}]
        sections.setdefault("callbacks", [*own, {"name": "checkpoint", "every": 1, "keep": 1}])
        sections.setdefault("dataset", {"name": "tiny", "count": 100})
        sections.setdefault("train", {"steps": 6, "device": "cpu", "precision": "fp32"})
        return runtime.assemble(runtime.load(tiny_recipe(tmp_path, **sections)), tmp_path / name)

    return build


def evaluations(name: str = "run") -> list[gankit.Evaluation]:
    return read_evaluations(Path(name, "evaluations.jsonl"))


def events(name: str = "run") -> list[dict[str, Any]]:
    return [event for event in gankit.JsonLines.read(Path(name, "events.jsonl")) if event["event"] == "evaluated"]


def best(name: str = "run") -> list[str]:
    return names(Path(name, "best"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


SAME = {
    "plain": {},
    "ema": {"ema": {"half_life_images": 20}},
    "conditional": {"conditional": True},
    "noise": {"generator": {"name": "noisy"}},
    "dcgan": {"generator": {"name": "dcgan", "width": 8}, "image": {"size": 32}, "dataset": {"name": "tiny", "count": 100, "side": 32}},
    "bf16": {
        "generator": {"name": "dcgan", "width": 8}, "image": {"size": 32}, "dataset": {"name": "tiny", "count": 100, "side": 32},
        "train": {"steps": 4, "device": "cpu", "precision": "bf16"},
    },
    "fp64": {"generator": {"name": "dcgan", "width": 8}, "train": {"steps": 4, "device": "cpu", "precision": "fp64"}},
}  # fmt: skip


@pytest.mark.parametrize("sections", SAME.values(), ids=SAME)
def test_the_scores_are_those_of_the_checkpoint_later(make, runtime, sections):
    train = sections.get("train", {"steps": 4, "device": "cpu", "precision": "fp32"})
    callbacks = [{"name": "evaluate", **WANTED, "every": 2}, {"name": "checkpoint", "every": 2, "keep": None}]
    make(callbacks=callbacks, **{**sections, "train": train}).fit()
    records = evaluations()
    assert [record.evaluated.step for record in records] == [2, 4]
    for record in records:
        later = evaluate(Path("run/checkpoints") / f"step-{record.evaluated.step:08d}", REQUEST, runtime)
        assert record.scores == later.scores
        assert record.protocol == later.protocol
        assert record.real == later.real
        assert record.features == later.features
        assert record.metrics == later.metrics
        assert record.evaluated.ema is later.evaluated.ema is ("ema" in sections)
    assert records[0].scores != records[1].scores


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
def test_the_scores_are_those_of_the_checkpoint_later_on_a_gpu(make, runtime, compiled):
    make(
        callback={"every": 4},
        generator={"name": "dcgan", "width": 32},
        train={"steps": 4, "device": "cuda", "compile": compiled},
    ).fit()
    (record,) = evaluations()
    assert record.device.startswith("cuda")
    assert record.scores == evaluate("run", gankit.Request(**WANTED, device="cuda"), runtime).scores


def test_the_record_and_the_event(make):
    make(callback={"every": 4}).fit()
    first, last = evaluations()
    assert first.evaluated.model_dump() == {
        "kind": "training", "path": str(Path.cwd() / "run"), "run": "run", "checkpoint": None, "step": 4, "ema": False,
        "weights": None,
    }  # fmt: skip
    assert last.evaluated.step == 6
    assert (first.samples, first.real.count, first.seed, first.device) == (70, 70, 0, "cpu")
    assert first.metrics["gap"].better == {"gap_colours": "lower"}
    assert [(event["step"], event["scores"]) for event in events()] == [(4, first.scores), (6, last.scores)]


def test_parameters_reach_the_scorers(make):
    make(callback={"every": 6, "params": {"gap": {"power": 2}}, "real_samples": 30, "size": 8, "seed": 3}).fit()
    (record,) = evaluations()
    assert record.metrics["gap"].params == {"power": 2}
    assert (record.real.count, record.image.height, record.seed) == (30, 8, 3)


def test_the_command_line_reaches_the_scorers(runtime, tiny_recipe, tmp_path):
    path = tiny_recipe(tmp_path, callbacks=[{"name": "evaluate", **WANTED}])
    recipe = runtime.load(path, ["callbacks.evaluate.params.gap.power=3", "callbacks.evaluate.every=1"])
    assert recipe.callbacks[0].params["params"] == {"gap": {"power": 3}}


@pytest.mark.parametrize("sections", [{"generator": {"name": "noisy"}}, {"ema": {"half_life_images": 9}}])
def test_training_is_not_disturbed(make, sections):
    weights = []
    for name, callback in (("with", {"every": 1, "metrics": ["gap", "given"]}), ("without", None)):
        torch.manual_seed(7)
        np.random.seed(7)
        trainer = make(name, callback, **sections)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        trainer.fit()
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        assert trainer.state.generator.training
        weights.append([network.state_dict() for network in trainer.state.networks().values()])
    assert len(evaluations("with")) == 6
    for one, other in zip(*weights, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_what_is_expensive_is_done_once(make, runtime):
    seen = runtime.registries.features.get("colours").factory.seen
    seen.clear()
    make("one", {"every": 2}).fit()
    assert seen == [64, 6] * 4  # real, and generated three times
    seen.clear()
    make("two", {"every": 6}).fit()
    assert seen == [64, 6]  # the real ones are known


class TestBest:
    def test_the_first_telling_score_and_its_metrics_direction(self, make, given):
        given += [1.0, 3.0, 2.0]
        make(callback={"every": 2, "metrics": ["given", "gap"]}).fit()
        assert best() == ["step-00000004"]
        given[:] = [0.0, 1.0, 3.0, 2.0]
        make("other", {"every": 2, "metrics": ["gap", "given"], "best_by": "given_colours", "better": "lower"}).fit()
        assert best("other") == ["step-00000002"]
        assert names(Path("other/checkpoints")) == ["step-00000006"]

    def test_it_is_a_checkpoint_like_any_other(self, make, given, runtime, cli, tiny_plugin_file):
        given += [3.0, 1.0, 2.0]
        make(callback={"every": 2, "metrics": ["given"]}).fit()
        kept = Path("run/best/step-00000002")
        assert not Path("run/checkpoints/step-00000002").exists()
        assert gankit.load_generator(kept, plugins=[tiny_plugin_file]).sample(2).shape == (2, 3, 16, 16)
        assert evaluate(kept, REQUEST, runtime).evaluated.run == "run"
        plugins = ("--plugin", tiny_plugin_file, "--plugin", SCORERS)
        assert cli("sample", kept, "--count", "4", "--plugin", tiny_plugin_file).code == 0
        said = cli("eval", kept, "--metrics", "gap", "--features", "colours", "--samples", 20, *plugins)
        assert said.code == 0, said.err
        assert evaluations()[-1].evaluated.checkpoint == kept.name

    def test_it_takes_no_room_while_the_original_is_there(self, make):
        make(callback={"every": 6}).fit()
        for file in Path("run/best/step-00000006").iterdir():
            assert file.samefile(Path("run/checkpoints/step-00000006", file.name))

    def test_what_is_no_number_is_never_the_best(self, make, given):
        given += [math.nan, -5.0, math.inf, math.nan, -6.0, -math.inf]
        make(callback={"every": 1, "metrics": ["given"]}).fit()
        assert best() == ["step-00000002"]
        assert str(evaluations()[0].scores["given_colours"]) == "nan"

    def test_nothing_is_kept_unless_wanted(self, make, given):
        given += [1.0, 2.0, 3.0]
        make(callback={"every": 2, "keep_best": False}, callbacks=None).fit()
        assert not Path("run/best").exists()


class TestPatience:
    def test_the_run_ends(self, make, given):
        given += [5.0, 12.25, 3.0, 12.25, 99.0]
        trainer = make(callback={"every": 1, "metrics": ["given"], "patience": 2})
        trainer.fit()
        assert trainer.state.step == 4
        assert trainer.ending == "given_colours has not improved since step 2: 12.25"
        assert best() == ["step-00000002"]

    def test_of_a_score_that_is_never_a_number(self, make, given):
        given += [math.nan] * 6
        trainer = make(callback={"every": 1, "metrics": ["given"], "patience": 3})
        trainer.fit()
        assert trainer.ending == "given_colours was no finite number in 3 evaluations"
        assert not Path("run/best").exists()

    def test_null_never_ends_it(self, make, given):
        trainer = make(callback={"every": 1, "metrics": ["given"]})
        trainer.fit()
        assert trainer.ending == "done"


class TestResume:
    def test_it_goes_on_as_if_nothing_had_happened(self, make, runtime, given):
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
        runtime.resume("run").fit()
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
        runtime.resume("run", ["optimizers.generator.lr=1"]).fit()
        found = [(record.evaluated.step, record.scores["given_colours"]) for record in evaluations()]
        assert found == [(1, 1.0), (2, 2.0), (3, 0.0), (4, 0.0), (5, 0.0), (6, 0.0), (3, -1.0)]
        after = gankit.load_generator("run/best/step-00000002", plugins=[ROOT / "tests/tiny_plugin.py"]).sample(1)
        assert best() == ["step-00000002"]
        assert not torch.equal(before, after)


class TestKept:
    """Whatever happens while one checkpoint takes the place of another, one of them is there and whole."""

    @pytest.fixture
    def checkpoint(self, tmp_path):
        def write(step: int) -> Path:
            path = tmp_path / "run" / "checkpoints" / f"step-{step:08d}"
            path.mkdir(parents=True)
            for name in ("manifest.json", "state.pt", "generator.safetensors"):
                (path / name).write_text(f"{name} {step}")
            return path

        return write

    @staticmethod
    def whole(folder: Path) -> list[str]:
        found = [path for path in folder.iterdir() if re.fullmatch(r"step-\d{8}", path.name)]
        for path in found:
            files = {file.name: file.read_text() for file in path.iterdir()}
            assert files == {
                name: f"{name} {int(path.name[5:])}" for name in ("manifest.json", "state.pt", "generator.safetensors")
            }
        return sorted(path.name for path in found)

    @pytest.mark.parametrize("verb", ["mkdir", "hardlink_to", "rename", "fsync", "rmtree"])
    @pytest.mark.parametrize("when", range(3))
    def test_a_crash(self, checkpoint, tmp_path, monkeypatch, verb, when):
        run, old, new = tmp_path / "run", checkpoint(1), checkpoint(2)
        best_checkpoint.keep_best(old, run)
        calls = itertools.count()
        holder = {"fsync": os, "rmtree": shutil}.get(verb, Path)
        original = getattr(holder, verb)

        def crash(*words, **options):
            if next(calls) >= when:
                raise KeyboardInterrupt
            return original(*words, **options)

        with monkeypatch.context() as patch:
            patch.setattr(holder, verb, crash)
            with contextlib.suppress(KeyboardInterrupt):
                best_checkpoint.keep_best(new, run)
        assert self.whole(run / "best")
        best_checkpoint.keep_best(new, run)
        assert self.whole(run / "best") == ["step-00000002"]
        assert names(run / "best") == ["step-00000002"]

    def test_copies_where_nothing_can_be_linked(self, checkpoint, tmp_path, monkeypatch):
        def refuse(self, target):
            raise OSError("not on this file system")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        path = checkpoint(1)
        best_checkpoint.keep_best(path, tmp_path / "run")
        assert self.whole(tmp_path / "run/best") == ["step-00000001"]
        assert not (path / "state.pt").samefile(tmp_path / "run/best/step-00000001/state.pt")

    def test_no_room(self, checkpoint, tmp_path):
        path = checkpoint(1)
        (tmp_path / "run/best").touch()
        with pytest.raises(gankit.GankitError, match=r"best/step-00000001: cannot be written: .*; see .*checkpoints"):
            best_checkpoint.keep_best(path, tmp_path / "run")

    def test_nothing_else_is_touched(self, checkpoint, tmp_path):
        folder = tmp_path / "run/best"
        folder.mkdir(parents=True)
        (folder / "notes.txt").touch()
        (folder / "mine").mkdir()
        for step in (1, 100_000_000):
            best_checkpoint.keep_best(checkpoint(step), tmp_path / "run")
        assert names(folder) == ["mine", "notes.txt", "step-100000000"]


FAULTS = {
    "metric": ({"metrics": ["gpa"]}, r"metrics: no metric is called 'gpa'; did you mean 'gap'\?"),
    "features": ({"features": "colors"}, r"features: no feature is called 'colors'; did you mean 'colours'\?"),
    "both": ({"metrics": ["gpa"], "features": "x"}, r"no metric is called 'gpa'.*\n.*no feature is called 'x'"),
    "params": ({"params": {"gap": {"pwoer": 2}}}, r"gap\.pwoer: unknown parameter; did you mean 'power'\?"),
    "other": ({"params": {"fd": {}}}, "fd: not a metric or extractor of this evaluation; known: colours, gap"),
    "extra": ({"features": "needs_extra"}, r"needs the package 'nowhere'; run: pip install 'gankit\[nowhere\]'"),
    "logits": ({"metrics": ["sureness"]}, r"'sureness' is computed from class logits.*choose .*classes"),
    "picky": ({"metrics": ["picky"]}, "'picky': power and nothing else is too little; give more"),
    "images": ({"features": "refusing"}, "features 'refusing': sees nothing of 16 px"),
    "few": ({"metrics": ["given"], "samples": 1}, "metric 'given': 2 generated images are needed, and 1 were given"),
    "found out": ({"samples": 1}, "metric 'gap': needs 2 generated images or more; got 1"),
    "twice": ({"metrics": ["gap", "same"]}, "'same' computes a score 'gap_colours', as another metric does"),
    "best_by": ({"best_by": "fd"}, "best_by: no metric of this evaluation gives 'fd'; they give gap_colours, gap_count_colours"),
    "better": ({"best_by": "gap_count_colours"}, r"'gap_count_colours' are better; choose another one \(gap_colours\), or say"),
}  # fmt: skip


class TestRefused:
    @pytest.mark.parametrize(("callback", "message"), FAULTS.values(), ids=FAULTS)
    def test_before_the_first_step(self, make, callback, message):
        trainer = make(callback=callback)
        with pytest.raises(gankit.GankitError, match=f"callback 'evaluate': .*{message}"):
            trainer.fit()
        assert trainer.state.step == 0

    def test_as_the_command_line_tells_it(self, tiny_recipe, tmp_path, cli, tiny_plugin_file):
        path = tiny_recipe(tmp_path, callbacks=[{"name": "evaluate", **WANTED, "metrics": ["gpa"]}])
        said = cli("run", path, "--out", "run", "--plugin", tiny_plugin_file, "--plugin", SCORERS)
        assert said.code == 2
        assert said.err == "error: callback 'evaluate': metrics: no metric is called 'gpa'; did you mean 'gap'?\n"

    @pytest.mark.parametrize(
        ("callback", "message"),
        [
            ({"metrics": []}, "metrics: .*at least 1 item"),
            ({"every": 0}, "every: .*greater than 0"),
            ({"params": ["gap.power=2"]}, "params: should be a mapping"),
            ({"better": "more"}, "better: .*'auto', 'lower' or 'higher'"),
            ({"patience": 0}, "patience: .*greater than 0"),
        ],
    )
    def test_by_the_check(self, make, callback, message):
        with pytest.raises(gankit.RecipeError, match=f"callbacks.0.{message}"):
            make(callback=callback)

    def test_an_item_of_a_wrong_kind_is_one_fault_and_not_two(self, make):
        with pytest.raises(gankit.RecipeError, match="metrics.0: should be a text; got 3") as error:
            make(callback={"metrics": [3]})
        assert len(error.value.problems) == 1

    def test_a_damaged_log_is_told_first(self, make, runtime):
        make(callback={"every": 6}).fit()
        shutil.rmtree("run/checkpoints")
        Path("run/evaluations.jsonl").write_text("nonsense\n")
        trainer = runtime.resume("run")
        with pytest.raises(gankit.GankitError, match=r"evaluations\.jsonl: cannot be read: .*delete"):
            trainer.fit()
        assert trainer.state.step == 0


class TestEvaluator:
    def test_real_images_of_another_set(self, make, runtime):
        trainer = make()
        trainer.fit()
        request = gankit.Request(**WANTED, real={"name": "tiny", "count": 90}, device="cpu")
        found = gankit.Evaluator(trainer, request).evaluate()
        assert found.real.params["count"] == 90
        assert found.scores == evaluate("run", request, runtime).scores

    def test_options_and_no_average(self, make, runtime):
        trainer = make(ema={"half_life_images": 20})
        trainer.fit()
        scores = []
        for extra in ({}, {"ema": False}, {"options": {"truncation": 0.5}}):
            request = gankit.Request(**WANTED, **extra, device="cpu")
            found = gankit.Evaluator(trainer, request).evaluate()
            assert found.scores == evaluate("run", request, runtime).scores
            assert found.options == extra.get("options", {})
            scores.append(found.scores["gap_colours"])
        assert len(set(scores)) == 3

    def test_other_channels(self, make):
        request = gankit.Request(**WANTED, real={"name": "tiny", "channels": 1})
        trainer = make()
        trainer.fit()
        with pytest.raises(
            gankit.GankitError, match=r"generates images with 3 channels, but the real images \('tiny'\) have 1"
        ):
            gankit.Evaluator(trainer, request)

    def test_what_is_no_run(self, make_run):
        with pytest.raises(TypeError, match="needs a run that trains; got a FakeRun"):
            gankit.Evaluator(make_run(), REQUEST)


def test_best_value_by_value():
    found = Best()
    for step, value in enumerate([math.nan, 3.0, 4.0, 2.0, 2.0], 1):
        found = found.after(step, value, "a", -1.0)
    assert found == Best("a", 4, 2.0, 1)
    assert found.after(6, 9.0, "b", -1.0) == Best("b", 6, 9.0, 0)
    assert json.loads(json.dumps(Evaluate().state_dict()))["step"] is None


def test_the_documented_line_is_a_recipes():
    line = re.search(r"^ *(- \{name: evaluate, .*\})$", (ROOT / "README.md").read_text(), re.M)
    assert line is not None
    recipe = gankit.Recipe.load(ROOT / "recipes/quickstart.yaml", [f"callbacks={yaml.safe_load(line[1])}"])
    gankit.Runtime().check(recipe)
