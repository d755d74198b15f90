"""What is wrong with a run, and which of it has been said already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """Something wrong.

    Attributes:
        kind: a name of it, such as ``mode_collapse``.
        message: a sentence or two: what is seen, with its figure, and what to try.
        figures: all that it was judged by.
        sure: said at once; otherwise when a second look finds it again.
    """

    kind: str
    message: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    sure: bool = False


class Standing:
    """What was found lately. Each finding is said once while it lasts, and again if it comes back."""

    def __init__(self) -> None:
        self._suspected: set[str] = set()
        self._said: set[str] = set()

    def __contains__(self, kind: object) -> bool:
        """Whether a finding of this kind was said and has not gone since."""
        return kind in self._said

    def suspects(self, kinds: Iterable[str]) -> bool:
        """Whether one of these findings awaits a second look."""
        return any(kind in self._suspected and kind not in self._said for kind in kinds)

    def judge(self, kinds: Iterable[str], found: Iterable[Finding]) -> list[dict[str, Any]]:
        """Take up what a look at ``kinds`` has found. Returns: the events to log."""
        now = {finding.kind: finding for finding in found}
        events: list[dict[str, Any]] = []
        for kind in sorted({*kinds, *now}):
            finding = now.get(kind)
            if finding is None:
                self._suspected.discard(kind)
                if kind in self._said:
                    self._said.discard(kind)
                    gone = f"{kind.replace('_', ' ')}: no longer seen."
                    events.append({"event": "recovered", "finding": kind, "message": gone})
            elif kind not in self._said and (finding.sure or kind in self._suspected):
                self._said.add(kind)
                about = {"message": finding.message, "figures": dict(finding.figures)}
                events.append({"event": "finding", "finding": kind, **about})
            else:
                self._suspected.add(kind)
        return events

    def state_dict(self) -> dict[str, Any]:
        return {"suspected": sorted(self._suspected), "said": sorted(self._said)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there. What has been said since stays said: a run that went back keeps its log."""
        self._suspected = set(state["suspected"])
        self._said |= set(state["said"])


def percent(share: float) -> str:
    """A share as text: as many digits as matter."""
    value = 100 * share
    return f"{value:.0f}%" if value >= 10 else f"{value:.1f}%" if value >= 0.1 or value == 0 else f"{value:.1g}%"
