"""Format durations."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Minutes and seconds, such as ``7:05``, with hours if there are any: ``1:07:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
