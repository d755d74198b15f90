from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import gankit
from gankit.sampling.image_grid import enlargement, make_grid, save_grid
from gankit_callbacks.sample_images import SampleImages


def cells(path: Path, image: tuple[int, int, int], count: int, columns: int) -> Tensor:
    """The images in a picture [n c h w] at their own size, after a look at everything around them."""
    channels, height, width = image
    scale = enlargement(height, width)
    with Image.open(path) as opened:
        assert opened.format == "PNG"
        assert opened.mode == {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        pixels = np.array(opened).reshape(opened.height, opened.width, channels)
    rest, found = pixels.copy(), []
    for index in range(count):
        top = 2 + (index // columns) * (height * scale + 2)
        left = 2 + (index % columns) * (width * scale + 2)
        area = (slice(top, top + height * scale), slice(left, left + width * scale))
        cell = pixels[area].reshape(height, scale, width, scale, channels)
        assert (cell == cell[:, :1, :, :1]).all()
        found.append(cell[:, 0, :, 0].transpose(2, 0, 1))
        rest[area] = 0
    rows = -(-count // columns)
    assert pixels.shape[:2] == (2 + rows * (height * scale + 2), 2 + min(columns, count) * (width * scale + 2))
    assert not rest.any()
    return torch.from_numpy(np.stack(found))


@settings(deadline=None, max_examples=25)
@given(
    image=st.tuples(st.integers(1, 4), st.integers(1, 80), st.integers(1, 80)),
    count=st.integers(1, 7),
    columns=st.integers(1, 9),
)
def test_each_image_stands_in_its_cell(
    tmp_path_factory: pytest.TempPathFactory, image: tuple[int, int, int], count: int, columns: int
) -> None:
    path = tmp_path_factory.mktemp("grid") / "grid.png"
    images = torch.randint(0, 256, (count, *image), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    save_grid(images, path, columns)
    assert torch.equal(cells(path, image, count, columns), images)
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    ("size", "scale"), [((64, 64), 1), ((128, 64), 1), ((32, 64), 1), ((32, 32), 2), ((28, 28), 3), ((48, 20), 2)]
)
def test_small_images_are_enlarged(size: tuple[int, int], scale: int) -> None:
    assert enlargement(*size) == scale
    assert make_grid(torch.zeros(1, 1, *size, dtype=torch.uint8), 1).shape[0] == size[0] * scale + 4


def names(run: Any) -> list[str]:
    return sorted(path.name for path in run.directory.iterdir())


def test_pictures_of_a_run(make_run: Any) -> None:
    run = make_run(total_steps=10)  # three steps an epoch
    callback, seen = SampleImages(every=4, count=6, columns=4, seed=5), {}
    for step in run.play(callback):
        seen[step] = names(run)
    fakes = [f"fake_samples_epoch_{epoch:03d}.png" for epoch in range(4)]
    assert seen[1] == [fakes[0], "real_samples.png"]
    assert seen[3] == seen[1]
    assert seen[4] == [*fakes[:2], "real_samples.png"]
    assert seen[10] == [*fakes, "real_samples.png"]
    for epoch, step in enumerate([1, 4, 8, 10]):
        run.state.step = step
        found = cells(run.directory / fakes[epoch], run.image, 6, 4)
        assert torch.equal(found, run.sample(6, 5))
    run.state.step = 1
    assert torch.equal(cells(run.directory / "real_samples.png", run.image, 6, 4), run.real(6))


def test_the_picture_of_an_epoch_is_written_anew(make_run: Any) -> None:
    run = make_run(total_steps=3)
    for step in run.play(SampleImages(every=2, count=2)):
        current = {1: 1, 2: 2, 3: 3}[step]
        run.state.step = current
        found = cells(run.directory / "fake_samples_epoch_000.png", run.image, 2, 8)
        assert torch.equal(found, run.sample(2, 0))


def test_a_run_that_ends_early_leaves_its_last_picture(make_run: Any) -> None:
    run = make_run(total_steps=10)
    list(run.play(SampleImages(every=100, count=2), until=5))
    assert names(run) == ["fake_samples_epoch_000.png", "fake_samples_epoch_001.png", "real_samples.png"]
    assert torch.equal(cells(run.directory / "fake_samples_epoch_001.png", run.image, 2, 8), run.sample(2, 0))


def test_on_resume_reals_are_drawn_only_where_they_are_missing(make_run: Any) -> None:
    run = make_run(total_steps=10)
    real = run.directory / "real_samples.png"
    list(run.play(SampleImages(every=100, count=2), start=4, until=6))
    assert real.exists()
    real.write_bytes(b"kept")
    list(run.play(SampleImages(every=100, count=2), start=6, until=8))
    assert real.read_bytes() == b"kept"
    list(run.play(SampleImages(every=100, count=2), until=2))  # a run that starts again
    assert real.read_bytes() != b"kept"


@pytest.mark.parametrize(("classes", "rows"), [(3, 3), (20, 20), (30, 20)])
def test_one_row_a_class(make_run: Any, classes: int, rows: int) -> None:
    run = make_run(total_steps=1, classes=tuple(map(str, range(classes))))
    list(run.play(SampleImages(columns=5)))
    labels = [row for row in range(rows) for _ in range(5)]
    for name, truth in {
        "fake_samples_epoch_000.png": run.sample(5 * rows, 0, labels),
        "real_samples.png": run.real(5 * rows, labels),
    }.items():
        found = cells(run.directory / name, run.image, 5 * rows, 5)
        assert torch.equal(found, truth)
        assert found[:, 0, 0, 0].tolist() == labels


def test_a_picture_that_fails_leaves_the_old_one(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run().directory / "grid.png"
    save_grid(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), path, 1)
    before = path.read_bytes()

    def fail(self: Image.Image, target: Path, format: str) -> None:
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(gankit.GankitError, match="disk full"):
        save_grid(torch.ones(1, 3, 4, 4, dtype=torch.uint8), path, 1)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    ("images", "columns"),
    [
        (torch.zeros(2, 3, 8, 8), None),
        (torch.zeros(3, 8, 8).byte(), None),
        (torch.zeros(0, 3, 8, 8).byte(), None),
        (torch.zeros(2, 3, 8, 8).byte(), 0),
    ],
)
def test_what_is_no_grid(images, columns, tmp_path):
    with pytest.raises(ValueError, match=r"a grid consists of images, uint8 \[n c h w\], in at least one column; got a tensor"):
        gankit.save_grid(images, tmp_path / "grid.png", columns)
    assert not [*tmp_path.iterdir()]
