"""The tab with a table of style mixing."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from ..errors import GankitError
from ..sampling.image_grid import make_grid, to_pillow
from .controls import picture, read_seed, refresh, seed_control, settings, slider
from .explorer import Explorer

MAX_COLUMNS, MAX_ROWS, COLUMNS, ROWS = 8, 8, 5, 3


def mixing_tab(explorer: Explorer) -> None:
    """Images with some styles of their row's image, and the others of their column's image."""
    last = explorer.layers - 1
    with gr.Tab("Style mixing") as tab, gr.Row():
        with gr.Column(scale=3):
            table = picture("Style mixing", "Table of images with the styles of their row and of their column")
        with gr.Column(scale=2, min_width=280):
            seed = seed_control()
            first = slider("First layer of the row's image", 0, last, 0)
            final = slider("Last layer of the row's image", 0, last, last // 2)
            columns = slider("Columns", 1, MAX_COLUMNS, COLUMNS)
            rows = slider("Rows", 1, MAX_ROWS, ROWS)
            chosen = settings(explorer)
            button = gr.Button("Generate", variant="primary")

    def mix(seed: float | None, first: float, final: float, columns: float, rows: float, *values: Any) -> Image.Image:
        if first > final:
            raise GankitError("the first layer must not be after the last one")
        label, options = chosen.read(values)
        inputs = explorer.draw(int(columns) + int(rows), read_seed(seed), label)
        images = explorer.mix(inputs, int(columns), range(int(first), int(final) + 1), options)
        return to_pillow(make_grid(images.flatten(0, 1), int(columns) + 1))

    inputs = [seed, first, final, columns, rows, *chosen.components]
    refresh(mix, inputs, [table], button.click, tab.select, api_name="mixing")
