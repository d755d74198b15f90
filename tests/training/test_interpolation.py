"""Walks through the latents, against what geometry says."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gankit.sampling.interpolation import on_the_arc, walk


class Line:
    def between(self, start, end, share):
        return start + (end - start) * share


class TestOnTheArc:
    @given(st.floats(0, 1), st.integers(0, 10_000), st.integers(2, 30))
    def test_equal_lengths_stay_and_angles_grow_evenly(self, share, seed, dim):
        start, end = torch.randn(2, 1, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        end = end * start.norm() / end.norm()
        whole = math.acos(max(-1.0, min(1.0, float((start * end).sum() / start.norm() ** 2))))
        if math.sin(whole) < 1e-2:
            return
        point = on_the_arc(start, end, share)
        assert float(point.norm()) == pytest.approx(float(start.norm()))
        cosine = float((start * point).sum() / start.norm() ** 2)
        assert cosine == pytest.approx(math.cos(share * whole), abs=1e-9)

    def test_it_begins_and_ends_where_it_should(self):
        start, end = torch.randn(2, 5, 8, dtype=torch.float64)
        torch.testing.assert_close(on_the_arc(start, end, 0.0), start)
        torch.testing.assert_close(on_the_arc(start, end, 1.0), end)

    @pytest.mark.parametrize("end", [torch.ones(1, 3), -torch.ones(1, 3), torch.zeros(1, 3)])
    def test_where_there_is_no_single_arc_it_is_the_line(self, end):
        start = torch.ones(1, 3)
        torch.testing.assert_close(on_the_arc(start, end, 0.25), start + 0.25 * (end - start))


class TestWalk:
    def test_each_row_leads_to_the_next_and_the_last_to_the_first(self):
        z = torch.randn(3, 4)
        rows = walk(Line(), z, 4)
        assert rows.shape == (3, 4, 4)
        torch.testing.assert_close(rows[:, 0], z)
        torch.testing.assert_close(rows[0, 2], (z[0] + z[1]) / 2)
        torch.testing.assert_close(rows[2, 1], 0.75 * z[2] + 0.25 * z[0])

    def test_without_a_say_of_the_latents_it_is_the_arc(self):
        z = torch.randn(2, 4)
        torch.testing.assert_close(walk(object(), z, 2)[0, 1], on_the_arc(z[:1], z[1:], 0.5)[0])
