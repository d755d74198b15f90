"""Imports weight files of other projects as a checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..assembly.data_manifest import describe_data, read_data
from ..assembly.load_generator import select_described
from ..assembly.run_description import describe_networks
from ..errors import GankitError
from ..files import open_regular
from ..interfaces import DataSpec, WeightFormat
from ..messages import one_line
from ..recipe.weight_selection import NETWORKS
from ..registered_component import Entry, Selected
from ..registry import Registries
from ..runs.save_checkpoint import save_networks
from .convert import convert
from .recognition import GivenFile, recognize
from .weight_files import read_networks

LATENT = {"name": "normal"}


@dataclass(frozen=True)
class ImportedWeights:
    """Networks with the weights of files of another project.

    Attributes:
        format: the name of the format.
        license: a sentence about the license of the weights.
        networks: by the names of the networks of a run.
        components: the registered components of the networks and of the latent distribution.
        data: the images.
        classes: the names of the classes; None without classes.
        latent_dim: dimensions of the latents.
        files: the SHA-256 of each file, by its name.
        ignored: the keys of further networks in the files.
    """

    format: str
    license: str
    networks: Mapping[str, nn.Module]
    components: Mapping[str, Selected]
    data: DataSpec
    classes: tuple[str, ...] | None
    latent_dim: int
    files: Mapping[str, str]
    ignored: Sequence[str]

    def save(self, path: Path, about: Mapping[str, Any]) -> None:
        """Write a checkpoint.

        Args:
            path: its folder, which must not exist.
            about: the entries of the manifest about versions and plugins.

        Raises:
            CheckpointError: it cannot be written.
        """
        classes = self.classes
        manifest = {
            **about,
            **describe_networks(self.components, self.latent_dim, self.data),
            "classes": classes,
            "frequencies": None if classes is None else [1 / len(classes)] * len(classes),
            "images": 0,
            "imported": {"format": self.format, "files": dict(self.files), "license": self.license},
        }
        save_networks(path, self.networks, manifest)


def import_weights(
    files: Sequence[GivenFile],
    registries: Registries,
    format_name: str | None = None,
    classes: Sequence[str] | None = None,
) -> ImportedWeights:
    """Read weight files of another project.

    Args:
        files: of one model.
        registries: of the runtime.
        format_name: the name of the format; None recognizes it.
        classes: the names of the classes, in the order of the labels; None numbers them.

    Raises:
        GankitError: the files cannot be read, are not of a known format, or do not fit gankit's networks.
    """
    formats = {entry.name: _build(entry) for entry in registries.weight_formats}
    if format_name is not None and format_name not in formats:
        raise GankitError(f"--format: {registries.weight_formats.unknown(format_name)}")
    patterns = tuple(pattern for known in formats.values() for pattern in known.pickled_classes)
    contents = {file: read_networks(file.path, patterns) for file in files}
    name, found = recognize(contents, formats if format_name is None else {format_name: formats[format_name]})
    generator, paths = found.generator, ", ".join(str(file.path) for file in files)
    try:
        data = read_data(describe_data(DataSpec(image=generator.image)))
    except (ValueError, TypeError) as error:
        raise GankitError(f"{paths}: cannot be imported: {one_line(error)}") from None
    components = {"latent": select_described(registries, "latents", LATENT)}
    networks: dict[str, nn.Module] = {}
    for player in (name for name in NETWORKS if name in found.networks):
        network, conversion = found.networks[player]
        kind = "discriminator" if player == "discriminator" else "generator"
        described = {"name": conversion.component, "params": conversion.params}
        components[kind] = select_described(registries, f"{kind}s", described)
        networks[player] = convert(components[kind], conversion, network, f"{paths}: {player}")
    return ImportedWeights(
        format=name,
        license=formats[name].license,
        networks=networks,
        components=components,
        data=data,
        classes=_class_names(classes, generator.image.classes),
        latent_dim=generator.latent_dim,
        files=_hashes(file.path for file in files),
        ignored=found.ignored,
    )


def _hashes(paths: Iterable[Path]) -> dict[str, str]:
    """The SHA-256 of files by their names, which include folders if they would be equal otherwise."""
    files, depth = dict.fromkeys(path.absolute() for path in paths), 1
    while len(named := {"/".join(path.parts[-depth:]): path for path in files}) < len(files):
        depth += 1
    return {name: _sha256(path) for name, path in named.items()}


def _build(entry: Entry) -> WeightFormat:
    """Raises: GankitError: the format of a plugin cannot be built."""
    try:
        return entry.build(entry.schema())  # type: ignore[no-any-return]
    except Exception as error:  # a plugin may raise anything
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise GankitError(
            f"weight format '{entry.name}' of plugin '{entry.plugin}' cannot be built: {reason}"
        ) from None


def _class_names(given: Sequence[str] | None, count: int) -> tuple[str, ...] | None:
    """Raises: GankitError: ``given`` has another number of names, or a name twice."""
    if given is None:
        return tuple(map(str, range(count))) or None
    if len(given) != count or len(set(given)) != count:
        has = f"{count} classes" if count else "no classes"
        raise GankitError(f"--classes: {len(given)} names given ({len(set(given))} different), but the model has {has}")
    return tuple(given)


def _sha256(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
