"""Whether the two players still have something to tell each other: D's loss, and both gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .findings import Finding, percent

LENGTH = 200  # steps that D's loss is judged by
NO_LOSS = 0.01  # a D loss this low, and not negative, leaves nothing to learn; healthy: in at most 20% of 100 steps
MARGIN = 0.5  # reals above fakes in D's logits: it does tell them apart
MOSTLY = 0.9

VANISHED, EXPLODED = 1e-4, 1e4  # times the median so far; healthy: 0.02 to 240
NOTHING = 1e-9  # root mean square of a gradient's elements
LOWEST_RATIO, HIGHEST_RATIO = 1e-4, 1e4  # D's gradient to G's; healthy: 0.005 to 22
REMEMBERED = 50
FEWEST = 3

KINDS = (
    "discriminator_saturated",
    "vanishing_gradient",
    "exploding_discriminator_gradient",
    "exploding_generator_gradient",
)
IMBALANCE = "gradient_imbalance"

REMEDY = (
    "Lower optimizers.discriminator.lr, add a gradient penalty (regularizers: r1), or augment what D sees "
    "(augmentations: diffaugment)."
)


def saturated(values: Mapping[str, Sequence[float]]) -> list[Finding]:
    """Whether D has won: its loss has stayed at its floor, 0, for most of the last steps.

    A critic's loss is minus the margin between reals and fakes, so one that tells them apart never meets this.
    """
    losses = values["discriminator_loss"]
    if len(losses) < LENGTH:
        return []
    margins = [r - f for r, f in zip(values["real_logits"], values["fake_logits"], strict=False)]
    apart = margins if len(margins) == len(losses) else [MARGIN] * len(losses)
    won = sum(0 <= loss < NO_LOSS and margin >= MARGIN for loss, margin in zip(losses, apart, strict=True))
    if won < MOSTLY * len(losses):
        return []
    typical = median(losses)
    others = values["generator_loss"]
    of_g = f", the generator's {median(others):.2f}" if others else ""
    return [
        Finding(
            "discriminator_saturated",
            f"The discriminator has won: its loss was below {NO_LOSS} in {percent(won / len(losses))} of the last "
            f"{len(losses)} steps (median {typical:.2g}{of_g}), so it teaches the generator little. {REMEDY}",
            {
                "share_of_steps": won / len(losses),
                "discriminator_loss": typical,
                "generator_loss": median(others) if others else None,
                "margin": median(margins) if margins else None,
            },
            sure=True,
        )
    ]


class GradientWatch:
    """Compares the gradients' norms with what they were, and with each other."""

    def __init__(self) -> None:
        self._history: dict[str, list[float]] = {}

    def check(self, norms: Mapping[str, tuple[float, float]]) -> list[Finding]:
        """What is wrong with these norms and root mean squares, by player."""
        found: list[Finding] = []
        figures = {f"{player}_gradient": norm for player, (norm, _) in norms.items()}
        for player, (norm, size) in norms.items():
            history = self._history.setdefault(player, [])
            usual = median(history) if len(history) >= FEWEST else None
            vanished = size < NOTHING or (usual is not None and norm < VANISHED * usual)
            exploded = usual is not None and norm > EXPLODED * usual > 0
            if player == "generator" and vanished:
                found.append(_vanished(norm, usual, figures))
            elif exploded and usual is not None:
                found.append(_exploded(player, norm, usual, figures))
            if not vanished and not exploded:
                history.append(norm)
                del history[:-REMEMBERED]
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
        "Use a loss that does not saturate (non_saturating, hinge), or weaken the discriminator: a gradient penalty, a "
        "lower learning rate.",
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
    weak, cure = (
        ("the discriminator hardly learns while the generator is pushed hard, as when D has all but won", REMEDY)
        if ratio < LOWEST_RATIO
        else (
            "the generator hardly learns from so steep a discriminator",
            "Lower the discriminator's learning rate or the weight of its penalties.",
        )
    )
    return [
        Finding(
            IMBALANCE,
            f"The discriminator's gradient norm is {ratio:.1g} times the generator's ({of_d:.2g} against {of_g:.2g}): "
            f"{weak}. {cure}",
            {**figures, "ratio": ratio},
        )
    ]
