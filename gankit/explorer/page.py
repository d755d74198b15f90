"""The page: a header and the tabs that fit the generator."""

from __future__ import annotations

import html

import gradio as gr

from ..errors import GankitError
from ..sampling.directions import Directions
from ..sampling.trained_generator import TrainedGenerator
from .directions_tab import directions_tab
from .explorer import Explorer
from .input_tab import input_tab
from .mixing_tab import mixing_tab
from .projection_tab import projection_tab
from .sample_tab import sample_tab
from .walk_tab import walk_tab

FILES_EVERY, FILES_AGE = 300, 3600  # seconds: how often temporary files are deleted, and after what time


def build_page(
    generator: TrainedGenerator, directions: Directions | None = None, title: str | None = None
) -> gr.Blocks:
    """An interactive page for a generator. Gradio serves it alone, or as a part of another page or server.

    Args:
        generator: to explore.
        directions: offered in addition to those that the page finds.
        title: of the page; None for the name of the checkpoint.

    Raises:
        GankitError: the generator cannot be sampled.
    """
    explorer = Explorer(generator, directions)
    title = title or generator.checkpoint.name
    page = gr.Blocks(title=f"{title} - gankit", analytics_enabled=False, delete_cache=(FILES_EVERY, FILES_AGE))
    with page:
        gr.Markdown(f"# {html.escape(title)}\n{_description(generator)}", elem_classes="gankit-header")
        with gr.Tabs(overflow_behavior="wrap"):
            if explorer.has_samples:
                sample_tab(explorer, page)
            elif explorer.input is None:
                raise GankitError(str(generator.sampling.missing))
            if explorer.has_walks:
                walk_tab(explorer)
            if explorer.has_styles:
                mixing_tab(explorer)
            if explorer.is_function_of_latents:
                directions_tab(explorer)
                projection_tab(explorer, page)
            if explorer.input is not None:
                input_tab(explorer)
    return page


def _description(generator: TrainedGenerator) -> str:
    image = generator.image
    color = {1: "gray", 2: "gray with transparency", 3: "color", 4: "color with transparency"}
    parts = [
        f"{image.width} x {image.height} pixels, {color.get(image.channels, f'{image.channels} channels')}",
        *([f"{len(generator.classes)} classes"] if generator.classes else []),
        f"{sum(parameter.numel() for parameter in generator.module.parameters()):,} parameters",
        *(["averaged weights (EMA)"] if generator.ema else []),
    ]
    return " · ".join(parts)
