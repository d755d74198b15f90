"""The processes that decode images: how they handle signals, and the error that is raised when one dies."""

from __future__ import annotations

import os
import re
import signal
from threading import Thread

from ..errors import DataError

# Signals after which a run is saved. SLURM can send SIGUSR1 before a job's time limit (sbatch --signal). A closed
# terminal sends SIGHUP. Windows lacks these two.
STOP_SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if name in signal.Signals.__members__
)
DEATH = re.compile(r"DataLoader worker \(pid.*?(exited unexpectedly|is killed by signal: [^.]+)")


class DataWorkerError(DataError):
    """A decoding process died."""

    def __init__(self, fate: str) -> None:
        super().__init__(
            f"a process that decodes images {fate}, possibly for lack of memory: "
            "lower loader.workers, or keep the decoded images with loader.cache=memory"
        )


def worker_death(error: BaseException) -> DataWorkerError | None:
    """The error as a `DataWorkerError` if a dead worker caused it, else None.

    Torch raises its own error from a signal handler, so that it appears in whatever code the process is running.
    """
    if isinstance(error, DataWorkerError):
        return error
    found = DEATH.search(str(error)) if isinstance(error, RuntimeError) else None
    return DataWorkerError(found[1]) if found else None


def leave_signals_to_trainer(worker: int) -> None:
    """Ignore signals that a scheduler sends to the whole job, so that workers live until the trainer has saved."""
    if hasattr(os, "setpgrp"):  # not on Windows, which has no signals to process groups
        os.setpgrp()
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signals = set(STOP_SIGNALS)
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        Thread(target=_obey_trainer, args=(signals,), daemon=True).start()


def _obey_trainer(signals: set[signal.Signals]) -> None:
    while True:
        received = signal.sigwaitinfo(signals)
        if received.si_signo == signal.SIGTERM and received.si_pid == os.getppid():
            os._exit(0)  # at once, like torch's own handler: a worker has nothing to save
