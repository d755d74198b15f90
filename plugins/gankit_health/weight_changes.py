"""Checks of how far the networks' weights move between checks: not at all, or far more than the other network's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

import gankit

from .findings import Finding
from .recent_scalars import to_floats

SPAN = 100  # steps over which a change is measured, at least
UNEQUAL = 20.0  # ratio of learning rates of the same optimizer; two-time-scale training uses up to 10


class Bounds(NamedTuple):
    """Bounds above which a network changes too fast.

    Attributes:
        drift: change per 100 steps, relative to the norm of the weights.
        ratio: that change over the other network's.
    """

    drift: float
    ratio: float


USUAL = Bounds(0.75, 8.0)  # healthy runs: mostly below 0.2; at most 1.39, with a ratio of at most 6
UNEQUAL_RATES = Bounds(0.3, 2.0)  # if the learning rates also differ by `UNEQUAL`
REPORTED = Bounds(0.15, 2.0)  # of a reported network: as its weights grow, their relative change shrinks

FROZEN = {player: f"frozen_{player}" for player in ("discriminator", "generator")}
FAST = {player: f"{player}_too_fast" for player in ("discriminator", "generator")}

TensorSums = list[tuple[float, float]]


def tensor_sums(network: nn.Module) -> TensorSums:
    """Sum and norm of each trainable tensor; if both are equal in two checks, the tensor did not change."""
    parameters = [parameter.detach() for parameter in network.parameters() if parameter.requires_grad]
    dtype = torch.float32 if any(parameter.device.type == "mps" for parameter in parameters) else torch.float64
    sums = [
        value
        for parameter in parameters
        for value in (parameter.sum(dtype=dtype), torch.linalg.vector_norm(parameter, dtype=dtype))
    ]
    values = to_floats(sums)
    return list(zip(values[::2], values[1::2], strict=True))


def norm(tensors: TensorSums) -> float:
    """The norm of all weights."""
    return math.sqrt(sum(part * part for _, part in tensors))


class WeightChanges:
    """Compares the weights with those of the last check, and with those of at least 100 steps before."""

    def __init__(self) -> None:
        self._last: dict[str, TensorSums] = {}
        self._norms: dict[str, float] = {}
        self._since = 0

    def start(self, state: gankit.State) -> None:
        """Measure the weights at the start of a run; a resumed run keeps its measurements."""
        if not self._last:
            self._last = self._measure(state)
            self._norms, self._since = {player: norm(sums) for player, sums in self._last.items()}, state.step

    def check(self, state: gankit.State, standing: Sequence[str]) -> tuple[tuple[str, ...], list[Finding]]:
        """Compare the weights with the last check.

        Args:
            state: of the run.
            standing: the ``too_fast`` findings that still hold; they end only below a lower bound.

        Returns:
            The kinds of findings that were looked for, and the findings.
        """
        now = self._measure(state)
        found = [
            _frozen(player, state)
            for player, before in self._last.items()
            if before and now[player] == before  # a network without trainable weights has no sums
        ]
        self._last = now
        kinds = tuple(FROZEN.values())
        if state.step - self._since >= SPAN:
            kinds += tuple(FAST.values())
            found += self._too_fast(state, {player: norm(tensors) for player, tensors in now.items()}, standing)
        return kinds, found

    def _too_fast(self, state: gankit.State, now: dict[str, float], standing: Sequence[str]) -> list[Finding]:
        steps = state.step - self._since
        # updates of many weights are nearly orthogonal to the weights, so squared norms grow by the squared distance
        rates = {
            player: math.sqrt(max(0.0, now[player] ** 2 - then**2)) / max(then, 1e-12) * SPAN / steps
            for player, then in self._norms.items()
        }
        self._norms, self._since = now, state.step
        found = []
        pairs = (("discriminator", "generator"), ("generator", "discriminator")) if len(rates) == 2 else ()
        for player, other in pairs:
            bounds = (
                REPORTED if FAST[player] in standing else UNEQUAL_RATES if _unequal(state, player, other) else USUAL
            )
            if rates[player] >= bounds.drift and rates[player] >= bounds.ratio * rates[other]:
                found.append(_fast(player, other, rates, state))
        return found

    def state_dict(self) -> dict[str, Any]:
        last = {player: [list(pair) for pair in tensors] for player, tensors in self._last.items()}
        return {"last": last, "norms": dict(self._norms), "since": self._since}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._last = {player: [(pair[0], pair[1]) for pair in tensors] for player, tensors in state["last"].items()}
        self._norms, self._since = dict(state["norms"]), int(state["since"])

    @staticmethod
    def _measure(state: gankit.State) -> dict[str, TensorSums]:
        return {player: tensor_sums(network) for player, network in state.players.items()}


def _frozen(player: str, state: gankit.State) -> Finding:
    rate = _learning_rate(state, player)
    cause, remedy = (
        ("its learning rate is 0", f"Set optimizers.{player}.lr above 0.")
        if rate == 0
        else ("check that its optimizer has its parameters and is stepped", "A gradient of 0 has the same effect.")
    )
    return Finding(
        FROZEN[player],
        f"The {player}'s weights have not changed at all since the last check: {cause}. {remedy}",
        {"learning_rate": rate},
        sure=True,
    )


def _fast(player: str, other: str, rates: Mapping[str, float], state: gankit.State) -> Finding:
    own, others = _learning_rate(state, player), _learning_rate(state, other)
    given = f", {own:g} against {others:g}," if own is not None and others is not None else ""
    other_change = "hardly at all" if rates[other] < 0.01 else f"by {rates[other]:.0%}"
    return Finding(
        FAST[player],
        f"The {player} changes too fast: its weights move by {rates[player]:.0%} of their norm in {SPAN} steps, "
        f"the {other}'s {other_change}. Its learning rate{given} is too high: lower optimizers.{player}.lr.",
        {**{f"{name}_drift": rate for name, rate in rates.items()}, "learning_rate": own, "other_rate": others},
        sure=True,
    )


def _unequal(state: gankit.State, player: Any, other: Any) -> bool:
    """Whether both players use the same optimizer, and the player's learning rate is far higher."""
    own, others = _learning_rate(state, player), _learning_rate(state, other)
    same_type = type(state.optimizers[player]) is type(state.optimizers[other])
    return same_type and own is not None and others is not None and own >= UNEQUAL * others > 0


def _learning_rate(state: gankit.State, player: Any) -> float | None:
    """The largest learning rate of the player's parameter groups; None if its optimizer has none."""
    rates = [float(group["lr"]) for group in state.optimizers[player].param_groups if "lr" in group]
    return max(rates, default=None)
