"""How a run or checkpoint is named: by a path, as a folder of the Hugging Face Hub, or as a model of this package.

``hub:owner/name`` is a repository of the Hub. ``hub:owner/name@v1`` is its branch, tag or commit ``v1``, and
``hub:owner/name@v1/sub/folder`` is a folder in it. A slash in the name of a branch is written ``%2F``, except in
``refs/pr/1``, a pull request. ``builtin:NAME`` is a checkpoint in ``gankit/models/NAME``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .files import user_path
from .messages import did_you_mean, quote

HUB, BUILTIN = "hub:", "builtin:"
MODELS = Path(__file__).parent / "models"

_REPOSITORY = r"\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?"
_REVISION = r"refs/pr/\d+|[^/@]+"
_FOLDER = re.compile(rf"(?P<repository>{_REPOSITORY})(?:@(?P<revision>{_REVISION}))?(?P<folder>(?:/[^/@]+)*)", re.A)


@dataclass(frozen=True)
class HubFolder:
    """A folder of a repository on the Hugging Face Hub.

    Attributes:
        repository: ``owner/name``.
        revision: a branch, tag or commit; None for the main branch.
        folder: its path in the repository, such as ``sub/folder``; empty for the repository itself.
    """

    repository: str
    revision: str | None = None
    folder: str = ""

    @classmethod
    def parse(cls, text: str) -> HubFolder:
        """Parse ``hub:owner/name[@revision][/folder]``. Raises: ValueError: the text has another form."""
        match = _FOLDER.fullmatch(text.removeprefix(HUB))
        folder = match["folder"][1:] if match else ""
        if match is None or {".", ".."} & {*folder.split("/")}:
            raise ValueError(
                f"{quote(text)}: should be hub:owner/name, hub:owner/name@revision or hub:owner/name/folder"
            )
        require_repository_name(match["repository"])
        revision = match["revision"] and match["revision"].replace("%2F", "/").replace("%40", "@")
        return cls(match["repository"], revision, folder)

    def __str__(self) -> str:
        """The text that `parse` reads."""
        revision = self.revision or ""
        if not revision.startswith("refs/pr/"):
            revision = revision.replace("/", "%2F").replace("@", "%40")
        return HUB + self.repository + (revision and f"@{revision}") + (self.folder and f"/{self.folder}")


@dataclass(frozen=True)
class BuiltinModel:
    """A checkpoint in this package.

    Attributes:
        name: of its folder in ``gankit/models``.
    """

    name: str

    @classmethod
    def parse(cls, text: str) -> BuiltinModel:
        """Parse ``builtin:NAME``. Raises: ValueError: gankit has no such model."""
        name = text.removeprefix(BUILTIN)
        known = [path.name for path in MODELS.iterdir() if path.is_dir()] if MODELS.is_dir() else []
        if name not in known:
            raise ValueError(f"{quote(text)}: gankit has no such model{did_you_mean(name, known)}")
        return cls(name)

    @property
    def path(self) -> Path:
        """The folder of the checkpoint."""
        return MODELS / self.name

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return BUILTIN + self.name


def parse_source(source: str | Path) -> Path | HubFolder | BuiltinModel:
    """A run or checkpoint as a user names it, without looking for it on the Hub.

    Raises:
        ValueError: the name of a repository or a folder in it has another form, this package has no such model, or the
            path cannot be used.
    """
    text = Path(source).as_posix()
    if text.startswith(HUB):
        return HubFolder.parse(text)
    return BuiltinModel.parse(text) if text.startswith(BUILTIN) else user_path(source)


def check_source(source: str | Path) -> Path:
    """The name of a run or checkpoint as a path, with the home folder replaced, for `parse_source` to be parsed later.

    Raises:
        ValueError: as for `parse_source`.
    """
    return Path(str(parse_source(source)))


def require_repository_name(name: str) -> None:
    """Raises: ValueError: a name is not one that a repository of the Hub can have."""
    if not re.fullmatch(_REPOSITORY, name, re.A) or len(name) > 96 or "--" in name or ".." in name:
        raise ValueError(
            f"{quote(name)}: is not the name of a repository; give owner/name, of up to 96 letters, digits, '-', '_' "
            "and '.', without '--' and '..'"
        )
