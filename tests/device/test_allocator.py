"""Memory of freed tensors stays with the process."""

import os
import platform
import subprocess
import sys

import pytest

PAGES = 32 * 2**20 // 4096
PROGRAM = """
import resource
from gankit.device.allocator import keep_freed_memory
keep_freed_memory()
import torch

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

for _ in range(20):
    torch.ones(2**23)  # 32 MiB; aligned blocks find a place that fits only after a few times
before = faults()
for _ in range(5):
    torch.ones(2**23)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("variables", "kept"), [({}, True), ({"MALLOC_MMAP_THRESHOLD_": "1000000"}, False)])
def test_page_faults(variables, kept):
    """Where the environment sets the allocator, its settings remain."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | variables, capture_output=True, text=True, check=True
    )
    faults = int(done.stdout)
    assert (faults < PAGES / 10) if kept else (faults > 2 * PAGES)  # huge pages cause fewer than one fault per page
