"""Prefetching: one batch is prepared prefetched in a thread."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from gankit.data.prefetch import prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("gankit-batches")]


def test_the_next_batch_is_prepared_while_the_current_one_is_used():
    prepared = [threading.Event() for _ in range(4)]

    def batches() -> Iterator[int]:
        for index, event in enumerate(prepared):
            event.set()
            yield index

    prefetched = prefetch(batches())
    assert not prepared[0].is_set()
    assert next(prefetched) == 0
    assert prepared[1].wait(5)
    assert not prepared[2].is_set()
    assert next(prefetched) == 1
    assert prepared[2].wait(5)
    prefetched.close()


def test_batches_keep_their_order_and_the_thread_ends_with_the_iterator():
    prefetched = prefetch(itertools.count())
    assert list(itertools.islice(prefetched, 50)) == list(range(50))
    assert threads()
    prefetched.close()
    assert not threads()


def test_an_error_is_raised_at_its_batch():
    def batches() -> Iterator[int]:
        yield 1
        raise LookupError("no second image")

    prefetched = prefetch(batches())
    assert next(prefetched) == 1
    with pytest.raises(LookupError, match="no second image"):
        next(prefetched)
    assert not threads()
