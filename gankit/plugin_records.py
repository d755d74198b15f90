"""The records of plugins in runs and checkpoints, and which of the recorded plugins are not loaded."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from . import __version__
from .plugin_loader import Plugin
from .runs.changes import recorded_plugins


def plugin_record(loaded: Iterable[Plugin], used: Iterable[str]) -> dict[str, Any]:
    """The entries ``versions`` and ``plugins`` of a run's record or a manifest.

    Args:
        loaded: the plugins of the runtime.
        used: the names of those whose components the run uses.
    """
    names = {*used}
    plugins: dict[str, dict[str, str]] = {}
    for plugin in loaded:
        if plugin.name in names:
            about = {"source": plugin.source, "sha256": plugin.sha256()}
            plugins[plugin.name] = _joined(plugins[plugin.name], about) if plugin.name in plugins else about
    versions = {"gankit": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
    return {"versions": versions, "plugins": plugins}


def plugins_not_loaded(recorded: Mapping[str, Any], loaded: Iterable[Plugin]) -> list[str]:
    """The plugins that a run's record or a manifest names and a runtime lacks, with their source and what to do.

    A file and an installed package may have the same name, but are different plugins.
    """
    present = {(plugin.name, _is_installed(plugin.source)) for plugin in loaded}
    return [
        f"'{name}' ({source}): {'install it' if _is_installed(source) else 'pass it with --plugin'}"
        for name, about in recorded_plugins(recorded).items()
        if (name, _is_installed(source := str(about.get("source")))) not in present
    ]


def _joined(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """The record of two plugins of the same name."""
    sha256 = hashlib.sha256((one["sha256"] + other["sha256"]).encode()).hexdigest()
    return {"source": f"{one['source']} and {other['source']}", "sha256": sha256}


def _is_installed(source: str) -> bool:
    """Whether the source of a plugin is a distribution and its version, and not a file."""
    return re.fullmatch(r"\S+ \d\S*", source) is not None
