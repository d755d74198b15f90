"""Check of D's loss: a loss that stays near 0 no longer trains G."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from .findings import Finding, percent

KIND = "discriminator_saturated"
WINDOW = 200  # steps whose losses are judged
LOW_LOSS = 0.01  # healthy runs: at most 80% of the steps lie in [0, 0.01)
LOGIT_MARGIN = 0.5  # D separates reals from fakes if its logits on reals are higher by at least this
MOST_STEPS = 0.9  # share of the window

REMEDY = (
    "Lower optimizers.discriminator.lr, add a gradient penalty (regularizers: r1), or augment the discriminator's "
    "input (augmentations: diffaugment)."
)


def discriminator_saturation(values: Mapping[str, Sequence[float]]) -> list[Finding]:
    """Report a D whose loss was close to 0 in most of the last steps.

    A critic that separates reals from fakes has a negative loss, so Wasserstein losses are never reported.

    Args:
        values: the last values of the losses and of the mean logits, by name.
    """
    losses = values["discriminator_loss"]
    if len(losses) < WINDOW:
        return []
    margins = [r - f for r, f in zip(values["real_logits"], values["fake_logits"], strict=False)]
    judged_margins = margins if len(margins) == len(losses) else [LOGIT_MARGIN] * len(losses)
    low = sum(
        0 <= loss < LOW_LOSS and margin >= LOGIT_MARGIN for loss, margin in zip(losses, judged_margins, strict=True)
    )
    if low < MOST_STEPS * len(losses):
        return []
    typical = median(losses)
    generator_losses = values["generator_loss"]
    of_g = f", the generator's {median(generator_losses):.2f}" if generator_losses else ""
    return [
        Finding(
            KIND,
            f"The discriminator has won: its loss was below {LOW_LOSS} in {percent(low / len(losses))} of the last "
            f"{len(losses)} steps (median {typical:.2g}{of_g}), so the generator learns little from it. {REMEDY}",
            {
                "share_of_steps": low / len(losses),
                "discriminator_loss": typical,
                "generator_loss": median(generator_losses) if generator_losses else None,
                "margin": median(margins) if margins else None,
            },
            sure=True,
        )
    ]
