"""Starts runs that may be killed: a process that has imported everything, and forks itself for each.

A line of JSON in: ``{"argv": [...], "cwd": ..., "kill_after": seconds, "kill_at": n, "signal": n, "log": file}``. One
out: ``{"status": ..., "seconds": ..., "operations": ...}``. The kernel ends the run, wherever it is: after so many
seconds of training, or before its n-th operation on files. With ``"group": true`` the run leads a process group, and
with ``"stdout": file`` it writes only errors to the log, and ends as Python does, which flushes its streams once more.
"""

from __future__ import annotations

import functools
import gc
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stdout
from pathlib import Path

import torch

import gankit.assembly
import gankit.cli.main
import gankit.cli.run
import gankit.registry
import gankit.runtime

OPERATIONS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link")
SAMPLE_SECONDS = 0.2
ADAM = {"name": "adam", "lr": 1e-3}
RECIPE = {
    "name": "warm",
    "image": {"size": 16},
    "latent": {"name": "normal", "dim": 4},
    "dataset": {"name": "shapes", "count": 8, "size": 16},
    "loader": {"batch_size": 4},
    "generator": {"name": "dcgan", "width": 4},
    "discriminator": {"name": "dcgan", "width": 4},
    "loss": "bce",
    "optimizers": {"generator": ADAM, "discriminator": ADAM},
    "train": {"steps": 2, "device": "cpu"},
    "callbacks": ["sample_images", "loss_curves", "checkpoint"],
}


def main() -> None:
    """Answer until there is no more to read."""
    torch.set_num_threads(1)
    gankit.registry.signature_schema = functools.cache(gankit.registry.signature_schema)  # made before the forks
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        runtime = gankit.Runtime()
        runtime.assemble(gankit.Recipe.parse(RECIPE), Path(folder, "run")).fit()  # imports all that a run does
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would lose a thread"  # noqa: PTH208
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
    os._exit(0)  # Python would search all objects of torch for cycles


def run(wanted: dict) -> dict:
    """Fork, wait, and kill."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        play(wanted, writer)
    os.close(writer)
    os.set_blocking(reader, False)
    said, started, killed = b"", 0.0, False
    held: list[int] = []
    while True:
        said += read(reader)
        now = time.monotonic()
        if not started and b"b" in said:
            started = now
        due = started and now - started >= wanted.get("kill_after", math.inf)
        if due and not killed:
            os.kill(child, wanted.get("signal", signal.SIGKILL))
            killed = True
        if started and now - started >= len(held) * SAMPLE_SECONDS:
            held.append(memory(child))
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.002)
    said += read(reader)
    os.close(reader)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - started if started else 0.0,
        "operations": int(said.rpartition(b"n")[2]) if b"n" in said else 0,
        "memory": [size for size in held if size],
    }


def read(pipe: int) -> bytes:
    """What is there to read."""
    try:
        return os.read(pipe, 4096)
    except BlockingIOError:
        return b""


def play(wanted: dict, pipe: int) -> None:
    """``gankit`` with these words, in the child."""
    for stream, name in ((1, wanted.get("stdout", wanted["log"])), (2, wanted["log"])):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    if wanted.get("group"):
        os.setsid()
    os.chdir(wanted["cwd"])
    os.environ.update(wanted.get("env", {}))
    sys.argv = ["gankit", *wanted["argv"]]
    code, operations = 1, 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal operations
        if event in OPERATIONS and counting:
            operations += 1
            if operations == wanted.get("kill_at"):
                os.kill(os.getpid(), signal.SIGKILL)

    counting = False
    sys.addaudithook(count)
    real = gankit.Trainer.__iter__

    def iterate(trainer: gankit.Trainer):  # from here on, the run may be killed
        nonlocal counting
        counting = True
        os.write(pipe, b"b")
        return real(trainer)

    gankit.Trainer.__iter__ = iterate
    try:
        gankit.cli.main.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    os.write(pipe, b"n%d" % operations)
    if "stdout" in wanted:
        sys.exit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def memory(process: int) -> int:
    """Bytes that a process has in memory; 0 once it has none."""
    try:
        with open(f"/proc/{process}/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


if __name__ == "__main__":
    main()
