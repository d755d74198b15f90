"""Conformance checks for plugin authors, and the means to look at a component alone."""

from __future__ import annotations
