"""``gankit sample``: all images in one picture or animation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GankitError
from ..messages import counted
from .sample_options import SampleOptions

if TYPE_CHECKING:
    from torch import Tensor

    from ..sampling.sample_inputs import SampleInputs
    from ..sampling.trained_generator import TrainedGenerator

DEFAULT_IMAGES, DEFAULT_ENDS, DEFAULT_ROW, DEFAULT_TABLE = 64, 8, 8, (6, 4)
ANIMATED = (".gif", ".webp", ".mp4")


@dataclass(frozen=True)
class Request:
    """The picture that the command line asks for.

    Attributes:
        path: the file.
        count: number of images, or of the images to interpolate between.
        seed: of the images.
        grid: columns and rows.
        steps: of an interpolation.
        layers: whose styles a table mixes.
        latents: a file with latents to use in place of random ones.
    """

    path: Path
    count: int | None
    seed: int
    grid: tuple[int, int] | None
    steps: int | None
    layers: range | None
    latents: Path | None

    @property
    def cells(self) -> int:
        """The number of images in the grid; 0 without one."""
        return self.grid[0] * self.grid[1] if self.grid else 0

    @property
    def animated(self) -> bool:
        """Whether the file shows an interpolation as an animation."""
        return self.steps is not None and self.path.suffix.lower() in ANIMATED

    def require_format(self) -> None:
        """Raises: GankitError: the suffix names no format that fits."""
        from ..sampling.image_grid import require_image_format

        suffix = self.path.suffix.lower()
        if self.steps is None and suffix in (".gif", ".mp4"):
            what = "a GIF" if suffix == ".gif" else "an MP4"
            raise GankitError(f"--out {self.path}: {what} shows an interpolation; add --interpolate 24, or write a PNG")
        require_image_format(self.path, self.animated)
        if self.grid and self.steps is not None and not self.animated:
            raise GankitError("--grid: the rows of a picture are the interpolations; use it with a GIF, WebP or MP4")

    def draw(self, generator: TrainedGenerator, chosen: SampleOptions, default: int) -> SampleInputs:
        """The inputs of the images."""
        if self.latents is not None:
            inputs = draw_from_file(generator, self.latents, self.seed, chosen)
            if self.grid is not None and self.cells != len(inputs):
                raise GankitError(f"--grid has {counted(self.cells, 'image')}, but {self.latents} has {len(inputs)}")
            return inputs
        count = self.count or self.cells or chosen.default_count(default)
        if self.grid is not None and self.cells != count:
            raise GankitError(f"--count {count}: --grid has {counted(self.cells, 'image')}; omit --count")
        return chosen.move(generator, generator.draw(count, self.seed, chosen.labels_of(count)))


def draw_picture(generator: TrainedGenerator, request: Request, chosen: SampleOptions) -> str:
    """Write the picture. Returns what it shows, for the user."""
    if chosen.sweep is not None and (request.steps is not None or request.layers is not None):
        raise GankitError(f"{chosen.sweep[0]} has several values; give one with --interpolate and --mix")
    if request.steps is not None:
        return _draw_interpolation(generator, request, chosen, request.steps)
    if request.layers is not None:
        return _draw_mixing(generator, request, chosen, request.layers)
    if chosen.sweep is not None:
        if request.grid is not None:
            raise GankitError(f"{chosen.sweep[0]} has several values, one per row; give --count instead of --grid")
        inputs = request.draw(generator, chosen, DEFAULT_ROW)
        _save(chosen.rows(generator, inputs).flatten(0, 1), request.path, len(inputs))
        name, values = chosen.sweep
        return f"{counted(len(inputs), 'image')} for each of {len(values)} values of {name}"
    inputs = request.draw(generator, chosen, DEFAULT_IMAGES)
    columns = request.grid[0] if request.grid else chosen.columns_of(len(inputs))
    _save(generator.images(inputs, **chosen.options), request.path, columns)
    return counted(len(inputs), "image")


def draw_from_file(generator: TrainedGenerator, path: Path, seed: int, chosen: SampleOptions) -> SampleInputs:
    """The inputs for images of a file's latents. Raises: GankitError: the latents cannot be used."""
    from ..sampling.latent_files import load_latents

    if chosen.labels is not None:
        raise GankitError("--latents: the file determines the classes; remove labels")
    latents = load_latents(path)
    if "labels" in latents and not generator.sampling.has_labels:
        raise GankitError(f"{path}: has labels, but this generator is unconditional")
    if "styles" in latents:
        _require_options_of_styles(generator, [*chosen.options, *([chosen.sweep[0]] if chosen.sweep else [])])
    try:
        return chosen.move(generator, generator.draw_from(latents, seed))
    except ValueError as error:
        raise GankitError(f"{path}: {error}") from None


def _require_options_of_styles(generator: TrainedGenerator, names: list[str]) -> None:
    """Raises: GankitError: an option concerns how styles are made from latents."""
    from ..sampling.styles import accepts, has_styles

    network: object = generator.module
    if not has_styles(network):
        return  # an error is reported when the options are used
    for name in names:
        if name in generator.options.model_fields and not accepts(network.synthesize, name):
            raise GankitError(f"{name} has no effect on given styles; remove it")


def _draw_interpolation(generator: TrainedGenerator, request: Request, chosen: SampleOptions, steps: int) -> str:
    import torch

    cells = request.cells or 1
    if request.latents is not None:
        inputs = draw_from_file(generator, request.latents, request.seed, chosen)
        if len(inputs) % cells:
            raise GankitError(
                f"--grid: {counted(len(inputs), 'latent')} cannot be divided among {cells} interpolations"
            )
    else:
        count = (request.count or chosen.default_count(DEFAULT_ENDS)) * cells
        inputs = chosen.move(generator, generator.draw(count, request.seed, chosen.labels_of(count)))
    ends = len(inputs) // cells
    parts = [inputs.rows(slice(start, start + ends)) for start in range(0, len(inputs), ends)]
    images = torch.stack([generator.interpolate_between(part, steps, **chosen.options) for part in parts])
    if request.animated:
        _animate(images.flatten(1, 2).unbind(dim=1), request.path, request.grid[0] if request.grid else 1)
    else:
        _save(images.flatten(0, 2), request.path, steps)
    each = f"{cells} interpolations of {ends}" if cells > 1 else f"interpolation of {ends}"
    return f"{each} latents, {steps} steps each,"


def _draw_mixing(generator: TrainedGenerator, request: Request, chosen: SampleOptions, layers: range) -> str:
    from ..sampling.tables import style_mixing_table

    columns, rows = request.grid or DEFAULT_TABLE
    if request.latents is not None:
        inputs = draw_from_file(generator, request.latents, request.seed, chosen)
        if len(inputs) <= columns:
            raise GankitError(
                f"--grid: {counted(len(inputs), 'latent')} cannot fill {counted(columns, 'column')} and a row"
            )
        rows = len(inputs) - columns
    elif request.count is not None:
        raise GankitError("--count: --grid determines the number of images of a table of style mixing; remove --count")
    else:
        count = columns + rows
        inputs = chosen.move(generator, generator.draw(count, request.seed, chosen.labels_of(count)))
    table = style_mixing_table(generator, inputs, columns, layers, chosen.options)
    _save(table.flatten(0, 1), request.path, columns + 1)
    return f"style mixing of {counted(columns, 'column')} and {counted(rows, 'row')}"


def _save(images: Tensor, path: Path, columns: int | None) -> None:
    from ..sampling.image_grid import save_grid

    save_grid(images, path, columns)


def _animate(frames: Sequence[Tensor], path: Path, columns: int) -> None:
    """Write frames of several images each, [n c h w]."""
    from ..sampling.image_grid import make_grid, save_animation

    save_animation([make_grid(frame, columns) for frame in frames], path)
