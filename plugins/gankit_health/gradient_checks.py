"""Checks of gradient norms: vanished, exploded, or very different between D and G."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from .discriminator_saturation import REMEDY
from .findings import Finding

VANISHED, EXPLODED = 1e-4, 1e4  # of the median norm so far; healthy runs: 0.02 to 240
ZERO_RMS = 1e-9  # root mean square of a gradient's elements that counts as zero
LOWEST_RATIO, HIGHEST_RATIO = 1e-4, 1e4  # D's gradient norm over G's; healthy runs: 0.005 to 22
HISTORY = 50  # norms that the median is taken over, at most
MIN_HISTORY = 3  # and at least

KINDS = ("vanishing_gradient", "exploding_discriminator_gradient", "exploding_generator_gradient")
IMBALANCE = "gradient_imbalance"


class GradientChecks:
    """Compares each player's gradient norm with its past values and with the other player's norm."""

    def __init__(self) -> None:
        self._history: dict[str, list[float]] = {}

    def check(self, norms: Mapping[str, tuple[float, float]]) -> list[Finding]:
        """Report abnormal gradients.

        Args:
            norms: for each player, the gradient's norm and the root mean square of its elements.
        """
        found: list[Finding] = []
        figures = {f"{player}_gradient": norm for player, (norm, _) in norms.items()}
        for player, (norm, rms) in norms.items():
            history = self._history.setdefault(player, [])
            usual = median(history) if len(history) >= MIN_HISTORY else None
            vanished = rms < ZERO_RMS or (usual is not None and norm < VANISHED * usual)
            exploded = usual is not None and norm > EXPLODED * usual > 0
            if player == "generator" and vanished:
                found.append(_vanished(norm, usual, figures))
            elif exploded and usual is not None:
                found.append(_exploded(player, norm, usual, figures))
            if not vanished and not exploded:
                history.append(norm)
                del history[:-HISTORY]
        if not found and {"discriminator", "generator"} <= norms.keys():
            found += _imbalance(norms["discriminator"][0], norms["generator"][0], figures)
        return found

    def state_dict(self) -> dict[str, Any]:
        return {player: list(norms) for player, norms in self._history.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._history = {player: list(norms) for player, norms in state.items()}


def _vanished(norm: float, usual: float | None, figures: Mapping[str, float]) -> Finding:
    against = f", where {usual:.2g} was usual" if usual is not None else ""
    return Finding(
        "vanishing_gradient",
        f"The generator's gradient has vanished: its norm is {norm:.2g}{against}, so it learns nothing. "
        "Use a loss that does not saturate (non_saturating, hinge), or weaken the discriminator with a gradient "
        "penalty or a lower learning rate.",
        {**figures, "usual": usual},
    )


def _exploded(player: str, norm: float, usual: float, figures: Mapping[str, float]) -> Finding:
    return Finding(
        f"exploding_{player}_gradient",
        f"The {player}'s gradient has exploded: its norm is {norm:.2g}, where {usual:.2g} was usual. Set "
        "train.clip_gradient, lower the learning rates, or keep the discriminator smooth with a gradient penalty.",
        {**figures, "usual": usual},
    )


def _imbalance(of_d: float, of_g: float, figures: Mapping[str, float]) -> list[Finding]:
    ratio = of_d / of_g if of_g > 0 else float("inf")
    if LOWEST_RATIO <= ratio <= HIGHEST_RATIO:
        return []
    effect, remedy = (
        ("the discriminator hardly learns while the generator gets large updates, as when D has almost won", REMEDY)
        if ratio < LOWEST_RATIO
        else (
            "the generator hardly learns from such a steep discriminator",
            "Lower the discriminator's learning rate or the weight of its penalties.",
        )
    )
    return [
        Finding(
            IMBALANCE,
            f"The discriminator's gradient norm is {ratio:.1g} times the generator's ({of_d:.2g} against {of_g:.2g}): "
            f"{effect}. {remedy}",
            {**figures, "ratio": ratio},
        )
    ]
