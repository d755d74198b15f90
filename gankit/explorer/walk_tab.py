"""The tab with an interpolation between two seeds."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import gradio as gr
from PIL import Image

from ..sampling.sample_inputs import SampleInputs
from .controls import new_file, picture, read_seed, refresh, seed_control, settings, shown, slider, with_messages
from .explorer import WALK_STEPS, Explorer

MAX_FRAMES, DEFAULT_FRAMES = 240, 48


def walk_tab(explorer: Explorer) -> None:
    """The images between those of two seeds, and an animation of them as a file."""
    formats = ["WebP", "GIF", *(["MP4"] if find_spec("av") else [])]
    with gr.Tab("Walk") as tab, gr.Row():
        with gr.Column(scale=3):
            image = picture("Image", "Image between those of two seeds")
            position = slider("Position, in percent", 0, WALK_STEPS, WALK_STEPS // 2)
        with gr.Column(scale=2, min_width=280):
            start, end = seed_control("From seed", 0), seed_control("To seed", 1)
            space = gr.Radio(["z", "w"], value="z", label="Space", visible=explorer.has_styles)
            chosen = settings(explorer, "that of the first seed")
            with gr.Group():
                frames = slider("Frames, there and back", 4, MAX_FRAMES, DEFAULT_FRAMES, step=2)
                form = gr.Radio(formats, value=formats[0], label="Format")
            button = gr.Button("Make animation", variant="primary")
            download = gr.DownloadButton("Download animation", interactive=False)

    def ends(start: float | None, end: float | None, space: str, values: Any) -> tuple[SampleInputs, dict[str, Any]]:
        label, options = chosen.read(values)
        return explorer.ends_of_walk(read_seed(start), read_seed(end), label, space == "w", options), options

    def walk(position: float, start: float | None, end: float | None, space: str, *values: Any) -> Image.Image:
        inputs, options = ends(start, end, space, values)
        return shown(explorer.step_of_walk(inputs, int(position), options))

    def animate(
        frames: float, form: str, start: float | None, end: float | None, space: str, *values: Any
    ) -> tuple[Any, dict[str, Any]]:
        inputs, options = ends(start, end, space, values)
        path = new_file(f"walk.{form.lower()}", download)
        explorer.save_walk(inputs, int(frames), options, path)
        shown_here = gr.skip() if form == "MP4" else str(path)
        return shown_here, gr.update(value=str(path), interactive=True, label=f"Download {path.name}")

    ends_of_walk = [start, end, space, *chosen.components]
    refresh(walk, [position, *ends_of_walk], [image], tab.select, api_name="walk")
    button.click(with_messages(animate), [frames, form, *ends_of_walk], [image, download], api_name="animation")
