"""Uploads a checkpoint to a repository of the Hugging Face Hub, in one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Set
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import CheckpointError
from ..hub_client import LOG_IN, HubError, explained, import_hub
from ..messages import listed
from ..runs.file_names import MANIFEST, RECIPE, STATE
from ..runs.manifest import read_manifest
from ..runtime import Runtime
from ..sources import HUB
from .model_card import CARD
from .repository_folder import write_repository

OF_EVERY_REPOSITORY = {".gitattributes", CARD}


def push(
    source: str | Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    license: str | None = None,
    with_state: bool = False,
    runtime: Runtime | None = None,
) -> str:
    """Upload a checkpoint with a model card. ``gankit.load_generator("hub:owner/name")`` loads it.

    The repository is created if it does not exist. If it holds a checkpoint of gankit, this is replaced, and stays in
    the history of the repository. The token is that of ``hf auth login`` or ``HF_TOKEN``.

    Args:
        source: a run directory (its newest checkpoint), a checkpoint, ``hub:owner/name`` or ``builtin:NAME``.
        repository: ``owner/name``.
        private: create a private repository.
        revision: the branch, which is created if it does not exist; None for the main branch.
        message: of the commit.
        license: of the weights: an identifier of the Hub, such as ``mit``.
        with_state: upload the state of the training as well, from which a run can be resumed.
        runtime: with the components; None creates one with the installed plugins.

    Returns:
        The address of the commit.

    Raises:
        HubError: no valid token was found, the Hub cannot be reached or refuses the upload, or the repository holds
            other files or is public although a private one is wanted.
        GankitError: the source is not a valid checkpoint, or an argument is invalid.
    """
    hub = import_hub()
    if hub.get_token() is None:
        raise HubError(f"{HUB}{repository}: an upload needs a token; {LOG_IN}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_repository(
            source,
            folder,
            repository,
            revision=revision,
            license=license,
            with_state=with_state,
            runtime=runtime,
        )
        with explained(HUB + repository):
            api = hub.HfApi(library_name="gankit", library_version=__version__)
            api.create_repo(repository, private=private or None, exist_ok=True)
            if private and not api.model_info(repository).private:
                raise HubError(f"{HUB}{repository}: exists and is public; remove --private, or choose another name")
            if revision is not None:
                api.create_branch(repository, branch=revision, exist_ok=True)
            old = api.list_repo_files(repository, revision=revision)
            replaced = _files_of_checkpoint(hub, repository, revision) if MANIFEST in old else set()
            operations = _operations(hub, folder, old, replaced, repository)
            commit = api.create_commit(
                repository,
                operations,
                commit_message=message or f"Upload a checkpoint with gankit {__version__}",
                revision=revision,
            )
    return str(commit.commit_url)


def _files_of_checkpoint(hub: Any, repository: str, revision: str | None) -> set[str]:
    """The files of the checkpoint in the repository; empty if its manifest is not one of gankit."""
    with tempfile.TemporaryDirectory() as name:  # not the user's cache, from which models are loaded
        path = Path(hub.hf_hub_download(repository, MANIFEST, revision=revision, cache_dir=name))
        try:
            return {MANIFEST, STATE, RECIPE, *read_manifest(path)["files"]}
        except CheckpointError:
            return set()


def _operations(hub: Any, folder: Path, old: list[str], replaced: Set[str], repository: str) -> list[Any]:
    """The files that the commit adds and removes.

    Args:
        hub: the library of the Hub.
        folder: the files to add.
        old: the files in the repository.
        replaced: those of its checkpoint.
        repository: ``owner/name``.

    Raises:
        HubError: the repository holds files, but no checkpoint of gankit.
    """
    if not replaced and (others := sorted({*old} - OF_EVERY_REPOSITORY)):
        raise HubError(
            f"{HUB}{repository}: holds other files ({listed(others)}) and no checkpoint of gankit, and nothing is "
            "overwritten; choose another name"
        )
    new = {path.name: path for path in folder.iterdir()}
    return [
        *(hub.CommitOperationAdd(name, path) for name, path in sorted(new.items())),
        *(hub.CommitOperationDelete(name) for name in old if name in replaced and name not in new),
    ]
