"""What Windows lacks, taken away here: opening folders, flushing files that are open for reading, some signals."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch

import gankit
from gankit.data import workers
from gankit.files import flush_to_disk


@pytest.fixture
def windows(monkeypatch):
    """Files as there."""
    real_open, real_fsync = os.open, os.fsync

    def open_file(path, flags, *rest, **options):
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real_open(path, flags, *rest, **options)

    def fsync(descriptor):
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        real_fsync(descriptor)

    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "fsync", fsync)
    needed = {"O_NONBLOCK"} if sys.version_info >= (3, 13) else set()  # by shutil.rmtree of this system
    for name in {"setpgrp", "fork", "O_NONBLOCK"} - needed:
        monkeypatch.delattr(os, name)


def test_a_run_is_saved_and_resumed(windows, runtime, recipe, tmp_path):
    callbacks = [{"name": "checkpoint", "every": 2, "keep": 1}, {"name": "sample_images", "every": 2}, "loss_curves"]
    trainer = runtime.assemble(recipe(callbacks=callbacks), tmp_path / "run")
    trainer.fit()
    assert [path.name for path in trainer.checkpoints] == ["step-00000004"]
    resumed = runtime.resume(tmp_path / "run", ["train.steps=5"])
    resumed.fit()
    assert resumed.ending == "done"
    assert not [path for path in (tmp_path / "run").rglob("*") if ":" in path.name]


def test_files_and_folders_are_flushed(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    with pytest.raises(FileNotFoundError):
        flush_to_disk(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path):
        flush_to_disk(path)
    assert flushed == [(tmp_path / "file").stat().st_ino, tmp_path.stat().st_ino]


def test_the_signals_that_exist_are_handled(monkeypatch):
    names = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP")
    assert [number.name for number in workers.STOP_SIGNALS] == list(names)
    monkeypatch.delattr(os, "setpgrp")
    monkeypatch.delattr(signal, "sigwaitinfo")
    before = threading.enumerate(), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    workers.leave_signals_to_trainer(0)
    assert (threading.enumerate(), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


OWN_PICTURES = """
import gankit, torch
class OwnPictures:
    spec = gankit.ImageSpec(16, 16, 3)
    def __len__(self): return 16
    def __getitem__(self, index): return torch.full((3, 16, 16), index, dtype=torch.uint8), 0
@gankit.hookimpl
def register(registries): registries.datasets.add("own_pictures", OwnPictures)
"""


@pytest.mark.parametrize("method", ["spawn", pytest.param("forkserver", marks=pytest.mark.slow)])
def test_workers_that_are_not_forked_know_the_datasets_of_plugin_files(method, recipe, tmp_path):
    """Windows and macOS spawn processes; from version 3.14 on, Python forks them from a server on Linux."""
    (tmp_path / "plug.py").write_text(OWN_PICTURES)
    (tmp_path / "removed.py").write_text("import gankit\n@gankit.hookimpl\ndef register(registries): pass\n")
    runtime = gankit.Runtime(plugins=[tmp_path / "removed.py", tmp_path / "plug.py"])
    (tmp_path / "removed.py").unlink()  # the workers do not need it
    data = {"dataset": "own_pictures", "latent": {"name": "normal", "dim": 8}}
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        trainer = runtime.assemble(recipe(**data, loader={"batch_size": 8, "cache": "none", "workers": 1}))
        streamed = trainer.setup.loader.stream(0)
        batches = [next(streamed).images for _ in range(2)]
        streamed.close()
    finally:
        multiprocessing.set_start_method(before, force=True)
    cached = runtime.assemble(recipe(**data, loader={"batch_size": 8}))
    assert torch.equal(torch.cat(batches), cached.setup.loader.at(0, 16).images)
