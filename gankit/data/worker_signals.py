"""A process that decodes images, and signals: it ends when the trainer says so, and when the trainer is gone."""

from __future__ import annotations

import os
import signal
from threading import Thread


def leave_signals_to_trainer(worker: int) -> None:
    """A signal to all of a job, as schedulers send it, must not end the workers before the step is saved."""
    if hasattr(os, "setpgrp"):  # it is not on Windows, nor are signals to a group
        os.setpgrp()
    if hasattr(signal, "sigwaitinfo"):  # it is not on macOS, nor are schedulers
        signals = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        Thread(target=_obey_the_trainer, args=(signals,), daemon=True).start()


def _obey_the_trainer(signals: set[signal.Signals]) -> None:
    while True:
        told = signal.sigwaitinfo(signals)
        if told.si_signo == signal.SIGTERM and told.si_pid == os.getppid():
            os._exit(0)  # at once, as torch's own handler does: a worker has nothing to lose
