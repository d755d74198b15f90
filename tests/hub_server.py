"""A server with the part of the Hugging Face Hub's HTTP interface that gankit uses, through ``huggingface_hub``."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

TOKEN = "hf_of_the_owner"
OWNERS = ("owner", "me")
"""The names that may be written to with the token."""


@dataclass
class Repository:
    """Files by path, in commits by hash, of branches by name."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    branches: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        parent = self.branches[branch]
        name = hashlib.sha1(f"{parent} {sorted((path, hash(data)) for path, data in files.items())}".encode()).hexdigest()
        self.commits[name], self.branches[branch] = files, name
        return name

    def find(self, revision: str) -> str | None:
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None


class HubServer:
    """The state of the server.

    Attributes:
        url: of the server.
        repositories: by ``owner/name``.
        requests: such as ``POST /api/repos/create``, with the names of repositories and hashes replaced.
        stored: large files by SHA-256.
        failing: answers to requests whose path contains a text: (text, status, headers).
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.stored: dict[str, bytes] = {}
        self.failing: list[tuple[str, int, dict[str, str]]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def add(self, name: str) -> Repository:
        """A new empty repository."""
        return self.repositories.setdefault(name, Repository())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *args: Any) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        path = unquote(urlsplit(self.path).path)
        named = re.sub(r"[0-9a-f]{40,64}", "HASH", re.sub(r"(?<=/)(owner|me|someone)/[\w.-]+?(?=/|\.git/|$)", "REPO", path))
        self.hub.requests.append(f"{self.command} {named}")
        for text, status, headers in self.hub.failing:
            if text in f"{self.command} {path}":
                return self._send(status, {"error": headers.get("X-Error-Message", "failed")}, headers)
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if given not in ("", TOKEN) and not path.startswith("/lfs/"):
            return self._fail(401, message="Invalid credentials in Authorization header")
        self.known = given == TOKEN
        routes = (
            ("POST", r"/api/repos/create", self._create),
            ("POST", r"/api/validate-yaml", lambda: self._send(200, {"errors": [], "warnings": []})),
            ("GET", r"/api/models/([\w.-]+/[\w.-]+)(?:/revision/(.+))?", self._info),
            ("GET", r"/api/models/([\w.-]+/[\w.-]+)/tree/(.+)", self._tree),
            ("POST", r"/api/models/([\w.-]+/[\w.-]+)/branch/(.+)", self._branch),
            ("POST", r"/api/models/([\w.-]+/[\w.-]+)/preupload/(.+)", self._preupload),
            ("POST", r"/api/models/([\w.-]+/[\w.-]+)/commit/(.+)", self._commit),
            ("POST", r"/([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch", self._batch),
            ("PUT", r"/lfs/(\w+)", self._store),
            ("HEAD", r"/([\w.-]+/[\w.-]+)/resolve/(refs/pr/\d+|[^/]+)/(.+)", self._resolve),
            ("GET", r"/([\w.-]+/[\w.-]+)/resolve/(refs/pr/\d+|[^/]+)/(.+)", self._resolve),
        )
        for command, pattern, answer in routes:
            if command == self.command and (match := re.fullmatch(pattern, path)):
                return answer(*match.groups())
        return self._fail(404, message=f"no route for {self.command} {path}")

    def _send(self, status: int, content: Any = None, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _fail(self, status: int, code: str = "", message: str = "") -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        self._send(status, {"error": message}, {name: value for name, value in headers.items() if value})

    def _open(self, name: str, write: bool = False) -> Repository | None:
        """The repository, or None after an answer that it is missing, hidden or not the user's."""
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and not self.known):
            self._fail(404 if self.known else 401, "RepoNotFound", "Repository not found")
        elif write and not (self.known and name.partition("/")[0] in OWNERS):
            self._fail(403, message="You don't have the rights to write to this repository")
        else:
            return repository
        return None

    def _create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            return self._send(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
        if asked["organization"] not in OWNERS:
            return self._fail(403, message="You don't have the rights to create a model under this namespace")
        self.hub.repositories[name] = Repository(asked.get("visibility") == "private" or bool(asked.get("private")))
        return self._send(200, {"url": f"{self.hub.url}/{name}"})

    def _info(self, name: str, revision: str | None) -> None:
        if repository := self._open(name):
            if (commit := repository.find(revision or "main")) is None:
                return self._fail(404, "RevisionNotFound", "Invalid rev id")
            files = [{"rfilename": path} for path in repository.commits[commit]]
            self._send(200, {"id": name, "sha": commit, "private": repository.private, "siblings": files})
        return None

    def _tree(self, name: str, revision: str) -> None:
        if repository := self._open(name):
            files = repository.commits[repository.find(revision)]
            self._send(200, [{"type": "file", "path": path, "size": len(data), "oid": "0" * 40} for path, data in files.items()])

    def _branch(self, name: str, branch: str) -> None:
        if repository := self._open(name, write=True):
            if branch in repository.branches:
                return self._fail(409, message="Reference already exists")
            repository.branches[branch] = repository.branches["main"]
            self._send(200, {})
        return None

    def _preupload(self, name: str, revision: str) -> None:
        if self._open(name, write=True):
            paths = [file["path"] for file in json.loads(self.body)["files"]]
            modes = ["regular" if re.search(r"\.(md|json|yaml)$", path) else "lfs" for path in paths]
            files = [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in zip(paths, modes, strict=True)]
            self._send(200, {"files": files})

    def _batch(self, name: str) -> None:
        if self._open(name, write=True):
            objects = [
                o if o["oid"] in self.hub.stored else o | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{o['oid']}"}}}
                for o in json.loads(self.body)["objects"]
            ]
            self._send(200, {"transfer": "basic", "objects": objects})

    def _store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._fail(400, message="the SHA-256 differs")
        self.hub.stored[oid] = self.body
        return self._send(200, {})

    def _commit(self, name: str, revision: str) -> None:
        if repository := self._open(name, write=True):
            files = dict(repository.commits[repository.branches[revision]])
            for line in self.body.splitlines():
                entry = json.loads(line)
                value = entry["value"]
                if entry["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif entry["key"] == "lfsFile":
                    files[value["path"]] = self.hub.stored[value["oid"]]
                elif entry["key"] == "deletedFile":
                    del files[value["path"]]
            commit = repository.commit(revision, files)
            self._send(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})

    def _resolve(self, name: str, revision: str, path: str) -> None:
        if repository := self._open(name):
            if (commit := repository.find(revision)) is None:
                return self._fail(404, "RevisionNotFound", "Invalid rev id")
            if (data := repository.commits[commit].get(path)) is None:
                return self._send(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            self._send(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": commit})
        return None


@pytest.fixture(scope="session")
def _hub_server() -> Iterator[HubServer]:
    hub = HubServer()
    Thread(target=hub.server.serve_forever, daemon=True).start()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def hub(_hub_server: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubServer:
    """The server without repositories, used by ``huggingface_hub`` with a token and an empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    home = tmp_path / "hf_home"
    settings = {
        "HF_ENDPOINT": _hub_server.url, "HF_HOME": str(home), "HF_HUB_CACHE": str(home / "hub"), "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    # the library has read the environment when it was imported
    monkeypatch.setattr(constants, "ENDPOINT", _hub_server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", _hub_server.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(home / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.chdir(tmp_path)
    _hub_server.repositories, _hub_server.requests, _hub_server.stored, _hub_server.failing = {}, [], {}, []
    return _hub_server
