"""A trained generator from a checkpoint: no recipe, no data set, no discriminator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from .check import Chosen
from .errors import CheckpointError
from .interfaces import ImageSpec, Latent
from .registry import Params, Registry, did_you_mean, signature_schema
from .runtime import Runtime
from .training.checkpoint import Checkpoint, find_checkpoint
from .training.sampling import sample_images


class TrainedGenerator:
    """A generator with all that sampling from it needs.

    Attributes:
        module: the network, in eval mode.
        image: what it makes.
        classes: names of its labels; None where it is unconditional.
        checkpoint: where it comes from.
    """

    def __init__(
        self,
        module: nn.Module,
        latent: Latent,
        image: ImageSpec,
        classes: tuple[str, ...] | None,
        frequencies: list[float] | None,
        checkpoint: Path,
    ) -> None:
        self.module, self.image, self.classes, self.checkpoint = module, image, classes, checkpoint
        self._latent, self._frequencies = latent, frequencies

    @property
    def options(self) -> type[Params]:
        """The schema of its sampling options: the keyword-only parameters of ``forward``, such as ``truncation``."""
        return signature_schema(self.module.forward, ("z", "labels"), f"{type(self.module).__name__}.forward")

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generated images, uint8 [count c h w]: the same for the same seed.

        Args:
            count: how many.
            seed: of the latents, which are drawn on the CPU.
            labels: a class for each image; None follows the data's class frequencies.
            options: the network's sampling options.

        Raises:
            ValueError: labels or options that the network does not take.
        """
        try:
            checked = self.options.model_validate(options).at(0) if options else {}
        except ValidationError as error:
            finding = error.errors()[0]
            name = str(finding["loc"][0])
            known = did_you_mean(name, self.options.model_fields) if finding["type"] == "extra_forbidden" else ""
            raise ValueError(f"sampling option '{name}': {finding['msg']}{known}") from None
        return sample_images(self.module, self._latent, self.image, count, seed, labels, self._frequencies, checked)


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


def generator_from(runtime: Runtime, path: str | Path, device: str = "cpu") -> TrainedGenerator:
    """As `load_generator`, with a runtime that is there already."""
    folder = find_checkpoint(Path(path))
    checkpoint = Checkpoint.open(folder)
    manifest = checkpoint.manifest
    try:
        image = ImageSpec(**manifest["image"])
        latent_dim = int(manifest["latent"]["dim"])
        classes = tuple(manifest["classes"]) if image.classes else None
        frequencies = [float(share) for share in manifest["frequencies"]] if image.classes else None
        registries = runtime.registries
        latent = _choose(registries.latents, manifest["latent"]).build(latent_dim)
        network = _choose(registries.generators, manifest["generator"]).build(image, latent_dim)
    except CheckpointError as error:
        missing = ", ".join(runtime.missing_plugins(manifest.get("plugins", {})))
        hint = f"; it was trained with plugin {missing}: pass it (--plugin)" if missing else ""
        raise CheckpointError(f"{folder}: {error}{hint}") from None
    except Exception as error:  # a manifest is a stranger's data
        raise CheckpointError(f"{folder / 'manifest.json'}: {type(error).__name__}: {error}") from None
    ema = "generator_ema.safetensors" in manifest["files"]
    checkpoint.load_network("generator_ema" if ema else "generator", network)
    network.to(device).eval().requires_grad_(False)
    return TrainedGenerator(network, latent, image, classes, frequencies, folder)


def _choose(registry: Registry[Any], given: Mapping[str, Any]) -> Chosen:
    try:
        entry = registry.get(str(given["name"]))
        return Chosen(entry, entry.schema.model_validate(given.get("params", {})))
    except KeyError as error:
        raise CheckpointError(str(error.args[0])) from None
    except ValidationError as error:
        raise CheckpointError(f"{registry.kind}: '{given['name']}': {error.errors()[0]['msg']}") from None
