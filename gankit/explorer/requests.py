"""Which requests the server of the page accepts."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

REMOTE_FILE = re.compile(r"/file[=/]https?:", re.IGNORECASE)


class OwnRequestsOnly:
    """Refuses requests that other web pages send to the server, and files of other servers.

    Any page that a user visits can send requests to 127.0.0.1, also under a name of its own that leads there (DNS
    rebinding). Gradio's own check concerns only which pages may read the answers. Gradio can also pass on files of
    other servers, which this page never needs.

    Args:
        app: the server.
        hosts: the names by which it may be called; None for any.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (fault := self._fault(scope)):
            await PlainTextResponse(fault, status_code=403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _fault(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            name, page = urlsplit(f"//{host}").hostname, None if origin is None else urlsplit(origin).netloc
        except ValueError:
            return "The address is not valid."
        if self.hosts is not None and name not in self.hosts:
            return "This server has another name."
        if page is not None and page != host:
            return "Requests of other pages are not accepted."
        if REMOTE_FILE.search(scope["path"]):
            return "Files of other servers are not available."
        return None
