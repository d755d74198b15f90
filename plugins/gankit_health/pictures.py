"""One look at what G makes, beside what it is to make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gankit

from . import coverage, diversity, leak, value_range
from .coverage import Coverage
from .diversity import collapse, latent_use
from .features import quantized
from .findings import Finding
from .leak import Leak
from .reals import Reals

MOST_VALUES = 2**26  # in all fakes, or all reals, of a look
FEWEST = 32  # fakes, and reals, to compare as distributions

KINDS = (
    *value_range.KINDS,
    diversity.IGNORES_LATENT,
    diversity.IGNORES_LABELS,
    diversity.COLLAPSE,
    coverage.KIND,
    leak.KIND,
)


class Pictures:
    """Judges fakes, always from the same latents.

    Args:
        samples: how many fakes; four times as many reals are compared with them. Fewer where images are so large
            that they would take more than 256 MiB.
    """

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._most = 0.0
        self._useless = False
        self._reals: Reals | None = None
        self._coverage: Coverage | None = None
        self._leak: Leak | None = None

    def judge(self, run: gankit.Run) -> tuple[list[str], list[Finding]]:
        """What was looked for in the pictures of ``run`` as it is now, and what is wrong.

        One look follows another only where the first is content: it would tell the same again.
        """
        if self._useless:
            return [], []
        images = run.real(1)
        most = max(1, MOST_VALUES // images[0].numel())
        reals = self._prepared(run, min(4 * self._samples, most))
        step, fakes = run.state.step, run.generate(min(self._samples, most))
        judged, found = list(value_range.KINDS), value_range.value_range(fakes, reals.values)
        if not found:
            judged += [diversity.IGNORES_LATENT, diversity.IGNORES_LABELS]
            found = latent_use(run, fakes, step)
        if found or min(reals.count, len(fakes)) < FEWEST:
            return judged, found
        found, spread = collapse(fakes, reals, self._most, step)
        self._most = max(self._most, spread)
        judged.append(diversity.COLLAPSE)
        if not found and self._leak is not None:
            judged.append(leak.KIND)
            found = self._leak.judge(fakes)
        if not found and self._coverage is not None:
            judged.append(coverage.KIND)
            found = self._coverage.judge(quantized(fakes))
        return judged, found

    def give_up(self) -> None:
        """Look no more."""
        self._useless = True

    def state_dict(self) -> dict[str, Any]:
        return {"most": self._most}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._most = float(state["most"])

    def _prepared(self, run: gankit.Run, count: int) -> Reals:
        if self._reals is None:
            self._reals = Reals(run, count)
            if self._reals.enough:
                groups = self._reals.groups
                self._coverage = Coverage(groups) if groups is not None else None
            if self._reals.augmented is not None:
                self._leak = Leak(self._reals, self._reals.augmented)
        return self._reals
