"""Batches prepared one ahead."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator

import pytest

from gankit.data.prefetch import prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("gankit-batches")]


def test_the_next_one_is_made_while_the_last_is_used():
    made = [threading.Event() for _ in range(4)]

    def batches() -> Iterator[int]:
        for index, event in enumerate(made):
            event.set()
            yield index

    ahead = prefetch(batches())
    assert not made[0].is_set()
    assert next(ahead) == 0
    assert made[1].wait(5)
    assert not made[2].is_set()
    assert next(ahead) == 1
    assert made[2].wait(5)
    ahead.close()


def test_order_stays_and_the_thread_ends_with_the_iterator():
    ahead = prefetch(itertools.count())
    assert list(itertools.islice(ahead, 50)) == list(range(50))
    assert threads()
    ahead.close()
    assert not threads()


def test_a_fault_arrives_at_the_batch_that_has_it():
    def batches() -> Iterator[int]:
        yield 1
        raise LookupError("no second image")

    ahead = prefetch(batches())
    assert next(ahead) == 1
    with pytest.raises(LookupError, match="no second image"):
        next(ahead)
    assert not threads()
