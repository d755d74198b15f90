"""The checks of generated images, in order: range, latents and labels, collapse, leaks, missing modes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gankit

from . import augmentation_leak, diversity, missing_modes, value_range
from .augmentation_leak import LeakDetector
from .findings import Finding
from .image_features import quantized
from .missing_modes import ModeCoverage
from .real_images import RealImages

MAX_VALUES = 2**26  # in all generated images, or all real images, of a check: 256 MiB
MIN_IMAGES = 32  # generated and real images that are compared as distributions

KINDS = (*value_range.KINDS, *diversity.KINDS, missing_modes.KIND, augmentation_leak.KIND)


class ImageChecks:
    """Checks generated images, always from the same latents.

    Args:
        samples: generated images per check; they are compared with four times as many real images. Both are reduced
            if they would take more than 256 MiB.

    Attributes:
        enabled: if false, all later checks are skipped.
    """

    def __init__(self, samples: int) -> None:
        self.enabled = True
        self._samples = samples
        self._largest_spread = 0.0
        self._reals: RealImages | None = None
        self._coverage: ModeCoverage | None = None

    def check(self, run: gankit.Run) -> tuple[list[str], list[Finding]]:
        """Generate images with the current weights and check them.

        A check runs only if those before it found nothing, since it would report the same problem again.

        Returns:
            The kinds of findings that were looked for, and the findings.
        """
        if not self.enabled:
            return [], []
        max_images = max(1, MAX_VALUES // run.real(1)[0].numel())
        reals = self._prepare_reals(run, min(4 * self._samples, max_images))
        step, fakes = run.state.step, run.generate(min(self._samples, max_images))
        kinds, found = list(value_range.KINDS), value_range.value_range(fakes, reals.values)
        if not found:
            kinds += [diversity.IGNORES_LATENT, diversity.IGNORES_LABELS]
            found = diversity.latent_use(run, fakes, step)
        if found or min(reals.count, len(fakes)) < MIN_IMAGES:
            return kinds, found
        found, spread = diversity.collapse(fakes, reals, self._largest_spread, step)
        self._largest_spread = max(self._largest_spread, spread)
        kinds.append(diversity.COLLAPSE)
        if not found and reals.can_augment:
            kinds.append(augmentation_leak.KIND)
            found = LeakDetector(reals).check(fakes)
        if not found and self._coverage is not None:
            kinds.append(missing_modes.KIND)
            found = self._coverage.check(quantized(fakes))
        return kinds, found

    def state_dict(self) -> dict[str, Any]:
        return {"most": self._largest_spread}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._largest_spread = float(state["most"])

    def _prepare_reals(self, run: gankit.Run, count: int) -> RealImages:
        if self._reals is None:
            self._reals = RealImages(run, count)
            if self._reals.enough and self._reals.groups is not None:
                self._coverage = ModeCoverage(self._reals.groups)
        return self._reals
