"""Where the time of a step goes: a trainer watched from outside.

The step itself knows nothing of this and waits for nothing; what it calls is wrapped while the watching lasts.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from ..interfaces import Batch, Run
from ..recipe.model import Recipe
from ..training.callbacks import Callbacks
from .flops import count_flops, matrix_flops
from .memory import peak_memory
from ..device.engine import Engine
from ..training.trainer import Trainer
from ..interfaces import Player

WARM_UP = 10  # first steps fill caches, choose kernels and draw the first pictures
DATA, OPTIMIZER, EMA, CALLBACKS, OTHER = "data", "optimizer", "EMA", "callbacks", "other"
TURNS: dict[Player, str] = {"discriminator": "D's turn", "generator": "G's turn"}
PARTS = (DATA, *TURNS.values(), OPTIMIZER, EMA, CALLBACKS, OTHER)


@dataclass(frozen=True)
class Profile:
    """What was measured over ``steps`` steps after the warm-up.

    Attributes:
        images: real images shown to D.
        seconds: of all steps, the device waited for at both ends only.
        parts: seconds in each of `PARTS`, measured in steps whose parts wait for the device; they add up to all of it.
        callbacks: of the seconds in callbacks, those of each, by its name, and of writing checkpoints.
        peak_bytes: the most memory in use: allocated on a CUDA device, else of the whole process.
        flops: floating-point operations of the networks, an addition and a multiplication counted each.
        peak_flops: that the device computes in a second in the run's precision, multiplying large matrices.
    """

    steps: int
    images: int
    seconds: float
    parts: dict[str, float]
    callbacks: dict[str, float]
    peak_bytes: int
    flops: float
    peak_flops: float


def profile(trainer: Trainer, steps: int, warm_up: int = WARM_UP) -> Profile:
    """Begin the run, measure it, and leave it as an interruption does."""
    engine = trainer.parts.game.engine
    trainer.recipe = _without_end(trainer.recipe)
    stopwatch = Stopwatch(engine.synchronize)
    with watched(trainer, stopwatch):
        playing = iter(trainer)
        assert isinstance(playing, Generator)
        try:
            _play(playing, warm_up)
            if engine.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(engine.device)
            seconds = None
            if engine.device.type != "cpu":  # there is nothing to wait for on a CPU: one window shows both
                seconds = _timed(playing, steps, engine)
            images = trainer.images
            with stopwatch.running():
                _play(playing, steps)
            images = trainer.images - images
            memory = peak_memory(engine.device)
            flops = count_flops(trainer)
        finally:
            playing.close()
    parts = {part: stopwatch.seconds[part] for part in PARTS}
    callbacks = {name: seconds for name, seconds in stopwatch.seconds.items() if name not in PARTS}
    parts[CALLBACKS] += sum(callbacks.values())
    return Profile(
        steps=steps,
        images=images,
        seconds=sum(parts.values()) if seconds is None else seconds,
        parts=parts,
        callbacks=callbacks,
        peak_bytes=memory,
        flops=flops * steps,
        peak_flops=matrix_flops(engine),
    )


class Stopwatch:
    """Gives each stretch of time to one part, so that the parts add up to the whole."""

    def __init__(self, synchronize: Callable[[], None]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._synchronize = synchronize
        self._since: float | None = None

    def lap(self, part: str) -> None:
        """The time since the last lap, all that the device had to do included, was ``part``'s."""
        if self._since is not None:
            now = self._now()
            self.seconds[part] += now - self._since
            self._since = now

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure here, and nowhere else."""
        self._since = self._now()
        try:
            yield
            self.lap(CALLBACKS)
        finally:
            self._since = None

    def _now(self) -> float:
        self._synchronize()
        return time.perf_counter()


@contextmanager
def watched(trainer: Trainer, stopwatch: Stopwatch) -> Iterator[None]:
    """Let the trainer's collaborators tell the stopwatch what they do.

    A player's turn is the time up to its optimizer's step, the fakes drawn for it included: so it is told under any
    rules of the game. What follows the last optimizer's step is other, or the EMA's where there is one.
    """
    lap, state = stopwatch.lap, trainer.state
    rest = OTHER

    def stream(original: Callable[[int], Iterator[Batch]]) -> Callable[[int], Iterator[Batch]]:
        def timed(position: int) -> Iterator[Batch]:
            batches = original(position)
            while True:
                lap(OTHER)
                batch = next(batches)
                lap(DATA)
                yield batch

        return timed

    def optimize(player: Player) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
            def timed(*args: Any, **kwargs: Any) -> Any:
                lap(TURNS[player])
                result = original(*args, **kwargs)
                lap(OPTIMIZER)
                return result

            return timed

        return wrapper

    def average(original: Callable[..., None]) -> Callable[..., None]:
        def timed(*args: Any) -> None:
            nonlocal rest
            lap(OTHER)
            rest = EMA
            original(*args)

        return timed

    def step(original: Callable[[], Any]) -> Callable[[], Any]:
        def timed() -> Any:
            nonlocal rest
            lap(CALLBACKS)
            rest = OTHER
            scalars = original()
            lap(rest)
            return scalars

        return timed

    def call(original: Callable[[str, Run], None]) -> Callable[[str, Run], None]:
        alone = [(name, Callbacks([(name, callback)])) for name, callback in trainer.callbacks.items()]

        def timed(method: str, run: Run) -> None:
            lap("writing checkpoints" if method == "on_checkpoint" else CALLBACKS)
            for name, callback in alone:
                callback.call(method, run)
                lap(name)

        return timed

    with ExitStack() as stack:
        stack.enter_context(_replaced(trainer.parts.loader, "stream", stream))
        stack.enter_context(_replaced(trainer.callbacks, "call", call))
        stack.enter_context(_replaced(trainer, "step", step))
        for player, optimizer in state.optimizers.items():
            stack.enter_context(_replaced(optimizer, "step", optimize(player)))
        if state.ema is not None:
            stack.enter_context(_replaced(state.ema, "update_parameters", average))
        yield


@contextmanager
def _replaced(holder: Any, method: str, wrapper: Callable[[Any], Any]) -> Iterator[None]:
    """``wrapper(holder.method)`` in place of ``holder.method``, of this one object."""
    before = vars(holder).get(method)
    setattr(holder, method, wrapper(getattr(holder, method)))
    try:
        yield
    finally:
        if before is None:
            delattr(holder, method)
        else:  # another has replaced it too, as torch's learning-rate schedulers do
            setattr(holder, method, before)


def _without_end(recipe: Recipe) -> Recipe:
    """What callbacks do at the last step is no part of the steps measured."""
    train = recipe.train.model_copy(update={"steps": sys.maxsize, "epochs": None, "images": None})
    return recipe.model_copy(update={"train": train})


def _play(playing: Iterator[Any], steps: int) -> None:
    for _ in range(steps):
        next(playing)


def _timed(playing: Iterator[Any], steps: int, engine: Engine) -> float:
    engine.synchronize()
    began = time.perf_counter()
    _play(playing, steps)
    engine.synchronize()
    return time.perf_counter() - began
