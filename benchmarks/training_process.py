"""Training in a separate process group, which is stopped by a signal between two measurements.

Without the signal, the workers of a `DataLoader` would keep prefetching while the other side is measured.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch

TIMEOUT_SECONDS = 3600


class Window(NamedTuple):
    """Cost of a window of steps: seconds, and the peak of allocated device memory so far, in bytes."""

    seconds: float
    device_bytes: int


class TrainingProcess:
    """Runs ``entry(*args)`` in a new process. ``entry`` returns an iterator that trains one step per ``next``.

    Args:
        entry: a function that can be pickled.
        args: its arguments.
        log: the file that receives the output of the process.
    """

    def __init__(self, entry: Callable[..., Iterator[object]], *args: Any, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, log, entry, args))
        self._process.start()
        theirs.close()
        self._ask("ready")
        self.pause()

    def train(self, steps: int) -> Window:
        self.resume()
        window: Window = self._ask(steps)
        self.pause()
        return window

    def pause(self) -> None:
        os.killpg(self._pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self._pid, signal.SIGCONT)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            self.resume()
        with suppress(OSError):
            self._pipe.send(None)
        self._process.join(30)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)

    def memory(self) -> dict[str, int]:
        """Current memory of the process group in bytes: resident (``Rss``) and proportional (``Pss``)."""
        found = [_memory_of(process) for process in _processes_of_session(self._pid)]
        return {kind: sum(one.get(kind, 0) for one in found) for kind in ("Rss", "Pss")}

    def __enter__(self) -> TrainingProcess:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def _ask(self, request: object) -> Any:
        self._pipe.send(request)
        if not self._pipe.poll(TIMEOUT_SECONDS):
            raise RuntimeError(f"the training process did not answer within {TIMEOUT_SECONDS} s")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"the training process failed:\n{answer}")
        return answer


class PeakMemory:
    """Samples the memory of a training process ten times per second and keeps the maximum."""

    def __init__(self, process: TrainingProcess) -> None:
        self.peak = {"Rss": 0, "Pss": 0}
        self._process = process
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.1):
            for kind, size in self._process.memory().items():
                self.peak[kind] = max(self.peak[kind], size)


def _serve(pipe: Connection, log: Path, entry: Callable[..., Iterator[object]], args: tuple[Any, ...]) -> None:
    os.setsid()  # a new process group, so that signals reach its workers too
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    training = None
    try:
        training = entry(*args)
        while (steps := pipe.recv()) is not None:
            pipe.send(_train(training, steps) if isinstance(steps, int) else Window(0, 0))
    except EOFError:
        pass
    except BaseException:
        pipe.send(traceback.format_exc())
    finally:
        if hasattr(training, "close"):
            training.close()


def _train(training: Iterator[object], steps: int) -> Window:
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    began = time.perf_counter()
    for _ in range(steps):
        next(training)
    if cuda:
        torch.cuda.synchronize()
    return Window(time.perf_counter() - began, torch.cuda.max_memory_allocated() if cuda else 0)


def _processes_of_session(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session:
                    found.append(int(folder.name))
    return found


def _memory_of(process: int) -> dict[str, int]:
    """Bytes by name."""
    with suppress(OSError):
        lines = (line.split() for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
        return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if len(words) == 3}
    return {}
