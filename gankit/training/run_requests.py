"""What a run has been asked for, and does once the step is over."""

from __future__ import annotations

from ..distributed.rank_failures import OtherProcessError
from ..distributed.processes import Processes


class RunRequests:
    """To end, to save, or to go back. Several processes agree on it, so that all do the same after the same step.

    Attributes:
        save: whether a checkpoint is to be written.
        recover: whether to go on once the run has gone back to a checkpoint; None where nobody wants it to.
    """

    def __init__(self, processes: Processes) -> None:
        self.save = False
        self.recover: bool | None = None
        self._processes = processes
        self._stop: str | None = None
        self._agreed: str | None = None

    @property
    def ending(self) -> str | None:
        """Why the run ends before its time."""
        return self._stop if self._processes.world_size == 1 else self._agreed

    def stop(self, reason: str) -> None:
        """End the run; of several reasons, the first counts."""
        self._stop = self._stop or reason

    def agree(self, failed: bool = False) -> None:
        """The processes end, go back, save or fail together.

        Raises:
            OtherProcessError: the first process has failed, and this one has not.
        """
        if self._processes.world_size == 1:
            return
        stops, recovery = self._stop is not None, 0 if self.recover is None else 1 + self.recover
        failure, stop, recovery, save = self._processes.largest(failed, stops, recovery, self.save)
        if failure:
            if failed:
                return
            raise OtherProcessError("a callback failed in the first process, and so this one ends too")
        if stop:
            self._agreed = next(reason for reason in self._processes.all_gather_object(self._stop) if reason)
        self.recover = None if recovery == 0 else recovery == 2
        self.save = bool(save)

    def agree_to_save(self) -> None:
        """The processes save together, where one of them wants to."""
        (save,) = self._processes.largest(self.save)
        self.save = bool(save)
