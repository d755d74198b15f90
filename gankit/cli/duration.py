"""Durations in minutes and seconds."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """``7:05``, or ``1:07:05`` from an hour on."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
