"""Seeds all random generators inside a block, and restores their states afterwards.

The generators of Python, numpy and torch, like torch's settings, belong to the process. Threads that set them take
turns.
"""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

# spawn keys by purpose; `data.order` has 1
STEP, BUILD, SAMPLE, LABELS, EVALUATE, AUGMENT, ITEMS, NOISE = 2, 3, 4, 5, 6, 7, 8, 9
process_wide_state = threading.RLock()  # held while generators and settings of the process are changed
SEEDS = 5  # for Python, numpy, torch on the CPU, torch on the device, and the caller


def callers_seed(entropy: np.random.SeedSequence) -> int:
    """A seed for a generator of the caller, independent of those that `seeded` sets."""
    return int(entropy.generate_state(SEEDS, np.uint64)[-1]) >> 1


@contextmanager
def seeded(entropy: np.random.SeedSequence, device: torch.device) -> Iterator[None]:
    """Seed Python's ``random``, numpy's global generator, and torch on the CPU and on ``device``.

    Other threads wait until the block ends, if they seed generators as well.
    """
    seeds = [int(seed) for seed in entropy.generate_state(SEEDS, np.uint64)]
    with preserved_random_state(device):
        random.seed(seeds[0])
        np.random.seed(seeds[1] % 2**32)
        torch.default_generator.manual_seed(seeds[2])
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seeds[3] >> 1)
        elif device.type == "mps":
            torch.mps.manual_seed(seeds[3] >> 1)
        yield


def random_state_of_host() -> bytes:
    """The states of the generators of Python, numpy, and torch on the CPU."""
    torch_state = torch.default_generator.get_state().numpy().tobytes()
    return pickle.dumps((random.getstate(), np.random.get_state(), torch_state))


def random_state(device: torch.device) -> Tensor:
    """The state of torch's generator on a device."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else torch.default_generator.get_state()


@contextmanager
def preserved_random_state(device: torch.device | None = None) -> Iterator[None]:
    """Restore the generators that `seeded` seeds after the block. Other threads wait, as for `seeded`.

    Do not use it in a dataset, which may be read in threads that a step waits for: both would wait forever. Draw the
    random numbers of an item from a `torch.Generator` of its own.

    Args:
        device: whose generator is restored, in addition to that of the CPU.
    """
    kind = "cpu" if device is None else device.type
    on_device = [device] if device is not None and kind in {"cuda", "mps"} else []
    with process_wide_state, torch.random.fork_rng(on_device, device_type=kind):
        python, host = random.getstate(), np.random.get_state()
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(host)
