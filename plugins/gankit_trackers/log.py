"""The interface of a log in a tracker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image


class Log(Protocol):
    """The log of one run in a tracker. Its methods are called in the thread of an `Outbox`, and may raise anything."""

    def start(self, step: int) -> str | None:
        """Open the log, or go on in it after the run has returned to a checkpoint. Called again if it raises.

        Args:
            step: the last step of the run; what was logged of later steps is outdated.

        Returns:
            A sentence for the user; None if all is as expected.
        """

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Add values by name."""

    def image(self, step: int, name: str, image: Image.Image) -> None:
        """Add an image (L, RGB or RGBA)."""

    def note(self, step: int, name: str, text: str) -> None:
        """Add a sentence."""

    def checkpoint(self, step: int, folder: Path) -> None:
        """Upload a checkpoint."""

    def finish(self, step: int, ending: str, failed: bool) -> None:
        """Record why the run ended, and send what is still to be sent."""
