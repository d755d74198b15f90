"""``gankit eval``: the printed table and the record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

from gankit.evaluation.evaluation_log import read_evaluations
from gankit.evaluation.record import Evaluation, differences

GAP = ("--metrics", "gap", "--features", "colours", "--samples", "40")


class TestEval:
    def test_a_run(self, trained_run, score, last):
        trained_run()
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

    def test_no_ema_evaluates_the_weights_of_the_generator(self, trained_run, score):
        trained_run(ema={"half_life_images": 100, "ramp_up": None})
        assert score("run", *GAP).code == 0
        assert score("run", *GAP, "--no-ema").code == 0
        one, other = read_evaluations(Path("run/evaluations.jsonl"))
        assert (one.evaluated.ema, other.evaluated.ema) == (True, False)
        assert one.scores != other.scores
        assert one.evaluated.weights != other.evaluated.weights

    def test_the_seed_decides_the_generated_images(self, trained_run, score):
        trained_run()
        for seed in (0, 5, 5):
            said = score("run", *GAP, "--seed", seed)
            assert f"40 images, seed {seed}" in said.out
        one, other, again = read_evaluations(Path("run/evaluations.jsonl"))
        assert (one.seed, other.seed) == (0, 5)
        assert one.scores != other.scores
        assert other.scores == again.scores

    def test_a_checkpoint_is_recorded_in_its_run(self, trained_run, score, last):
        trained_run()
        assert score("run/checkpoints/step-00000003", *GAP).code == 0
        assert last().evaluated.kind == "checkpoint"
        assert score("run", *GAP).code == 0
        assert last().scores == read_evaluations(Path("run/evaluations.jsonl"))[0].scores

    def test_a_folder_is_recorded_only_with_out(self, folder, score, last):
        words = (folder, *GAP, "--real", "{name: tiny, side: 68, count: 50}")
        said = score(*words)
        assert said.code == 0, said.err
        assert "written" not in said.out
        assert score(*words, "--out", "scores.jsonl").code == 0
        record = last("scores.jsonl")
        assert record.evaluated.model_dump(exclude_none=True) == {"kind": "folder", "path": "noise"}
        assert record.image.height == 68
        assert record.real.count == 40

    def test_a_folder_with_the_real_images_of_a_recipe(self, folder, score, tiny_recipe, tmp_path, last):
        tiny_recipe(tmp_path, dataset={"name": "tiny", "side": 68})
        said = score(folder, *GAP, "--recipe", "tiny.yaml", "--out", "scores.jsonl")
        assert said.code == 0, said.err
        assert last("scores.jsonl").real.count == 32

    def test_size_resizes_real_and_generated_images(self, trained_run, score, folder, last):
        trained_run()
        assert score("run", *GAP, "--size", "8", "--out", "a.jsonl").code == 0
        assert score(folder, *GAP, "--size", "8", "--real", "{name: tiny, count: 100}", "--out", "b.jsonl").code == 0
        one, other = last("a.jsonl"), last("b.jsonl")
        assert one.image.height == other.image.width == 8
        assert one.protocol == other.protocol

    def test_real_images_of_another_dataset(self, trained_run, score, last):
        trained_run()
        assert score("run", *GAP, "--real", "{name: tiny, count: 64}", "--real-samples", "50").code == 0
        assert last().real.count == 50
        assert score("run", *GAP, "--real", "tiny").code == 0
        assert last().real.count == 32

    def test_sampling_options(self, trained_run, score):
        trained_run()
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


def test_only_the_dataset_of_the_run_recipe_is_needed(trained_run, score):
    trained_run()
    recipe = yaml.safe_load(Path("run/recipe.yaml").read_text())
    recipe["loss"] = {"name": "gone"}
    Path("run/recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert score("run", *GAP).code == 0


def test_metrics_of_pairs(cli, tmp_path):
    """Without features, whose library need not be installed."""
    plugin = Path(__file__).parent.parent / "paired_plugin.py"
    recipe = {
        "name": "pairs", "image": {"size": 16}, "dataset": "split_pairs", "latent": {"name": "normal", "dim": 5},
        "loader": {"batch_size": 8}, "generator": "repeat", "discriminator": "compare",
        "train": {"steps": 1, "device": "cpu"},
    }  # fmt: skip
    (tmp_path / "pairs.yaml").write_text(yaml.safe_dump(recipe))
    assert cli("run", "pairs.yaml", "--out", "run", "--plugin", plugin).code == 0
    said = cli("eval", "run", "--metrics", "psnr,ssim", "--samples", "70", "--device", "cpu", "--plugin", plugin)
    assert said.code == 0, said.err
    assert re.search(r"psnr +\d+\.\d+ *\n *ssim +0\.\d+ *\n", said.out), said.out
    assert "70 images of split_pairs, split held out (sha256 " in said.out
    assert "effnet" not in said.out
    (record,) = read_evaluations(Path("run/evaluations.jsonl"))
    assert record.features is None
    assert list(record.scores) == ["psnr", "ssim"]
    said = cli("compare", "run", "--plugin", plugin)
    assert said.code == 0, said.err
    assert "psnr" in said.out
    assert "ssim" in said.out
