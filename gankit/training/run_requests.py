"""Requests that callbacks and signals make of a run: stop, save or recover after the current step."""

from __future__ import annotations

from ..distributed.processes import Processes
from ..distributed.rank_failures import OtherProcessError


class RunRequests:
    """Requests that are carried out after the current step, on all processes together.

    Attributes:
        save: whether to write a checkpoint.
        recover: whether to continue after returning to a checkpoint; None if recovery is not requested.
    """

    def __init__(self, processes: Processes) -> None:
        self.save = False
        self.recover: bool | None = None
        self._processes = processes
        self._own_stop: str | None = None
        self._agreed_stop: str | None = None

    @property
    def stop_reason(self) -> str | None:
        """Why the run stops early; None if it does not."""
        return self._own_stop if self._processes.world_size == 1 else self._agreed_stop

    def stop(self, reason: str) -> None:
        """Stop the run. The first reason counts."""
        self._own_stop = self._own_stop or reason

    def synchronize(self, failed: bool = False) -> None:
        """Merge the requests of all processes, so that they stop, recover, save or fail together.

        Raises:
            OtherProcessError: rank 0 has failed, and this process has not.
        """
        stops, recovery = self._own_stop is not None, 0 if self.recover is None else 1 + self.recover
        failure, stop, recovery, save = self._processes.max_over_ranks(failed, stops, recovery, self.save)
        if failure:
            if failed:
                return
            raise OtherProcessError("a callback failed on rank 0, so this process ends too")
        if stop:
            self._agreed_stop = next(reason for reason in self._processes.all_gather_object(self._own_stop) if reason)
        self.recover = None if recovery == 0 else recovery == 2
        self.save = bool(save)

    def synchronize_save(self) -> None:
        """Save on all processes if any of them requests it."""
        (save,) = self._processes.max_over_ranks(self.save)
        self.save = bool(save)
