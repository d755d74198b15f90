"""What each kind of component is, and what it is given.

Shapes: ``n`` images of a batch, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions.
Images are floats in [-1, 1] inside the game and uint8 outside of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from .events import Event
    from .registry import Registries

T = TypeVar("T")

Player = Literal["discriminator", "generator"]
PLAYERS: tuple[Player, ...] = ("discriminator", "generator")

Scalars = dict[str, "Tensor"]
"""Named figures of a step: detached 0-d tensors, still on the device."""

DiscriminatorOutput = Any
"""Logits [n ...], a list of such (heads), or a mapping with ``logits`` (either of these) and anything else."""


@dataclass(frozen=True)
class ImageSpec:
    """The images of a run: ``[channels height width]``.

    Attributes:
        height: pixels.
        width: pixels.
        channels: 1 to 4.
        classes: how many labels there are; 0 unless the recipe says ``conditional: true``.
    """

    height: int
    width: int
    channels: int
    classes: int = 0

    @classmethod
    def any_size(cls, channels: int) -> ImageSpec:
        """The spec of a data set whose images have many sizes: height and width are None until the loader resizes."""
        return cls(None, None, channels)  # type: ignore[arg-type]  # networks never meet such a spec


class Batch(NamedTuple):
    """Real images [n c h w] in [-1, 1] and their labels [n] (int64; None unless conditional), on the device."""

    images: Tensor
    labels: Tensor | None


class Generator(Protocol):
    """Built as ``factory(image, latent_dim, **params)``; an `nn.Module`."""

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and labels [n] to images [n c h w] in [-1, 1].

        Further keyword-only parameters are sampling options, which ``sample`` passes on.
        """


class Discriminator(Protocol):
    """Built as ``factory(image, **params)``; an `nn.Module`."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Images [n c h w] in [-1, 1] and labels [n] to logits, heads, or a mapping with ``logits``."""


class Turn(Protocol):
    """One player's turn, as losses, regularizers and ``after`` see it.

    Each of ``fake``, the logits and the outputs is computed when first asked for, and once.
    """

    player: Player
    generator: torch.nn.Module
    discriminator: torch.nn.Module
    images_seen: int
    """Real images shown to D before this step."""

    @property
    def real(self) -> Tensor:
        """Real images [n c h w] before augmentation."""

    @property
    def fake(self) -> Tensor:
        """Generated images [n c h w] before augmentation; detached in D's turn."""

    @property
    def latents(self) -> Tensor:
        """The latents [n d] that made ``fake``."""

    @property
    def labels(self) -> Tensor | None:
        """Labels [n] of the reals, and of the fakes made for them; None unless conditional."""

    @property
    def real_logits(self) -> Tensor:
        """D's logits on the augmented reals, fp32 at least.

        A loss sees one head's at a time; everything else sees several heads side by side, [n heads].
        """

    @property
    def fake_logits(self) -> Tensor:
        """D's logits on the augmented fakes, fp32 at least; heads as in ``real_logits``."""

    @property
    def real_output(self) -> DiscriminatorOutput:
        """All that D returned for the augmented reals."""

    @property
    def fake_output(self) -> DiscriminatorOutput:
        """All that D returned for the augmented fakes."""

    def discriminate(self, images: Tensor, labels: Tensor | None = None, augment: bool = True) -> DiscriminatorOutput:
        """D's output for ``images`` [n c h w]; the turn's own labels where none are given."""

    def draw_latents(self, count: int | None = None, labels: Tensor | None = None) -> Tensor:
        """Fresh latents [count d], a batch's worth where ``count`` is None, for these labels or the turn's own."""

    def generate(self, latents: Tensor | None = None, labels: Tensor | None = None, count: int | None = None) -> Tensor:
        """G's images, with their graph: from these latents, or from ``count`` fresh ones (a batch's worth)."""

    def uniform(self, *shape: int) -> Tensor:
        """Fresh numbers [n *shape] from [0, 1) for each image, whichever process or part of the batch has it.

        What `torch.rand` gives instead is drawn by each process for itself.
        """

    def gradient(self, images: Tensor) -> Tensor:
        """The gradient [n c h w] of D's summed logits with respect to ``images``, through the augmentation.

        It can itself be differentiated: the one way to a gradient penalty. For ``turn.real`` and ``turn.fake`` it
        uses the logits that the loss has computed anyway.
        """

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all processes (itself with one)."""


class Loss(Protocol):
    """Built as ``factory(**params)``. Evaluated once a head of D, and summed."""

    def discriminator(self, turn: Turn) -> Tensor:
        """D's loss, a scalar."""

    def generator(self, turn: Turn) -> Tensor:
        """G's loss, a scalar."""


class Regularizer(Protocol):
    """Built as ``factory(**params)``; has ``discriminator(turn)``, ``generator(turn)`` or both, each a scalar.

    ``interval`` counts turns of that side: 1 joins the player's loss; above 1 it takes a backward and an optimizer
    step of its own every ``interval`` turns, multiplied by the interval (lazy regularization, arXiv 1912.04958).
    ``after(turn)``, where it has one, follows each turn of either player's loss, before the lazy penalties; figures
    that it returns, 0-d tensors by name, join those of the step.

    ``fits(generator, output, image)``, where it has one, is asked before a run, with G and with what D makes of two
    images, both untrained and perhaps on the meta device, and with the run's `ImageSpec`. It raises a `ValueError`
    or `GankitError` that tells what it misses.
    """

    interval: int


class Augmentation(Protocol):
    """Built as ``factory(image, **params)``; an `nn.Module` applied to all that D sees, real and fake alike."""

    def forward(self, images: Tensor) -> Tensor:
        """Images [n c h w] in [-1, 1] to the same shape, twice differentiable; it need not clamp."""


@runtime_checkable
class Dataset(Protocol):
    """Built as ``factory(**params)``; construction neither downloads nor scans.

    Optional: ``tensors() -> (uint8 [n c h w], int64 [n])`` for a set in memory, and ``labels``, all labels [n].
    """

    split: str

    @property
    def spec(self) -> ImageSpec:
        """Size (or `ImageSpec.any_size`) and channels, known before `prepare`."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the labels; None for unlabelled data; empty while only `prepare` can tell."""

    def prepare(self) -> None:
        """Download, verify, scan. Raises: DataError."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image uint8 [c h w] and label of item ``index``; depends on ``index`` alone."""


class Latent(Protocol):
    """Built as ``factory(dim, **params)``.

    Optional: ``between(start, end, share) -> z [n d]``: what lies ``share`` (0 to 1) of the way from latents [n d] to
    others, such as `sample` might draw; without it, that is on the arc between them, which suits normal ones.
    """

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Latents [n d] drawn from ``generator``, on its device."""


class State(Protocol):
    """Where training stands."""

    generator: torch.nn.Module
    discriminator: torch.nn.Module
    step: int
    """Updates of G so far."""
    images: int
    """Real images shown to D so far."""
    turns: dict[Player, int]
    """Turns that each player has taken; lazy regularizers count these."""

    @property
    def optimizers(self) -> Mapping[Player, torch.optim.Optimizer]:
        """Of each player; a hook of its own (``register_step_pre_hook``) sees the gradients of every update."""


class NotFinite(NamedTuple):
    """The first figure or weight of a run that was NaN or infinite.

    Attributes:
        step: number of the step that gave the figure, or before which the weight was so.
        names: such as ``discriminator_loss`` or ``generator main.0.weight``: all that were so in that step.
    """

    step: int
    names: tuple[str, ...]


class Run(Protocol):
    """What a callback is given."""

    @property
    def recipe(self) -> Any:
        """The resolved `gankit.Recipe`."""

    @property
    def directory(self) -> Path:
        """The run directory."""

    @property
    def state(self) -> State: ...

    @property
    def world_size(self) -> int:
        """Processes that train this run together; callbacks are called in the first alone."""

    @property
    def images(self) -> int:
        """Real images shown to D so far."""

    @property
    def epoch(self) -> int:
        """The epoch, from 0, in which the last step began."""

    @property
    def total_steps(self) -> int:
        """The step at which the run is done."""

    @property
    def scalars(self) -> Scalars:
        """Figures of the last step; reading one waits for the device."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names of a conditional run, else None."""

    @property
    def checkpoint(self) -> Path | None:
        """The newest checkpoint of this run."""

    @property
    def ending(self) -> str | None:
        """Why the run ends, in ``on_run_end`` and ``on_exception``: ``done``, the reason of `stop`, or the error."""

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
        """Objects that work on all ranks keeps on each rank, by a key of its own."""

    def run_on_all_ranks(self, work: Callable[..., T], *args: Any) -> list[T]:
        """Call ``work(run, rank, world_size, *args)`` on every rank, from a callback; returns the results by rank.

        Args:
            work: a module-level function.
            args: plain data.
        """

    def copy_generator(self, device: torch.device, ema: bool = True) -> Any:
        """A copy of G on ``device`` with `sample`, whose ``update()`` copies G's weights (or the EMA's) again."""

    def log(self, event: Event | Mapping[str, Any]) -> None:
        """Append an event to ``events.jsonl``."""

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generated images, uint8 [n c h w]: the same latents for the same seed, from the EMA where there is one."""

    def generate(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """What `sample` quantises: the images as G made them, fp32 [n c h w] on the CPU, not cut to [-1, 1]."""

    def augment(self, images: Tensor, seed: int = 0) -> Tensor:
        """What D would see now of ``images`` [n c h w] in [-1, 1]: through the run's augmentations, fp32 on the CPU."""

    def real(self, count: int, labels: Sequence[int] | None = None) -> Tensor:
        """The first real images of the run, uint8 [n c h w]; of these classes where given."""

    @property
    def dataset(self) -> Dataset:
        """The real images, prepared."""

    @property
    def registries(self) -> Registries:
        """The components that the run could choose from, by kind and name."""

    def not_finite(self) -> NotFinite | None:
        """What was NaN or infinite first in this run, if anything; waits for the device."""

    def recover(self, go_on: bool) -> None:
        """Once every callback has seen this step: replay from the last checkpoint, and find out what broke.

        The finding is logged. Then the run goes on from that checkpoint without the batch that broke it, or it ends.
        """

    def save(self) -> None:
        """Write a checkpoint once every callback has seen this step."""

    def stop(self, reason: str) -> None:
        """End the run after this step."""


class Callback(Protocol):
    """Built as ``factory(**params)``; has any of the methods below. An unknown ``on_*`` method is refused.

    With ``state_dict`` and ``load_state_dict`` it travels in checkpoints; it is restored before ``on_run_start``. A run
    that goes back to a checkpoint does both again, as if it were resumed.
    """

    def on_run_start(self, run: Run) -> None: ...
    def on_step_end(self, run: Run) -> None: ...
    def on_epoch_end(self, run: Run) -> None: ...
    def on_checkpoint(self, run: Run) -> None: ...
    def on_exception(self, run: Run) -> None: ...
    def on_run_end(self, run: Run) -> None: ...


CALLBACK_METHODS = ("on_run_start", "on_step_end", "on_epoch_end", "on_checkpoint", "on_exception", "on_run_end")


class Features(Protocol):
    """Built as ``factory(**params)``; what images look like to a trained network. Shapes: ``f`` features, ``k`` logits.

    With ``logits(features)``, from features [n f] to class logits [n k], it serves scores of classes too. With
    ``established``, such as ``{"fd": "FID"}``, scores that literature knows under a name of their own carry it; others
    are called by the metric's and the extractor's names, ``fd_<extractor>``.
    """

    hash: str
    """SHA-256 of the weights, in hexadecimal."""

    resizer: str
    """How images are brought to the network's size, in words."""

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [n c h w] to features [n f], float32."""


class Metric(Protocol):
    """Built as ``factory(**params)``; compares real and generated images, fed batch after batch, then asked once.

    Optional: ``better``, such as ``{"precision": "higher"}``: which of its scores tell good from bad, and whether
    ``lower`` or ``higher`` is better; without it, lower is, for each of them. ``require(real, generated)``, given how
    many images there will be, raises ValueError where that is too few, before any is looked at. ``needs_real = False``
    spares it the real images.
    """

    uses: Literal["features", "logits"]
    """What it is fed with."""

    def update(self, values: Tensor, real: bool) -> None:
        """Features [n f], or logits [n k], of real or of generated images."""

    def compute(self) -> Mapping[str, float]:
        """The scores, by name. Raises: ValueError: too few images."""


class GameRules(Protocol):
    """Built as ``factory(**params)``; plays one step. The way out for algorithms that play otherwise.

    ``after(turn)``, where it has one, follows each turn as a regularizer's does.
    """

    def step(self, game: Any, batches: Iterator[Batch], state: Any) -> Scalars:
        """One update of G, with whatever of D's goes before it."""
