import gzip
import hashlib
import threading
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gankit
from gankit.testing import check_dataset
from gankit_datasets import MNIST, FashionMNIST
from gankit_datasets.idx import read_idx

PREFIX = {"train": "train", "test": "t10k"}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@dataclass
class Files:
    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    idx: dict[str, bytes]


def make_files(seed: int, train: int = 25, test: int = 12) -> Files:
    rng = np.random.default_rng(seed)
    images = {s: rng.integers(0, 256, (n, 28, 28), dtype=np.uint8) for s, n in (("train", train), ("test", test))}
    labels = {s: rng.integers(0, 10, len(images[s]), dtype=np.uint8) for s in images}
    named = {f"{PREFIX[s]}-images-idx3-ubyte": idx(images[s]) for s in images}
    named |= {f"{PREFIX[s]}-labels-idx1-ubyte": idx(labels[s]) for s in images}
    return Files(images, labels, named)


def put(folder: Path, files: Files, zipped: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.idx.items():
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(gzip.compress(data) if zipped else data)


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("factory", "folder"),
    [
        (MNIST, "."),
        (MNIST, "mnist"),
        (MNIST, "MNIST/raw"),
        (FashionMNIST, "."),
        (FashionMNIST, "fashion-mnist"),
        (FashionMNIST, "FashionMNIST/raw"),
    ],
)
def test_files_in_place_are_read(tmp_path, factory, folder, zipped, split):
    files = make_files(0)
    put(tmp_path / folder, files, zipped)
    dataset = factory(root=tmp_path, split=split, download=False)
    assert isinstance(dataset, gankit.Dataset)
    assert dataset.spec == gankit.ImageSpec(28, 28, 1)
    dataset.prepare()
    images, labels = dataset.tensors()
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    np.testing.assert_array_equal(images[:, 0].numpy(), files.images[split])
    np.testing.assert_array_equal(labels.numpy(), files.labels[split])
    assert len(dataset) == len(labels)
    image, label = dataset[3]
    assert image.shape == (1, 28, 28)
    assert (label, type(label)) == (files.labels[split][3], int)
    check_dataset(dataset)


def test_each_set_prefers_its_own_folder(tmp_path):
    digits, clothes, loose = make_files(1), make_files(2), make_files(3)
    put(tmp_path / "mnist", digits)
    put(tmp_path / "fashion-mnist", clothes)
    put(tmp_path, loose)
    for factory, files in ((MNIST, digits), (FashionMNIST, clothes)):
        dataset = factory(root=tmp_path)
        dataset.prepare()
        np.testing.assert_array_equal(dataset.tensors()[0][:, 0].numpy(), files.images["train"])


def test_torchvision_reads_the_same(tmp_path):
    put(tmp_path / "FashionMNIST" / "raw", make_files(0))
    theirs = torchvision.datasets.FashionMNIST(tmp_path)
    ours = FashionMNIST(root=tmp_path)
    ours.prepare()
    assert torch.equal(ours.tensors()[0][:, 0], theirs.data)
    assert torch.equal(ours.labels, theirs.targets)


def test_class_names_are_torchvisions():
    assert list(FashionMNIST.classes) == torchvision.datasets.FashionMNIST.classes
    assert [name[0] for name in torchvision.datasets.MNIST.classes] == list(MNIST.classes)


def test_root_comes_from_the_parameter_then_the_environment_then_data(monkeypatch, tmp_path):
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "environment"))
    assert MNIST(root=tmp_path / "parameter").root == tmp_path / "parameter"
    assert FashionMNIST().root == tmp_path / "environment"
    monkeypatch.delenv("GANKIT_DATA_DIR")
    assert FashionMNIST().root == Path("data")


def test_nothing_happens_before_prepare(tmp_path):
    dataset = MNIST(root=tmp_path / "absent")
    assert not (tmp_path / "absent").exists()
    with pytest.raises(RuntimeError, match="prepare"):
        dataset[0]


DAMAGE = {
    "cut short": (lambda data: data[:-10], r"has 19590 bytes of data, but its header says 25 x 28 x 28"),
    "no header": (lambda data: data[:10], r"is not an idx file of bytes in 3 dimensions: it starts with 00 00 08 03"),
    "empty": (lambda data: b"", r"it starts with nothing"),
    "a page": (lambda data: b"<html>404</html>" + data, r"it starts with 3c 68 74 6d"),
    "too long": (lambda data: data + b"x", r"has 19601 bytes"),
    "of shorts": (lambda data: b"\x00\x00\x0b\x03" + data[4:], r"starts with 00 00 0b 03"),
    "other size": (lambda data: idx(np.zeros((25, 14, 28), np.uint8)), r"images of 14 x 28; MNIST's are 28 x 28"),
    "other count": (lambda data: idx(np.zeros((24, 28, 28), np.uint8)), r"\(24 images\).*\(25 labels\) do not belong"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_images_are_named(tmp_path, case):
    damage, message = DAMAGE[case]
    files = make_files(0)
    name = "train-images-idx3-ubyte"
    put(tmp_path, Files(files.images, files.labels, files.idx | {name: damage(files.idx[name])}))
    with pytest.raises(gankit.DataError, match=message) as caught:
        MNIST(root=tmp_path).prepare()
    assert str(caught.value).startswith(str(tmp_path / name))


@pytest.mark.parametrize("damage", [lambda gz: gz[:-20], lambda gz: gz[:50] + b"??" + gz[52:], lambda gz: b"no gzip"])
def test_damaged_gzip_is_named(tmp_path, damage):
    put(tmp_path, make_files(0), zipped=True)
    victim = tmp_path / "train-labels-idx1-ubyte.gz"
    victim.write_bytes(damage(victim.read_bytes()))
    with pytest.raises(gankit.DataError, match=r"train-labels-idx1-ubyte.gz is damaged: .*; delete it"):
        MNIST(root=tmp_path).prepare()


def test_labels_beyond_the_classes(tmp_path):
    files = make_files(0)
    name = "train-labels-idx1-ubyte"
    put(tmp_path, Files(files.images, files.labels, files.idx | {name: idx(np.full(25, 10, np.uint8))}))
    with pytest.raises(gankit.DataError, match="do not belong together, or are not MNIST"):
        MNIST(root=tmp_path).prepare()


@settings(max_examples=50, deadline=None)
@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)), zipped=st.booleans()
)
def test_idx_round_trips(tmp_path_factory, array, zipped):
    path = tmp_path_factory.mktemp("idx") / ("file.gz" if zipped else "file")
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    np.testing.assert_array_equal(read_idx(path, array.ndim).numpy(), array)


class Server:
    """Serves files by name on localhost."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Answer, self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Answer(BaseHTTPRequestHandler):
    def __init__(self, server: Server, *args: object) -> None:
        self.owner = server
        super().__init__(*args)

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.owner.asked.append(name)
        if name not in self.owner.files:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.owner.files[name])))
        self.end_headers()
        self.wfile.write(self.owner.files[name])

    def log_message(self, *args: object) -> None:
        pass


CLOSED = "http://127.0.0.1:9/"


@pytest.fixture
def files() -> Files:
    return make_files(7)


@pytest.fixture
def server(files, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server({f"{name}.gz": gzip.compress(data, mtime=0) for name, data in files.idx.items()})
    yield server
    server.close()


@pytest.fixture
def factory(server):
    """``factory(*mirrors)``: Fashion-MNIST whose files are those of the server."""

    def at(*mirrors: str) -> type:
        sums = [(name, hashlib.md5(data, usedforsecurity=False).hexdigest()) for name, data in server.files.items()]
        source = type("Source", (torchvision.datasets.FashionMNIST,), {"mirrors": list(mirrors), "resources": sums})
        return type("Local", (FashionMNIST,), {"source": lambda self: source})

    return at


def contents(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("split", ["train", "test"])
def test_download(factory, server, files, tmp_path, split, capfd):
    for _ in range(2):
        dataset = factory(server.url)(root=tmp_path / "data", split=split)
        dataset.prepare()
        np.testing.assert_array_equal(dataset.tensors()[0][:, 0].numpy(), files.images[split])
        np.testing.assert_array_equal(dataset.labels.numpy(), files.labels[split])
    names = {f"{PREFIX[split]}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")}
    assert contents(tmp_path / "data") == {f"FashionMNIST/raw/{name}" for name in names}
    assert set(server.asked) == names
    assert len(server.asked) <= 4  # torchvision asks for redirects first
    assert capfd.readouterr().out == ""


def test_the_next_mirror_helps(factory, server, tmp_path):
    dataset = factory(CLOSED, server.url)(root=tmp_path)
    dataset.prepare()
    assert len(dataset) == 25


def test_no_network_names_every_remedy(factory, server, tmp_path):
    with pytest.raises(gankit.DataError) as caught:
        factory(CLOSED, server.url + "gone/")(root=tmp_path).prepare()
    message = str(caught.value)
    assert message.startswith(f"Fashion-MNIST is not in {tmp_path}, and downloading {CLOSED}train-images-idx3-ubyte.gz")
    for part in (
        "refused",
        "gone/train-images-idx3-ubyte.gz failed: Not Found",
        "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz from",
        f"put them into {tmp_path}/FashionMNIST/raw",
        "`root:`",
        "$GANKIT_DATA_DIR",
    ):
        assert part in message


def test_download_false(factory, server, tmp_path):
    dataset = factory(server.url)(root=tmp_path / "data", download=False)
    with pytest.raises(
        gankit.DataError, match=r"`download: false` forbids downloading it. Either set `download: true`"
    ):
        dataset.prepare()
    assert server.asked == []
    assert not (tmp_path / "data").exists()


def test_damaged_download_is_refused_and_the_next_run_recovers(factory, server, files, tmp_path):
    local, name = factory(server.url), "train-labels-idx1-ubyte.gz"
    whole = server.files[name]
    server.files[name] = whole[:-5]
    with pytest.raises(gankit.DataError, match=rf"{name} failed: .*(md5 differs)"):
        local(root=tmp_path).prepare()
    assert contents(tmp_path) == {"FashionMNIST/raw/train-images-idx3-ubyte.gz"}
    server.files[name] = whole
    server.asked.clear()
    dataset = local(root=tmp_path)
    dataset.prepare()
    np.testing.assert_array_equal(dataset.labels.numpy(), files.labels["train"])
    assert set(server.asked) == {name}
