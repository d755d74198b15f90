"""``gankit explore``: an interactive page for a trained generator."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from typer import Exit, Option

from .console import PluginOption, RunOrCheckpoint, make_runtime, output_console, parse_path
from .sample_options import default_directions, load_directions

DEFAULT_PORT = 7860
INTERRUPTED = 130


def explore(
    source: RunOrCheckpoint,
    directions: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            parser=parse_path,
            help="Offer the directions in this file (default: the file of gankit directions in the run directory).",
        ),
    ] = None,
    host: Annotated[
        str, Option(help="Address to listen on. With 0.0.0.0, every machine on the network can use the page.")
    ] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on; 0 selects any free port.")] = DEFAULT_PORT,
    share: Annotated[
        bool, Option("--share", help="Create a public address through a Gradio server. Anyone can use it.")
    ] = False,
    open_browser: Annotated[
        bool | None, Option("--open/--no-open", help="Open a browser (default: on a terminal with a display).")
    ] = None,
    plugin: PluginOption = None,
) -> None:
    """Explore a generator in a browser: images, interpolations, style mixing, directions and projections.

    Serves the page on this machine until you press Ctrl-C. Requires gankit's extra 'explore'.

    Examples:

      gankit explore builtin:cifar10

      gankit explore results/stylegan2_cifar10 --directions found.safetensors

      gankit explore results/pix2pix_folder --port 0 --no-open
    """
    with TemporaryDirectory(prefix="gankit-explore-", ignore_cleanup_errors=True) as folder:
        from ..explorer import private_files

        with private_files(Path(folder)):
            _serve(source, directions, host, port, share, open_browser, plugin)


def _serve(
    source: Path,
    directions: Path | None,
    host: str,
    port: int,
    share: bool,
    open_browser: bool | None,
    plugins: list[str] | None,
) -> None:
    from ..explorer import build_page, serve

    generator = make_runtime(plugins).load_generator(source)
    if directions is None and (own := default_directions(generator)) and own.exists():
        directions = own
    found = None if directions is None else load_directions(generator, directions)
    page = build_page(generator, found, title=source.resolve().name if source.exists() else str(source))
    try:
        with serve(page, host, port, share) as address:
            output_console().print(f"{address}  (press Ctrl-C to stop)")
            if _should_open() if open_browser is None else open_browser:
                webbrowser.open(address)
            wait_until_interrupted(address)
    except KeyboardInterrupt:
        raise Exit(INTERRUPTED) from None


def wait_until_interrupted(address: str) -> None:
    """Wait for Ctrl-C, while the page is served at this address."""
    threading.Event().wait()


def _should_open() -> bool:
    """Whether somebody sits in front of this machine who could see a browser."""
    has_display = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & {*os.environ}
    return sys.stdout.isatty() and bool(has_display) and "SSH_CONNECTION" not in os.environ
