"""``reconstruction`` and ``total_variation`` against loops over pixels."""

from __future__ import annotations

import math

import pytest
import torch

import gankit
from gankit.testing import make_turn
from gankit_losses.reconstruction import Reconstruction, TotalVariation


def turn_of(fake, real, **fields):
    return make_turn("generator", lambda z: fake + 0 * z.sum(), lambda images: images.mean((1, 2, 3)), real, fields=fields)


def images(seed, *shape):
    return torch.rand(*(shape or (2, 3, 4, 5)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


ERRORS = {"l1": abs, "l2": lambda e: e * e, "charbonnier": lambda e: math.sqrt(e * e + 0.04)}


@pytest.mark.parametrize("distance", ERRORS)
def test_reconstruction(distance):
    fake, real = images(0), images(1)
    pairs = zip(fake.flatten().tolist(), real.flatten().tolist(), strict=True)
    expected = 7 * sum(ERRORS[distance](one - other) for one, other in pairs) / fake.numel()
    term = Reconstruction(weight=7, distance=distance, epsilon=0.2).generator(turn_of(fake, real))
    assert term.item() == pytest.approx(expected, rel=1e-12)


def test_the_target_may_be_another_field():
    fake, real, other = images(0), images(1), images(2)
    term = Reconstruction(weight=1, target="other").generator(turn_of(fake, real, other=other))
    assert term.item() == pytest.approx((fake - other).abs().mean().item(), rel=1e-12)
    small = turn_of(fake, real, small=images(3, 2, 3, 2, 2))
    with pytest.raises(gankit.GankitError, match=r"the field 'small' is \[2, 3, 2, 2\], but generated images are \[2, 3, 4, 5\]"):
        Reconstruction(target="small").generator(small)


def test_only_g_is_regularized():
    assert not hasattr(Reconstruction(), "discriminator")
    assert not hasattr(TotalVariation(), "discriminator")


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 1, 1, 6), (2, 1, 6, 1), (1, 2, 1, 1)])
def test_total_variation(shape):
    fake = images(0, *shape)
    down = [abs(a - b) for a, b in zip(fake[:, :, 1:].flatten().tolist(), fake[:, :, :-1].flatten().tolist(), strict=True)]
    right = [abs(a - b) for a, b in zip(fake[..., 1:].flatten().tolist(), fake[..., :-1].flatten().tolist(), strict=True)]
    expected = 3 * sum(sum(errors) / len(errors) for errors in (down, right) if errors)
    term = TotalVariation(weight=3).generator(turn_of(fake, images(1, *shape)))
    assert term.item() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_reaches_g():
    fake = images(0).requires_grad_()
    turn = turn_of(fake, images(1))
    (Reconstruction().generator(turn) + TotalVariation().generator(turn)).backward()
    assert fake.grad.abs().min() > 0


def test_a_check_finds_a_target_of_another_shape(tmp_path):
    recipe = {
        "name": "x2",
        "image": {"size": 32},
        "dataset": {"name": "derived", "source": "downscale", "dataset": {"name": "shapes", "size": 32}},
        "generator": {"name": "srresnet", "width": 4, "blocks": 1},
        "discriminator": {"name": "patchgan", "width": 4, "layers": 1},
        "regularizers": [{"name": "reconstruction", "target": "source"}],
        "train": {"steps": 1},
    }
    with pytest.raises(gankit.RecipeError, match=r"regularizers.0: reconstruction: the field 'source' is \[2, 3, 16, 16\], but"):
        gankit.Runtime().check(gankit.Recipe.parse(recipe))
    recipe["regularizers"] = [{"name": "reconstruction", "target": "sorce"}]
    with pytest.raises(gankit.RecipeError, match="regularizers.0: .*no field 'sorce'; did you mean 'source'"):
        gankit.Runtime().check(gankit.Recipe.parse(recipe))
