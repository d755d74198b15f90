"""The server of the page, which sends nothing to other machines and serves nothing but the page."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GankitError

if TYPE_CHECKING:
    import gradio as gr

STYLE = Path(__file__).with_name("page.css")
"""The style sheet of the page, for a page that contains the explorer."""
MAX_UPLOAD = 2**25  # bytes
FONT, MONOSPACE = ("system-ui", "sans-serif"), ("ui-monospace", "monospace")  # of the system, not of a font server


@contextmanager
def private_files(folder: Path) -> Iterator[None]:
    """A block in which Gradio keeps its files in a folder, and does not look for updates or report its use.

    Other environment variables of Gradio have no effect in the block, because they may be meant for other pages. Gradio
    reads its variables when it is imported, when a page is built and while it is served. Therefore, a process can be in
    only one such block at a time.
    """
    own = {
        "GRADIO_TEMP_DIR": str(folder),
        "GRADIO_EXAMPLES_CACHE": str(folder / "examples"),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_HEARTBEAT_INTERVAL": "1",  # seconds, after which the connections of open pages end with the server
    }
    with _environment(own, [name for name in os.environ if name.startswith("GRADIO_")]):
        yield


@contextmanager
def _environment(own: Mapping[str, str], removed: Iterable[str] = ()) -> Iterator[None]:
    """A block with other environment variables."""
    before = {name: os.environ.pop(name) for name in {*own, *removed} if name in os.environ}
    os.environ |= own
    try:
        yield
    finally:
        for name in own:
            os.environ.pop(name, None)
        os.environ |= before


@contextmanager
def serve(page: gr.Blocks, host: str = "127.0.0.1", port: int = 7860, share: bool = False) -> Iterator[str]:
    """A block in which the page is served.

    Args:
        page: of `build_page`.
        host: the address to listen on; with the default, only this machine can connect.
        port: 0 for any that is free.
        share: whether to make a public address, through a server of Gradio.

    Yields:
        The address of the page.

    Raises:
        GankitError: the address cannot be used, or the public one cannot be made.
    """
    import gradio as gr
    from starlette.middleware import Middleware

    from .requests import OwnRequestsOnly

    port = _free_port(host, port)
    hosts = {"localhost", "127.0.0.1", host.strip("[]")} if _is_loopback(host) and not share else None
    printed = StringIO()  # Gradio prints why it has no public address
    # Gradio calls the server once, which a proxy cannot
    direct = ",".join(filter(None, [os.environ.get("no_proxy", os.environ.get("NO_PROXY")), host, "localhost"]))
    with redirect_stdout(printed), _environment({"no_proxy": direct, "NO_PROXY": direct}):
        _, address, public = page.launch(
            server_name=f"[{host.strip('[]')}]" if ":" in host else host,
            server_port=port,
            share=share,
            prevent_thread_lock=True,
            quiet=True,
            show_error=False,
            inbrowser=False,
            inline=False,
            max_file_size=MAX_UPLOAD,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            theme=gr.themes.Default(font=FONT, font_mono=MONOSPACE),
            css_paths=STYLE,
            app_kwargs={
                "middleware": [Middleware(OwnRequestsOnly, hosts=hosts)],
                "docs_url": None,
                "redoc_url": None,
                "openapi_url": None,
            },
        )
    try:
        if share and public is None:
            raise GankitError(
                "--share: the public address cannot be made; check the network, or use --host 0.0.0.0 in a local one"
            )
        yield public or address
    finally:
        page.close(verbose=False)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _free_port(host: str, port: int) -> int:
    """The port, or a free one for 0. Raises: GankitError: the server cannot listen there."""
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise GankitError(f"--host {host}: is not an address of this machine; use 127.0.0.1 or 0.0.0.0") from None
    try:
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            found: Any = probe.getsockname()
            return int(found[1])
    except OSError as error:
        raise GankitError(
            f"cannot listen on {host}, port {port}: {(error.strerror or str(error)).lower()}; choose another port with "
            "--port, or any free one with --port 0"
        ) from None
