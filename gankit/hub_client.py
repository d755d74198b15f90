"""Calls of ``huggingface_hub``, whose errors become one sentence each. The library is imported when it is used."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .errors import GankitError
from .messages import one_line, truncate
from .optional_imports import import_optional
from .sources import HubFolder

LOG_IN = "log in with 'hf auth login', or set HF_TOKEN"
FAULTS = {
    401: f"the Hub refuses the token; {LOG_IN} to a valid one",
    403: "the Hub refuses access: the token lacks the permission, or the repository belongs to another account",
    409: "the repository was changed by someone else at the same time; try again",
    412: "the repository was changed by someone else at the same time; try again",
    413: "the Hub refuses the upload as too large",
    429: "the Hub refuses more requests for now; try again later",
}
"""The meanings of HTTP status codes. Those from 500 say that the Hub has a fault."""


class HubError(GankitError):
    """A request to the Hub failed."""


class HubFile(NamedTuple):
    """A file of a repository in the local cache.

    Attributes:
        path: of the file.
        commit: the hash of the commit that it belongs to.
    """

    path: Path
    commit: str


def import_hub() -> Any:
    """The module ``huggingface_hub``. Raises: GankitError: it is not installed."""
    for module in ("huggingface_hub.errors", "huggingface_hub.utils"):
        import_optional(module, "huggingface_hub", "the Hugging Face Hub", "hub")
    return import_optional("huggingface_hub", "huggingface_hub", "the Hugging Face Hub", "hub")


def download(folder: HubFolder, name: str) -> HubFile | None:
    """Download a file, unless the cache has it. Without network, the cached file of the same revision is used.

    Args:
        folder: of a repository.
        name: of a file in it.

    Returns:
        The file; None if the folder has none of this name.

    Raises:
        HubError: the repository or revision does not exist, or the Hub does not answer and the cache lacks the file.
    """
    hub = import_hub()
    inside = PurePosixPath(folder.folder, name)
    with explained(str(folder)):
        try:
            path = Path(hub.hf_hub_download(folder.repository, str(inside), revision=folder.revision))
        except hub.errors.LocalEntryNotFoundError:
            known = hub.try_to_load_from_cache(folder.repository, str(inside), revision=folder.revision)
            if known is None or isinstance(known, str):
                raise
            return None  # the cache says that the repository lacks it
        except hub.errors.EntryNotFoundError:
            return None
    return HubFile(path, path.parents[len(inside.parts) - 1].name)  # .../snapshots/COMMIT/sub/folder/NAME


@contextmanager
def explained(target: str) -> Iterator[None]:
    """A block of requests whose errors become a `HubError` about ``target`` without the user's token."""
    hub = import_hub()
    try:
        with _quiet(hub):
            yield
    except GankitError:
        raise
    except Exception as error:  # also of the HTTP library, which depends on the version of huggingface_hub
        reason = _explain(hub, error)
        if token := hub.get_token():
            reason = reason.replace(token, "***")
        raise HubError(f"{target}: {reason}") from None


@contextmanager
def _quiet(hub: Any) -> Iterator[None]:
    """A block without the library's lines about requests that it repeats, and without bars outside of a terminal."""
    logger = logging.getLogger("huggingface_hub")
    level, chosen = logger.level, hub.constants.HF_HUB_DISABLE_PROGRESS_BARS  # False if the user wants bars
    no_bars = chosen is not False and not sys.stderr.isatty() and not hub.utils.are_progress_bars_disabled()
    logger.setLevel(logging.CRITICAL)
    if no_bars:
        hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        logger.setLevel(level)
        if no_bars:
            hub.utils.enable_progress_bars()


def _explain(hub: Any, error: BaseException) -> str:
    errors = hub.errors
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return _explain(hub, error.__cause__)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids requests to the Hub; unset it"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner grants access on request; ask for it on the page of the repository, and {LOG_IN}"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"no such repository, or a private one; check the name, and {LOG_IN} if it is private"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        said = f" (HTTP {status}{f': {truncate(error.server_message, 300)}' if error.server_message else ''})"
        return FAULTS.get(status, "the Hub has a fault" if status >= 500 else "the Hub refuses the request") + said
    if isinstance(error, (errors.HTTPError, ConnectionError)):
        return f"the Hub cannot be reached; check the network ({truncate(one_line(error), 300)})"
    return truncate(one_line(error), 300)
