"""A training in processes of its own, which plays when told to and stands entirely still otherwise.

Standing still takes a signal: the workers of a `DataLoader` would go on reading ahead on their rival's time.
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

GIVE_UP_SECONDS = 3600


class Played(NamedTuple):
    """What a window of steps took: seconds, and the most bytes allocated on the device so far."""

    seconds: float
    device_bytes: int


class Contestant:
    """``entry(*args)`` in a new process: an iterator that trains one step at each ``next``.

    Args:
        log: where all that it prints goes.
    """

    def __init__(self, entry: Callable[..., Iterator[object]], *args: Any, log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, log, entry, args))
        self._process.start()
        theirs.close()
        self._ask("ready")
        self.pause()

    def play(self, steps: int) -> Played:
        self.resume()
        played: Played = self._ask(steps)
        self.pause()
        return played

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
        """Bytes now, summed over its processes: resident, and proportional (shared pages shared out)."""
        found = [_memory_of(process) for process in _processes_of_session(self._pid)]
        return {kind: sum(one.get(kind, 0) for one in found) for kind in ("Rss", "Pss")}

    def __enter__(self) -> Contestant:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def _ask(self, what: object) -> Any:
        self._pipe.send(what)
        if not self._pipe.poll(GIVE_UP_SECONDS):
            raise RuntimeError("no answer from the other process")
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(f"the other process failed:\n{answer}")
        return answer


class PeakMemory:
    """The most memory that a contestant is seen to have, looked at ten times a second."""

    def __init__(self, contestant: Contestant) -> None:
        self.peak = {"Rss": 0, "Pss": 0}
        self._contestant = contestant
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            for kind, size in self._contestant.memory().items():
                self.peak[kind] = max(self.peak[kind], size)


def _serve(pipe: Connection, log: Path, entry: Callable[..., Iterator[object]], args: tuple[Any, ...]) -> None:
    os.setsid()  # so that its workers can be stopped with it
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, sys.stdout.fileno())
    os.dup2(descriptor, sys.stderr.fileno())
    playing = None
    try:
        playing = entry(*args)
        while (steps := pipe.recv()) is not None:
            pipe.send(_play(playing, steps) if isinstance(steps, int) else Played(0, 0))
    except EOFError:
        pass
    except BaseException:
        pipe.send(traceback.format_exc())
    finally:
        if hasattr(playing, "close"):
            playing.close()


def _play(playing: Iterator[object], steps: int) -> Played:
    cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
    began = time.perf_counter()
    for _ in range(steps):
        next(playing)
    if cuda:
        torch.cuda.synchronize()
    return Played(time.perf_counter() - began, torch.cuda.max_memory_allocated() if cuda else 0)


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
    """Bytes, by name."""
    with suppress(OSError):
        lines = (line.split() for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
        return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if len(words) == 3}
    return {}
