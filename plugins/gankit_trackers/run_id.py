"""The id of a run in a tracker, by which a resumed run continues it."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import gankit


class RunId:
    """The id is kept in checkpoints, and in a file for a run that ends before its first checkpoint.

    Args:
        file: its name in the run directory.

    Attributes:
        value: None until the run has an id.
    """

    def __init__(self, file: str) -> None:
        self.value: str | None = None
        self._file = Path(file)

    def load(self, directory: Path) -> None:
        """Use the file in ``directory``. It is read unless the id is known from a checkpoint."""
        self._file = directory / self._file
        if self.value is None:
            with suppress(OSError, ValueError):  # without a readable file, the run starts a new log
                found = next(gankit.JsonLines.read(self._file), {}).get("run_id")
                self.value = found if isinstance(found, str) else None

    def save(self, value: str) -> None:
        """Set the id, and write the file."""
        self.value = value
        with gankit.whole_file(self._file) as temporary:
            temporary.write_text(json.dumps({"run_id": value}) + "\n")
