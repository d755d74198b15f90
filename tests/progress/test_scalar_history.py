"""Scalars of all steps, read in groups."""

from __future__ import annotations

import math
from itertools import pairwise

import torch

from gankit.progress.scalar_history import MAX_POINTS, ScalarHistory


def test_all_steps_are_read():
    history = ScalarHistory()
    for step in range(1, 6):
        scalars = {"loss": torch.tensor(step / 2), "other": torch.tensor(0.0)}
        history.add(step, scalars | ({"lazy": torch.tensor(math.nan)} if step == 4 else {}), ["loss", "lazy"])
        if step == 2:
            history.read()
            assert history.curves == {"loss": ([1, 2], [0.5, 1.0])}
    history.read()
    history.read()
    assert history.curves["loss"] == ([1, 2, 3, 4, 5], [0.5, 1.0, 1.5, 2.0, 2.5])
    assert history.curves["lazy"][0] == [4]
    assert math.isnan(history.curves["lazy"][1][0])


def test_a_return_drops_later_steps_even_unread_ones():
    history = ScalarHistory()
    for step in range(1, 6):
        history.add(step, {"loss": torch.tensor(float(step))}, ["loss"])
        if step == 4:
            history.read()
    history.return_to(2)
    history.add(3, {"loss": torch.tensor(9.0)}, ["loss"])
    history.read()
    assert history.curves == {"loss": ([1, 2, 3], [1.0, 2.0, 9.0])}


def test_long_curves_are_thinned_and_keep_their_last_point():
    history = ScalarHistory()
    for step in range(3 * MAX_POINTS):
        history.add_point(step, "loss", float(step))
    steps, values = history.curves["loss"]
    assert MAX_POINTS / 2 <= len(steps) <= MAX_POINTS
    assert steps == values
    assert steps == sorted(steps)
    assert steps[-1] == 3 * MAX_POINTS - 1


def test_very_long_curves_keep_their_beginning_and_are_even():
    history = ScalarHistory()
    for step in range(20 * MAX_POINTS + 3):
        history.add_point(step, "loss", float(step))
    steps, _ = history.curves["loss"]
    gaps = {after - before for before, after in pairwise(steps[:-1])}
    assert (steps[0], steps[-1], len(gaps)) == (0, 20 * MAX_POINTS + 2, 1)
    assert MAX_POINTS / 2 <= len(steps) <= MAX_POINTS
    history.return_to(10 * MAX_POINTS)
    for step in range(10 * MAX_POINTS + 1, 30 * MAX_POINTS):
        history.add_point(step, "loss", float(step))
    steps, values = history.curves["loss"]
    assert steps == values == sorted(steps)
    assert (steps[0], steps[-1]) == (0, 30 * MAX_POINTS - 1)
    assert max(after - before for before, after in pairwise(steps)) <= 2 * gaps.pop()
