"""Real images, the cache of their features, metrics, and checks of the extractor."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from torch import nn

import gankit
from gankit.evaluation.extractor import BATCH, Extractor
from gankit.evaluation.metrics import EvaluatedBatch, check_metrics, compute_scores
from gankit.evaluation.real_dataset import RealDataset
from gankit.evaluation.real_features_cache import real_features
from gankit.evaluation.real_images import RealImages

CPU = torch.device("cpu")
CACHE = Path("data/gankit-features")


class MemoryDataset:
    """Images in memory, offered as one tensor (``whole``) or one by one."""

    classes, split = None, "train"

    def __init__(self, images, whole=True):
        self.images, self.spec = images, gankit.ImageSpec(*images.shape[2:], images.shape[1])
        if whole:
            self.tensors = lambda: (images, torch.zeros(len(images), dtype=torch.int64))

    def prepare(self):
        pass

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], 0


def noise(count, side=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=random)


@pytest.fixture
def extractor(runtime, seen):
    def make(name="colours", **params):
        entry = runtime.registries.features.get(name)
        features = entry.factory(**params)
        return Extractor(name, {k: v for k, v in params.items() if k != "weights"}, features, CPU)

    return make


def real(images, count=10_000, side=8, **options):
    dataset = RealDataset("set", {}, MemoryDataset(images, **options))
    return RealImages(dataset, gankit.ImageSpec(side, side, 3), count)


def metric(runtime, name, **params):
    return runtime.registries.metrics.get(name).factory(**params)


class TestRealImages:
    @pytest.mark.parametrize("side", [8, 5, 16])
    def test_a_tensor_and_single_items_give_the_same_images(self, side):
        images = noise(150)
        one, other = (real(images, 100, side, whole=whole) for whole in (True, False))
        assert torch.equal(torch.cat(list(one.batches())), torch.cat(list(other.batches())))
        assert one.info == other.info
        assert [len(batch) for batch in one.batches()] == [64, 36]
        assert next(one.batches()).shape[1:] == (3, side, side)

    def test_the_choice_is_fixed_and_covers_the_whole_dataset(self):
        images = torch.arange(200, dtype=torch.uint8).view(-1, 1, 1, 1).expand(200, 3, 2, 2)
        chosen = torch.cat(list(real(images, 50, 2).batches()))[:, 0, 0, 0].tolist()
        assert chosen == torch.cat(list(real(images, 50, 2).batches()))[:, 0, 0, 0].tolist()
        assert len(set(chosen)) == 50
        assert max(chosen) > 150

    def test_a_smaller_dataset_is_used_in_its_order(self):
        assert real(noise(20), 50).count == 20
        assert torch.equal(torch.cat(list(real(noise(20), 50).batches())), noise(20))

    def test_the_fingerprint_covers_pixels_count_and_size(self):
        images = noise(30)
        info = real(images).info
        assert real(images.clone()).info == info
        changed = images.clone()
        changed[29, 2, 7, 7] ^= 1
        others = [real(changed).info, real(images, 29).info, real(images, side=7).info, real(noise(30, 16)).info]
        assert len({info.fingerprint, *(other.fingerprint for other in others)}) == 5
        eight, two = torch.zeros(8, 3, 8, 8, dtype=torch.uint8), torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
        assert real(eight).info.fingerprint != real(two, side=16).info.fingerprint  # of the same bytes

    def test_an_empty_dataset(self):
        with pytest.raises(gankit.DataError, match="'set' is empty"):
            real(noise(0))

    def test_images_of_another_dtype(self):
        with pytest.raises(gankit.DataError, match=r"returns images a tensor float32 .*; expected uint8"):
            _ = real(noise(4).float()).info


class TestRealFeaturesCache:
    def test_cached_features_are_not_computed_again(self, extractor, seen):
        images = noise(100)
        first = real_features(real(images), extractor())
        assert seen == [64, 36]
        again = real_features(real(images), extractor())
        assert seen == [64, 36]
        assert torch.equal(first, again)
        assert len(list(CACHE.iterdir())) == 1

    def test_every_change_of_pixels_or_extractor_is_computed(self, extractor, seen, tmp_path):
        """All cases share a folder, so that a key without one of the parts finds the features of another case."""
        images = noise(40)
        real_features(real(images), extractor())
        changed = images.clone()
        changed[0, 0, 0, 0] ^= 1
        weights = tmp_path / "weights.txt"
        weights.write_text("other")
        other_resizer = extractor()
        other_resizer.info = other_resizer.info.model_copy(update={"resizer": "another"})
        for number, (source, extract) in enumerate(
            (
                (real(changed), extractor()),
                (real(images, 39), extractor()),
                (real(images), extractor(scale=2.0)),
                (real(images), extractor(weights=weights)),
                (real(images), extractor("classes")),
                (real(images), other_resizer),
            ),
            2,
        ):
            expected = torch.cat([extract(part) for part in source.batches()])
            seen.clear()
            assert torch.equal(real_features(source, extract), expected)
            assert sum(seen) == source.count
            assert len(list(CACHE.iterdir())) == number

    def test_types_of_devices_do_not_share_features(self, extractor, seen):
        real_features(real(noise(40)), extractor())
        other = extractor()
        other.device_type = "cuda"
        seen.clear()
        real_features(real(noise(40)), other)
        assert seen == [40]

    @pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "garbage"])
    def test_a_damaged_file_is_computed_again(self, extractor, seen, damage):
        first = real_features(real(noise(40)), extractor())
        (file,) = CACHE.iterdir()
        content = file.read_bytes()
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        file.write_bytes({"empty": b"", "cut": content[:-5], "flipped": flipped, "garbage": b"x" * 500}[damage])
        seen.clear()
        assert torch.equal(real_features(real(noise(40)), extractor()), first)
        assert seen == [40]
        assert file.read_bytes() == content

    def test_a_folder_that_cannot_be_written_causes_a_warning(self, extractor, caplog, recwarn):
        CACHE.parent.touch()
        real_features(real(noise(4)), extractor())
        assert "cannot be cached" in caplog.messages[0]
        assert not recwarn.list
        sentences = []
        real_features(real(noise(4)), extractor(), warn=sentences.append)
        assert re.fullmatch(r"data/gankit-features/colours-\S+: features of the real images cannot be cached: .*", sentences[0].replace(f"{Path.cwd()}/", ""))


class TestComputeScores:
    def test_batches_give_the_same_scores_as_one_tensor(self, runtime, extractor, seen):
        images, known = noise(100, seed=1), extractor()(noise(50))
        seen.clear()
        extract = extractor()
        whole = compute_scores([EvaluatedBatch(extract(images))], known, extract, {"gap": metric(runtime, "gap")})
        streamed = compute_scores(map(EvaluatedBatch, map(extract, images.split(17))), known, extract, {"gap": metric(runtime, "gap")})
        assert whole == streamed
        assert seen == [100, *[17] * 5, 15]
        pixels = [part.double().flatten(2) / 255 for part in (noise(50), images)]
        means = [torch.cat([part.mean(2), part.std(2)], 1).float().mean(0) for part in pixels]
        assert whole[0]["gap_colours"] == pytest.approx(float((means[0] - means[1]).norm()), rel=1e-5)

    def test_all_metrics_share_the_features(self, runtime, extractor, seen):
        metrics = {name: metric(runtime, name) for name in ("gap", "sureness")}
        images = noise(BATCH)
        extract = extractor("classes")
        scores, columns, _ = compute_scores([EvaluatedBatch(extract(images))], extract(noise(30)), extract, metrics)
        assert seen == [BATCH, 30]
        assert columns == {
            "gap": {"GAP": "lower", "gap_count_classes": None},
            "sureness": {"sureness_classes": "higher"},
        }
        assert set(scores) == {"GAP", "gap_count_classes", "sureness_classes"}
        assert len(torch.cat(metrics["sureness"].fed[True])) == 30

    def test_an_extractor_without_logits(self, runtime, extractor):
        metrics = {"sureness": metric(runtime, "sureness")}
        with pytest.raises(gankit.GankitError, match=r"'sureness' is computed .* 'colours' have none; leave it out"):
            check_metrics(metrics, extractor())
        with pytest.raises(gankit.GankitError, match=r"choose features that have logits \(classes\)"):
            check_metrics(metrics, extractor(), ["classes"])

    def test_a_metric_that_uses_unknown_values(self, runtime, extractor):
        with pytest.raises(gankit.GankitError, match=r"'hungry': 'uses' should be features or logits; got 'pixels'"):
            check_metrics({"hungry": metric(runtime, "hungry")}, extractor())

    def test_lower_is_better_unless_the_metric_says_otherwise(self, extractor):
        class Plain:
            uses = "features"

            def update(self, values, real):
                pass

            def compute(self):
                return {"x": 1.0}

        scores, directions, _ = compute_scores([EvaluatedBatch(noise(2).flatten(1))], torch.zeros(1, 6), extractor(), {"plain": Plain()})
        assert (scores, directions) == ({"x_colours": 1.0}, {"plain": {"x_colours": "lower"}})

    def test_errors_of_a_metric_name_it(self, runtime, extractor):
        with pytest.raises(gankit.GankitError, match="metric 'gap': needs 2 generated images or more; got 1"):
            compute_scores([EvaluatedBatch(torch.zeros(1, 6))], torch.zeros(3, 6), extractor(), {"gap": metric(runtime, "gap")})

    def test_two_metrics_with_the_same_score(self, runtime, extractor):
        metrics = {name: metric(runtime, name) for name in ("gap", "same")}
        with pytest.raises(gankit.GankitError, match="'same' computes a score 'gap_colours', as another metric does"):
            compute_scores([EvaluatedBatch(torch.zeros(2, 6))], torch.zeros(3, 6), extractor(), metrics)


class TestExtractor:
    def test_names_of_scores(self, extractor):
        assert extractor().score_name("fd") == "fd_colours"
        assert extractor("classes").score_name("gap") == "GAP"
        assert extractor("classes").score_name("fd") == "fd_classes"

    def test_features_of_another_shape(self, extractor):
        with pytest.raises(gankit.GankitError, match=r"'broken': features of 2 images should be \[2 f\]; got \[2, 3"):
            extractor("broken")(noise(2))

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_features_that_are_not_finite(self, value):
        class Overflows:
            hash, resizer = "x", "none"

            def __call__(self, images):
                return torch.full((len(images), 2), value)

        with pytest.raises(gankit.GankitError, match="features 'far': features contain NaN or infinity"):
            Extractor("far", {}, Overflows(), CPU)(noise(2))

    def test_an_empty_hash(self, extractor):
        with pytest.raises(gankit.GankitError, match="'nameless': 'hash' should be a non-empty string; got ''"):
            extractor("nameless")

    def test_a_network_is_frozen_and_features_are_float32(self, extractor):
        assert extractor()(noise(2)).dtype == torch.float32
        network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(192, 2))
        network.hash, network.resizer = "x", "none"
        assert Extractor("net", {}, network, CPU)(noise(2)[:, :, :8, :8].float()).requires_grad is False
        assert not any(module.training for module in network.modules())

    def test_images_that_the_extractor_refuses(self, extractor):
        with pytest.raises(gankit.GankitError, match="features 'refusing': sees nothing of 8 px"):
            extractor("refusing")(noise(1))
