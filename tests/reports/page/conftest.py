"""Run directories as files, without training, and their pages as parsed HTML."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gankit
from gankit.reports.page.overview_page import find_runs, render_overview
from gankit.reports.run_report import RunReport

RECIPE = {
    "name": "small",
    "image": {"size": 16},
    "dataset": {"name": "pictures"},
    "generator": {"name": "dcgan", "width": 8},
    "discriminator": {"name": "dcgan"},
    "optimizers": {"generator": {"name": "adam"}, "discriminator": {"name": "adam"}},
    "train": {"steps": 100},
}
ENDED = {"reason": "done", "step": 100, "images": 800, "seconds": 12.5}
VOID = ("meta", "link", "img", "input", "br")


class Page(HTMLParser):
    """A parsed page.

    Attributes:
        elements: each tag with its attributes, in order.
        structure: each start and end tag with the sorted names of its attributes, comments, and declarations.
        text: outside of scripts and style sheets.
        data: what the page gives to its scripts.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.html = html
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.structure: list[tuple[str, ...]] = []
        self.text = ""
        self._open: list[str] = []
        self._scripts: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, self._open
        self.data = json.loads(self._scripts[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.structure.append((tag, *sorted(name for name, _ in attrs)))
        if tag == "script":
            self._scripts.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.structure.append((f"/{tag}",))
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self._scripts[-1] += data
        elif self._open[-1:] != ["style"]:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.structure.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.structure.append(("declaration", decl))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        """The attributes of all elements with this tag and these attributes."""
        return [found for name, found in self.elements if name == tag and attributes.items() <= found.items()]


def webp(side: int = 16, seed: int = 0, **settings: Any) -> bytes:
    """A picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WebP", **settings)
    return buffer.getvalue()


def metrics_line(step: int, **scalars: Any) -> dict[str, Any]:
    line = {"step": step, "epoch": 0, "images": 8 * step, "seconds": step / 8, "images_per_second": 64.0}
    return line | {"discriminator_loss": 1 / step, "generator_loss": step / 10} | scalars


@pytest.fixture(name="webp")
def _webp() -> Callable[..., bytes]:
    return webp


@pytest.fixture(name="metrics_line")
def _metrics_line() -> Callable[..., dict[str, Any]]:
    return metrics_line


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """``write_run(name, **content) -> directory``: the files of a run; without content, only ``recipe.yaml``."""

    def write(
        name: str = "run",
        *,
        recipe: Mapping[str, Any] | None = None,
        record: Mapping[str, Any] | None = None,
        metrics: Iterable[Mapping[str, Any]] = (),
        events: Iterable[Mapping[str, Any]] = (),
        evaluations: Iterable[Any] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        directory = tmp_path / name
        directory.mkdir(parents=True)
        (directory / "recipe.yaml").write_text(gankit.Recipe.parse(RECIPE | dict(recipe or {})).to_yaml())
        if record is not None:
            (directory / "run.json").write_text(json.dumps(record))
        logs = {"metrics": metrics, "events": events, "evaluations": [e.model_dump(mode="json") for e in evaluations]}
        for log, lines in logs.items():
            if text := "".join(json.dumps(line) + "\n" for line in lines):
                (directory / f"{log}.jsonl").write_text(text)
        for path, content in (files or {}).items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)
        return directory

    return write


@pytest.fixture
def finished_run(write_run: Callable[..., Path], record: Callable[..., Any]) -> Callable[..., Path]:
    """``finished_run(name, **content) -> directory``: a run with everything that a page shows, unless replaced."""

    def write(name: str = "run", **content: Any) -> Path:
        finding = {"event": "finding", "at": "2026-01-01T00:00:00+00:00", "finding": "mode_collapse"}
        everything: dict[str, Any] = {
            "record": {"device": "cpu", "precision": "fp32", "seed": 0, "ended": ENDED, "versions": {"torch": "2"}},
            "metrics": [metrics_line(step, r1=0.5, generator_gradient=float(step)) for step in range(1, 101)],
            "events": [
                {"event": "started", "at": "2026-01-01T00:00:00+00:00", "step": 0},
                {**finding, "step": 40, "message": "All samples look the same."},
            ],
            "evaluations": [
                record(evaluated={"step": step}, scores={"fd_x": score, "kid_x": 0.25})
                for step, score in ((20, 3.0), (60, 1.5), (100, 2.0))
            ],
            "files": {
                **{f"report/step-{step:08d}.webp": webp(seed=step) for step in (1, 50, 100)},
                "report/real.webp": webp(seed=7),
                "report/neighbors.webp": webp(seed=8),
                "report/neighbors.json": json.dumps(
                    {"step": 100, "features": "x", "among": 50, "samples": 8, "distance": 1.25, "real_distance": 2.5}
                ).encode(),
            },
        }
        return write_run(name, **(everything | content))

    return write


@pytest.fixture
def page_of() -> Callable[[Path], Page]:
    """``page_of(directory)``: the page of a run, written and parsed."""
    return lambda directory: Page(RunReport(directory).write().read_text(encoding="utf-8"))


@pytest.fixture
def overview_of() -> Callable[[Path], Page]:
    """``overview_of(folder)``: the page of all runs in a folder."""
    return lambda folder: Page(render_overview(folder, list(find_runs(folder))))
