"""Whether fakes differ from one another: by their latents, by their labels, and as much as reals do."""

from __future__ import annotations

import torch
from torch import Tensor

import gankit

from .features import quantized, thumbnails
from .findings import Finding
from .reals import Reals

IGNORES_LATENT, IGNORES_LABELS, COLLAPSE = "ignores_latent", "ignores_labels", "mode_collapse"

SAME = 1e-5  # root mean square difference, of a range of 2: what rounding leaves
LATE = 1000  # before, a healthy G may all but collapse for a while, and recover
NO_SPREAD_EARLY, NO_SPREAD = 0.005, 0.02  # of the reals'; healthy: 0.013 and up, mostly 0.1 even at step 100
LITTLE_SPREAD, HAD_SPREAD = 0.1, 0.3  # late, too little where there was so much already
NO_LABEL_EFFECT = 0.001  # of the latent's; healthy: 0.03 before the first step, 0.06 at step 100
LITTLE_LABEL_EFFECT = 0.01  # too little after LATE steps; healthy: 0.5
REPEATED = 0.1  # distance to the nearest other, for how far images are apart, of the reals'; healthy: 0.27 and up
PAIRED = 64

REMEDY = (
    "Go back to a checkpoint from before it; lower the learning rates, add a gradient penalty (regularizers: r1), or "
    "larger batches."
)


def spread(images: Tensor) -> float:
    """How far images [n c h w] are apart: root mean square over pixels of what differs from the mean image."""
    return float(images.var(dim=0, unbiased=False).mean().sqrt())


def nearest(images: Tensor) -> float:
    """Median distance of an image [n c h w] to the nearest other, of the root mean square distance; in thumbnails."""
    distances = torch.cdist(thumbnails(images), thumbnails(images))
    mean = float((distances.square().sum() / max(len(images) * (len(images) - 1), 1)).sqrt())
    distances.fill_diagonal_(float("inf"))
    return float(distances.min(dim=1).values.median()) / max(mean, 1e-12)


def latent_use(run: gankit.Run, fakes: Tensor, step: int) -> list[Finding]:
    """Whether latents, and labels, make a difference to what G makes.

    Args:
        run: to draw more fakes from, where it is conditional.
        fakes: raw [n c h w], of different latents (and labels).
        step: of the run.
    """
    if run.classes is None or len(run.classes) < 2:
        return _ignored_latent(spread(fakes))
    # the same latents with each of two labels
    one, other = (run.generate(PAIRED, seed=1, labels=[label] * PAIRED) for label in (0, len(run.classes) - 1))
    by_latent = spread(one)
    by_label = float((one - other).square().mean().sqrt()) / 2**0.5
    found = _ignored_latent(by_latent)
    bound = NO_LABEL_EFFECT if step < LATE else LITTLE_LABEL_EFFECT
    if by_label <= max(SAME, bound * by_latent):
        share = by_label / by_latent if by_latent > SAME else 0.0
        found.append(
            Finding(
                IGNORES_LABELS,
                f"The generator ignores its labels: the same latents with another label change its images by "
                f"{share:.2g} of what other latents change. Check that its forward uses the labels, and that the "
                "discriminator does.",
                {"label_effect": by_label, "latent_effect": by_latent},
                sure=step < LATE,
            )
        )
    return found


def collapse(fakes: Tensor, reals: Reals, most: float, step: int) -> tuple[list[Finding], float]:
    """Whether fakes are much more alike than reals.

    Args:
        fakes: raw [n c h w].
        reals: of the run.
        most: the largest spread so far, of the reals'.
        step: of the run.

    Returns:
        What is wrong, and the spread of the fakes, of the reals'.
    """
    images, real = quantized(fakes), reals.small[: len(fakes)]
    usual = spread(real)
    if usual < 0.01:  # the reals are all but one image themselves
        return [], 0.0
    ratio = spread(images) / usual
    late = LITTLE_SPREAD if most >= HAD_SPREAD else NO_SPREAD
    expected = late if step >= LATE else NO_SPREAD_EARLY
    figures = {"spread": ratio, "largest_spread": max(most, ratio)}
    if ratio < expected:
        before = f", after {most:.0%} before" if most >= HAD_SPREAD else ""
        seen = f"its images differ from one another by {ratio:.1%} of what real images do{before}"
        return [Finding(COLLAPSE, f"The generator has collapsed: {seen}. {REMEDY}", figures)], ratio
    close, closest = nearest(images), nearest(real)
    # a small set may be known by heart, image by image, and still be known whole
    if closest > 0.01 and close < REPEATED * closest and reals.total >= 4 * len(fakes):
        seen = (
            f"its images repeat: half of {len(fakes)} have another within {close / closest:.1%} of the distance at "
            "which real images have one"
        )
        figures |= {"nearest": close, "nearest_of_reals": closest}
        return [Finding(COLLAPSE, f"The generator has collapsed to a few images: {seen}. {REMEDY}", figures)], ratio
    return [], ratio


def _ignored_latent(by_latent: float) -> list[Finding]:
    if by_latent > SAME:
        return []
    return [
        Finding(
            IGNORES_LATENT,
            f"The generator ignores its latents: its images differ by {by_latent:.1g} in a range of 2, whatever is "
            "drawn. Check that its forward uses z, and that no layer's weights are all 0.",
            {"latent_effect": by_latent},
            sure=True,
        )
    ]
