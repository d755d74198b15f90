"""The tab that moves an image along directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ..sampling.latent_files import save_latents
from .controls import new_file, picture, read_seed, refresh, seed_control, settings, shown, upload, with_messages
from .explorer import DIRECTIONS, Explorer, Method

NAMES = {"file": "File", "sefa": "SeFa", "pca": "GANSpace (PCA)"}
MAX_SLIDERS, LARGEST_AMOUNT = 24, 5


def directions_tab(explorer: Explorer) -> None:
    """An image of a seed or of a file of latents, with a slider for each direction."""
    methods = explorer.methods
    number = min(max(len(explorer.directions("file").vectors) if "file" in methods else 0, DIRECTIONS), MAX_SLIDERS)
    with gr.Tab("Directions") as tab, gr.Row():
        with gr.Column(scale=3):
            image = picture("Image", "Image moved along directions")
            with gr.Row():
                reset = gr.Button("Reset all", size="md")
                download = gr.DownloadButton("Download latents", size="md")
        with gr.Column(scale=3, min_width=300):
            method = gr.Radio([(NAMES[name], name) for name in methods], value=methods[0], label="Directions")
            with gr.Row(elem_classes="gankit-sliders"):
                sliders = [
                    gr.Slider(-LARGEST_AMOUNT, LARGEST_AMOUNT, 0, step=0.1, label=f"Direction {index}", min_width=180)
                    for index in range(number)
                ]
        with gr.Column(scale=2, min_width=260):
            seed = seed_control()
            chosen = settings(explorer)
            file = upload("Latents, in place of the seed", [".safetensors"])

    def sliders_of(method: Method) -> list[dict[str, Any]]:
        names = [*explorer.directions(method).vectors][:number]
        labels = [f"Direction {name}" if name.isdecimal() else name for name in names]
        updates = [gr.update(value=0, label=label, visible=True) for label in labels]
        return updates + [gr.update(value=0, visible=False)] * (number - len(labels))

    def move(method: Method, seed: float | None, file: str | None, *values: Any) -> tuple[Image.Image, str]:
        label, options = chosen.read(values[number:])
        if file is None:
            inputs = explorer.draw(1, read_seed(seed), label)
        else:
            inputs = explorer.read_latents(Path(file), read_seed(seed)).rows(slice(1))
        names = [*explorer.directions(method).vectors]
        amounts = {name: float(amount) for name, amount in zip(names, values[:number], strict=False) if amount}
        moved = explorer.move(inputs, method, amounts, options)
        path = new_file("latents.safetensors", download)
        save_latents(moved, path, {"weights": str(explorer.generator.weights)})
        return shown(explorer.images(moved, options)[0]), str(path)

    refresh(
        move, [method, seed, file, *sliders, *chosen.components], [image, download], tab.select, api_name="directions"
    )
    gr.on(
        [method.change, reset.click],
        with_messages(sliders_of),
        method,
        sliders,
        show_progress="hidden",
        api_visibility="private",
    )
