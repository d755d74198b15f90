"""The page ``report.html`` of a run, and the pictures in its folder ``report`` that the page shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..data.datasets import prepare_dataset
from ..evaluation.extractor import BATCH
from ..evaluation.neighbors import Neighbors, features_of, find_neighbors, open_extractor
from ..evaluation.real_dataset import open_real_dataset
from ..evaluation.real_features_cache import real_features
from ..evaluation.real_images import unpaired_images
from ..evaluation.request import Request
from ..files import write_text
from ..interfaces import Report, Run, no_report
from ..runs.file_names import REPORT, REPORT_PICTURES, checkpoint_step
from ..runtime import Runtime
from ..sampling.image_grid import enlargement, make_grid, save_image, to_pillow
from .page.pictures import NEIGHBORS, NEIGHBORS_RECORD, REAL, sample_name, sample_pictures
from .page.run_page import render_run

MAX_REAL_BYTES = 2**28  # of the real images that neighbors are searched among during training


class RunReport:
    """Writes the report of a run.

    Args:
        directory: of the run.

    Raises:
        GankitError: from every method: a file cannot be read or written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._pictures = directory, directory / REPORT_PICTURES

    def add_samples(self, step: int, images: Tensor, columns: int) -> None:
        """Keep a picture of samples.

        Args:
            step: of the generator.
            images: uint8 [n c h w].
            columns: images per row.
        """
        self._save(images, sample_name(step), columns)

    def keep_samples(self, is_kept: Callable[[int], bool]) -> None:
        """Delete the pictures of samples of all other steps."""
        for picture in sample_pictures(self._directory):
            if not is_kept(picture.step):
                picture.path.unlink(missing_ok=True)

    def add_real_images(self, images: Tensor, columns: int) -> None:
        """Keep a picture of real images uint8 [n c h w]."""
        self._save(images, REAL, columns)

    def add_neighbors(self, step: int, neighbors: Neighbors) -> None:
        """Keep a picture of generated images, each followed by its nearest real images in a row."""
        rows = torch.cat([neighbors.generated[:, None], neighbors.real], dim=1)
        self._save(rows.flatten(0, 1), NEIGHBORS, rows.shape[1])
        record = {
            "step": step,
            "features": neighbors.features,
            "among": neighbors.among,
            "samples": len(neighbors.generated),
            "distance": float(neighbors.distances[:, 0].median()),
            "real_distance": neighbors.real_distance,
        }
        write_text(self._pictures / NEIGHBORS_RECORD, json.dumps(record) + "\n")

    def find_neighbors(self, run: Run, images: Tensor, features: str, among: int) -> None:
        """Search the nearest real images of samples during training, and keep their picture.

        Args:
            run: of this directory.
            images: samples, uint8 [n c h w].
            features: name of the extractor.
            among: number of training images to search, at most; fewer if they need more than 256 MiB.
        """
        image = run.image
        bytes_each = image.channels * image.height * image.width
        real = run.real(max(1, min(among, len(run.dataset), MAX_REAL_BYTES // bytes_each)))
        extractor = open_extractor(run.registries, features, run.device)
        found = find_neighbors(images, features_of(real.split(BATCH), extractor), real.__getitem__, extractor)
        self.add_neighbors(run.state.step, found)

    def find_neighbors_of_checkpoint(
        self, runtime: Runtime, checkpoint: Path, request: Request, report: Report = no_report
    ) -> None:
        """Search the nearest real images of the samples of a checkpoint, and keep their picture.

        Args:
            runtime: with the components.
            checkpoint: of this run.
            request: names the features, the number of samples and of real images, the seed and the device.
            report: called with the progress.
        """
        device = request.find_device()
        generator = runtime.load_generator(checkpoint, str(device))
        generated = generator.sample(request.count, request.seed)
        real = open_real_dataset(runtime.registries, request, self._directory, str(checkpoint))
        prepare_dataset(real.dataset, report)
        size, among = (generated.shape[2], generated.shape[3]), request.real_samples or len(real.dataset)
        images = unpaired_images(real, size, among, report)
        extractor = open_extractor(runtime.registries, request.features, device)
        features = real_features(images, extractor, report)
        found = find_neighbors(generated, features, lambda i: images.batch(i // BATCH)[i % BATCH], extractor)
        self.add_neighbors(checkpoint_step(checkpoint), found)

    def write(self, ending: str | None = None) -> Path:
        """Write ``report.html`` from the files of the run.

        Args:
            ending: why the run ends, if ``run.json`` does not say so yet.

        Returns:
            Its path.
        """
        path = self._directory / REPORT
        write_text(path, render_run(self._directory, ending))
        return path

    def _save(self, images: Tensor, name: str, columns: int) -> None:
        """Write a picture of images uint8 [n c h w]."""
        is_small = enlargement(images.shape[2], images.shape[3]) > 1
        settings = {"lossless": True, "quality": 0} if is_small else {}  # lossy WebP would blur the colors of pixels
        grid = make_grid(images, columns, enlarge=False)  # the page enlarges it
        save_image(to_pillow(grid), self._pictures / name, "WebP", method=0, **settings)
