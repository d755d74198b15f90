import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import gankit
from gankit.testing import check_dataset
from gankit_datasets.shapes import SHAPES, Attributes, Shapes


def is_inside(attributes: Attributes, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether points lie in the shape, by other means than a distance: membership, and half-planes of corners."""
    dx, dy, r = x - attributes.center[0], y - attributes.center[1], attributes.radius
    if attributes.shape == "circle":
        return dx**2 + dy**2 <= r**2
    if attributes.shape == "square":
        return (abs(dx) <= 0.9 * r) & (abs(dy) <= 0.9 * r)
    height = r * 3**0.5
    corners = [(0, -height / 2), (r, height / 2), (-r, height / 2)]
    edges = zip(corners, corners[1:] + corners[:1], strict=True)
    crosses = [(bx - ax) * (dy - ay) - (by - ay) * (dx - ax) for (ax, ay), (bx, by) in edges]
    return np.all([cross >= 0 for cross in crosses], axis=0)


@pytest.mark.parametrize("size", [32, 48])
def test_images_show_their_attributes(size):
    dataset, fine = Shapes(size=size, count=60, seed=3), 8
    grid = (np.arange(size * fine) + 0.5) / (size * fine)
    x, y = np.meshgrid(grid, grid)
    for index in range(len(dataset)):
        attributes = dataset.attributes(index)
        coverage = is_inside(attributes, x, y).reshape(size, fine, size, fine).mean((1, 3))[..., None]
        expected = 255 * (np.array(attributes.background) * (1 - coverage) + np.array(attributes.color) * coverage)
        image = dataset[index][0].permute(1, 2, 0).numpy().astype(float)
        flat = (coverage == 0) | (coverage == 1)
        whole = np.broadcast_to(flat, image.shape)
        assert np.abs(image - expected)[whole].mean() < 0.6  # rounding, and a little of smoothstep's reach
        assert np.abs(image - expected).mean() < 2.5
        edges = (coverage > 0.2) & (coverage < 0.8)
        if attributes.shape == "circle":
            assert edges.any()
            assert np.abs(image - expected)[np.broadcast_to(edges, image.shape)].max() < 60  # antialiased, not 0 or 1


def test_colors_are_the_hues_and_always_distinct():
    dataset = Shapes(count=3000)
    for index in range(len(dataset)):
        a = dataset.attributes(index)
        assert a.color == pytest.approx(colorsys.hsv_to_rgb(a.hue, 0.85, 1.0), abs=1e-9)
        assert a.background == pytest.approx(colorsys.hsv_to_rgb(a.background_hue, 0.6, 0.35), abs=1e-9)
        gap = abs(a.hue - a.background_hue)
        assert min(gap, 1 - gap) >= 1 / 3 - 1e-9
        assert np.linalg.norm(np.subtract(a.color, a.background)) > 0.6


def test_shapes_are_bold_and_whole():
    dataset = Shapes(count=3000)
    radii = []
    for index in range(len(dataset)):
        a = dataset.attributes(index)
        radii.append(a.radius)
        assert all(a.radius <= c <= 1 - a.radius for c in a.center)
    assert 0.22 <= min(radii) < 0.225
    assert 0.395 < max(radii) <= 0.40


def test_labels_are_the_kinds_and_balanced():
    dataset = Shapes(count=6000)
    labels = dataset.labels
    assert dataset.classes == SHAPES == ("circle", "square", "triangle")
    assert [dataset.attributes(i).shape for i in range(50)] == [SHAPES[label] for label in labels[:50]]
    assert (labels.bincount() - 2000).abs().max() < 200  # five standard deviations


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**70),
    size=st.integers(1, 40),
    split=st.sampled_from(["train", "test"]),
    index=st.integers(0, 1299),
)
def test_an_image_depends_on_seed_split_and_index_alone(seed, size, split, index):
    few, many = (Shapes(count=count, size=size, split=split, seed=seed) for count in (index + 1, 1300))
    image, label = many[index]
    assert torch.equal(few[index][0], image)
    assert few[index][1] == label
    assert few.attributes(index) == many.attributes(index)


@pytest.mark.parametrize("count", [1, 511, 512, 513, 1100])
def test_tensors_agree_exactly_with_items(count):
    dataset = Shapes(count=count, size=24)
    images, labels = dataset.tensors()
    assert images.dtype == torch.uint8
    assert images.shape == (count, 3, 24, 24)
    assert labels.dtype == torch.int64
    for index in range(count):
        image, label = dataset[index]
        assert torch.equal(image, images[index])
        assert label == labels[index]


def test_seeds_and_splits_differ():
    sets = [Shapes(count=50, seed=s, split=p).tensors()[0] for s in (0, 1) for p in ("train", "test")]
    seen = {image.numpy().tobytes() for images in sets for image in images}
    assert len(seen) == 200


def test_stays_the_same_for_ever():
    a = Shapes(seed=0).attributes(1)
    assert (a.shape, round(a.hue, 6), round(a.radius, 6)) == ("circle", 0.055842, 0.301531)


def test_keeps_the_contract():
    dataset = Shapes(count=10)
    assert isinstance(dataset, gankit.Dataset)
    assert dataset.spec == gankit.ImageSpec(32, 32, 3)
    check_dataset(dataset)


@pytest.mark.parametrize("index", [10, -1])
def test_an_index_beyond_the_set(index):
    with pytest.raises(IndexError, match=f"image {index} of 10"):
        Shapes(count=10)[index]


@pytest.mark.parametrize("params", [{"count": 0}, {"size": 0}, {"seed": -1}, {"split": "valid"}, {"colour": 1}])
def test_the_schema_refuses(params):
    import gankit_datasets

    registries = gankit.Registries()
    gankit_datasets.register(registries)
    schema = registries.datasets.get("shapes").schema
    schema()
    with pytest.raises(ValidationError, match=next(iter(params))):
        schema(**params)
