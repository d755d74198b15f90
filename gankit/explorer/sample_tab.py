"""The tab with images of a seed."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from ..sampling.image_grid import make_grid, to_pillow
from ..sampling.latent_files import save_latents
from .controls import new_file, picture, read_seed, refresh, seed_control, settings, slider
from .explorer import Explorer

MAX_IMAGES, DEFAULT_IMAGES = 64, 16


def sample_tab(explorer: Explorer, page: gr.Blocks) -> None:
    """Images of a seed, and their latents as a file."""
    generator = explorer.generator
    with gr.Tab("Images") as tab, gr.Row():
        with gr.Column(scale=3):
            grid = picture("Images", "Generated images")
        with gr.Column(scale=2, min_width=280):
            seed = seed_control()
            count = slider("Number of images", 1, MAX_IMAGES, DEFAULT_IMAGES)
            chosen = settings(explorer)
            button = gr.Button("Generate", variant="primary")
            latents = gr.DownloadButton("Download latents", visible=generator.takes_latents())

    def sample(seed: float | None, count: float, *values: Any) -> tuple[Image.Image, str | None]:
        label, options = chosen.read(values)
        inputs = explorer.draw(int(count), read_seed(seed), label)
        images = to_pillow(make_grid(explorer.images(inputs, options)))
        if not generator.takes_latents():
            return images, None
        path = new_file("latents.safetensors", latents)
        save_latents(inputs, path, {"weights": str(generator.weights), "seed": str(inputs.seed)})
        return images, str(path)

    refresh(
        sample,
        [seed, count, *chosen.components],
        [grid, latents],
        button.click,
        tab.select,
        page.load,
        api_name="images",
    )
