"""Copies of training images are found, other real images are not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import gankit
from gankit.evaluation import Request, evaluate
from gankit_metrics import Memorization, memorization


def points(count: int, seed: int, dim: int = 32) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def score(real: Tensor, fake: Tensor, **params: float) -> float:
    return measure(real, fake, **params).compute()["memorized"]


def measure(real: Tensor, fake: Tensor, **params: float) -> Memorization:
    metric = Memorization(**params)
    for side, values in ((True, real), (False, fake)):
        for batch in values.split(50):
            metric.update(batch, side)
    return metric


def ratios(real: Tensor, fake: Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The calibrated distance of each generated image, and its nearest real image."""
    x, y = real.double().numpy(), fake.double().numpy()
    distances = np.linalg.norm(y[:, None] - x[None], axis=2)
    originals = distances.argmin(1)
    scale = [np.sort(np.linalg.norm(x - x[i], axis=1))[1 : k + 1].mean() for i in originals]
    return distances.min(1) / scale, originals


@given(
    real=st.integers(12, 120), fake=st.integers(1, 60), k=st.integers(1, 11), threshold=st.floats(0.1, 1.5), rows=st.sampled_from([7, 256])
)
@settings(max_examples=30, deadline=None)
def test_against_all_pairs(real, fake, k, threshold, rows):
    x, y = points(real, 1), points(fake, 2)
    y[::3] = x[: len(y[::3])] + 0.3 * y[::3] if len(y[::3]) <= real else y[::3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memorization, "ROWS", rows)
        metric = measure(x, y, k=k, threshold=threshold)
        found = metric.compute()
    expected, originals = ratios(x, y, k)
    assert found == {"memorized": pytest.approx(float((expected <= threshold).mean()))}
    order = expected.argsort(kind="stable")[:5]
    assert metric.details() == [
        f"generated image {i}: calibrated distance {expected[i]:.3g} to real image {originals[i]}" for i in order
    ]


def test_copies_are_found_and_other_real_images_are_not():
    real = points(2000, 1)
    copies = real[:300] + 0.05 * points(300, 3)
    assert score(real, real[:300]) == 1
    assert score(real, copies) == 1
    assert score(real, points(1000, 2)) < 0.01
    assert score(real, torch.cat([copies, points(700, 2)])) == pytest.approx(0.3, abs=0.01)


def test_images_of_a_plain_region_do_not_count_as_copies():
    """Without the calibration, they would: their distances are a tenth of those in the other region."""
    real = torch.cat([0.1 * points(500, 1), points(500, 2) + 50])
    assert score(real, 0.1 * points(500, 3)) < 0.01
    assert score(real, real[500:] + 0.1) == 1


def test_authenticity_is_a_special_case():
    """A generated image is authentic if another real image is closer to its nearest one (arXiv 2102.08921)."""
    real, fake = points(300, 1), points(200, 2)
    between, among = torch.cdist(fake, real), torch.cdist(real, real).fill_diagonal_(float("inf"))
    authentic = (among.min(1).values[between.argmin(1)] < between.min(1).values).float().mean()
    assert score(real, fake, k=1, threshold=1.0) == pytest.approx(1 - float(authentic), abs=1e-6)
    assert 0.1 < authentic < 0.99


def test_an_image_that_the_data_repeats():
    real = torch.cat([points(1, 1).expand(60, -1), points(60, 2)])
    metric = measure(real, torch.cat([real[:1], points(1, 3)]))
    assert metric.compute() == {"memorized": 0.5}
    assert metric.details()[0].startswith("generated image 0: calibrated distance 0 to real image")


@pytest.mark.parametrize(("copies", "params"), [(61, {}), (2, {"k": 1})])
def test_copies_of_images_that_the_data_repeats(copies, params):
    """With as many images as distances are computed with matrix products, whose rounding is no distance."""
    repeated = 3 + points(50, 1, 1280)
    real = repeated.repeat_interleave(copies, 0)
    fake = repeated.repeat(2, 1) * (1 + 1e-7)  # rounding of features that were computed in other batches
    assert score(real, fake, **params) == 1
    assert score(real, repeated + 0.05 * points(50, 2, 1280), **params) == 0


def test_too_few_real_images():
    with pytest.raises(ValueError, match="at least 51 real images are needed, but 50 were given: give more, or lower `k`"):
        score(points(50, 1), points(3, 2))


class TestEvaluation:
    @pytest.fixture
    def evaluated(self, tmp_path, monkeypatch, trained_run, tiny_plugin):
        """A function that evaluates a run whose generated images 3 and 5 are in the dataset of real images."""
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
        trained_run()
        runtime = gankit.Runtime(plugins=[tiny_plugin])
        images = runtime.load_generator("run").sample(8, seed=0)
        Path("real").mkdir()
        noise = torch.randint(0, 256, (20, *images.shape[2:], 3), dtype=torch.uint8).numpy()
        for index, pixels in enumerate(noise):
            Image.fromarray(pixels).save(f"real/{index:02}.png")
        for index, number in ((4, 3), (11, 5)):
            Image.fromarray(images[number].permute(1, 2, 0).numpy()).save(f"real/{index:02}.png")
        request = {"metrics": ["memorization"], "features": "pixels", "samples": 8, "params": {"memorization": {"k": 5, "threshold": 0.01}}}
        return lambda **options: evaluate("run", Request(real={"name": "image_folder", "path": "real"}, **{**request, **options}), runtime)

    def test_numbers_are_those_of_samples_and_of_the_dataset(self, evaluated):
        found = evaluated(real_samples=20)
        assert found.scores == {"memorized_pixels": 0.25}
        assert [re.findall(r"image (\d+)", line) for line in found.details[:2]] == [["3", "4"], ["5", "11"]]
        assert found.cautions == ()
        assert found.metrics["memorization"].better == {}
        assert gankit.Evaluation.model_validate(found.model_dump(mode="json")) == found

    def test_metrics_of_pairs_take_other_real_images(self, evaluated):
        message = "metric 'memorization' needs all real images, but 'psnr' takes the held-out ones .*; evaluate them separately"
        with pytest.raises(gankit.GankitError, match=message):
            evaluated(metrics=["psnr", "memorization"])

    def test_missing_real_images_are_a_caution(self, evaluated):
        assert evaluated().cautions == (
            "memorization: only 8 of the 20 real images are compared; set real_samples to 20 to compare all",
        )

    def test_the_command_prints_the_closest_images(self, evaluated, cli, tiny_plugin_file):
        real = "{name: image_folder, path: real}"
        words = ["--metrics", "memorization", "--features", "pixels", "--samples", "8", "--real-samples", "20", "memorization.k=5"]
        said = cli("eval", "run", "--real", real, *words, "--plugin", tiny_plugin_file)
        assert said.code == 0, said.err
        assert re.search(r"^generated image 3: calibrated distance 0\S* to real image 4$", said.out, flags=re.M)
