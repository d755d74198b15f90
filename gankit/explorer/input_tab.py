"""The tab that generates an image from a picture of the user."""

from __future__ import annotations

from typing import Any

import gradio as gr
from PIL import Image

from ..errors import GankitError
from .controls import open_upload, picture, read_seed, seed_control, settings, shown, upload, with_messages
from .explorer import Explorer


def input_tab(explorer: Explorer) -> None:
    """The image of an uploaded picture, for translation and super-resolution."""
    with gr.Tab("Your picture"), gr.Row():
        with gr.Column(scale=3), gr.Row():
            source = picture("Your picture", "Your picture", has_label=True)
            image = picture("Generated", "Image generated from your picture", has_label=True)
        with gr.Column(scale=2, min_width=280):
            file = upload("Picture")
            with gr.Column(visible=explorer.generator.takes_latents()):
                seed = seed_control()
            chosen = settings(explorer)
            button = gr.Button("Generate", variant="primary")

    def generate(file: str | None, seed: float | None, *values: Any) -> list[Image.Image]:
        if file is None:
            raise GankitError("upload a picture first")
        label, options = chosen.read(values)
        with open_upload(file) as opened:
            return [shown(image) for image in explorer.generate_from(opened, read_seed(seed), label, options)]

    gr.on(
        [button.click, file.upload],
        with_messages(generate),
        [file, seed, *chosen.components],
        [source, image],
        show_progress_on=[image],
        api_name="picture",
    )
