import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import torch

import gankit
from gankit.testing import check_dataset
from gankit_cifar10 import CIFAR10
from gankit_cifar10.dataset import CLASSES

FOLDER = "cifar-10-batches-py"
TARBALL = "cifar-10-python.tar.gz"


def contents(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


@pytest.mark.parametrize("split", ["train", "test"])
def test_download_gives_the_images_of_the_archive(local, archive, tmp_path, split, capfd):
    dataset = local(root=tmp_path / "new" / "data", split=split)
    dataset.prepare()
    images, labels = dataset.tensors()
    assert images.dtype == torch.uint8
    assert images.is_contiguous()
    assert labels.dtype == torch.int64
    np.testing.assert_array_equal(images.numpy(), archive.images[split])
    assert labels.tolist() == archive.labels[split] == dataset.labels.tolist()
    assert len(dataset) == len(labels)
    image, label = dataset[7]
    assert torch.equal(image, images[7])
    assert label == archive.labels[split][7]
    assert isinstance(label, int)
    assert capfd.readouterr().out == ""
    assert contents(dataset.root) == {FOLDER}


def test_downloads_once(local, server, tmp_path):
    for split in ("train", "train", "test"):
        local(root=tmp_path, split=split).prepare()
    assert server.requests <= 2  # torchvision asks for redirects first


def test_construction_touches_nothing(unreachable, tmp_path):
    dataset = unreachable(root=tmp_path / "absent")
    assert dataset.spec == gankit.ImageSpec(32, 32, 3)
    assert dataset.classes == CLASSES
    assert len(CLASSES) == 10
    assert dataset.split == "train"
    assert not (tmp_path / "absent").exists()
    with pytest.raises(RuntimeError, match="prepare"):
        len(dataset)
    with pytest.raises(RuntimeError, match="prepare"):
        dataset[0]


def test_satisfies_the_protocol(local, tmp_path):
    dataset = local(root=tmp_path)
    dataset.prepare()
    assert isinstance(dataset, gankit.Dataset)


def test_registered_with_its_parameters():
    import gankit_cifar10

    registries = gankit.Registries()
    gankit_cifar10.register(registries)
    entry = registries.datasets.get("cifar10")
    assert set(entry.schema.model_fields) == {"root", "split", "download"}
    dataset = entry.build(entry.schema(root="some/where", split="test", download=False))
    assert (dataset.root, dataset.split, dataset.download) == (Path("some/where"), "test", False)


def test_no_network_names_every_remedy(unreachable, tmp_path):
    with pytest.raises(gankit.DataError) as caught:
        unreachable(root=tmp_path).prepare()
    message = str(caught.value)
    assert message.startswith(f"CIFAR-10 is not in {tmp_path}, and downloading http://127.0.0.1:9/{TARBALL} failed")
    for part in ("refused", str(tmp_path / TARBALL), "cifar10-train.zip", "`root:`", "$GANKIT_DATA_DIR"):
        assert part in message
    assert contents(tmp_path) == set()


def test_download_false_says_so_and_makes_no_folder(local, server, tmp_path):
    dataset = local(root=tmp_path / "data", download=False)
    with pytest.raises(gankit.DataError, match=r"`download: false` forbids.*set `download: true`.*cifar10-train.zip"):
        dataset.prepare()
    assert server.requests == 0
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("claims_whole_length", [False, True])
def test_truncated_download_is_refused_and_the_next_run_recovers(local, archive, server, tmp_path, claims_whole_length):
    server.body = archive.data[: len(archive.data) // 2]
    server.claimed_length = len(archive.data) if claims_whole_length else None
    with pytest.raises(gankit.DataError, match=r"failed: .*(incomplete or altered|IncompleteRead)"):
        local(root=tmp_path).prepare()
    assert contents(tmp_path) == set()
    server.body, server.claimed_length = archive.data, None
    dataset = local(root=tmp_path)
    dataset.prepare()
    np.testing.assert_array_equal(dataset.tensors()[0].numpy(), archive.images["train"])


def test_altered_download_is_refused(local, archive, server, tmp_path):
    server.body = archive.data[:-9] + bytes([archive.data[-9] ^ 1]) + archive.data[-8:]
    with pytest.raises(gankit.DataError, match="md5 differs"):
        local(root=tmp_path).prepare()
    assert contents(tmp_path) == set()


def test_archive_placed_by_hand_needs_no_network(unreachable, archive, tmp_path):
    (tmp_path / TARBALL).write_bytes(archive.data)
    dataset = unreachable(root=tmp_path, download=False)
    dataset.prepare()
    np.testing.assert_array_equal(dataset.tensors()[0].numpy(), archive.images["train"])
    assert contents(tmp_path) == {TARBALL, FOLDER}


@pytest.mark.parametrize("download", [False, True])
def test_damaged_archive_placed_by_hand_is_named(unreachable, archive, tmp_path, download):
    (tmp_path / TARBALL).write_bytes(archive.data[:-100])
    with pytest.raises(gankit.DataError, match=rf"\({TARBALL} there: incomplete or altered"):
        unreachable(root=tmp_path, download=download).prepare()


def test_damaged_archive_placed_by_hand_does_not_stop_a_download(local, archive, tmp_path):
    (tmp_path / TARBALL).write_bytes(archive.data[:-100])
    dataset = local(root=tmp_path)
    dataset.prepare()
    np.testing.assert_array_equal(dataset.tensors()[0].numpy(), archive.images["train"])


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_damaged_folder_is_replaced(local, archive, tmp_path, damage):
    local(root=tmp_path).prepare()
    victim = tmp_path / FOLDER / "data_batch_3"
    if damage == "truncate":
        victim.write_bytes(victim.read_bytes()[:100])
    else:
        victim.unlink()
    with pytest.raises(gankit.DataError, match=rf"\({FOLDER} there: incomplete or altered"):
        local(root=tmp_path, download=False).prepare()
    dataset = local(root=tmp_path)
    dataset.prepare()
    np.testing.assert_array_equal(dataset.tensors()[0].numpy(), archive.images["train"])
    assert contents(tmp_path) == {FOLDER}
    local(root=tmp_path, download=False).prepare()


def test_root_comes_from_the_parameter_then_the_environment_then_data(monkeypatch, tmp_path):
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "environment"))
    assert CIFAR10(root=tmp_path / "parameter").root == tmp_path / "parameter"
    assert CIFAR10().root == tmp_path / "environment"
    monkeypatch.delenv("GANKIT_DATA_DIR")
    assert CIFAR10().root == Path("data")


def test_root_parameter_wins_over_data_in_the_environment(local, unreachable, archive, monkeypatch, tmp_path):
    local(root=tmp_path / "full").prepare()
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "full"))
    unreachable().prepare()
    with pytest.raises(gankit.DataError, match=str(tmp_path / "other")):
        unreachable(root=tmp_path / "other").prepare()


def test_root_that_cannot_be_made(local, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(gankit.DataError, match=r"Not a directory|exists"):
        local(root=tmp_path / "file" / "data").prepare()


def test_keeps_the_contract(tmp_path, archive, monkeypatch):
    (tmp_path / TARBALL).write_bytes(archive.data)
    monkeypatch.setattr(CIFAR10, "source", lambda self: archive.source)
    dataset = CIFAR10(root=tmp_path, download=False)
    dataset.prepare()
    check_dataset(dataset)


def _prepare(dataset, barrier, results):
    torch.set_num_threads(1)  # the parent's threads do not survive the fork, but a lock of theirs may
    barrier.wait()
    try:
        dataset.prepare()
        results.put(int(dataset.tensors()[0].sum()))
    except Exception as error:
        results.put(repr(error))


@pytest.mark.parametrize("damaged", [False, True])
def test_processes_may_prepare_one_root_at_once(local, archive, tmp_path, damaged):
    if damaged:
        (tmp_path / FOLDER).mkdir()
        (tmp_path / FOLDER / "data_batch_1").write_bytes(b"half")
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    datasets = [local(root=tmp_path) for _ in range(4)]
    processes = [context.Process(target=_prepare, args=(dataset, barrier, results)) for dataset in datasets]
    for process in processes:
        process.start()
    sums = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sums == [int(archive.images["train"].sum(dtype=np.int64))] * 4
    assert contents(tmp_path) == {FOLDER}
