"""The nearest real images, against brute force in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gankit
from gankit.errors import GankitError
from gankit.evaluation.neighbors import features_of, find_neighbors, open_extractor


@pytest.fixture
def registries():
    return gankit.Runtime().registries


@pytest.fixture
def pixels(registries):
    return open_extractor(registries, "pixels", torch.device("cpu"))


def noise(count, side=32, seed=0):
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def averages(images, side=16):
    """The means of squares of pixels, flat, in [0, 1]."""
    pixels = images.numpy().astype(np.float64) / 255
    n, c, h, w = pixels.shape
    return pixels.reshape(n, c, side, h // side, side, w // side).mean((3, 5)).reshape(n, -1)


def search(generated, real, extractor):
    return find_neighbors(generated, features_of(real.split(7), extractor), real.__getitem__, extractor)


def test_against_brute_force(pixels):
    generated, real = noise(5, seed=1), noise(300, seed=2)
    real[7] = generated[3]  # a copy
    found = search(generated, real, pixels)
    features, real_features = averages(generated), averages(real)
    distances = np.sqrt(((features[:, None] - real_features[None]) ** 2).sum(2))
    order = distances.argsort(1)[:, :4]
    np.testing.assert_allclose(found.distances.numpy(), np.take_along_axis(distances, order, 1), rtol=1e-5, atol=1e-5)
    assert torch.equal(found.real, real[torch.from_numpy(order)])
    assert found.distances[3, 0] < 1e-5
    assert torch.equal(found.generated, generated)
    assert (found.among, found.features) == (300, "pixels")
    among_real = np.sqrt(((real_features[:256, None] - real_features[None]) ** 2).sum(2))
    among_real[np.arange(256), np.arange(256)] = np.inf
    assert found.real_distance == pytest.approx(np.sort(among_real.min(1))[127], rel=1e-4)


@pytest.mark.parametrize(("count", "real_distance"), [(1, None), (2, True), (3, True)])
def test_fewer_real_images_than_neighbors(pixels, count, real_distance):
    found = search(noise(2, seed=1), noise(count, seed=2), pixels)
    assert found.real.shape == (2, count, 3, 32, 32)
    assert found.distances.shape == (2, count)
    assert (found.real_distance is None) == (real_distance is None)


def test_small_images_keep_their_pixels(pixels):
    images = noise(4, side=8)
    assert torch.equal(features_of([images], pixels), images.flatten(1) / 255)


def test_an_unknown_extractor(registries):
    with pytest.raises(GankitError, match="no feature is called 'pixel'; did you mean 'pixels'"):
        open_extractor(registries, "pixel", torch.device("cpu"))
