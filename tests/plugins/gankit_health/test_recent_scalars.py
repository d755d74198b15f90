"""The last losses and logits, and that collecting them does not wait for the device."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gankit_health.callback import Health
from gankit_health.recent_scalars import NAMES, RecentScalars, to_floats


class Untouchable(torch.Tensor):
    """A figure on a device: whoever computes with it or reads it is found out."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        raise AssertionError(f"{function.__name__} was called between checks")


class TestRecentScalars:
    @given(st.lists(st.floats(-1e6, 1e6, width=32), max_size=30), st.integers(1, 10), st.integers(0, 30))
    def test_the_last_values_do_not_depend_on_when_they_are_read(self, figures, length, read_at):
        window = RecentScalars(length)
        for index, value in enumerate(figures):
            if index == read_at:
                window.values()
            window.add({"discriminator_loss": torch.tensor(value), "elsewhere": torch.tensor(1.0)})
        assert window.values()["discriminator_loss"] == figures[-length:]
        assert window.values()["real_logits"] == []
        assert set(window.values()) == set(NAMES)

    def test_state_round_trip(self):
        window, other = RecentScalars(3), RecentScalars(3)
        for value in range(5):
            window.add({"real_logits": torch.tensor(float(value))})
        other.add({"real_logits": torch.tensor(9.0)})
        other.load_state_dict(window.state_dict())
        assert other.values()["real_logits"] == [2.0, 3.0, 4.0]

    def test_values_of_several_dtypes(self):
        mixed = [torch.tensor(1.5), torch.tensor(2.5, dtype=torch.float64), torch.ones(1)]
        assert to_floats(mixed) == [1.5, 2.5, 1.0]

    def test_add_does_not_use_the_tensors(self):
        figure = torch.tensor(1.0).as_subclass(Untouchable)
        with pytest.raises(AssertionError, match="between checks"):
            float(figure)
        RecentScalars(5).add(dict.fromkeys(NAMES, figure))


class WithUntouchableScalars:
    """The run of a callback, with scalars that must not be used."""

    def __init__(self, run):
        self._run = run
        self.scalars = {name: torch.tensor(1.0).as_subclass(Untouchable) for name in NAMES}

    def __getattr__(self, name):
        return getattr(self._run, name)


def test_nothing_is_computed_between_checks(assemble):
    trainer = assemble({"train.steps": 30})
    health = Health()
    steps = iter(trainer)
    next(steps)
    health.on_run_start(trainer)
    for _ in range(20):
        next(steps)
        health.on_step_end(WithUntouchableScalars(trainer))
    steps.close()
