"""Interpolation of latents, compared with geometry."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gankit.sampling.interpolation import interpolate_latents, slerp


class Line:
    def between(self, start, end, share):
        return start + (end - start) * share


class TestSlerp:
    @given(st.floats(0, 1), st.integers(0, 10_000), st.integers(2, 30))
    def test_it_keeps_equal_lengths_and_divides_the_angle(self, share, seed, dim):
        start, end = torch.randn(2, 1, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        end = end * start.norm() / end.norm()
        angle = math.acos(max(-1.0, min(1.0, float((start * end).sum() / start.norm() ** 2))))
        if math.sin(angle) < 1e-2:
            return
        point = slerp(start, end, share)
        assert float(point.norm()) == pytest.approx(float(start.norm()))
        cosine = float((start * point).sum() / start.norm() ** 2)
        assert cosine == pytest.approx(math.cos(share * angle), abs=1e-9)

    def test_it_begins_at_start_and_ends_at_end(self):
        start, end = torch.randn(2, 5, 8, dtype=torch.float64)
        torch.testing.assert_close(slerp(start, end, 0.0), start)
        torch.testing.assert_close(slerp(start, end, 1.0), end)

    @pytest.mark.parametrize("end", [torch.ones(1, 3), -torch.ones(1, 3), torch.zeros(1, 3)])
    def test_it_is_linear_without_a_unique_arc(self, end):
        start = torch.ones(1, 3)
        torch.testing.assert_close(slerp(start, end, 0.25), start + 0.25 * (end - start))


class TestInterpolateLatents:
    def test_rows_lead_to_the_next_latent_and_the_last_row_to_the_first(self):
        z = torch.randn(3, 4)
        rows = interpolate_latents(Line(), z, 4)
        assert rows.shape == (3, 4, 4)
        torch.testing.assert_close(rows[:, 0], z)
        torch.testing.assert_close(rows[0, 2], (z[0] + z[1]) / 2)
        torch.testing.assert_close(rows[2, 1], 0.75 * z[2] + 0.25 * z[0])

    def test_it_is_slerp_if_the_distribution_does_not_define_between(self):
        z = torch.randn(2, 4)
        torch.testing.assert_close(interpolate_latents(object(), z, 2)[0, 1], slerp(z[:1], z[1:], 0.5)[0])
