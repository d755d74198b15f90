"""Writes samples as image files into a folder or zip. An interrupted call continues when it is repeated."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from .. import __version__
from ..data.files.safe_zip import MAX_ENTRIES
from ..data.packing.class_folder_names import class_folder_names
from ..data.threads import map_in_threads
from ..errors import GankitError
from ..files import whole_file, write_failure
from ..interfaces import Report, no_report
from .image_grid import to_pillow
from .latent_files import save_latents
from .sample_inputs import BLOCK, SampleInputs
from .trained_generator import TrainedGenerator

SampleFormat = Literal["png", "webp"]
DESCRIPTION = "samples.json"
LOSSLESS = {"png": {}, "webp": {"lossless": True, "exact": True}}  # exact: also the colors of transparent pixels
LATENTS_PER_FILE = 256 * BLOCK


@dataclass(frozen=True)
class SampleFiles:
    """Which samples to write, and how.

    Attributes:
        generator: of the samples.
        count: the number of images.
        seed: image i depends on the seed and i only.
        labels: class indices, which are repeated if there are fewer than images; None draws them from the class
            frequencies of the data.
        options: sampling options.
        format: of the files; both are lossless.
        about: what else the description contains, such as the hash of the weights.
        given: what the images are generated from, in place of what ``count``, ``seed`` and ``labels`` draw.
        change: changes what they are generated from.
    """

    generator: TrainedGenerator
    count: int
    seed: int = 0
    labels: Sequence[int] | None = None
    options: Mapping[str, Any] | None = None
    format: SampleFormat = "png"
    about: Mapping[str, Any] | None = None
    given: SampleInputs | None = None
    change: Callable[[SampleInputs], SampleInputs] | None = None

    def write(self, out: Path, report: Report = no_report) -> None:
        """Write the images, their latents and ``samples.json``, in bounded memory. Files that exist are kept.

        Images of a conditional generator are in one folder per class.

        Args:
            out: a folder, or the path of a zip.
            report: called with the progress.

        Raises:
            GankitError: ``out`` contains something else, cannot be written, or is a zip of too many images.
            ValueError, CheckpointError: as in `TrainedGenerator.sample`.
        """
        self.generator.require_options(self.options or {})
        if self.labels is not None:
            self.generator.sampling.require_labels(len(self.labels), self.labels)
        try:
            if out.suffix.lower() != ".zip":
                self._write_folder(out, report)
                return
            if out.exists():
                raise GankitError(f"{out}: exists; choose another name, or delete it")
            if self.count + -(-self.count // LATENTS_PER_FILE) >= MAX_ENTRIES:  # with the description
                raise GankitError(
                    f"{out}: {self.count:,} images do not fit into a zip, of which gankit reads at most "
                    f"{MAX_ENTRIES:,} entries; write them into a folder"
                )
            folder = out.with_name(f"{out.name}.partial")
            self._write_folder(folder, report)
            _pack(folder, out, report)
        except OSError as error:
            raise GankitError(
                f"{write_failure(error.filename or out, error)}; correct this and repeat the command, which then "
                "continues"
            ) from None

    def _write_folder(self, folder: Path, report: Report) -> None:
        description = self._description()
        _require_same_samples(folder, description)
        if not (folder / DESCRIPTION).exists():  # one image, so that a call that fails leaves nothing behind
            self.generator.images(next(self._blocks()).rows(slice(1)), **self.options or {})
        folder.mkdir(parents=True, exist_ok=True)
        for name in self._class_folders() or ():
            (folder / name).mkdir(exist_ok=True)
        with whole_file(folder / DESCRIPTION) as temporary:
            temporary.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        for number, inputs in enumerate(self._blocks()):
            report("samples", number * BLOCK, self.count)
            files = [folder / name for name in self._names(inputs)]
            if not all(file.exists() for file in files):
                images = self.generator.images(inputs, **self.options or {})
                for _ in map_in_threads(partial(_save, format=self.format), [*zip(images, files, strict=True)], 8):
                    pass
        report("samples", self.count, self.count)
        if self.generator.takes_latents():
            self._write_latents(folder)

    def _blocks(self) -> Iterator[SampleInputs]:
        labels = None if self.labels is None else _Repeated(self.labels)
        for number in range(-(-self.count // BLOCK)):
            if self.given is not None:
                inputs = self.given.block(number)
            else:
                inputs = self.generator.draw_block(number, self.count, self.seed, labels)
            yield inputs if self.change is None else self.change(inputs)

    def _names(self, inputs: SampleInputs) -> Iterator[str]:
        folders = self._class_folders()
        for row, number in enumerate(inputs.numbers.tolist()):
            file = f"{number:06}.{self.format}"
            yield file if folders is None or inputs.labels is None else f"{folders[int(inputs.labels[row])]}/{file}"

    def _class_folders(self) -> Sequence[str] | None:
        """The names of the folders of the classes: their own, or their numbers if one cannot be a folder's name."""
        classes = self.generator.classes
        return None if classes is None else class_folder_names(classes)

    def _write_latents(self, folder: Path) -> None:
        """One file for every `LATENTS_PER_FILE` images, named after the first of them."""
        blocks: list[SampleInputs] = []
        about = {"weights": str((self.about or {}).get("weights")), "seed": str(self.seed)}
        for inputs in self._blocks():
            blocks.append(inputs)
            if (number := inputs.first_block + 1) * BLOCK % LATENTS_PER_FILE == 0 or number * BLOCK >= self.count:
                first = blocks[0].first_block * BLOCK
                save_latents(SampleInputs.cat(blocks), folder / f"latents-{first:06}.safetensors", about)
                blocks = []

    def _description(self) -> dict[str, Any]:
        image = self.generator.image
        return {
            "gankit": __version__,
            **(self.about or {}),
            "count": self.count,
            "seed": self.seed,
            "labels": None if self.labels is None else [*self.labels],
            "options": dict(self.options or {}),
            "format": self.format,
            "image": {"height": image.height, "width": image.width, "channels": image.channels},
            "classes": None if self.generator.classes is None else [*self.generator.classes],
        }


class _Repeated(Sequence[int]):
    """A list that begins again at its end."""

    def __init__(self, values: Sequence[int]) -> None:
        self._values = values

    def __getitem__(self, index: Any) -> Any:
        return self._values[index % len(self._values)]

    def __len__(self) -> int:
        return len(self._values)


def _save(item: tuple[Tensor, Path], format: SampleFormat) -> None:
    image, path = item
    with whole_file(path) as temporary:
        to_pillow(image.permute(1, 2, 0)).save(temporary, format=format, **LOSSLESS[format])


def _require_same_samples(folder: Path, description: Mapping[str, Any]) -> None:
    """Raises: GankitError: the folder contains something else than some of these samples."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise GankitError(f"{folder}: is a file; choose a folder or the name of a zip")
    try:
        found = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise GankitError(f"{folder}: is not empty, and has no {DESCRIPTION} of samples; choose another folder")
    expected = json.loads(json.dumps(description))
    count = found.get("count", 0)
    if not isinstance(count, int):
        raise GankitError(f"{folder / DESCRIPTION}: `count` is {json.dumps(count)[:80]}; choose another folder")
    if count > expected["count"]:
        raise GankitError(
            f"{folder}: contains {count:,} samples, more than {expected['count']:,}; choose another folder"
        )
    for name in expected:
        if name not in ("gankit", "count") and found.get(name) != expected[name]:
            raise GankitError(
                f"{folder}: contains samples whose {name} is {json.dumps(found.get(name))[:80]}, not "
                f"{json.dumps(expected[name])[:80]}; choose another folder"
            )


def _pack(folder: Path, path: Path, report: Report) -> None:
    """Move a folder into a zip, without compression, as the images are compressed."""
    # names with a dot are left over from an interrupted save
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    with whole_file(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for done, file in enumerate(files):
                report("packing", done, len(files))
                archive.write(file, file.relative_to(folder).as_posix())
        report("packing", len(files), len(files))
    shutil.rmtree(folder)
