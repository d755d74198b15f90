"""A trained generator from a checkpoint: no recipe, no data set, no discriminator."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..assembly.selection import Selected
from ..data.resize import to_uint8
from ..errors import CheckpointError
from ..assembly.build_limits import bounded
from ..interfaces import ImageSpec, Latent
from ..registry import Params, Registry, signature_schema
from ..runtime import Runtime
from ..runs.checkpoint import MANIFEST, Checkpoint, find_checkpoint
from .interpolation import walk
from .samples import draw, images_of, sample_images
from ..training.schedules import ComponentSchedule
from ..recipe.validation import validate
from ..messages import truncate

MAX_ELEMENTS = 2**31  # of the images drawn at once, which are 8 GiB until they are quantised


class TrainedGenerator:
    """A generator with all that sampling from it needs.

    Attributes:
        module: the network, in eval mode.
        image: what it makes.
        classes: names of its labels; None where it is unconditional.
        checkpoint: where it comes from.
        ema: whether its weights are the average.
    """

    def __init__(
        self,
        module: nn.Module,
        latent: Latent,
        image: ImageSpec,
        classes: tuple[str, ...] | None,
        frequencies: list[float] | None,
        checkpoint: Path,
        ema: bool,
    ) -> None:
        self.module, self.image, self.classes, self.checkpoint = module, image, classes, checkpoint
        self.ema = ema
        self._latent, self._frequencies = latent, frequencies

    @property
    def options(self) -> type[Params]:
        """The schema of its sampling options: the keyword-only parameters of ``forward``, such as ``truncation``."""
        return signature_schema(self.module.forward, ("z", "labels"), f"{type(self.module).__name__}.forward")

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generated images, uint8 [count c h w]: the same for the same seed.

        Args:
            count: how many, from 1 on.
            seed: of the latents, which are drawn on the CPU; from 0 on.
            labels: a class for each image; None follows the data's class frequencies.
            options: the network's sampling options.

        Raises:
            ValueError: a number, labels or options that it does not take.
        """
        self._require(count, 1, seed, labels)
        checked = self._check(options)
        return sample_images(self.module, self._latent, self.image, count, seed, labels, self._frequencies, checked)

    def interpolate(
        self, count: int, steps: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any
    ) -> Tensor:
        """A closed walk over the latents of ``count`` images, uint8 [count steps c h w]: the same for the same seed.

        Row i goes from image i of `sample` in equal steps towards image i + 1, and the last row back to the first.
        What lies between two latents, the latent distribution says (`gankit.Latent`).

        Args:
            count: how many latents to walk over, from 2 on.
            steps: images from one of them to the next, from 1 on.
            seed: as in `sample`.
            labels: a class for each row; None follows the data's class frequencies.
            options: the network's sampling options.

        Raises:
            ValueError: a number, labels or options that it does not take.
        """
        if count < 2 or steps < 1:
            raise ValueError(f"a walk is over 2 latents or more, 1 step or more each; got {count!r}, {steps!r} steps")
        self._require(count, steps, seed, labels)
        checked = self._check(options)
        z, chosen = draw(self._latent, self.image, count, seed, labels, self._frequencies)
        rows = None if chosen is None else chosen.repeat_interleave(steps)
        images = to_uint8(images_of(self.module, walk(self._latent, z, steps).flatten(0, 1), rows, seed, checked))
        walked: Tensor = images.unflatten(0, (count, steps))
        return walked

    def _require(self, count: int, steps: int, seed: int, labels: Sequence[int] | None) -> None:
        if count < 1 or not 0 <= seed < 2**63:
            raise ValueError(f"count is 1 or more and seed 0 to 2^63 - 1; got count {count!r}, seed {seed!r}")
        elements = count * steps * self.image.channels * self.image.height * self.image.width
        if elements > MAX_ELEMENTS:
            raise ValueError(
                f"{count * steps} images are {elements:,} numbers, beyond {MAX_ELEMENTS:,}; draw fewer at a time"
            )
        if labels is not None and not (
            isinstance(labels, Sequence) and all(isinstance(label, int) and label is not True for label in labels)
        ):
            raise ValueError(f"labels are a list of whole numbers, one an image; got {labels!r}")

    def _check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        if not options:
            return {}
        params, problems = validate(self.options, options)
        if params is None:
            raise ValueError("; ".join(f"sampling option '{problem.path}': {problem.message}" for problem in problems))
        return params.at(0)


def load_generator(path: str | Path, *, plugins: Iterable[Any] = (), device: str = "cpu") -> TrainedGenerator:
    """The generator of a run's newest checkpoint, or of one checkpoint: the EMA's where there is one.

    Args:
        path: a run directory or a checkpoint.
        plugins: as for `gankit.Runtime`; needed where the architecture came by ``--plugin``.
        device: where it shall run.

    Raises:
        CheckpointError: there is none, it is damaged or altered, or its architecture is not registered.
    """
    return generator_from(Runtime(plugins), path, device)


def generator_from(runtime: Runtime, path: str | Path, device: str = "cpu", ema: bool = True) -> TrainedGenerator:
    """As `load_generator`, with a runtime that is there already; without ``ema``, G itself and not its average."""
    folder = find_checkpoint(Path(path))
    checkpoint = Checkpoint.open(folder)
    manifest = checkpoint.manifest
    try:
        image = _image(manifest["image"])
        latent_dim = int(manifest["latent"]["dim"])
        classes = tuple(str(name) for name in manifest["classes"]) if image.classes else None
        frequencies = _shares(manifest["frequencies"], image.classes) if image.classes else None
        registries = runtime.registries
        latent = _choose(registries.latents, manifest["latent"]).build(latent_dim)
        with torch.random.fork_rng(devices=[]):  # first weights are drawn, and then replaced
            chosen = _choose(registries.generators, manifest["generator"])
            name = "generator_ema" if ema and checkpoint.bytes_of("generator_ema") else "generator"
            network = bounded(lambda: chosen.build(image, latent_dim), checkpoint.bytes_of(name))
        ComponentSchedule(network, chosen.params).advance(int(manifest["images"]))
    except CheckpointError as error:
        recorded = manifest.get("plugins")
        missing = ", ".join(runtime.missing_plugins(recorded)) if isinstance(recorded, dict) else ""
        hint = f"; it was trained with plugin {missing}: pass it (--plugin)" if missing else ""
        raise CheckpointError(f"{folder}: {error}{hint}") from None
    except Exception as error:  # a manifest is a stranger's data
        fault = (
            f"no {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {' '.join(str(error).split())}"
        )
        raise CheckpointError(f"{folder / MANIFEST}: does not describe a generator: {truncate(fault, 400)}") from None
    checkpoint.load_network(name, network)
    network.to(device).eval().requires_grad_(False)
    return TrainedGenerator(network, latent, image, classes, frequencies, folder, name == "generator_ema")


def _image(given: Mapping[str, Any]) -> ImageSpec:
    image = ImageSpec(**given)
    bounds = {"height": (1, 16_384), "width": (1, 16_384), "channels": (1, 4), "classes": (0, 1_000_000)}
    for name, (low, high) in bounds.items():
        value = getattr(image, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"image.{name} is {value!r}, not {low} to {high}")
    return image


def _shares(given: Sequence[Any], classes: int) -> list[float]:
    shares = [float(share) for share in given]
    if len(shares) != classes or not all(0 <= share < math.inf for share in shares) or not sum(shares):
        raise ValueError(f"frequencies are not {classes} shares")
    return shares


def _choose(registry: Registry[Any], given: Mapping[str, Any]) -> Selected:
    name = str(given["name"])
    try:
        entry = registry.get(name)
    except KeyError as error:
        raise CheckpointError(str(error.args[0])) from None
    params, problems = validate(entry.schema, given.get("params", {}))
    if params is None:
        raise CheckpointError(f"{registry.singular} '{entry.name}': {'; '.join(map(str, problems))}")
    return Selected(entry, params)
