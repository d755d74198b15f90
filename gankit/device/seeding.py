"""Seeds all random generators inside a block, and restores their states afterwards.

The generators of Python, numpy and torch, like torch's settings, belong to the process. Threads that set them take
turns.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

STEP, BUILD, SAMPLE, LABELS, EVALUATE, AUGMENT = 2, 3, 4, 5, 6, 7  # spawn keys by purpose; `data.order` has 1
process_wide_state = threading.RLock()  # held while generators and settings of the process are changed
SEEDS = 5  # for Python, numpy, torch on the CPU, torch on the device, and the caller


def callers_seed(entropy: np.random.SeedSequence) -> int:
    """The seed that `seeded` yields."""
    return int(entropy.generate_state(SEEDS, np.uint64)[-1]) >> 1


@contextmanager
def seeded(entropy: np.random.SeedSequence, device: torch.device) -> Iterator[int]:
    """Seed Python's ``random``, numpy's global generator, and torch on the CPU and on ``device``.

    Other threads wait until the block ends, if they seed generators as well.

    Yields:
        A further seed, for a generator of the caller.
    """
    seeds = [int(seed) for seed in entropy.generate_state(SEEDS, np.uint64)]
    with process_wide_state:
        python, host = random.getstate(), np.random.get_state()
        on_device = [device] if device.type in {"cuda", "mps"} else []
        with torch.random.fork_rng(on_device, device_type=device.type):
            try:
                random.seed(seeds[0])
                np.random.seed(seeds[1] % 2**32)
                torch.default_generator.manual_seed(seeds[2])
                if device.type == "cuda":
                    with torch.cuda.device(device):
                        torch.cuda.manual_seed(seeds[3] >> 1)
                elif device.type == "mps":
                    torch.mps.manual_seed(seeds[3] >> 1)
                yield seeds[4] >> 1
            finally:
                random.setstate(python)
                np.random.set_state(host)


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """Restore the state of torch's generator on the CPU after the block. Other threads wait, as for `seeded`."""
    with process_wide_state, torch.random.fork_rng(devices=[]):
        yield
