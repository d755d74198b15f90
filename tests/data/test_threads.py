"""Functions in threads, and what happens to the threads when the user presses Ctrl-C."""

import os
import signal
import sys
import threading
import time

import pytest

from gankit.data.threads import map_in_threads, map_items


@pytest.mark.parametrize("together", [1, 7])
def test_results_are_in_order(together):
    assert [*map_in_threads(str, range(1000), together)] == [*map(str, range(1000))]


@pytest.mark.parametrize("declared", [None, False, True])
def test_items_are_read_in_threads_only_if_the_dataset_allows_it(declared):
    class Items:
        if declared is not None:
            thread_safe = declared

    readers = {*map_items(Items(), lambda index: threading.get_ident(), range(100))}
    assert (readers == {threading.get_ident()}) is not bool(declared)


def test_an_error_drops_the_items_that_have_not_begun():
    begun = []

    def work(item):
        begun.append(item)
        if item == 5:
            raise ValueError("five")

    with pytest.raises(ValueError, match="five"):
        [*map_in_threads(work, range(10_000))]
    assert len(begun) < 1000


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_no_thread_outlives_ctrl_c_pressed_twice():
    """As ``timeout`` does. Python would abort if torch's code still ran in a thread when it ends."""
    begun, ended = [], []

    def work(item):
        begun.append(item)
        time.sleep(0.5)
        ended.append(item)

    handler = signal.getsignal(signal.SIGINT)
    presses = [threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)) for seconds in (0.1, 0.2)]
    for press in presses:
        press.start()
    with pytest.raises(KeyboardInterrupt):
        [*map_in_threads(work, range(100))]
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 10
    assert signal.getsignal(signal.SIGINT) is handler
