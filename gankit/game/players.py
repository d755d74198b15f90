"""The networks of a game's players."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from ..errors import GankitError
from ..interfaces import Player


class Players:
    """Names the networks in ``players``, for the dataclasses that have them."""

    players: Mapping[Player, nn.Module]

    @property
    def generator(self) -> nn.Module:
        """The network G."""
        return self.players["generator"]

    @property
    def discriminator(self) -> nn.Module:
        """The network D. Raises: GankitError: the game has no discriminator."""
        if "discriminator" not in self.players:
            raise GankitError("this game has no discriminator: its only player is the generator")
        return self.players["discriminator"]
