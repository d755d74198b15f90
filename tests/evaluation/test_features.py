"""Features: one pass for all metrics, and a cache that hits when it may and never when it may not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import gankit
from gankit.evaluation.extractor import BATCH, Extractor
from gankit.evaluation.feature_cache import features_of
from gankit.evaluation.metrics import measure, require_values
from gankit.evaluation.real_images import RealImages

CPU = torch.device("cpu")


class Set:
    """Images in memory, as a tensor or one by one."""

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
    return RealImages("set", {}, Set(images, **options), gankit.ImageSpec(side, side, 3), count)


def metric(runtime, name, **params):
    return runtime.registries.metrics.get(name).factory(**params)


class TestReal:
    @pytest.mark.parametrize("side", [8, 5, 16])
    def test_whole_and_one_by_one_are_the_same(self, side):
        images = noise(150)
        one, other = (real(images, 100, side, whole=whole) for whole in (True, False))
        assert torch.equal(torch.cat(list(one.batches())), torch.cat(list(other.batches())))
        assert one.about == other.about
        assert [len(batch) for batch in one.batches()] == [64, 36]
        assert next(one.batches()).shape[1:] == (3, side, side)

    def test_fewer_than_all_are_the_same_ones_each_time_and_spread(self):
        images = torch.arange(200, dtype=torch.uint8).view(-1, 1, 1, 1).expand(200, 3, 2, 2)
        chosen = torch.cat(list(real(images, 50, 2).batches()))[:, 0, 0, 0].tolist()
        assert chosen == torch.cat(list(real(images, 50, 2).batches()))[:, 0, 0, 0].tolist()
        assert len(set(chosen)) == 50
        assert max(chosen) > 150

    def test_all_where_there_are_fewer(self):
        assert real(noise(20), 50).count == 20
        assert torch.equal(torch.cat(list(real(noise(20), 50).batches())), noise(20))

    def test_the_fingerprint_is_of_the_pixels_as_evaluated(self):
        images = noise(30)
        about = real(images).about
        assert real(images.clone()).about == about
        changed = images.clone()
        changed[29, 2, 7, 7] ^= 1
        others = [real(changed).about, real(images, 29).about, real(images, side=7).about, real(noise(30, 16)).about]
        assert len({about.fingerprint, *(other.fingerprint for other in others)}) == 5

    def test_an_empty_set(self):
        with pytest.raises(gankit.DataError, match="'set' is empty"):
            real(noise(0))

    def test_a_set_that_holds_something_else(self):
        with pytest.raises(gankit.DataError, match=r"'set' holds .*float32.*expected uint8"):
            _ = real(noise(4).float()).about


class TestCache:
    def test_the_second_time_nothing_is_computed(self, extractor, seen, tmp_path):
        images = noise(100)
        first = features_of(real(images), extractor(), tmp_path)
        assert seen == [64, 36]
        again = features_of(real(images), extractor(), tmp_path)
        assert seen == [64, 36]
        assert torch.equal(first, again)
        assert len(list(tmp_path.iterdir())) == 1

    def test_never_stale(self, extractor, seen, tmp_path):
        images = noise(40)
        features_of(real(images), extractor(), tmp_path)
        changed = images.clone()
        changed[0, 0, 0, 0] ^= 1
        weights = tmp_path / "weights.txt"
        weights.write_text("other")
        for source, extract in (
            (real(changed), extractor()),
            (real(images, 39), extractor()),
            (real(images), extractor(scale=2.0)),
            (real(images), extractor(weights=weights)),
            (real(images), extractor("classes")),
        ):
            seen.clear()
            expected = torch.cat([extract(part) for part in source.batches()])
            seen.clear()
            assert torch.equal(features_of(source, extract, tmp_path / "cache"), expected)
            assert seen
        other = extractor()
        other.about = other.about.model_copy(update={"resizer": "another"})
        seen.clear()
        features_of(real(images), other, tmp_path)
        assert seen

    @pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "garbage"])
    def test_a_damaged_file_is_computed_anew(self, extractor, seen, tmp_path, damage):
        first = features_of(real(noise(40)), extractor(), tmp_path)
        (file,) = tmp_path.iterdir()
        content = file.read_bytes()
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        file.write_bytes({"empty": b"", "cut": content[:-5], "flipped": flipped, "garbage": b"x" * 500}[damage])
        seen.clear()
        assert torch.equal(features_of(real(noise(40)), extractor(), tmp_path), first)
        assert seen == [40]
        assert file.read_bytes() == content

    def test_where_nothing_can_be_written_a_warning_says_so(self, extractor, tmp_path):
        (tmp_path / "file").touch()
        with pytest.warns(UserWarning, match="cannot be kept"):
            features_of(real(noise(4)), extractor(), tmp_path / "file" / "cache")


class TestMeasure:
    def test_streaming_equals_one_shot(self, runtime, extractor, seen):
        images, known = noise(100, seed=1), extractor()(noise(50))
        seen.clear()
        extract = extractor()
        whole = measure([extract(images)], known, extract, {"gap": metric(runtime, "gap")})
        streamed = measure(map(extract, images.split(17)), known, extract, {"gap": metric(runtime, "gap")})
        assert whole == streamed
        assert seen == [100, *[17] * 5, 15]
        pixels = [part.double().flatten(2) / 255 for part in (noise(50), images)]
        means = [torch.cat([part.mean(2), part.std(2)], 1).float().mean(0) for part in pixels]
        assert whole[0]["gap_colours"] == pytest.approx(float((means[0] - means[1]).norm()), rel=1e-5)

    def test_one_pass_serves_all_metrics(self, runtime, extractor, seen):
        metrics = {name: metric(runtime, name) for name in ("gap", "sureness")}
        images = noise(BATCH)
        extract = extractor("classes")
        scores, columns = measure([extract(images)], extract(noise(30)), extract, metrics)
        assert seen == [BATCH, 30]
        assert columns == {
            "gap": {"GAP": "lower", "gap_count_classes": None},
            "sureness": {"sureness_classes": "higher"},
        }
        assert set(scores) == {"GAP", "gap_count_classes", "sureness_classes"}
        assert len(torch.cat(metrics["sureness"].fed[True])) == 30

    def test_logits_that_are_not_there(self, runtime, extractor):
        metrics = {"sureness": metric(runtime, "sureness")}
        with pytest.raises(gankit.GankitError, match=r"'sureness' is computed .* 'colours' have none; leave it out"):
            measure([], torch.zeros(1, 6), extractor(), metrics)
        with pytest.raises(gankit.GankitError, match=r"choose features that have them \(classes\)"):
            require_values(extractor(), metrics, ["classes"])

    def test_a_metric_that_wants_something_else(self, runtime, extractor):
        with pytest.raises(gankit.GankitError, match=r"'hungry': its 'uses' should be features or logits; .*'pixels'"):
            require_values(extractor(), {"hungry": metric(runtime, "hungry")})

    def test_too_few_images_are_the_metrics_own_words(self, runtime, extractor):
        with pytest.raises(gankit.GankitError, match="metric 'gap': needs 2 generated images or more; got 1"):
            measure([torch.zeros(1, 6)], torch.zeros(3, 6), extractor(), {"gap": metric(runtime, "gap")})

    def test_two_scores_of_one_name(self, runtime, extractor):
        metrics = {name: metric(runtime, name) for name in ("gap", "same")}
        with pytest.raises(gankit.GankitError, match="'same' gives a score 'gap_colours', which another one gave"):
            measure([torch.zeros(2, 6)], torch.zeros(3, 6), extractor(), metrics)


class TestExtractor:
    def test_features_of_another_shape(self, extractor):
        with pytest.raises(gankit.GankitError, match=r"'broken': features of 2 images should be \[2 f\]; got \[2, 3"):
            extractor("broken")(noise(2))

    def test_no_hash(self, extractor):
        with pytest.raises(gankit.GankitError, match="'nameless': its 'hash' should be a text; it is ''"):
            extractor("nameless")

    def test_a_network_is_frozen_and_features_are_float32(self, extractor):
        assert extractor()(noise(2)).dtype == torch.float32
        network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(192, 2))
        network.hash, network.resizer = "x", "none"
        assert Extractor("net", {}, network, CPU)(noise(2)[:, :, :8, :8].float()).requires_grad is False
        assert not any(module.training for module in network.modules())

    def test_images_that_it_does_not_take(self, extractor):
        with pytest.raises(gankit.GankitError, match="features 'refusing': sees nothing of 8 px"):
            extractor("refusing")(noise(1))
