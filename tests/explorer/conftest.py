"""Fixtures for the tests of the explorer: small generators, and their pages as a server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gankit
from gankit.sampling.samples import Sampling
from gankit.sampling.trained_generator import TrainedGenerator
from gankit_stylegan2.generator import StyleGAN2Generator


class Normal:
    """Normally distributed latents of 8 dimensions."""

    def sample(self, n, labels, generator):
        return torch.randn(n, 8, generator=generator)


class Enlarging(nn.Module):
    """Doubles the size of a source."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, source):
        return self.gain * F.interpolate(source, scale_factor=2)


@pytest.fixture(scope="session")
def styled() -> TrainedGenerator:
    """A conditional StyleGAN2 of 16 px with random weights."""
    torch.manual_seed(0)
    image = gankit.ImageSpec(16, 16, 3, classes=2)
    network = StyleGAN2Generator(image, 8, width=8, max_width=16, style_dim=8)
    for name, parameter in network.named_parameters():
        if name.endswith("strength"):
            parameter.data.fill_(0.3)
    network.eval().requires_grad_(False)
    return TrainedGenerator(network, Sampling(Normal(), image), ("a", "b"), Path("styled"), True, "1234")


@pytest.fixture(scope="session")
def enlarging() -> TrainedGenerator:
    """A generator that takes a picture, and lacks pictures of the data."""
    image, source = gankit.ImageSpec(16, 16, 3), gankit.ImageSpec(8, 8, 3)
    missing = gankit.CheckpointError("inputs.safetensors is missing")
    sampling = Sampling(Normal(), image, specs={"source": source}, missing=missing)
    return TrainedGenerator(Enlarging().eval().requires_grad_(False), sampling, None, Path("enlarging"), False)


class Client(NamedTuple):
    """A browser's requests to a page."""

    http: Any
    functions: dict[str, dict[str, Any]]
    sessions: Iterator[int]
    folder: Path

    def call(self, name: str, *values: Any) -> Any:
        """The results of a function of the page, or the message of its error."""
        session = f"session{next(self.sessions)}"
        body = {"data": values, "fn_index": self.functions[name]["id"], "session_hash": session}
        joined = self.http.post("/gradio_api/queue/join", json=body)
        assert joined.status_code == 200, joined.text
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as events:
            for line in events.iter_lines():
                event = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if event.get("msg") == "process_completed":
                    return event["output"]["data"] if event["success"] else event["output"]["error"]
        raise AssertionError("the page did not answer")

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """Upload a file. Returns the value of a control that holds it."""
        sent = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        assert sent.status_code == 200, sent.text
        return {"path": sent.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def read(self, value: dict[str, Any]) -> bytes:
        """The content of a file that a control offers."""
        got = self.http.get((value.get("value") or value)["url"])
        assert got.status_code == 200, got.text
        return bytes(got.content)


@pytest.fixture(scope="module")  # it changes the environment
def served(tmp_path_factory) -> Iterator[Callable[..., Client]]:
    """``served(generator, directions=None)``: a client of its page, which is served until the end of the module."""
    pytest.importorskip("gradio")
    httpx = pytest.importorskip("httpx")
    from gankit.explorer import build_page, private_files, serve

    clients: dict[int, Client] = {}
    folder = tmp_path_factory.mktemp("served")
    with private_files(folder), ExitStack() as stack:

        def start(generator: TrainedGenerator, directions: Any = None) -> Client:
            if id(generator) not in clients:
                address = stack.enter_context(serve(build_page(generator, directions), port=0))
                http = stack.enter_context(httpx.Client(base_url=address, timeout=60, trust_env=False))
                functions = {f["api_name"]: f for f in http.get("/config").json()["dependencies"]}
                clients[id(generator)] = Client(http, functions, count(), folder)
            return clients[id(generator)]

        yield start
