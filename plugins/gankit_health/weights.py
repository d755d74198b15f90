"""How the weights of both networks change from check to check: not at all, or far too fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

import gankit

from .findings import Finding
from .window import fetched

SPAN = 100  # steps over which a change is measured, at least
UNEQUAL = 20.0  # times the other's learning rate, of the same optimizer; two-time-scale training takes up to 10


class Bounds(NamedTuple):
    """What is too fast.

    Attributes:
        drift: part of the norm of the weights, in 100 steps.
        ratio: times the other network's.
    """

    drift: float
    ratio: float


USUAL = Bounds(0.75, 8.0)  # healthy: mostly below 0.2, the smallest networks up to 0.8, and then below 3 times
TOLD = Bounds(0.3, 2.0)  # where the learning rates say so too
LASTING = Bounds(0.15, 2.0)  # as the weights grow, the same learning rate moves them by less of their norm

FROZEN = {player: f"frozen_{player}" for player in ("discriminator", "generator")}
FAST = {player: f"{player}_too_fast" for player in ("discriminator", "generator")}

Prints = list[tuple[float, float]]


def prints(network: nn.Module) -> Prints:
    """The sum and the norm of each trained tensor: together, as good as a copy to tell whether anything changed."""
    parameters = [parameter.detach() for parameter in network.parameters() if parameter.requires_grad]
    dtype = torch.float32 if any(parameter.device.type == "mps" for parameter in parameters) else torch.float64
    figures = [
        figure
        for parameter in parameters
        for figure in (parameter.sum(dtype=dtype), torch.linalg.vector_norm(parameter, dtype=dtype))
    ]
    values = fetched(figures)
    return list(zip(values[::2], values[1::2], strict=True))


def norm(tensors: Prints) -> float:
    """Of all weights together."""
    return math.sqrt(sum(part * part for _, part in tensors))


class WeightWatch:
    """Compares the weights with those of the last check, and with those of at least 100 steps before."""

    def __init__(self) -> None:
        self._last: dict[str, Prints] = {}
        self._norms: dict[str, float] = {}
        self._since = 0

    def start(self, state: gankit.State) -> None:
        """Where a new run begins."""
        if not self._last:
            self._last = self._look(state)
            self._norms, self._since = {player: norm(found) for player, found in self._last.items()}, state.step

    def check(self, state: gankit.State, fast_before: Sequence[str]) -> tuple[tuple[str, ...], list[Finding]]:
        """What was looked for, and what is wrong since the last check.

        Args:
            state: of the run.
            fast_before: the findings of a fast network that still stand; these end at a lower bound.
        """
        now = self._look(state)
        found = [
            _frozen(player, state)
            for player, before in self._last.items()
            if before and now[player] == before  # a network with nothing to train is none of our business
        ]
        self._last = now
        looked_for = tuple(FROZEN.values())
        if state.step - self._since >= SPAN:
            looked_for += tuple(FAST.values())
            found += self._too_fast(state, {player: norm(tensors) for player, tensors in now.items()}, fast_before)
        return looked_for, found

    def _too_fast(self, state: gankit.State, now: dict[str, float], before: Sequence[str]) -> list[Finding]:
        steps = state.step - self._since
        # squares, since steps of many weights are nearly orthogonal to the weights: norm^2 grows by the way's square
        rates = {
            player: math.sqrt(max(0.0, now[player] ** 2 - then**2)) / max(then, 1e-12) * SPAN / steps
            for player, then in self._norms.items()
        }
        self._norms, self._since = now, state.step
        found = []
        for player, other in (("discriminator", "generator"), ("generator", "discriminator")):
            bounds = LASTING if FAST[player] in before else TOLD if _unequal(state, player, other) else USUAL
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
    def _look(state: gankit.State) -> dict[str, Prints]:
        return {player: prints(getattr(state, player)) for player in ("discriminator", "generator")}


def _frozen(player: str, state: gankit.State) -> Finding:
    rate = _learning_rate(state, player)
    because = "its learning rate is 0" if rate == 0 else "check that its optimizer holds its parameters and steps"
    fix = f"Set optimizers.{player}.lr above 0." if rate == 0 else "A gradient of 0 does this too."
    return Finding(
        FROZEN[player],
        f"The {player}'s weights have not changed at all since the last check: {because}. {fix}",
        {"learning_rate": rate},
        sure=True,
    )


def _fast(player: str, other: str, rates: Mapping[str, float], state: gankit.State) -> Finding:
    own, others = _learning_rate(state, player), _learning_rate(state, other)
    given = f", {own:g} against {others:g}," if own is not None and others is not None else ""
    times = "hardly at all" if rates[other] < 0.01 else f"by {rates[other]:.0%}"
    return Finding(
        FAST[player],
        f"The {player} changes too fast: its weights move by {rates[player]:.0%} of their norm in {SPAN} steps, "
        f"the {other}'s {times}. Its learning rate{given} is too high: lower optimizers.{player}.lr.",
        {**{f"{name}_drift": rate for name, rate in rates.items()}, "learning_rate": own, "other_rate": others},
        sure=True,
    )


def _unequal(state: gankit.State, player: Any, other: Any) -> bool:
    """Whether the player's learning rate is far above the other's, both in one optimizer's terms."""
    own, others = _learning_rate(state, player), _learning_rate(state, other)
    alike = type(state.optimizers[player]) is type(state.optimizers[other])
    return alike and own is not None and others is not None and own >= UNEQUAL * others > 0


def _learning_rate(state: gankit.State, player: Any) -> float | None:
    """The largest of the player's groups; None where its optimizer has none."""
    rates = [float(group["lr"]) for group in state.optimizers[player].param_groups if "lr" in group]
    return max(rates, default=None)
