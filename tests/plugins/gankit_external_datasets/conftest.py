"""Fixtures for the tests of external datasets: image files, and functions that write tables and shards of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

COUNT = 12


@pytest.fixture(autouse=True)
def own_data_folder(tmp_path_factory, monkeypatch) -> None:
    """Indices of shards and caches of Hugging Face's library are written for each test anew."""
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="session")
def encoded() -> list[bytes]:
    """PNG files of random pixels, of several sizes."""
    files = []
    for index in range(COUNT):
        pixels = np.random.default_rng(index).integers(0, 256, (6, 8 + index % 3, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files.append(buffer.getvalue())
    return files


@pytest.fixture(scope="session")
def pixels(encoded) -> list[Tensor]:
    """The same images as Pillow reads them, uint8 [c h w]."""
    return [torch.from_numpy(np.array(Image.open(io.BytesIO(data)))).permute(2, 0, 1) for data in encoded]


@pytest.fixture
def write_parquet(tmp_path, encoded) -> Callable[..., Path]:
    """``write_parquet(columns, name="a.parquet", group=4)``: images and further columns in row groups of 4."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def write(columns: dict[str, Any], name: str = "a.parquet", group: int = 4, image: Any = None) -> Path:
        cells = [{"bytes": data, "path": None} for data in encoded] if image is None else image
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"image": cells, **columns}), path, row_group_size=group)
        return path

    return write


@pytest.fixture
def write_tar(tmp_path) -> Callable[..., Path]:
    """``write_tar(name, members)``: a tar of (name, content)."""

    def write(name: str, members: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, mode) as tar:
            for member, content in members:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return path

    return write


@pytest.fixture
def require_images() -> Callable[[Any, Sequence[Tensor]], None]:
    """``require_images(dataset, expected)``: the images of a dataset are these, in their order."""

    def check(dataset: Any, expected: Sequence[Tensor]) -> None:
        items = [dataset[index] for index in range(len(dataset))]
        images = [item["image"] if isinstance(item, dict) else item[0] for item in items]
        assert len(images) == len(expected)
        for image, other in zip(images, expected, strict=True):
            assert torch.equal(torch.as_tensor(image), other)

    return check
