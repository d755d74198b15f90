"""``gankit eval``: the table, the record, the same scores again, and one clear message for each fault."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import gankit
from gankit.evaluation.evaluate import evaluate
from gankit.evaluation.evaluation_log import read_evaluations
from gankit.evaluation.record import Evaluation, differences
from gankit.evaluation.request import Request

SCORERS = Path(__file__).parent / "scorers_plugin.py"
GAP = ("--metrics", "gap", "--features", "colours", "--samples", "40")


@pytest.fixture
def score(cli, tiny_plugin_file):
    """``score(source, ...) -> (code, out, err)``."""
    return lambda *words: cli("eval", *words, "--plugin", tiny_plugin_file, "--plugin", SCORERS)


def last(path="run/evaluations.jsonl"):
    return read_evaluations(Path(path))[-1]


def save_images(images, folder):
    folder.mkdir()
    for index, image in enumerate(images):
        gankit.save_grid(image[None], folder / f"{index:04}.png")


@pytest.fixture
def folder(tmp_path):
    """Forty noise pictures of 64 px, with the padding of a grid: 68 px."""
    random = torch.Generator().manual_seed(0)
    save_images(torch.randint(0, 256, (40, 3, 64, 64), dtype=torch.uint8, generator=random), tmp_path / "pictures")
    return Path("pictures")


class TestDone:
    def test_a_run(self, run, score):
        run()
        said = score("run", "--metrics", "gap,sureness", "--features", "classes", "--samples", "70", "gap.power=2")
        assert said.code == 0, said.err
        record = last()
        assert set(record.scores) == {"GAP", "gap_count_classes", "sureness_classes"}
        assert record.scores["gap_count_classes"] == 70
        for name, value in record.scores.items():
            assert re.search(rf"^ *{name} +{re.escape(f'{value:.6g}')} *$", said.out, re.M)
        assert (record.samples, record.real.count, record.seed) == (70, 70, 0)
        assert (record.real.dataset, record.real.split, record.real.params["count"]) == ("tiny", "train", 100)
        assert record.evaluated.model_dump(exclude={"weights"}) == {
            "kind": "run", "path": "run", "run": "run", "checkpoint": "step-00000003", "step": 3, "ema": False,
        }  # fmt: skip
        manifest = json.loads(Path("run/checkpoints/step-00000003/manifest.json").read_text())
        assert record.evaluated.weights == manifest["files"]["generator.safetensors"]
        assert record.metrics["gap"].params == {"power": 2}
        assert record.features.params == {"scale": 1.0, "weights": None}
        assert record.image.model_dump() == {"height": 16, "width": 16, "channels": 3}
        assert set(record.versions) >= {"gankit", "torch", "torchvision", "python"}
        assert (record.device, record.precision) == ("cpu", "fp32")
        assert "written to run/evaluations.jsonl" in said.out

    def test_the_same_again_with_features_computed_once(self, run, runtime, seen):
        run()
        request = Request(metrics=["gap"], features="colours", samples=70, device="cpu")
        one, other = evaluate("run", request, runtime), evaluate(Path("run"), request, runtime)
        assert one.scores == other.scores
        assert one.protocol == other.protocol
        assert seen == [64, 6, 64, 6, 64, 6]  # real, generated, and again generated alone
        shutil.rmtree("data")
        assert evaluate("run", request, runtime).scores == one.scores
        third = evaluate("run", Request(metrics=["gap"], features="colours", samples=70, seed=1), runtime)
        assert third.scores != one.scores
        assert third.protocol == one.protocol

    def test_more_samples_go_on_where_fewer_end(self, run, runtime):
        """A batch is a function of the seed and its number, so that no score depends on how images come in."""
        from gankit.evaluation.generated_images import open_subject

        run(conditional=True)
        few, many = (
            torch.cat(list(open_subject(runtime, Path("run"), Request((), "", samples=n), 3, "tiny", torch.device("cpu")).batches()))
            for n in (64, 150)
        )  # fmt: skip
        assert (len(few), len(many)) == (64, 150)
        assert torch.equal(few, many[:64])
        assert len(torch.unique(many.flatten(1), dim=0)) == 150

    def test_the_average_or_the_network_itself(self, run, score):
        run(ema={"half_life_images": 100, "ramp_up": None})
        assert score("run", *GAP).code == 0
        assert score("run", *GAP, "--no-ema").code == 0
        one, other = read_evaluations(Path("run/evaluations.jsonl"))
        assert (one.evaluated.ema, other.evaluated.ema) == (True, False)
        assert one.scores != other.scores
        assert one.evaluated.weights != other.evaluated.weights

    def test_a_checkpoint_writes_to_its_run(self, run, score):
        run()
        assert score("run/checkpoints/step-00000003", *GAP).code == 0
        assert last().evaluated.kind == "checkpoint"
        assert score("run", *GAP).code == 0
        assert last().scores == read_evaluations(Path("run/evaluations.jsonl"))[0].scores

    def test_a_folder_writes_nothing_unless_told(self, folder, score):
        words = (folder, *GAP, "--real", "{name: tiny, side: 68, count: 50}")
        said = score(*words)
        assert said.code == 0, said.err
        assert "written" not in said.out
        assert score(*words, "--out", "scores.jsonl").code == 0
        record = last("scores.jsonl")
        assert record.evaluated.model_dump(exclude_none=True) == {"kind": "folder", "path": "pictures"}
        assert record.image.height == 68
        assert record.real.count == 40

    def test_a_folder_with_a_recipes_real_images(self, folder, score, tiny_recipe, tmp_path):
        tiny_recipe(tmp_path, dataset={"name": "tiny", "side": 68})
        said = score(folder, *GAP, "--recipe", "tiny.yaml", "--out", "scores.jsonl")
        assert said.code == 0, said.err
        assert last("scores.jsonl").real.count == 32

    def test_both_brought_to_a_size(self, run, score, folder):
        run()
        assert score("run", *GAP, "--size", "8", "--out", "a.jsonl").code == 0
        assert score(folder, *GAP, "--size", "8", "--real", "{name: tiny, count: 100}", "--out", "b.jsonl").code == 0
        one, other = last("a.jsonl"), last("b.jsonl")
        assert one.image.height == other.image.width == 8
        assert one.protocol == other.protocol

    def test_real_images_of_another_set(self, run, score):
        run()
        assert score("run", *GAP, "--real", "{name: tiny, count: 64}", "--real-samples", "50").code == 0
        assert last().real.count == 50
        assert score("run", *GAP, "--real", "tiny").code == 0
        assert last().real.count == 32

    def test_sampling_options(self, run, score):
        run()
        assert score("run", *GAP).code == 0
        assert score("run", *GAP, "--option", "truncation=1").code == 0
        said = score("run", *GAP, "--option", "truncation=0.5", "gap.power=1")
        assert said.code == 0, said.err
        assert "40 images, seed 0, truncation=0.5" in said.out
        one, same, other = read_evaluations(Path("run/evaluations.jsonl"))
        assert (one.options, same.options, other.options) == ({}, {}, {"truncation": 0.5})
        assert one.scores == same.scores != other.scores
        assert one.protocol == same.protocol
        assert differences("gap_colours", one, other) == {"option.truncation": (None, 0.5)}
        again = Evaluation.model_validate(json.loads(json.dumps(other.model_dump(mode="json"))))
        assert again == other

    def test_images_that_a_metric_does_not_want_are_not_fed(self, run, runtime):
        run()
        classes = runtime.registries.features.get("classes").factory
        asked, original = [], classes.logits
        classes.logits = lambda self, features: asked.append(len(features)) or original(self, features)
        request = Request(metrics=["fakes", "gap"], features="classes", samples=70, device="cpu")
        scores = evaluate("run", request, runtime).scores
        assert (scores["real_fed_classes"], scores["fakes_fed_classes"]) == (0, 70)
        assert asked == [64, 6]
        assert evaluate("run", Request(metrics=["gap", "sureness"], features="classes", samples=70), runtime)
        assert asked == [64, 6] * 3

    def test_nothing_global_changes(self, run, runtime):
        run()
        torch.manual_seed(5)
        before = torch.get_rng_state(), torch.backends.cudnn.allow_tf32, torch.is_grad_enabled()
        evaluate("run", Request(metrics=["gap"], features="colours", samples=20), runtime)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (torch.backends.cudnn.allow_tf32, torch.is_grad_enabled()) == before[1:]


class TestRefused:
    """Each fault is one message, exit code 2, and nothing written."""

    @pytest.fixture
    def refused(self, score):
        def check(message, *words):
            said = score(*words)
            assert said.code == 2
            assert re.fullmatch(rf"error: {message}\n", said.err), said.err
            assert "Traceback" not in said.out + said.err
            assert not Path("run/evaluations.jsonl").exists()

        return check

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--metrics", "gpa"], r"metrics: no metric is called 'gpa'; did you mean 'gap'\?"),
            (["--features", "colors"], r"features: no feature is called 'colors'; did you mean 'colours'\?"),
            (
                ["--metrics", "gpa,x", "--features", "y"],
                r"metrics: .*'gpa'.*\nmetrics: .*'x'; known: .*gap.*\nfeatures: .*'y'; known: .*colours.*",
            ),
            (["--metrics", ","], r"metrics: none is named; known: .*gap.*"),
            (["gpa.power=2"], r"command line: gpa.power=2: gpa: no metric and no features of this .*mean 'gap'\?"),
            (["gap.pwoer=2"], r"command line: gap.pwoer=2: gap.pwoer: unknown parameter; did you mean 'power'\?"),
            (["gap.power=x"], r"command line: gap.power=x: gap.power: should be a whole number; got 'x'"),
            (["gap=2"], r"command line: gap=2: gap: should be a mapping; got 2"),
            (["power"], r"command line: power: an override is KEY=VALUE.*"),
            (["--metrics", "sureness"], r"metric 'sureness' is computed from class logits.*\(.*classes.*\)"),
            (["--metrics", "hungry"], r"metric 'hungry': its 'uses' should be .*"),
            (["--metrics", "picky"], r"metrics: 'picky': power and nothing else is too little; give more"),
            (["--features", "needs_extra"], r"features 'needs_extra' needs .*; run: pip install 'gankit\[nowhere\]'"),
            (["--features", "broken"], r"features 'broken': features of 40 images should be \[40 f\]; got .*"),
            (
                ["--option", "truncatoin=1"],
                r"run/checkpoints/step-00000003: no sampling option is called 'truncatoin'; this generator has truncation",
            ),
            (
                ["--option", "truncation=x", "--option", "labels=[1]"],
                r"run/\S+: no sampling option is called 'labels'; sampling option 'truncation' should be a number; got 'x'; .*",
            ),
            (["--option", "truncation"], r"command line: truncation: an override is KEY=VALUE.*"),
            (
                ["--metrics", "unsaid"],
                r"metric 'unsaid': its 'better' should say lower or higher of its scores.*'more'.*",
            ),
            (["--device", "cuda:99"], r"--device: there is no 'cuda:99': torch sees \d+ CUDA devices; try 'auto'"),
            (["--samples", "1"], r"metric 'gap': needs 2 generated images or more; got 1; raise --samples"),
            (["--device", "gpu"], r"--device: should be auto, cpu, mps, cuda or cuda:N; got 'gpu'"),
            (
                ["--real", "tny"],
                r"command line: real=tny: real.name: no dataset is called 'tny'; did you mean 'tiny'\?",
            ),
            (["--real", "{name: tiny, cuont: 3}"], r"command line: real=.*: real.cuont: unknown param.*'count'\?"),
            (["--real", "{name: tiny"], r"command line: real=\{name: tiny: .*"),
            (["--real", "5"], r"command line: real=5: real: should be the name of a component.*; got 5"),
            (["--real", "{name: tiny, count: 0}"], r"the data set 'tiny' is empty: nothing to compare with"),
            (["--recipe", "none.yaml"], r"none.yaml: no such file"),
            (
                ["--real", "{name: tiny, channels: 1}"],
                r"run/checkpoints/step-00000003: makes images of 3 channels, and the real ones \('tiny'\) have 1 channel; "
                r"name real images of 3 channels with --real",
            ),
        ],
    )
    def test_of_a_run(self, run, refused, words, message):
        run()
        refused(message, "run", *GAP, *words)

    def test_too_few_images_are_told_before_any_is_looked_at(self, run, refused, seen):
        run()
        seen.clear()
        message = r"metric 'fakes': needs 10 generated images beside 20 real ones; got 9"
        words = ("--metrics", "gap,fakes", "--features", "classes", "--samples", "9", "--real-samples", "20")
        refused(message, "run", *words)
        assert seen == []

    def test_options_of_images_that_are_there(self, folder, refused):
        refused("pictures: images in a folder are there already; leave out truncation", folder, *GAP,
                "--real", "tiny", "--option", "truncation=1")  # fmt: skip

    def test_no_such_thing(self, refused):
        refused("nothing: no such folder; name a run directory, a checkpoint or a folder of images", "nothing", *GAP)

    def test_a_file(self, refused):
        Path("file").touch()
        refused("file: is a file; name a run directory.*", "file", *GAP)

    def test_a_run_without_a_checkpoint(self, run, refused):
        run(callbacks=[])
        refused("run: this run has no checkpoint yet", "run", *GAP)

    def test_a_checkpoint_outside_of_its_run(self, run, refused, score):
        run()
        shutil.copytree("run/checkpoints/step-00000003", "alone")
        refused("alone: a checkpoint outside of its run does not say what the real .*--real.*--recipe", "alone", *GAP)
        assert score("alone", *GAP, "--real", "tiny", "--out", "x.jsonl").code == 0
        assert last("x.jsonl").evaluated.run is None

    def test_a_folder_without_real_images(self, folder, refused):
        refused("pictures: a folder of images does not say what the real images are.*", folder, *GAP)

    def test_too_few_images(self, folder, refused):
        message = "pictures: holds 40 images, and 41 are wanted; add images or pass --samples 40"
        refused(message, folder, *GAP, "--real", "tiny", "--samples", "41")

    def test_a_folder_of_other_channels(self, folder, refused):
        refused(
            r"pictures/0000.png: has 3 channels \(RGB\).*--real", folder, *GAP, "--real", "{name: tiny, channels: 1}"
        )

    def test_no_images(self, refused):
        Path("empty").mkdir()
        refused("empty: holds no images .*", "empty", *GAP, "--real", "tiny")

    @pytest.mark.parametrize("option", [["--samples", "0"], ["--size", "0"], ["--seed", "-1"], ["--real-samples", "0"]])
    def test_numbers_out_of_range(self, score, option):
        assert score("run", *option).code == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"samples": 0}, "samples is .* got 0"),
            ({"size": (0, 4)}, "size is .* got 0"),
            ({"seed": -1}, "seed is .*-1"),
        ],
    )
    def test_numbers_out_of_range_of_a_request(self, options, message):
        with pytest.raises(gankit.GankitError, match=message):
            Request(metrics=["gap"], features="colours", **options)

    def test_a_record_that_cannot_be_written_fails_later(self, run, score):
        run()
        Path("run/evaluations.jsonl").mkdir()
        said = score("run", *GAP)
        assert said.code == 1
        assert re.search(r"error: run/evaluations\.jsonl: cannot be written", said.err)


def test_the_plugin_is_asked_for_where_the_architecture_came_by_one(run, cli):
    run()
    said = cli("eval", "run", *GAP, "--plugin", SCORERS, "--real", "{name: shapes, count: 40, size: 16}")
    assert said.code == 2
    assert "--plugin" in said.err


def test_a_resolved_recipe_is_read_as_data(run, score):
    """The run's recipe names real images by what it was given; nothing else of it has to be there."""
    run()
    recipe = yaml.safe_load(Path("run/recipe.yaml").read_text())
    recipe["loss"] = {"name": "gone"}
    Path("run/recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert score("run", *GAP).code == 0


@pytest.mark.parametrize("verb", ["eval", "compare"])
def test_the_help_has_real_examples(cli, verb):
    said = cli(verb, "--help")
    assert said.code == 0
    assert re.search(rf"^ *gankit {verb} results/", said.out, re.M)
    assert f" {verb} " in cli("--help").out
