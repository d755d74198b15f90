"""Recognizes the networks in weight files of other projects, and which of a run's networks they become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..errors import GankitError
from ..files import user_path
from ..interfaces import Conversion, ForeignNetwork, ImageSpec, WeightFormat
from ..messages import listed, one_line
from ..recipe.weight_selection import NETWORKS, NetworkName

EMA = "ema"  # in the key of a network in a file


class GivenFile(NamedTuple):
    """A file of the user, and the network that it is said to hold; None if its content decides."""

    path: Path
    network: NetworkName | None = None

    @classmethod
    def parse(cls, text: str | Path) -> GivenFile:
        """A path, or ``NETWORK=PATH``. A ``=`` after anything but the name of a network is part of the path.

        Raises:
            GankitError: the path cannot be used.
        """
        start, _, rest = str(text).partition("=")
        network = next((name for name in NETWORKS if name == start), None)
        try:
            return cls(user_path(rest if network else text), network)
        except ValueError as error:
            raise GankitError(str(error)) from None


class Recognized(NamedTuple):
    """A network of a file, and how it becomes one of a run."""

    network: ForeignNetwork
    conversion: Conversion


@dataclass
class RecognizedFiles:
    """The networks of all files, in one format.

    Attributes:
        networks: by the names of the networks of a run.
        ignored: the keys of the networks that are not of this format.
    """

    networks: dict[NetworkName, Recognized] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)

    @property
    def generator(self) -> Conversion:
        """That of the EMA if there is one, otherwise of G."""
        return (self.networks.get("generator_ema") or self.networks["generator"]).conversion

    @property
    def image(self) -> ImageSpec:
        """The images."""
        return self.generator.image


def recognize(
    contents: Mapping[GivenFile, Mapping[str, ForeignNetwork]], formats: Mapping[str, WeightFormat]
) -> tuple[str, RecognizedFiles]:
    """The name of the format that all files are of, and their networks.

    Args:
        contents: the networks of each file, by their keys in it.
        formats: that are tried, by name.

    Raises:
        GankitError: the files are of none of the formats or of several, a network cannot be converted, or the networks
            do not belong together.
    """
    found: dict[str, RecognizedFiles] = {}
    refusals: list[str] = []
    for name, tried in formats.items():
        try:
            if (recognized := _recognize(contents, tried)) is not None:
                found[name] = recognized
        except GankitError as error:
            refusals.append(str(error))
    if len(found) > 1:
        raise GankitError(f"{_names(contents)}: could be {' or '.join(found)}; choose one with --format")
    if found:
        return next(iter(found.items()))
    if refusals:
        raise GankitError(refusals[0])
    inside = [tensor for networks in contents.values() for network in networks.values() for tensor in network.tensors]
    content = f"; it has the tensors {listed(inside)}" if inside else "; it has no networks"
    known = f"a known format ({', '.join(formats)})" if len(formats) > 1 else f"the format {next(iter(formats))}"
    raise GankitError(f"{_names(contents)}: is not of {known}{content}")


def _recognize(
    contents: Mapping[GivenFile, Mapping[str, ForeignNetwork]], tried: WeightFormat
) -> RecognizedFiles | None:
    """The networks of the files; None if a file has none of this format. Raises: GankitError: as for `recognize`."""
    result = RecognizedFiles()
    for file, networks in contents.items():
        before = len(result.networks)
        for key, network in networks.items():
            _assign(file, key, network, tried, result)
        if len(result.networks) == before:
            return None
    _require_same(result, _names(contents))
    return result


def _assign(file: GivenFile, key: str, network: ForeignNetwork, tried: WeightFormat, result: RecognizedFiles) -> None:
    name: NetworkName = "generator_ema" if EMA in key.lower() else "generator"
    try:
        conversion = tried.generator(network)
        if conversion is None:
            conversion, name = tried.discriminator(network), "discriminator"
    except Exception as error:  # a file may hold anything
        fault = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        where = f"{file.path}: {key}" if key else str(file.path)
        raise GankitError(f"{where}: cannot be imported: {fault}{one_line(error)}") from None
    if conversion is None:
        result.ignored.append(key)
        return
    if file.network is not None and (name == "discriminator") != (file.network == "discriminator"):
        raise GankitError(f"{file.path}: has the weights of a {name.partition('_')[0]}, not of a {file.network}")
    name = file.network or name
    if name in result.networks:
        raise GankitError(
            f"{file.path}: is a second {name}; give each network once, and the average of G's weights as "
            "generator_ema=FILE"
        )
    result.networks[name] = Recognized(network, conversion)


def _require_same(result: RecognizedFiles, names: str) -> None:
    """Raises: GankitError: the generator is missing, or the networks do not belong together."""
    networks = {name: recognized.conversion for name, recognized in result.networks.items()}
    if not {"generator", "generator_ema"} & {*networks}:
        raise GankitError(f"{names}: has a discriminator only; give the generator's file as well")
    for name, conversion in networks.items():
        if conversion.image != result.image:
            raise GankitError(
                f"{names}: the networks do not belong together: {_described(result.image)} of the generator, and "
                f"{_described(conversion.image)} of the {name}"
            )
        if name != "discriminator" and _architecture(conversion) != _architecture(result.generator):
            raise GankitError(f"{names}: the generator and its average have different architectures")


def _architecture(conversion: Conversion) -> tuple[object, ...]:
    return conversion.component, dict(conversion.params), conversion.latent_dim


def _described(image: ImageSpec) -> str:
    classes = f" of {image.classes} classes" if image.classes else ""
    return f"images [{image.channels} {image.height} {image.width}]{classes}"


def _names(files: Iterable[GivenFile]) -> str:
    return ", ".join(str(file.path) for file in files)
