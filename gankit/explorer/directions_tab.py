"""The tab that moves an image along directions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from ..sampling.latent_files import save_latents
from .controls import (
    new_file,
    picture,
    read_seed,
    refresh,
    seed_control,
    settings,
    shown,
    slider,
    upload,
    with_messages,
)
from .explorer import Explorer, Method

LABELS = {"file": "File", "sefa": "SeFa", "pca": "GANSpace (PCA)"}
MAX_SLIDERS, LARGEST_AMOUNT = 24, 5


def directions_tab(explorer: Explorer) -> None:
    """An image of a seed or of a file of latents, with a slider for each direction."""
    methods = explorer.methods
    of_file = [*explorer.directions("file").vectors][:MAX_SLIDERS] if "file" in methods else []
    names = [*of_file, *explorer.names_of_found_directions]
    with gr.Tab("Directions") as tab, gr.Row():
        with gr.Column(scale=3):
            image = picture("Image", "Image moved along directions")
            with gr.Row():
                reset = gr.Button("Reset all", size="md")
                download = gr.DownloadButton("Download latents", size="md")
        with gr.Column(scale=3, min_width=300):
            method = gr.Radio([(LABELS[name], name) for name in methods], value=methods[0], label="Directions")
            with gr.Row(visible=bool(of_file)) as row_of_file:
                sliders = [_slider(name) for name in of_file]
            with gr.Row(visible=not of_file) as row_of_found:
                sliders += [_slider(name) for name in names[len(of_file) :]]
        with gr.Column(scale=2, min_width=260):
            seed = seed_control()
            chosen = settings(explorer)
            file = upload("Latents, in place of the seed", [".safetensors"])

    def show_sliders(method: Method) -> list[Any]:
        return [gr.update(visible=method == "file"), gr.update(visible=method != "file"), *[0] * len(sliders)]

    def move(method: Method, seed: float | None, file: str | None, *values: Any) -> tuple[Image.Image, str]:
        label, options = chosen.read(values[len(sliders) :])
        if file is None:
            inputs = explorer.draw(1, read_seed(seed), label)
        else:
            inputs = explorer.read_latents(Path(file), read_seed(seed)).rows(slice(1))
        own = slice(len(of_file)) if method == "file" else slice(len(of_file), len(sliders))
        amounts = {name: float(amount) for name, amount in zip(names[own], values[own], strict=True) if amount}
        moved = explorer.move(inputs, method, amounts, options)
        path = new_file("latents.safetensors", download)
        save_latents(moved, path, {"weights": str(explorer.generator.weights)})
        return shown(explorer.images(moved, options)[0]), str(path)

    refresh(
        move, [method, seed, file, *sliders, *chosen.components], [image, download], tab.select, api_name="directions"
    )
    gr.on(
        [method.change, reset.click],
        with_messages(show_sliders),
        method,
        [row_of_file, row_of_found, *sliders],
        show_progress="hidden",
        api_visibility="private",
    )


def _slider(name: str) -> gr.Slider:
    label = f"Direction {name}" if name.isdecimal() else name
    return slider(label, -LARGEST_AMOUNT, LARGEST_AMOUNT, 0, step=0.1, min_width=180)
