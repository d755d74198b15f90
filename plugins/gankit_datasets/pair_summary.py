"""Describes for the user which pairs were found: one line, warnings, and the list of skipped files."""

from __future__ import annotations

from collections.abc import Sequence

import gankit

from .pairs import Pairs
from .scan_summary import count_ignored, warnings_of

MAX_NAMED = 3


def describe_faults(pairs: Pairs) -> str:
    """How many pairs cannot be used, and what the first ones have."""
    reasons = [*pairs.faults.values()]
    more = f"; and {len(reasons) - MAX_NAMED:,} more" if len(reasons) > MAX_NAMED else ""
    return f"{len(reasons):,} of {len(pairs.names):,} pairs cannot be used: {'; '.join(reasons[:MAX_NAMED])}{more}"


def describe(pairs: Pairs, used: Sequence[str], is_part: bool) -> gankit.DataDescription:
    """Describe pairs.

    Args:
        pairs: all of them.
        used: the names of those that training uses.
        is_part: whether these are a part of a random split.
    """
    parts = [f"{len(used):,} pair{'' if len(used) == 1 else 's'}"]
    if is_part:
        parts[0] += f" of the chosen split, out of {len(pairs.names):,}"
    if pairs.faults:
        parts.append(f"left out: {len(pairs.faults):,}")
    ignored = {f"{scan.files.path}/{name}": kind for scan in pairs.scans for name, kind in scan.ignored.items()}
    if ignored:
        parts.append(f"ignored: {count_ignored(ignored)}")
    warnings = [sentence for scan in pairs.scans for sentence in warnings_of(scan)]
    if pairs.faults:
        warnings.append(f"{describe_faults(pairs)}; skipped (skipped_files.jsonl of a run lists all of them)")
    skipped = {
        f"{scan.files.path}/{name}": fault
        for pair, fault in pairs.faults.items()
        for scan, name in zip(pairs.scans, pairs.names[pair], strict=True)
    }
    return gankit.DataDescription(
        "; ".join(parts), tuple(warnings), skipped | {name: f"ignored: {kind}" for name, kind in ignored.items()}
    )
