"""A small CIFAR-10: the original format with its own checksums, as an archive on a local server."""

import hashlib
import io
import pickle
import tarfile
import threading
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torchvision

from gankit_cifar10 import CIFAR10
from gankit_cifar10.dataset import CLASSES

BATCH = 20


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Archive:
    """A miniature archive: its bytes, a torchvision source that knows it, and the truth about its images."""

    data: bytes
    source: type
    images: dict[str, np.ndarray]
    labels: dict[str, list[int]]

    def at(self, url: str) -> type:
        """A `CIFAR10` that downloads this archive from ``url``."""
        source = type("Source", (self.source,), {"url": url})
        return type("Local", (CIFAR10,), {"source": lambda self: source})


@pytest.fixture(scope="session")
def archive() -> Archive:
    rng = np.random.default_rng(0)
    files: dict[str, bytes] = {"batches.meta": pickle.dumps({"label_names": list(CLASSES)})}
    images, labels = {"train": [], "test": []}, {"train": [], "test": []}
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        pixels = rng.integers(0, 256, (BATCH, 3072), dtype=np.uint8)
        classes = [int(label) for label in rng.permutation(BATCH) % 10]
        files[name] = pickle.dumps({"data": pixels, "labels": classes})
        split = "test" if name == "test_batch" else "train"
        images[split].append(pixels.reshape(-1, 3, 32, 32))
        labels[split].extend(classes)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    checksums = [[name, md5(content)] for name, content in files.items() if name != "batches.meta"]
    source = type(
        "Miniature",
        (torchvision.datasets.CIFAR10,),
        {
            "url": "unset",
            "tgz_md5": md5(buffer.getvalue()),
            "train_list": checksums[:5],
            "test_list": checksums[5:],
            "meta": {"filename": "batches.meta", "key": "label_names", "md5": md5(files["batches.meta"])},
        },
    )
    return Archive(buffer.getvalue(), source, {k: np.concatenate(v) for k, v in images.items()}, labels)


class Server:
    """Serves one answer on localhost, whatever is asked for."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.claimed_length: int | None = None
        self.requests = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answer, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/cifar-10-python.tar.gz"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Answer(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args: object) -> None:
        self.owner = server
        super().__init__(*args)

    def do_GET(self) -> None:
        self.owner.requests += 1
        body = self.owner.body
        self.send_response(200)
        self.send_header("Content-Length", str(self.owner.claimed_length or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(archive: Archive, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(archive.data)
    yield server
    server.close()


@pytest.fixture
def local(archive: Archive, server: Server) -> type:
    """`CIFAR10` that knows the miniature archive on the local server."""
    return archive.at(server.url)


@pytest.fixture
def unreachable(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> type:
    """`CIFAR10` whose archive lies on a port where nobody listens."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return archive.at("http://127.0.0.1:9/cifar-10-python.tar.gz")
