"""Latents in a safetensors file: ``z`` [n d] or ``styles`` [n l s], and ``labels`` [n] of a conditional generator.

Shapes: ``n`` images, ``d`` latent dimensions, ``l`` layers, ``s`` features of a style.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import GankitError
from ..files import open_regular, output_file, read_failure, save_safetensors
from ..messages import one_line
from .sample_inputs import SampleInputs


def save_latents(inputs: SampleInputs, path: Path, about: Mapping[str, str]) -> None:
    """Write what images are generated from.

    Args:
        inputs: the latents, or the styles in place of them, and the labels.
        path: the file.
        about: its metadata.

    Raises:
        GankitError: the file cannot be written.
    """
    tensors = {"z": inputs.z} if inputs.styles is None else {"styles": inputs.styles}
    if inputs.labels is not None:
        tensors["labels"] = inputs.labels
    with output_file(path) as temporary:
        save_safetensors({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, dict(about))


@contextmanager
def open_tensors(path: Path, expected: str, remedy: str = "") -> Iterator[Any]:
    """An open safetensors file.

    Args:
        path: the file.
        expected: what it should be, for the message.
        remedy: the end of the message if it does not exist.

    Raises:
        GankitError: it cannot be read, also inside the block.
    """
    try:
        with open_regular(path), safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise GankitError(f"{path}: does not exist{remedy}") from None
    except OSError as error:
        raise GankitError(read_failure(path, error)) from None
    except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
        raise GankitError(f"{path}: is not {expected}: {one_line(error)[:200]}") from None


def load_latents(path: Path) -> dict[str, Tensor]:
    """Read ``z`` or ``styles``, and ``labels`` if the file has them, with n rows each.

    Raises:
        GankitError: the file cannot be read, or contains something else.
    """
    with open_tensors(path, "a readable safetensors file") as file:
        names = set(file.keys())
        tensors = {name: file.get_tensor(name) for name in names & {"z", "styles", "labels"}}
    latents = [name for name in ("z", "styles") if name in tensors]
    if len(latents) != 1:
        raise GankitError(
            f"{path}: contains {', '.join(sorted(names)[:5]) or 'nothing'}; expected latents 'z' or 'styles', as in "
            "the files that gankit sample and gankit project write"
        )
    [name] = latents
    values, labels = tensors[name].float(), tensors.get("labels")
    if values.dim() != (2 if name == "z" else 3) or not values.numel() or not values.isfinite().all():
        form = "[n d]" if name == "z" else "[n l s]"
        raise GankitError(f"{path}: '{name}' is {list(values.shape)}; expected finite numbers {form}")
    if labels is not None and labels.shape[:1] != values.shape[:1]:
        raise GankitError(f"{path}: has {len(values)} latents, but 'labels' is {list(labels.shape)}")
    return {**tensors, name: values}
