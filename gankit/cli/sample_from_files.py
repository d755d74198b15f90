"""``gankit sample --input``: generate an image from each of the user's image files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GankitError
from ..messages import counted, one_line
from .sample_options import SampleOptions
from .task_progress import TaskProgress

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.files.image_files import ImageFiles
    from ..interfaces import ImageSpec
    from ..sampling.trained_generator import TrainedGenerator

MAX_NAMED = 5


def sample_from_files(
    generator: TrainedGenerator, source: Path, out: Path | None, seed: int, chosen: SampleOptions
) -> str:
    """Generate an image from each file and write it under the same name.

    Args:
        generator: takes an image.
        source: an image file, or a folder or zip of images.
        out: the folder for the images; for a single file, it may also be an image file.
        seed: of the latents, which are the same for all images.
        chosen: sampling options, and one class for all images.

    Returns:
        What was done, for the user.

    Raises:
        GankitError: the generator does not take exactly one image, ``source`` contains no images, or some of these
            cannot be used.
    """
    name, spec = _field_of(generator)
    if out is None:
        raise GankitError("--input: add --out FOLDER, where the generated images are written")
    files, targets = _files(source, out, generator.image.channels)
    if chosen.sweep is not None:
        raise GankitError(f"--input: {chosen.sweep[0]} has several values; choose one")
    for direction in chosen.amounts:
        raise GankitError(f"--input: images are not moved along directions; remove direction.{direction}")
    labels = chosen.labels or chosen.classes
    if labels and len(labels) > 1:
        raise GankitError(f"--input: {len(labels)} classes are given; choose one for all images")
    faults: dict[str, str] = {}
    with TaskProgress() as progress:
        for done, (file, target) in enumerate(targets.items()):
            progress.report("generating", done, len(targets))
            try:
                image = _read(files, file, spec)
                images = generator.sample(None, seed, labels, {name: image[None]}, **chosen.options)
            except ValueError as error:
                raise GankitError(f"{generator.checkpoint}: {error}") from None
            except GankitError as error:
                faults[file] = str(error)
            else:
                _write(images[0], target)
    if faults:
        shown = "; ".join(f"{file!r} {fault}" for file, fault in list(faults.items())[:MAX_NAMED])
        more = f"; and {len(faults) - MAX_NAMED} more" if len(faults) > MAX_NAMED else ""
        raise GankitError(f"{source}: {len(faults)} of {len(targets)} images cannot be used: {shown}{more}")
    return f"{out}: {counted(len(targets), 'image')} generated from {source}"


def _field_of(generator: TrainedGenerator) -> tuple[str, ImageSpec]:
    """The field of images that the generator takes. Raises: GankitError: it takes none, or more."""
    from ..sampling.pictures import only_image

    fields = generator.sampling.specs
    if not fields:
        raise GankitError("--input: this generator takes latents only, and no images; remove --input")
    if (found := only_image(fields)) is None:
        raise GankitError(
            f"--input: this generator takes {', '.join(fields)}, and a file can only give one image; call "
            "gankit.load_generator(...).sample(inputs=...)"
        )
    return found


def _files(source: Path, out: Path, channels: int) -> tuple[ImageFiles, dict[str, Path]]:
    """The files of ``source``, and where the image of each, with this number of channels, is written.

    Raises:
        GankitError: ``source`` does not exist or contains no images, or a file would be replaced.
    """
    from ..data.files.image_files import Folder, open_image_files
    from ..sampling.image_grid import is_picture, require_image_format

    if not source.exists():
        raise GankitError(f"--input {source}: does not exist")
    is_file = source.is_file() and source.suffix.lower() != ".zip"
    files = Folder(source.absolute().parent) if is_file else open_image_files(source)
    names = [source.name] if is_file else files.names()
    if not names:
        raise GankitError(f"--input {source}: contains no images")
    is_picture_file = is_file and is_picture(out)
    if is_picture_file:
        require_image_format(out)
    elif is_picture(out) or out.suffix.lower() == ".zip":
        raise GankitError(f"--out {out}: each image is written to a file of its own; give a folder")
    targets = {name: out if is_picture_file else out / _written_name(name, channels) for name in names}
    inputs = files.path.resolve()
    if any(target.resolve() == inputs / name for name, target in targets.items()):
        raise GankitError(f"--out {out}: the generated images would replace the inputs; choose another folder")
    if not is_file and out.resolve().is_relative_to(inputs):
        raise GankitError(f"--out {out}: is in the folder of the inputs; choose another folder")
    written: set[Path] = set()
    for name, target in targets.items():
        if target in written:
            raise GankitError(f"--input {source}: {name!r} and another image would both become {target}; rename one")
        if target.exists() and not is_picture_file:
            raise GankitError(f"{target}: exists; choose another folder, or delete it")
        written.add(target)
    return files, targets


def _written_name(name: str, channels: int) -> str:
    """The name of the image that is generated from this file, whose format may not be one to write."""
    from ..sampling.image_grid import FORMATS

    # a JPEG cannot hold transparency
    writable = tuple(f".{suffix}" for suffix, form in FORMATS.items() if form != "JPEG" or channels in (1, 3))
    return name if name.lower().endswith(writable) else f"{name}.png"


def _read(files: ImageFiles, name: str, spec: ImageSpec) -> Tensor:
    """The image, uint8 [c h w].

    Raises:
        GankitError: it is damaged, or has other channels. The message continues a sentence that begins with its name.
    """
    from ..data.files.decoding import DecodeError
    from ..sampling.pictures import read_input

    try:
        with files.open(name) as file:
            return read_input(file, spec)
    except DecodeError as error:
        fault = str(error)
    except Exception as error:  # a file that cannot be read, also in a damaged zip
        fault = f"cannot be read: {one_line(error)}"
    raise GankitError(fault)


def _write(image: Tensor, path: Path) -> None:
    from ..sampling.image_grid import require_image_format, save_image, to_pillow

    save_image(to_pillow(image.permute(1, 2, 0)), path, require_image_format(path))
