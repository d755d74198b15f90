"""Differences between what a checkpoint was trained with and what would continue it: classes, data, code, versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from ..messages import truncate

MAX_NAMES, MAX_NAME = 8, 40  # classes that a message lists, and characters of each
BUILT_IN = "gankit "  # the sources of built-in plugins begin with this: name and version of the distribution


@dataclass(frozen=True)
class Changes:
    """Differences that a run can continue with.

    Attributes:
        data: what changed in the data, a phrase each.
        code: of third-party plugins that changed, a phrase each.
        versions: of gankit, its plugins, torch and Python, which are reported only; a phrase each.
    """

    data: Sequence[str]
    code: Sequence[str]
    versions: Sequence[str]

    @property
    def content(self) -> list[str]:
        """The changes of data and code, which the user must accept."""
        return [*self.data, *self.code]


def find_changes(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Changes:
    """Compare the manifest of a checkpoint with the one that the run would write now.

    Entries that a manifest lacks, as checkpoints of earlier versions do, are not compared.
    """
    before, after = recorded_plugins(recorded), recorded_plugins(now)
    hashes = {str(about.get("sha256")) for about in after.values()}
    changed = [
        name
        for name, about in before.items()
        if name in after and about.get("sha256") and str(about["sha256"]) not in hashes
    ]
    built_in = [name for name in changed if str(after[name].get("source")).startswith(BUILT_IN)]
    others = [f"the code of plugin '{name}' ({after[name].get('source')})" for name in changed if name not in built_in]
    versions = list(_versions(_mapping(recorded, "versions"), _mapping(now, "versions")))
    if built_in and not any(phrase.startswith("gankit") for phrase in versions):
        versions.append(f"the code of {', '.join(built_in)}")
    return Changes([*_data(_mapping(recorded, "data"), _mapping(now, "data"))], others, versions)


def class_difference(recorded: Mapping[str, Any], classes: Sequence[str] | None) -> str | None:
    """A phrase that names both lists of classes, or None if they are equal.

    Args:
        recorded: the manifest of a checkpoint.
        classes: of the run that would use its weights; None if it is unconditional.
    """
    if "classes" not in recorded:
        return None
    before = tuple(map(str, recorded["classes"])) if isinstance(recorded["classes"], list) else None
    after = None if classes is None else tuple(classes)
    if before == after:
        return None
    equal = len([*takewhile(lambda pair: pair[0] == pair[1], zip(before or (), after or (), strict=False))])
    start = max(0, equal + 1 - MAX_NAMES)  # both lists show the first class that differs
    return f"its networks were trained {_trained(before, start)}, and this run has {_described(after, start)}"


def _trained(classes: tuple[str, ...] | None, start: int) -> str:
    return "without classes" if classes is None else f"on {_described(classes, start)}"


def _described(classes: tuple[str, ...] | None, start: int) -> str:
    """The number of classes and their names from ``start`` on, shortened."""
    if classes is None:
        return "none (conditional: false)"
    names = [truncate(name, MAX_NAME) for name in classes[start : start + MAX_NAMES]]
    more_before, more_after = ["..."] if start else [], ["..."] if start + MAX_NAMES < len(classes) else []
    return f"{len(classes):,} classes ({', '.join([*more_before, *names, *more_after])})"


def _data(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if not before or not after or before.get("fingerprint") == after.get("fingerprint"):
        return
    counts = [before.get("images"), after.get("images")]
    if counts[0] != counts[1]:
        yield f"the data: {counts[0]} images, now {counts[1]}"
    else:
        yield f"the data: still {counts[1]} images, but other names or content"


def _versions(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for name, version in after.items():
        if name in before and before[name] != version:
            yield f"{name} {version} (was {truncate(str(before[name]))})"


def recorded_plugins(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The entries about each plugin in a manifest or the record of a run; entries of another form are left out."""
    return {name: about for name, about in _mapping(manifest, "plugins").items() if isinstance(about, Mapping)}


def _mapping(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = manifest.get(key)
    return found if isinstance(found, Mapping) else {}
