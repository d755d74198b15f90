"""Selections by name: the weights that a run starts from or leaves as they are, and modules that are checkpointed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Tag

from ..sources import HubFolder, check_source, parse_source
from ..strict_model import StrictModel

NetworkName = Literal["generator", "discriminator", "generator_ema"]
"""The networks of a run, by the names of their files in a checkpoint."""

NETWORKS: tuple[NetworkName, ...] = get_args(NetworkName)

Networks = Annotated[
    Annotated[Literal["all"], Tag("<all>")] | Annotated[tuple[NetworkName, ...], Tag("<each>")],
    Discriminator(lambda value: "<all>" if isinstance(value, str) else "<each>"),
]

Pattern = Annotated[str, Field(min_length=1)]
"""Matched to the names of weights as by `fnmatch`: ``*`` stands for any characters, also for dots."""


Source = Annotated[Path, AfterValidator(check_source)]
"""A run or checkpoint: a path, ``hub:owner/name`` or ``builtin:NAME``."""


class Initialize(StrictModel):
    """The weights that a run starts from.

    Attributes:
        from: a run directory, a checkpoint, ``hub:owner/name`` or ``builtin:NAME``.
        networks: the networks that are loaded. ``all`` includes the EMA if both runs have one.
        skip: patterns of the names of weights that keep their initial values, such as ``to_rgb.*`` for all networks or
            ``generator.to_rgb.*`` for one.
        copy: a network, or a module in it such as ``discriminator.fake_score``, with the checkpoint's network or module
            whose weights it gets.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    source: Annotated[Source, Field(alias="from")]
    networks: Networks = "all"
    skip: tuple[Pattern, ...] = ()
    copies: dict[str, str] = Field(default={}, alias="copy")

    @property
    def is_on_hub(self) -> bool:
        """Whether the weights are on the Hugging Face Hub."""
        return isinstance(parse_source(self.source), HubFolder)

    @classmethod
    def parse(cls, given: Path | Initialize) -> Initialize:
        """The section, or that for a path alone."""
        return given if isinstance(given, Initialize) else cls.model_validate({"from": given})


PathOrInitialize = Annotated[
    Annotated[Source, Tag("<path>")] | Annotated[Initialize, Tag("<from>")],
    Discriminator(lambda value: "<from>" if isinstance(value, (Mapping, Initialize)) else "<path>"),
]
"""A source, or a mapping with it under ``from``."""


class Freeze(StrictModel):
    """The parameters that are not trained.

    Attributes:
        generator: patterns of the names of G's parameters, such as ``mapping.*``.
        discriminator: patterns of the names of D's parameters, such as ``blocks.0.*``.
    """

    generator: tuple[Pattern, ...] = ()
    discriminator: tuple[Pattern, ...] = ()


class CheckpointActivations(StrictModel):
    """The modules that the backward runs again, instead of keeping their activations.

    Attributes:
        generator: patterns of the names of G's modules.
        discriminator: patterns of the names of D's modules, such as ``blocks.*``.
    """

    generator: tuple[Pattern, ...] = ()
    discriminator: tuple[Pattern, ...] = ()
