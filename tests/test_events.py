"""The kinds of events, which are recorded in ``events.jsonl``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gankit import events


def test_kinds_of_events_of_a_run():
    kinds = {name: found.kind for name, found in vars(events).items() if hasattr(found, "kind")}
    assert kinds == {
        "Started": "started", "Resumed": "resumed", "Ended": "ended", "Failed": "failed", "RolledBack": "rolled_back",
        "NotSaved": "not_saved", "NotCompiled": "not_compiled", "Finding": "finding", "Recovered": "recovered",
        "Evaluated": "evaluated", "Notice": "notice", "OtherEvent": "other_event",
        "Initialized": "initialized", "FrozenParameters": "frozen", "Overridden": "overridden", "ChangesAccepted": "changes_accepted", "OtherVersions": "other_versions",
    }  # fmt: skip


def test_kinds_of_events_of_plugins():
    @dataclass(frozen=True)
    class FolderUploaded(events.Event):
        files: int

    @dataclass(frozen=True)
    class Renamed(events.Event):
        kind: ClassVar[str] = "named"

    @dataclass(frozen=True)
    class Derived(Renamed):
        pass

    assert FolderUploaded(3).record() == {"event": "folder_uploaded", "files": 3}
    assert (Renamed.kind, Derived.kind) == ("named", "named")
