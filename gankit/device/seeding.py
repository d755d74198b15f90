"""Random generators seeded for a while, and the host's own state again afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

STEP, BUILD, SAMPLE, LABELS, EVALUATE, AUGMENT = 2, 3, 4, 5, 6, 7  # what a seed is for; 1 is the data order's


WORDS = 5


def further_seed(entropy: np.random.SeedSequence) -> int:
    """The seed that `seeded` yields."""
    return int(entropy.generate_state(WORDS, np.uint64)[-1]) >> 1


@contextmanager
def seeded(entropy: np.random.SeedSequence, device: torch.device) -> Iterator[int]:
    """``random``, numpy, torch on the CPU and on ``device``, all as the entropy says.

    Yields:
        One more seed, for a generator of the caller's own.
    """
    words = [int(word) for word in entropy.generate_state(WORDS, np.uint64)]
    host = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    mps = torch.mps.get_rng_state() if device.type == "mps" else None
    try:
        random.seed(words[0])
        np.random.seed(words[1] % 2**32)
        torch.default_generator.manual_seed(words[2])
        if cuda is not None:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(words[3] >> 1)
        if mps is not None:
            torch.mps.manual_seed(words[3] >> 1)
        yield words[4] >> 1
    finally:
        random.setstate(host[0])
        np.random.set_state(host[1])
        torch.set_rng_state(host[2])
        if cuda is not None:
            torch.cuda.set_rng_state(cuda, device)
        if mps is not None:
            torch.mps.set_rng_state(mps)
