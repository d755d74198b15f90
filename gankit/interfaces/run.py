"""A run as callbacks see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from .data import Dataset
from .data_spec import ImageSpec
from .turn import Player, Scalars

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..events import Event
    from ..registry import Registries

T = TypeVar("T")


class State(Protocol):
    """The networks, optimizers and counters of a run."""

    step: int
    """Completed steps."""
    images: int
    """Real images that the run has used."""
    turns: dict[Player, int]
    """The number of turns of each player, which determines when lazy regularizers run."""

    @property
    def players(self) -> Mapping[Player, torch.nn.Module]:
        """The network of each player: ``generator`` and, if the game has a discriminator, ``discriminator``."""

    @property
    def generator(self) -> torch.nn.Module:
        """The network G."""

    @property
    def discriminator(self) -> torch.nn.Module:
        """The network D. Raises: GankitError: the game has no discriminator."""

    @property
    def trained(self) -> Mapping[Player, Mapping[str, torch.nn.Module]]:
        """The modules that each player's optimizer trains, by name: first the player's network, under the name of the
        player, then trainable losses and regularizers."""

    @property
    def optimizers(self) -> Mapping[Player, torch.optim.Optimizer]:
        """Each player's optimizer. Its hooks (``register_step_pre_hook``) see the gradients of every update."""

    @property
    def scalers(self) -> Mapping[Player, Any]:
        """Each player's loss scaler, which scales its loss and skips updates if ``train.precision`` is fp16."""


class NotFinite(NamedTuple):
    """The first NaN or infinity of a run.

    Attributes:
        step: the step whose scalars were not finite, or before which weights were not finite.
        names: all scalars and weights concerned, such as ``discriminator_loss`` or ``generator main.0.weight``.
    """

    step: int
    names: tuple[str, ...]


class Run(Protocol):
    """The run that a callback observes. `gankit.Trainer` implements it.

    A callback may read everything here and call every method, but must not change networks, optimizers or counters.
    Sampling and augmenting do not affect the random numbers of training. Requests (`save`, `recover`, `stop`) take
    effect after all callbacks of the step have run.
    """

    @property
    def recipe(self) -> Any:
        """The `gankit.Recipe`, with every default filled in."""

    @property
    def directory(self) -> Path:
        """The run directory."""

    @property
    def state(self) -> State:
        """Networks, optimizers and counters."""

    @property
    def world_size(self) -> int:
        """The number of processes that train this run. Callbacks are called on rank 0 only."""

    @property
    def images(self) -> int:
        """Real images that D has seen."""

    @property
    def epoch(self) -> int:
        """The epoch, counted from 0, in which the last step began."""

    @property
    def total_steps(self) -> int:
        """The step at which the run ends."""

    @property
    def scalars(self) -> Scalars:
        """The scalars of the last step; empty before the first. Reading a value waits for the device."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names; None if the run is unconditional."""

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint of this run."""

    @property
    def ending(self) -> str | None:
        """Why the run ends, in ``on_run_end`` and ``on_exception``: ``done``, the reason given to `stop`, or the error.

        None before the end.
        """

    @property
    def segment_ended(self) -> bool:
        """Whether the run ends because the next segment of its recipe begins, which a resumed run continues with."""

    @property
    def checkpoints(self) -> Sequence[Path]:
        """The run's checkpoints, oldest first."""

    @property
    def image(self) -> ImageSpec:
        """Size, channels and classes of the run's images."""

    @property
    def device(self) -> torch.device:
        """The device of this process."""

    @property
    def per_rank(self) -> dict[str, Any]:
        """A dictionary on each rank, in which functions called by `run_on_all_ranks` can store objects between calls.

        Use keys that are unique to your plugin.
        """

    def run_on_all_ranks(self, work: Callable[..., T], *args: Any) -> list[T]:
        """Call ``work(run, rank, world_size, *args)`` on every rank and return the results in rank order.

        In ``on_exception`` the other ranks are not available: only ``work(run, 0, 1, *args)`` is called.

        Args:
            work: a module-level function.
            args: picklable values.

        Raises:
            GankitError: the work failed on another rank.
        """

    def copy_generator(self, device: torch.device, ema: bool = True) -> Any:
        """A `TrainedGenerator` with a copy of G on ``device``. Its ``update()`` copies the current weights again.

        Args:
            device: the device of the copy.
            ema: copy the EMA's weights if the run has an EMA.
        """

    @property
    def listeners(self) -> list[Callable[[Event], None]]:
        """Functions that are called with each event of the run. A callback may append its own."""

    def log(self, event: Event | Mapping[str, Any]) -> None:
        """Append an event to ``events.jsonl``."""

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generate images, from the EMA if the run has one.

        Args:
            count: the number of images.
            seed: the seed of the latents and labels. The same seed gives the same latents throughout the run.
            labels: ``count`` labels; None draws them with the class frequencies of the data.
            options: sampling options of the generator (see `Generator.forward`).

        Returns:
            uint8 [count c h w] on the CPU.

        Raises:
            ValueError: the labels do not fit the run.
        """

    def generate(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """The images of `sample` before they are clamped and quantized: fp32 [count c h w] on the CPU."""

    def inputs(self, count: int, seed: int = 0) -> Mapping[str, Tensor]:
        """The fields of real items that the images of `sample` are generated from, on the CPU.

        These items are held out from training if the dataset has ``held_out``.

        Returns:
            Images uint8 [count c h w] and vectors fp32 [count v], by name; ``image`` is the real image of each item if
            the fields belong to it. Empty if the generator asks for no fields.
        """

    def augment(self, images: Tensor, seed: int = 0) -> Tensor:
        """Apply the run's augmentations in their current state, as for D.

        Args:
            images: [n c h w] in [-1, 1].
            seed: the seed of the augmentations.

        Returns:
            fp32 [n c h w] on the CPU.
        """

    def real(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        """The first real images in the order of training, uint8 [count c h w], without mirroring.

        Args:
            count: the number of images; ignored if ``labels`` are given.
            labels: the class of each image; a class without images gives black ones.
        """

    @property
    def dataset(self) -> Dataset:
        """The dataset, prepared."""

    @property
    def registries(self) -> Registries:
        """All registered components, by kind and name."""

    def not_finite(self) -> NotFinite | None:
        """The first NaN or infinity of this run, or None. Waits for the device."""

    def recover(self, go_on: bool) -> None:
        """Request a return to the last checkpoint, if `not_finite` has found something; otherwise nothing happens.

        The steps since then are replayed, and the cause of the NaN or infinity is logged.

        Args:
            go_on: continue from that checkpoint without the batch that caused the NaN; otherwise, the run ends.
        """

    def save(self) -> None:
        """Request a checkpoint. Allowed in ``on_run_end`` too."""

    def stop(self, reason: str) -> None:
        """Request the end of the run, after this step. The first reason is recorded."""
