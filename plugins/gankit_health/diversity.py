"""Checks that generated images vary: with the latents, with the labels, and as much as real images do."""

from __future__ import annotations

import torch
from torch import Tensor

import gankit

from .findings import Finding
from .image_features import quantized, thumbnails
from .real_images import RealImages

IGNORES_LATENT, IGNORES_LABELS, COLLAPSE = "ignores_latent", "ignores_labels", "mode_collapse"
KINDS = (IGNORES_LATENT, IGNORES_LABELS, COLLAPSE)

SAME = 1e-5  # root mean square difference between equal images, from rounding, in a range of 2
LATE = 1000  # steps; before, a healthy G may almost collapse for a while and recover
MIN_SPREAD_EARLY, MIN_SPREAD = 0.005, 0.02  # of the reals' spread; healthy runs: above 0.013, mostly 0.1 at step 100
MIN_SPREAD_AFTER_MORE, MORE = 0.1, 0.3  # late, the bound for a run whose spread has reached MORE
MIN_LABEL_EFFECT_EARLY = 0.001  # of the latents' effect; healthy runs: 0.03 before the first step, 0.06 at step 100
MIN_LABEL_EFFECT = 0.01  # from step LATE on; healthy runs: 0.5
REPEATED = 0.1  # of the reals' relative nearest-neighbor distance; healthy runs: above 0.27
PAIRS = 64

REMEDY = (
    "Go back to an earlier checkpoint; lower the learning rates, add a gradient penalty (regularizers: r1), or use "
    "larger batches."
)


def spread(images: Tensor) -> float:
    """Root mean square distance of the pixels of images [n c h w] from the mean image."""
    return float(images.var(dim=0, unbiased=False).mean().sqrt())


def nearest(images: Tensor) -> float:
    """Median distance of thumbnails of images [n c h w] to the nearest other, over the root mean square distance."""
    distances = torch.cdist(thumbnails(images), thumbnails(images))
    mean = float((distances.square().sum() / max(len(images) * (len(images) - 1), 1)).sqrt())
    distances.fill_diagonal_(float("inf"))
    return float(distances.min(dim=1).values.median()) / max(mean, 1e-12)


def latent_use(run: gankit.Run, fakes: Tensor, step: int) -> list[Finding]:
    """Report latents, or labels, without effect on the generated images.

    Args:
        run: generates further images if it is conditional.
        fakes: raw images [n c h w] from different latents (and labels).
        step: of the run.
    """
    if run.classes is None or len(run.classes) < 2:
        return _ignored_latent(spread(fakes))
    # the same latents with each of two labels
    one, other = (run.generate(PAIRS, seed=1, labels=[label] * PAIRS) for label in (0, len(run.classes) - 1))
    by_latent = spread(one)
    by_label = float((one - other).square().mean().sqrt()) / 2**0.5
    found = _ignored_latent(by_latent)
    bound = MIN_LABEL_EFFECT_EARLY if step < LATE else MIN_LABEL_EFFECT
    if by_label <= max(SAME, bound * by_latent):
        share = by_label / by_latent if by_latent > SAME else 0.0
        found.append(
            Finding(
                IGNORES_LABELS,
                f"The generator ignores its labels: with the same latents, another label changes the images "
                f"{share:.2g} times as much as other latents do. Check that the forward methods of the generator and "
                "the discriminator use the labels.",
                {"label_effect": by_label, "latent_effect": by_latent},
                sure=step < LATE,
            )
        )
    return found


def collapse(fakes: Tensor, reals: RealImages, largest: float, step: int) -> tuple[list[Finding], float]:
    """Report generated images that are much more similar to each other than real images are.

    Args:
        fakes: raw images [n c h w].
        reals: of the run.
        largest: the largest spread so far, relative to the reals' spread.
        step: of the run.

    Returns:
        The findings, and the spread of the fakes relative to the reals' spread.
    """
    images, real = quantized(fakes), reals.small[: len(fakes)]
    real_spread = spread(real)
    if real_spread < 0.01:  # the real images hardly differ
        return [], 0.0
    ratio = spread(images) / real_spread
    late = MIN_SPREAD_AFTER_MORE if largest >= MORE else MIN_SPREAD
    figures = {"spread": ratio, "largest_spread": max(largest, ratio)}
    if ratio < (late if step >= LATE else MIN_SPREAD_EARLY):
        before = f", after {largest:.0%} before" if largest >= MORE else ""
        observation = f"its images vary {ratio:.1%} as much as real images{before}"
        return [Finding(COLLAPSE, f"The generator has collapsed: {observation}. {REMEDY}", figures)], ratio
    close, closest = nearest(images), nearest(real)
    # a G that has memorized a small dataset repeats its images without having collapsed
    if closest > 0.01 and close < REPEATED * closest and reals.total >= 4 * len(fakes):
        message = (
            f"The generator has collapsed to a few images: half of {len(fakes)} have a nearest neighbor at "
            f"{close / closest:.1%} of the distance that is typical of real images. {REMEDY}"
        )
        figures |= {"nearest": close, "nearest_of_reals": closest}
        return [Finding(COLLAPSE, message, figures)], ratio
    return [], ratio


def _ignored_latent(by_latent: float) -> list[Finding]:
    if by_latent > SAME:
        return []
    return [
        Finding(
            IGNORES_LATENT,
            f"The generator ignores its latents: for different latents its images differ by {by_latent:.1g} in a range "
            "of 2. Check that its forward method uses z, and that no layer's weights are all 0.",
            {"latent_effect": by_latent},
            sure=True,
        )
    ]
