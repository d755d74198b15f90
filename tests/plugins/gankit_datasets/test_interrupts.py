"""Ctrl-C while images are checked: no thread outlives it, since Python aborts if it exits while one decodes."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from PIL import Image

from gankit_datasets.image_folder import ImageFolder


@pytest.mark.parametrize("on_error", ["skip", "refuse"])
def test_no_thread_outlives_an_interrupt(tmp_path, monkeypatch, on_error):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.jpg")
    count = 60 if on_error == "skip" else 3000  # of the latter only the headers are read
    for number in range(1, count):
        (tmp_path / f"{number}.jpg").hardlink_to(tmp_path / "0.jpg")
    before, opened, raised, real_open = set(threading.enumerate()), [], [], Image.open

    def interrupt(signum, frame):
        # Python drops an exception in callbacks of weak references and of the garbage collector (hypothesis has one); the
        # next image then sends the signal again.
        file = frame.f_code.co_filename
        if not raised and not file.endswith(("weakref.py", "_weakrefset.py")) and "hypothesis" not in file:
            raised.append(1)
            raise KeyboardInterrupt

    def open_image(*given, **options):
        opened.append(1)
        if len(opened) >= 20 and not raised:
            os.kill(os.getpid(), signal.SIGINT)
        return real_open(*given, **options)

    monkeypatch.setattr(Image, "open", open_image)
    handler = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            ImageFolder(path=tmp_path, on_error=on_error).prepare()
    finally:
        signal.signal(signal.SIGINT, handler)
    assert set(threading.enumerate()) == before
    assert 20 <= len(opened) < count
