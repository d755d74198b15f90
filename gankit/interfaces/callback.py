"""The interface of callbacks.

Its methods are declared only for type checkers. At run time, a subclass has exactly the methods that it defines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .run import Run


class Callback:
    """An observer of a run, called on rank 0. Built as ``factory(**params)``.

    It defines one or more ``on_*`` methods. The other methods are optional. An exception in a callback ends the run.

    If a callback defines ``state_dict`` and ``load_state_dict``, its state is saved in checkpoints and restored before
    ``on_run_start``. When a run returns to a checkpoint (`Run.recover`), the state is restored and ``on_run_start`` is
    called again.
    """

    if TYPE_CHECKING:

        def on_run_start(self, run: Run, /) -> None:
            """Called before the first step of a new or resumed run."""

        def on_step_end(self, run: Run, /) -> None:
            """Called after each step. Reading values of ``run.scalars`` in every step slows training on a GPU."""

        def on_epoch_end(self, run: Run, /) -> None:
            """Called after ``on_step_end`` of the last step that began in an epoch."""

        def on_checkpoint(self, run: Run, /) -> None:
            """Called after a checkpoint has been written; ``run.checkpoint`` is its path."""

        def on_exception(self, run: Run, /) -> None:
            """Called when an exception ends the run."""

        def on_run_end(self, run: Run, /) -> None:
            """Called after the last step, before the final checkpoint."""

        def state_dict(self) -> dict[str, Any]:
            """The state for checkpoints."""

        def load_state_dict(self, state: dict[str, Any], /) -> None:
            """Restore the result of `state_dict`."""

        def fits(self, *args: Any, **kwargs: Any) -> None:
            """Called by ``gankit check`` with those of these values that the method names: any of them in any order.

            Args:
                registries: all components.
                images: the number of real images; None if it is not known yet.
                data: the fields of the data as the networks see them; None if they are not known.
                fields: the names of those that samples are generated from; None if they are not known.

            Raises:
                GankitError: the callback cannot work.
            """


CALLBACK_METHODS = ("on_run_start", "on_step_end", "on_epoch_end", "on_checkpoint", "on_exception", "on_run_end")
