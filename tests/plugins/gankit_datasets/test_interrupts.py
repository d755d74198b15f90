"""Ctrl-C while images are checked: no thread outlives it, since Python aborts if it exits while one decodes."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from PIL import Image

from gankit_datasets.image_folder import ImageFolder


@pytest.mark.parametrize("on_error", ["skip", "refuse"])
def test_no_thread_outlives_an_interrupt(tmp_path, on_error):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "0.jpg")
    count = 60 if on_error == "skip" else 3000  # of the latter only the headers are read
    for number in range(1, count):
        (tmp_path / f"{number}.jpg").hardlink_to(tmp_path / "0.jpg")
    before = set(threading.enumerate())

    def interrupt(number, frame):
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            ImageFolder(path=tmp_path, on_error=on_error).prepare()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    assert set(threading.enumerate()) == before
