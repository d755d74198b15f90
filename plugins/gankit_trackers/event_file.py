"""A file of TensorBoard events."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any


class EventFile:
    """Writes events to a new file, without a buffer: what was logged stays if the process is killed.

    ``SummaryWriter`` would write in a thread of its own, which prints a traceback if the disk is full.

    Args:
        folder: which is created if missing.
        purge_step: TensorBoard hides events of this step and later ones that older files of the folder hold.
    """

    def __init__(self, folder: Path, purge_step: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 1000}.{socket.gethostname()}.{os.getpid()}"
        self._event = Event
        self._file = (folder / name).open("xb", buffering=0)
        self._records = RecordWriter(self._file)
        self._write(file_version="brain.Event:2")
        self._write(step=purge_step, session_log=SessionLog(status=SessionLog.START))

    def add(self, summary: Any, step: int) -> None:
        """Add a summary, made by a function of ``torch.utils.tensorboard.summary``."""
        self._write(step=step, summary=summary)

    def close(self) -> None:
        self._file.close()

    def _write(self, **content: Any) -> None:
        self._records.write(self._event(wall_time=time.time(), **content).SerializeToString())
