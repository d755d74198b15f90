"""Metrics of pairs: each generated image is compared with the real image of the item that it is made from."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import gankit
from gankit.data import image_cache
from gankit.evaluation import Request, evaluate, real_images
from gankit.evaluation.evaluation_log import read_evaluations
from gankit.evaluation.record import differences

PLUGIN = Path(__file__).parent.parent / "paired_plugin.py"
RECIPE = {
    "name": "pairs",
    "image": {"size": 8},
    "dataset": "split_pairs",
    "latent": {"name": "normal", "dim": 5},
    "loader": {"batch_size": 4},
    "generator": "repeat",
    "discriminator": "compare",
    "train": {"steps": 2, "device": "cpu", "precision": "fp32"},
}


class Seen:
    """A metric of pairs that remembers its images, and whose score depends on their order."""

    pairs = True
    better = {"seen": "higher"}  # noqa: RUF012
    batches: list[tuple[torch.Tensor, torch.Tensor]] = []  # noqa: RUF012  # shared with the tests

    def __init__(self) -> None:
        self.total = 0.0

    def update(self, generated, real):
        assert not torch.is_grad_enabled()
        self.batches.append((generated, real))
        self.total = 0.5 * self.total + float(generated.double().mean() - real.double().mean())

    def compute(self):
        return {"seen": self.total}


class Wide:
    """Images of 8 x 16 pixels."""

    spec, classes = gankit.DataSpec(image=gankit.ImageSpec(8, 16, 3)), None

    def __len__(self):
        return 6

    def __getitem__(self, index):
        random = torch.Generator().manual_seed(index)
        return torch.randint(0, 256, (3, 8, 16), dtype=torch.uint8, generator=random), None


def wide() -> Wide:
    return Wide()


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.metrics.add("seen", Seen)
        registries.datasets.add("wide", wide)


@pytest.fixture
def runtime(scorers_plugin_file):
    Seen.batches.clear()
    return gankit.Runtime(plugins=[PLUGIN, scorers_plugin_file, Plugin()])


@pytest.fixture
def run(runtime, tmp_path):
    """``run(**sections) -> directory``: a run of the recipe with sections replaced."""

    def train(name="run", **sections):
        runtime.assemble(gankit.Recipe.parse(RECIPE | sections), tmp_path / name).fit()
        return tmp_path / name

    return train


@pytest.fixture
def score(runtime):
    return lambda run, *metrics, **options: evaluate(
        run, Request(metrics=metrics or ("psnr",), features="colours", device="cpu", **options), runtime
    )


def pairs(runtime, count, first=1000):
    """The images of a dataset, and the source of each with its pixels repeated."""
    dataset = runtime.registries.datasets.get("pairs").factory(count=count, first=first)
    items = [dataset[index] for index in range(count)]
    real = torch.stack([item["image"] for item in items])
    enlarged = torch.stack([item["source"].repeat_interleave(2, 1).repeat_interleave(2, 2) for item in items])
    return real, enlarged


def by_hand(real, generated):
    errors = ((real.double() - generated.double()) ** 2).mean((1, 2, 3))
    return float(np.mean([10 * math.log10(255**2 / error) for error in errors]))


class TestPartners:
    def test_a_score_is_that_of_all_held_out_items(self, run, score, runtime):
        found = score(run())
        real, enlarged = pairs(runtime, 150)
        assert found.scores == {"psnr": pytest.approx(by_hand(real, enlarged), rel=1e-6)}
        for shift in (1, 64, 75):
            assert abs(by_hand(real, enlarged.roll(shift, 0)) - found.scores["psnr"]) > 3
        assert (found.samples, found.real.count, found.real.split) == (150, 150, "held out")
        assert (found.features, found.cautions) == (None, ())
        record = found.metrics["psnr"]
        assert (record.pairs, record.better, record.scores) == (True, {"psnr": "higher"}, ("psnr",))

    def test_each_batch_has_its_own_partners(self, run, score, runtime):
        score(run(), "seen")
        assert [len(generated) for generated, _ in Seen.batches] == [64, 64, 22]
        generated, shown = (torch.cat(side) for side in zip(*Seen.batches, strict=True))
        real, enlarged = pairs(runtime, 150)
        assert torch.equal(shown, real)
        assert torch.equal(generated, enlarged)
        assert generated.dtype == torch.uint8

    def test_a_number_of_samples_takes_some_of_them(self, run, score, runtime):
        directory = run()
        found = score(directory, "psnr", "seen", samples=70)
        assert (found.samples, found.real.count) == (70, 70)
        generated, shown = (torch.cat(side) for side in zip(*Seen.batches, strict=True))
        assert found.scores["psnr"] == pytest.approx(by_hand(shown, generated), rel=1e-6)
        assert len(shown.flatten(1).unique(dim=0)) == 70
        real, enlarged = pairs(runtime, 150)
        place = {image.numpy().tobytes(): number for number, image in enumerate(real)}
        assert torch.equal(generated, enlarged[[place[image.numpy().tobytes()] for image in shown]])
        again = score(directory, "psnr", samples=1000)
        assert (again.samples, again.scores) == (150, score(directory).scores)

    def test_another_dataset_is_taken_as_it_is(self, run, score, runtime):
        found = score(run(), real="{name: split_pairs, count: 20}")
        assert found.scores["psnr"] == pytest.approx(by_hand(*pairs(runtime, 20, first=0)), rel=1e-6)
        assert (found.real.split, found.cautions) == ("train", ())

    @pytest.mark.parametrize("labels", ["classes", "vectors"])
    def test_a_checkpoint_without_its_run_needs_only_the_dataset(self, run, score, tmp_path, labels):
        networks = {} if labels == "classes" else {"generator": "from_vector", "discriminator": "flat"}
        directory = run(dataset={"name": "split_pairs", "labels": labels}, conditional=True, **networks)
        (checkpoint,) = (directory / "checkpoints").iterdir()
        copied = tmp_path / "elsewhere" / "deep" / "step"
        shutil.copytree(checkpoint, copied)
        real = f"{{name: pairs, count: 20, labels: {labels}}}"
        assert score(copied, real=real).scores == score(directory, real=real).scores

    def test_without_held_out_items_the_scores_come_with_a_caution(self, run, score, runtime):
        found = score(run(dataset="pairs"))
        assert found.scores["psnr"] == pytest.approx(by_hand(*pairs(runtime, 32, first=0)), rel=1e-6)
        assert found.real.split == "train"
        (caution,) = found.cautions
        assert caution.startswith("psnr: dataset 'pairs' has no held-out items, so that these may be images of training")

    def test_both_are_resized_from_the_size_of_the_run(self, run, score, runtime):
        """Read at the size of the evaluation, real images could show another crop than generated ones."""
        directory = run(dataset="wide", generator="copy", discriminator="flat")
        score(directory, "seen", size=(4, 8))
        ((generated, shown),) = Seen.batches
        assert torch.equal(generated, shown)
        assert shown.shape == (6, 3, 4, 8)
        assert torch.equal(shown, torch.stack([Wide()[i][0] for i in range(6)])[:, :, 2:6, 4:12])

    def test_items_are_streamed(self, run, score, monkeypatch):
        """No more than a batch of them is kept if all of them would take too much memory."""
        directory = run()
        whole = score(directory)
        monkeypatch.setattr(real_images, "MAX_CACHED_BYTES", 1000)
        read = []
        original = image_cache.StreamedSource.item
        monkeypatch.setattr(
            image_cache.StreamedSource, "item", lambda self, index: read.append(index) or original(self, index)
        )
        assert score(directory).scores == whole.scores
        assert len(read) > 2 * 150  # for the fingerprint, the sources and the partners


    def test_items_in_memory_are_the_same(self, run, score, runtime):
        class InMemory(runtime.registries.datasets.get("pairs").factory):
            def tensors(self):
                items = [self[index] for index in range(len(self))]
                return {name: torch.stack([torch.as_tensor(item[name]) for item in items]) for name in items[0]}

        class Data:
            @gankit.hookimpl
            def register(self, registries):
                registries.datasets.add("in_memory", InMemory)

        runtime.load_plugin(Data())
        directory = run()
        one, other = (score(directory, real=f"{{name: {name}, count: 70}}") for name in ("pairs", "in_memory"))
        assert one.scores == other.scores
        assert one.protocol == other.protocol


class TestGenerators:
    def test_latents_are_drawn_by_seed(self, run, score, runtime):
        directory = run(generator={"name": "repeat", "latents": 0.1})
        one, same, other = (score(directory, seed=seed) for seed in (0, 0, 1))
        assert one.scores == same.scores != other.scores
        assert one.protocol == other.protocol
        score(directory, "seen", real="{name: pairs, count: 5}")
        ((generated, _),) = Seen.batches
        assert len((generated.float() - pairs(runtime, 5, first=0)[1].float()).mean((1, 2, 3)).unique()) == 5

    @pytest.mark.parametrize("labels", ["classes", "vectors"])
    def test_labels_are_those_of_the_item(self, run, score, runtime, labels):
        dataset = {"name": "split_pairs", "labels": labels}
        if labels == "classes":
            directory = run(dataset=dataset, conditional=True, generator={"name": "repeat", "labels": 0.5})
            score(directory, "seen")
            generated, _ = Seen.batches[0]
            _, enlarged = pairs(runtime, 64)
            even, odd = enlarged[::2], (enlarged[1::2] / 127.5 - 1 + 0.5).add(1).mul(127.5).round().clamp(0, 255)
            assert torch.equal(generated[::2], even)
            assert float((generated[1::2].float() - odd).abs().max()) <= 1
        else:
            directory = run(dataset=dataset, conditional=True, generator="from_vector", discriminator="flat")
            one, other = (score(directory, "seen", real=f"{{name: pairs, labels: vectors, first: {n}}}") for n in (0, 7))
            assert one.real.inputs != other.real.inputs

    def test_a_codec(self, run, score, runtime):
        """The autoencoder sees encodings of the real image, and its images are decoded."""
        directory = run(codec="half_size", generator="copy", discriminator="flat")
        score(directory, "seen", real="{name: pairs, count: 6}")
        ((generated, shown),) = Seen.batches
        real, _ = pairs(runtime, 6, first=0)
        assert torch.equal(shown, real)
        means = torch.nn.functional.avg_pool2d(real.float(), 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert float((generated.float() - means).abs().max()) <= 1


class TestOtherMetrics:
    def test_sets_are_compared_in_the_same_command(self, run, score, runtime):
        found = score(run(), "gap", "psnr")
        real, enlarged = pairs(runtime, 150)
        extract = runtime.registries.features.get("colours").factory()
        gap = float((extract(real).mean(0) - extract(enlarged).mean(0)).norm())
        assert found.scores["gap_colours"] == pytest.approx(gap, rel=1e-4)
        assert found.scores["gap_count_colours"] == 150
        assert found.scores["psnr"] == pytest.approx(by_hand(real, enlarged), rel=1e-6)
        assert found.features.name == "colours"

    def test_protocols_say_what_scores_can_be_compared(self, run, score, runtime):
        directory = run()
        alone, together = score(directory), score(directory, "gap", "psnr")
        assert alone.protocol["psnr"] == together.protocol["psnr"]
        held_out = {"name": "pairs", "count": 150, "first": 1000}
        sets = score(directory, "gap", samples=150, real=held_out)
        assert set(differences("gap_colours", sets, together)) == {"real.inputs"}

    def test_no_features_are_computed_for_pairs_alone(self, run, score, runtime):
        calls = runtime.registries.features.get("colours").factory.seen
        calls.clear()
        score(run())
        assert calls == []


class TestCallback:
    EVALUATE = {"name": "evaluate", "every": 2, "metrics": ["psnr", "gap"], "features": "colours", "keep_best": False}  # noqa: RUF012

    def test_it_scores_as_the_command_does(self, run, score):
        directory = run(callbacks=[self.EVALUATE, {"name": "checkpoint", "every": 2}], generator="enlarge")
        (record,) = read_evaluations(directory / "evaluations.jsonl")
        assert (record.samples, record.real.split) == (150, "held out")
        assert record.scores == score(directory, "psnr", "gap").scores
        assert record.protocol == score(directory, "psnr", "gap").protocol

    def test_psnr_selects_the_best_checkpoint(self, run):
        directory = run(callbacks=[self.EVALUATE | {"every": 1, "keep_best": True, "metrics": ["psnr"]}])
        assert [path.name for path in (directory / "best").iterdir()] == ["step-00000001"]
        (first, second) = read_evaluations(directory / "evaluations.jsonl")
        assert first.scores == second.scores
