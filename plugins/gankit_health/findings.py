"""Findings, and the log that reports each of them once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gankit


@dataclass(frozen=True)
class Finding:
    """A problem of a run.

    Attributes:
        kind: its name, such as ``mode_collapse``.
        message: one or two sentences: the observation with its measured value, and advice.
        figures: the values that it was judged by.
        sure: if true, it is reported at once; otherwise only if two checks in a row find it.
    """

    kind: str
    message: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    sure: bool = False


class FindingLog:
    """Reports each finding once while it lasts, its end, and its return."""

    def __init__(self) -> None:
        self._suspected: set[str] = set()
        self._reported: set[str] = set()

    def __contains__(self, kind: object) -> bool:
        """Whether a finding of this kind was reported and still holds."""
        return kind in self._reported

    def suspects(self, kinds: Iterable[str]) -> bool:
        """Whether a finding of one of these kinds waits for confirmation."""
        return any(kind in self._suspected and kind not in self._reported for kind in kinds)

    def update(self, kinds: Iterable[str], found: Iterable[Finding]) -> list[gankit.Event]:
        """Record one check.

        Args:
            kinds: the kinds of findings that it looked for.
            found: its findings.

        Returns:
            The events to log.
        """
        now = {finding.kind: finding for finding in found}
        events: list[gankit.Event] = []
        for kind in sorted({*kinds, *now}):
            finding = now.get(kind)
            if finding is None:
                self._suspected.discard(kind)
                if kind in self._reported:
                    self._reported.discard(kind)
                    message = f"{kind.replace('_', ' ')}: no longer seen."
                    events.append(gankit.Recovered(kind, message))
            elif kind not in self._reported and (finding.sure or kind in self._suspected):
                self._reported.add(kind)
                events.append(gankit.Finding(kind, finding.message, dict(finding.figures)))
            else:
                self._suspected.add(kind)
        return events

    def state_dict(self) -> dict[str, Any]:
        return {"suspected": sorted(self._suspected), "said": sorted(self._reported)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state. Findings reported since then stay reported: a run that rolls back keeps its log."""
        self._suspected = set(state["suspected"])
        self._reported |= set(state["said"])


def percent(share: float) -> str:
    """Format a share as a percentage with as many digits as matter."""
    value = 100 * share
    return f"{value:.0f}%" if value >= 10 else f"{value:.1f}%" if value >= 0.1 or value == 0 else f"{value:.1g}%"
