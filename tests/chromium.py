"""A browser for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PATH = "/usr/bin/chromium" if Path("/usr/bin/chromium").is_file() else shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window, through playwright; a test is skipped if one of them is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if PATH is None:
        pytest.skip("needs Chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=PATH, args=["--no-sandbox"])
        yield opened
        opened.close()
