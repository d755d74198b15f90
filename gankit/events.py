"""The events of a run: each is one line of ``events.jsonl``, with the time and the step added."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from .messages import listed, truncate


@dataclass(frozen=True)
class Event:
    """Something that happened in a run. Plugins derive their own events from it.

    The record of an event holds its ``kind`` under ``event`` and every field that is not None.

    Attributes:
        kind: unless a class sets it, the name of the class in lower case with underscores, such as ``rolled_back``.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        if not hasattr(cls, "kind"):
            cls.kind = re.sub(r"(?<=.)(?=[A-Z])", "_", cls.__name__).lower()

    def record(self) -> dict[str, Any]:
        """The event as a JSON object."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"event": self.kind, **{name: value for name, value in values.items() if value is not None}}


@dataclass(frozen=True)
class Started(Event):
    """The run began."""


@dataclass(frozen=True)
class Resumed(Event):
    """The run continued from a checkpoint, or from the start if it had none.

    Attributes:
        without_state: components and callbacks that the checkpoint held no state for; None if there are none.
    """

    without_state: Sequence[str] | None = None


@dataclass(frozen=True)
class Initialized(Event):
    """The run began with weights of a checkpoint (``initialize``).

    Attributes:
        checkpoint: its path.
        loaded: the number of tensors of each network that was loaded.
        copied: the network or module of the checkpoint that was loaded into each network or module of the run.
        skipped: the names of the weights that were left out.
        sha256: of the files of the networks that these weights come from.
        classes: how the classes of the two runs differ; None if they do not.
        origin: ``hub:owner/name@COMMIT`` or ``builtin:NAME`` if the checkpoint was named so; None for a path.
        imported: format, files and license of weights that other projects have trained; None for others.
    """

    checkpoint: str
    loaded: Mapping[str, int]
    copied: Mapping[str, str]
    skipped: Sequence[str]
    sha256: Mapping[str, str]
    classes: str | None = None
    origin: str | None = None
    imported: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        """``generator (22 tensors), discriminator (18 tensors) from PATH; skipped 2: generator.to_rgb.weight, ...``."""
        loaded = [f"{network} ({count} tensors)" for network, count in self.loaded.items()]
        copied = [f"{target} = {source}" for target, source in self.copied.items()]
        skipped = f"; skipped {len(self.skipped)}: {listed(self.skipped)}" if self.skipped else ""
        return f"{', '.join([*loaded, *copied])} from {self.origin or self.checkpoint}{skipped}"


@dataclass(frozen=True)
class FrozenParameters(Event):
    """Some parameters are not trained (``train.freeze``).

    Attributes:
        names: of the frozen parameters of each network.
        counts: for each network, how many numbers these parameters hold, and how many all of its parameters do.
    """

    kind: ClassVar[str] = "frozen"
    names: Mapping[str, Sequence[str]]
    counts: Mapping[str, tuple[int, int]]

    def __str__(self) -> str:
        """``1,792 of 6,144 parameters of the discriminator (blocks.0.weight, ...)`` for each network."""
        return ", ".join(
            f"{self.counts[network][0]:,} of {self.counts[network][1]:,} parameters of the {network} ({listed(names)})"
            for network, names in self.names.items()
        )


@dataclass(frozen=True)
class Overridden(Event):
    """The run continued with other settings.

    Attributes:
        settings: the new values, by dotted key.
        previous: the values until now.
    """

    settings: Mapping[str, Any]
    previous: Mapping[str, Any]

    def __str__(self) -> str:
        """``optimizers.generator.lr=0.0001 (was 0.0002)`` for each setting."""
        pairs = ((key, value, self.previous.get(key)) for key, value in self.settings.items())
        return ", ".join(f"{key}={_short(value)} (was {_short(previous)})" for key, value, previous in pairs)


@dataclass(frozen=True)
class ChangesAccepted(Event):
    """The user let the run continue although its data or third-party code differ from those of its checkpoint.

    Attributes:
        changes: a phrase for each difference.
    """

    changes: Sequence[str]


@dataclass(frozen=True)
class OtherVersions(Event):
    """The run continued with other versions of gankit, its plugins, torch or Python.

    Attributes:
        versions: a phrase for each difference.
    """

    versions: Sequence[str]


@dataclass(frozen=True)
class Ended(Event):
    """The run ended: ``done``, or the reason why it was stopped."""

    reason: str


@dataclass(frozen=True)
class Failed(Event):
    """An error ended the run.

    Attributes:
        error: its class and message.
        notes: added to the error on its way, such as the callback that raised it.
    """

    error: str
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class RolledBack(Event):
    """The run returned to its last checkpoint because of NaN or infinity.

    Attributes:
        from_step: the step it returned from.
        without: dataset indices of the images that are skipped from now on.
    """

    from_step: int
    without: Sequence[int]


@dataclass(frozen=True)
class NotSaved(Event):
    """A checkpoint was not written."""

    reason: str


@dataclass(frozen=True)
class NotCompiled(Event):
    """A part of the step runs uncompiled although ``train.compile`` is set."""

    reason: str


@dataclass(frozen=True)
class Finding(Event):
    """A problem of the training.

    Attributes:
        finding: its name, such as ``mode_collapse``.
        message: one or two sentences: the observation with its figures, and what to try.
        figures: all numbers that the finding is based on.
        step: where the problem is, if that is not the current step.
        fatal: whether the run ends because of it, with an error that has the same message.
    """

    finding: str
    message: str
    figures: Mapping[str, Any] = field(default_factory=dict)
    step: int | None = None
    fatal: bool | None = None


@dataclass(frozen=True)
class Recovered(Event):
    """A finding no longer holds.

    Attributes:
        finding: its name.
        message: a sentence for the user.
    """

    finding: str
    message: str


@dataclass(frozen=True)
class Evaluated(Event):
    """The run was scored.

    Attributes:
        scores: by name.
        score: the one that selects the best checkpoint; None if none does.
        best: its best value so far; None before the first finite one.
        best_step: the step of that value.
    """

    scores: Mapping[str, float]
    score: str | None = None
    best: float | None = None
    best_step: int | None = None


@dataclass(frozen=True)
class Notice(Event):
    """A message for the user, printed as a warning and shown by ``gankit doctor``.

    Attributes:
        name: the event's kind in its record.
        message: one sentence.
        details: further entries of the record.
    """

    name: str
    message: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        return {"event": self.name, "message": self.message, **self.details}


@dataclass(frozen=True)
class OtherEvent(Event):
    """An event given as a mapping, recorded as it is."""

    content: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        return dict(self.content)


def _short(value: Any) -> str:
    return truncate(value if isinstance(value, str) else json.dumps(value, default=str))


def as_event(event: Event | Mapping[str, Any]) -> Event:
    """The event itself, or a mapping as an event."""
    return event if isinstance(event, Event) else OtherEvent(event)
