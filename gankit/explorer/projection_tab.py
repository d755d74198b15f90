"""The tab that finds the latents of a picture of the user."""

from __future__ import annotations

import math
import threading
from typing import Any

import gradio as gr
from PIL import Image

from ..errors import GankitError
from ..sampling.image_grid import save_animation
from ..sampling.latent_files import save_latents
from ..sampling.projection import Projection, Space
from .controls import new_file, open_upload, picture, settings, shown, slider, upload, with_messages
from .explorer import Explorer

MAX_STEPS, DEFAULT_STEPS = 2000, 300


def projection_tab(explorer: Explorer, page: gr.Blocks) -> None:
    """The latents whose image is most like an uploaded picture, with the progress of the search."""
    with gr.Tab("Projection"), gr.Row():
        with gr.Column(scale=3):
            with gr.Row():
                target = picture("Your picture", "Your picture, cropped and resized", has_label=True)
                image = picture("Projection", "The most similar image of the generator", has_label=True)
            status = gr.Markdown("Upload a picture to find the latents whose image is most like it.")
            with gr.Row():
                latents = gr.DownloadButton("Download latents", interactive=False, size="md")
                course = gr.DownloadButton("Download the search as GIF", interactive=False, size="md")
        with gr.Column(scale=2, min_width=280):
            file = upload("Picture")
            with gr.Row():
                button = gr.Button("Project", variant="primary", min_width=100)
                stop = gr.Button("Stop", variant="stop", min_width=100)
            space = gr.Radio(
                [*explorer.spaces], value=explorer.spaces[0], label="Space", visible=len(explorer.spaces) > 1
            )
            steps = slider("Steps", 10, MAX_STEPS, DEFAULT_STEPS, step=10)
            perceptual = gr.Checkbox(
                explorer.has_distance,
                label="Compare features, not only pixels",
                interactive=explorer.has_distance,
                info=None if explorer.has_distance else "Needs pip install 'gankit[metrics]' and 1 or 3 channels.",
            )
            chosen = settings(explorer, "that of the most similar images")

    stops: dict[str | None, threading.Event] = {}  # by the session of a browser's tab

    def show_target(file: str) -> Image.Image:
        with open_upload(file) as opened:
            return shown(explorer.read_target(opened))

    def project(
        request: gr.Request,
        file: str | None,
        space: Space,
        steps: float,
        perceptual: bool,
        *values: Any,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  # Gradio looks for it among the defaults
    ) -> tuple[Any, ...]:
        if file is None:
            raise GankitError("upload a picture first")
        label, options = chosen.read(values)
        stopped = stops[request.session_hash] = threading.Event()
        with open_upload(file) as opened:
            wanted = explorer.read_target(opened)

        def report(_: str, done: int, total: int) -> None:
            progress((done, total), desc="Searching", unit="steps")

        def should_stop() -> bool:
            return stopped.is_set() or (page.has_launched and not page.is_running)

        found = explorer.project(wanted, space, int(steps), perceptual, label, options, report, should_stop)
        files = new_file("projected.safetensors", latents), new_file("projected.gif", course)
        save_latents(found.inputs, files[0], {"weights": str(explorer.generator.weights)})
        save_animation(found.frames(wanted), files[1], frames_a_second=10)
        offers = [gr.update(value=str(path), interactive=True) for path in files]
        return shown(wanted), shown(found.image), _summary(found, stopped.is_set()), *offers

    def end(request: gr.Request) -> None:
        """Stop the search of a browser's tab after its step, if there is one."""
        if stopped := stops.get(request.session_hash):
            stopped.set()

    file.upload(with_messages(show_target), file, target, show_progress="minimal", api_visibility="private")
    button.click(
        with_messages(project),
        [file, space, steps, perceptual, *chosen.components],
        [target, image, status, latents, course],
        show_progress_on=[image],
        api_name="projection",
    )
    stop.click(end, None, None, queue=False, api_name="stop")
    page.unload(end)


def _summary(found: Projection, stopped: bool) -> str:
    beginning = "Stopped. " if stopped else ""
    similarity = "exact" if math.isinf(found.psnr) else f"{found.psnr:.2f} dB"
    distance = "" if found.distance is None else f", perceptual distance {found.distance:.4f}"
    return f"{beginning}Peak signal-to-noise ratio: {similarity}{distance}."
