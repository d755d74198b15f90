"""The controls that several tabs of the page have."""

from __future__ import annotations

import functools
import html
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import gradio as gr
from gradio.components import Component
from PIL import Image
from torch import Tensor

from ..data.files.image_formats import IMAGE_SUFFIXES
from ..errors import GankitError
from ..messages import truncate
from ..sampling.image_grid import to_pillow
from .explorer import Explorer
from .option_fields import OptionField, option_fields, read_option_values

MAX_SEED = 2**53 - 1  # of the whole numbers that a browser represents exactly
RANDOM_SEED = "() => Math.floor(Math.random() * 2 ** 31)"
MAX_MESSAGE = 400
ANY_CLASS = -1  # in place of a label


def with_messages(function: Callable[..., Any]) -> Callable[..., Any]:
    """A handler of an event that shows what a user can correct as one sentence, without a traceback."""

    @functools.wraps(function)
    def handler(*values: Any, **services: Any) -> Any:
        try:
            return function(*values, **services)
        except (GankitError, ValueError) as error:
            # the page shows the message as HTML
            text = html.escape(truncate(str(error), MAX_MESSAGE), quote=False)
            raise gr.Error(text, print_exception=False) from None

    return handler


def open_upload(file: str) -> BinaryIO:
    """Open an uploaded file. Raises: GankitError: it has been deleted."""
    try:
        return Path(file).open("rb")
    except FileNotFoundError:
        raise GankitError("the uploaded file has been deleted, as all are after an hour; upload it again") from None


@dataclass(frozen=True)
class Settings:
    """The controls of class and sampling options.

    Attributes:
        fields: the options.
        components: the control of the class, if there are classes, and those of the options.
        has_classes: whether there are classes.
    """

    fields: Sequence[OptionField]
    components: Sequence[Any]
    has_classes: bool

    def read(self, values: Sequence[Any]) -> tuple[int | None, dict[str, Any]]:
        """The label, which is None for any class, and the sampling options. Raises: GankitError: one is invalid."""
        label, options = (values[0], values[1:]) if self.has_classes else (ANY_CLASS, values)
        return None if label in (None, ANY_CLASS) else int(label), read_option_values(self.fields, options)


def settings(explorer: Explorer, any_class: str = "any") -> Settings:
    """Controls of class and sampling options.

    Args:
        explorer: of the generator.
        any_class: how the choice of no class is called.
    """
    generator = explorer.generator
    fields = [*option_fields(generator.options, generator.deterministic_options)]
    components: list[Any] = []
    if generator.classes:
        choices = [(any_class, ANY_CLASS), *((name, number) for number, name in enumerate(generator.classes))]
        components.append(gr.Dropdown(choices, value=ANY_CLASS, label="Class", filterable=len(choices) > 20))
    components += [_control(field) for field in fields]
    return Settings(fields, components, bool(generator.classes))


def _control(field: OptionField) -> Any:
    label = field.name.replace("_", " ").capitalize()
    if field.kind == "boolean":
        return gr.Checkbox(field.default, label=label)
    if field.kind == "choice":
        return gr.Dropdown([*field.choices], value=field.default, label=label)
    if field.kind == "text":
        return gr.Textbox(field.text, label=label, placeholder="not set")
    step, precision = (1, 0) if field.kind == "integer" else (0.05, None)
    if field.limits is not None:
        return slider(label, *field.limits, field.default, step)
    return gr.Number(field.default, step=step, precision=precision, label=label)


def slider(label: str, least: float, most: float, value: float, step: float = 1, min_width: int = 160) -> gr.Slider:
    """A slider of numbers in a range; of whole numbers for a step of 1."""
    precision = 0 if step == 1 else None
    made = gr.Slider(least, most, value, label=label, step=step, precision=precision, min_width=min_width)
    read = made.preprocess

    def preprocess(number: float | None) -> float:
        """Gradio would print a traceback for a number that is typed next to the slider."""
        if number is None or not least <= number <= most:
            text = html.escape(f"{label}: enter a number from {least:g} to {most:g}", quote=False)
            raise gr.Error(text, print_exception=False)
        return read(number)

    setattr(made, read.__name__, preprocess)
    return made


def seed_control(label: str = "Seed", value: int = 0) -> gr.Number:
    """A number with a button that draws another one."""
    with gr.Row(elem_classes="gankit-seed"):
        seed = gr.Number(value, precision=0, label=label, min_width=120, scale=3)
        button = gr.Button("Random", size="lg", min_width=90, scale=1)
    button.click(None, None, seed, js=RANDOM_SEED, api_visibility="private")
    return seed


def read_seed(value: float | None) -> int:
    """The seed of a control. Raises: GankitError: it is empty or out of range."""
    if value is None or not 0 <= value <= MAX_SEED:
        raise GankitError(f"enter a seed: a whole number from 0 to {MAX_SEED:,}")
    return int(value)


def picture(label: str, description: str, has_label: bool = False) -> gr.Image:
    """An image that the page shows.

    Args:
        label: its name.
        description: its text for screen readers.
        has_label: whether the name stands on the image, if there are several.
    """
    return gr.Image(
        label=label,
        show_label=has_label,
        alt_text=description,
        type="pil",
        format="png",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_classes="gankit-picture",
    )


def shown(image: Tensor) -> Image.Image:
    """An image uint8 [c h w] for `picture`."""
    return to_pillow(image.permute(1, 2, 0).contiguous())


def upload(label: str, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> gr.File:
    """A file of the user. Its value is the path of the upload."""
    file = gr.File(label=label, file_types=[*suffixes], height=140, elem_classes="gankit-upload")
    keep = file.async_move_resource_to_block_cache

    async def keep_upload(path: str | Path | None) -> str | None:
        """Gradio would download what a request names by an address."""
        if str(path).lower().startswith(("http:", "https:")):
            raise gr.Error("upload a file in place of an address", print_exception=False)
        return await keep(path)

    setattr(file, keep.__name__, keep_upload)
    return file


def new_file(name: str, owner: Component) -> Path:
    """A path in a new folder of the page's temporary files.

    Args:
        name: of the file.
        owner: the component that offers it.
    """
    folder = Path(owner.GRADIO_CACHE) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    return folder / name


def refresh(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *triggers: Any,
    api_name: str,
) -> None:
    """Call a function when an input changes and on other events, and always for the last change."""
    texts = [component for component in inputs if isinstance(component, gr.Textbox)]  # incomplete while typed
    changes = [component.change for component in inputs if component not in texts]
    changes += [event for text in texts for event in (text.submit, text.blur)]
    gr.on(
        [*triggers, *changes],
        with_messages(function),
        [*inputs],
        [*outputs],
        trigger_mode="always_last",
        show_progress="minimal",
        api_name=api_name,
    )
