"""The interfaces of all components, and the objects that gankit passes to them.

Shapes: ``n`` images of a batch, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions. ``...`` stands for
any number of further dimensions. Networks, losses and augmentations see float images in [-1, 1]; datasets, samples and
feature extractors use uint8 images in [0, 255]. Labels are int64 in [0, classes).

Components need not inherit from these protocols. Every component is built as ``factory(<positional>, **params)``:
gankit passes the positional arguments that its protocol lists, and the recipe sets the keyword-only parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from .events import Event
    from .registry import Registries

T = TypeVar("T")

Player = Literal["discriminator", "generator"]
PLAYERS: tuple[Player, ...] = ("discriminator", "generator")

Scalars = dict[str, "Tensor"]
"""The scalars of a step by name: detached 0-d tensors on the device. Converting one to a number waits for the device.
"""

DiscriminatorOutput = Any
"""One of: logits [n ...]; a list of such tensors, one for each head; or a mapping with either of these under ``logits``
and anything else under other keys.
"""


Report = Callable[[str, int, int], None]
"""Called with the name of a task, the number of items done, and their total."""


def no_report(task: str, done: int, total: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True)
class ImageSpec:
    """The shape of the images of a run or dataset: ``[channels height width]``.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 to 4.
        classes: the number of classes that labels are drawn from. A network's spec has 0 if the run is unconditional;
            its ``forward`` then receives ``labels=None``. A dataset leaves 0 and lists its classes in
            `Dataset.classes`. ``gankit check`` uses 10 where a dataset learns its classes only in `Dataset.prepare`.
    """

    height: int
    width: int
    channels: int
    classes: int = 0

    @classmethod
    def any_size(cls, channels: int) -> ImageSpec:
        """The spec of a dataset whose images differ in size. Its height and width are None.

        The loader resizes each image to the recipe's ``image.size``. Networks always receive a spec with that size.
        """
        return cls(None, None, channels)  # type: ignore[arg-type]  # only datasets have such a spec


class Batch(NamedTuple):
    """Real images on the device.

    Attributes:
        images: [n c h w] in [-1, 1].
        labels: int64 [n]; None if the run is unconditional.
    """

    images: Tensor
    labels: Tensor | None


class Generator(Protocol):
    """The generator G, an `nn.Module`. Built as ``factory(image, latent_dim, **params)``.

    ``image`` is the run's `ImageSpec` and ``latent_dim`` the recipe's ``latent.dim``.

    Optional methods, also of discriminators: ``parameter_groups()`` returns the optimizer's parameter groups (an
    ``lr_scale`` in a group multiplies the recipe's learning rate); ``after(turn)`` is called as for a `Regularizer`.
    """

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Generate images. gankit passes ``z`` and ``labels`` by position.

        Keyword-only parameters of ``forward`` are sampling options, such as ``*, truncation: float = 1.0``. Each needs
        a type annotation, which values are checked against, and a default, which training uses. Users set them with
        ``gankit sample RUN truncation=0.7``, ``gankit eval``, and ``sample(..., truncation=0.7)``.

        Args:
            z: latents [n d] from the recipe's `Latent`.
            labels: int64 [n] in [0, image.classes); None if the run is unconditional.

        Returns:
            Images [n c h w] of the run's `ImageSpec`, in about [-1, 1].
        """


class Discriminator(Protocol):
    """The discriminator D, an `nn.Module`. Built as ``factory(image, **params)``, with the run's `ImageSpec`."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Score images. gankit passes ``images`` and ``labels`` by position.

        Args:
            images: augmented images [n c h w] in about [-1, 1], real or generated.
            labels: int64 [n] in [0, image.classes); None if the run is unconditional.

        Returns:
            Logits [n ...], without a sigmoid, or a non-empty list of such tensors, one for each head. The shapes of
            heads may differ after the first dimension. The loss is computed for each head and summed over the heads.
            A mapping holds the logits (or list) under ``logits``; losses and regularizers find its other entries in
            ``turn.real_output`` and ``turn.fake_output``, for example class logits or features.
        """


class Turn(Protocol):
    """One player's turn on one batch, as losses, regularizers and ``after`` see it.

    With ``train.microbatch``, losses and regularizers see a part of the batch, and ``after`` sees all of it. With
    several processes, each sees its own share. ``fake``, the logits and the outputs are computed on first use and then
    kept for the turn.
    """

    player: Player
    """The player whose turn it is."""
    generator: torch.nn.Module
    """G. Calling it directly ignores precision and compilation; use `generate`."""
    discriminator: torch.nn.Module
    """D. Calling it directly ignores precision and compilation; use `discriminate`."""
    images_seen: int
    """The number of real images that D has seen before this step."""

    @property
    def real(self) -> Tensor:
        """Real images [n c h w] in [-1, 1], before augmentation."""

    @property
    def fake(self) -> Tensor:
        """Generated images [n c h w], before augmentation; detached from G in D's turn."""

    @property
    def latents(self) -> Tensor:
        """The latents [n d] that ``fake`` was generated from."""

    @property
    def labels(self) -> Tensor | None:
        """The labels [n] of ``real``, which ``fake`` was generated for too; None if the run is unconditional."""

    @property
    def real_logits(self) -> Tensor:
        """D's logits for the augmented ``real``, in fp32 or fp64.

        A loss sees those of one head [n ...]. Regularizers and ``after`` see the single head of D as it is, or several
        heads flattened and concatenated to [n m], where m is the number of logits for each image.
        """

    @property
    def fake_logits(self) -> Tensor:
        """D's logits for the augmented ``fake``, in the form of ``real_logits``."""

    @property
    def real_output(self) -> DiscriminatorOutput:
        """Everything that D returned for the augmented ``real``: all heads, in D's own precision."""

    @property
    def fake_output(self) -> DiscriminatorOutput:
        """Everything that D returned for the augmented ``fake``: all heads, in D's own precision."""

    def discriminate(self, images: Tensor, labels: Tensor | None = None, augment: bool = True) -> DiscriminatorOutput:
        """Run D with the run's precision and compilation.

        Args:
            images: [n c h w] in [-1, 1].
            labels: [n]; None uses the labels of the turn.
            augment: whether to augment the images first.
        """

    def draw_latents(self, count: int | None = None, labels: Tensor | None = None) -> Tensor:
        """Draw new latents [count d].

        Args:
            count: the number of latents; None draws as many as ``real`` has images.
            labels: [count]; None uses the labels of the turn, repeated where ``count`` is larger.
        """

    def generate(self, latents: Tensor | None = None, labels: Tensor | None = None, count: int | None = None) -> Tensor:
        """Generate images [n c h w] with an autograd graph.

        Args:
            latents: [n d]; None draws new ones.
            labels: [n]; None uses the labels of the turn, repeated where there are more latents.
            count: the number of new latents; None draws as many as ``real`` has images.
        """

    def uniform(self, *shape: int) -> Tensor:
        """Draw new uniform numbers [n *shape] in [0, 1), one set for each image.

        They do not depend on how the batch is split into microbatches or over processes. Numbers from `torch.rand` do.
        """

    def gradient(self, images: Tensor) -> Tensor:
        """The gradient [n c h w] of D's summed logits with respect to ``images``, through the augmentations.

        The sum is over all logits of all heads. The result can be differentiated again. Use this method for gradient
        penalties: it works with compiled networks, and for ``turn.real`` and ``turn.fake`` it shares D's forward pass
        with the loss.

        Args:
            images: [n c h w] before augmentation.
        """

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes, differentiable."""


class Loss(Protocol):
    """The loss of both players. Built as ``factory(**params)``.

    It is evaluated once for each head of D, and the results are summed. Optional: ``after(turn)``, as for a
    `Regularizer`.
    """

    def discriminator(self, turn: Turn) -> Tensor:
        """D's loss, a scalar to minimize."""

    def generator(self, turn: Turn) -> Tensor:
        """G's loss, a scalar to minimize."""


class Regularizer(Protocol):
    """A term added to a player's loss. Built as ``factory(**params)``.

    It has ``discriminator(turn)``, ``generator(turn)`` or both, which return a scalar.

    Optional methods:

    - ``after(turn)`` is called after each turn of either player, once the optimizer step on its loss is done and before
      lazy regularizers run. It may return a mapping of names to 0-d tensors, which are added to the step's scalars.
    - ``fits(generator, output, image)`` is called before a run, with untrained networks that may be on the meta device.
      ``output`` is D's output for two images and ``image`` the run's `ImageSpec`. Raises: ValueError or GankitError: D
      or G lacks something that the regularizer needs.
    """

    interval: int
    """The regularizer runs in every ``interval``-th turn of a player; 1 if it lacks this attribute.

    With 1 it is part of the player's loss. Above 1 it takes a separate optimizer step, with its gradient multiplied by
    the interval (lazy regularization, arXiv 1912.04958).
    """


class Augmentation(Protocol):
    """An `nn.Module` applied to all images that D sees, real and generated. Built as ``factory(image, **params)``.

    ``image`` is the run's `ImageSpec`. Optional: ``after(turn)``, as for a `Regularizer`.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Augment images [n c h w] in [-1, 1].

        Returns:
            Images of the same shape and dtype, twice differentiable with respect to the input. They need not be clamped
            to [-1, 1].
        """


@dataclass(frozen=True)
class DataDescription:
    """What `Dataset.prepare` found, for the user. ``gankit run`` prints it, and the run directory records it.

    Attributes:
        summary: one line, such as ``8 images, classes: ant 4, bee 4; ignored: 500 .heic``.
        warnings: sentences about what the user should know or change.
        skipped: why a file is left out, by its name. The run directory lists all of them in ``skipped_files.jsonl``.
    """

    summary: str
    warnings: Sequence[str] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class Dataset(Protocol):
    """Real images. Built as ``factory(**params)``; the constructor must not download or scan anything.

    Optional:

    - ``tensors()`` returns all images (uint8 [n c h w], all of the spec's size) and labels (int64 [n]) of a dataset
      that is in memory.
    - ``labels`` has all labels [n], so that images need not be decoded for them.
    - ``describe()`` returns a `DataDescription` once the data are prepared. A dataset reports what it found and left
      out there, and not with Python's ``warnings``.
    - ``fingerprint()`` returns a short string that identifies the content, such as a SHA-256 of names and bytes, and
      that does not depend on the path or on times. It must be cheap. A run compares it when it is resumed, and decoded
      images are kept on disk under it. Without it, gankit hashes ``tensors()``, or the labels and a few items.
    """

    split: str
    """The name of the split, such as ``train``."""

    @property
    def spec(self) -> ImageSpec:
        """Channels and size (or `ImageSpec.any_size`), known before `prepare`. ``classes`` is 0."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Class names in the order of the labels; None for unlabelled data; empty if only `prepare` can find them."""

    def prepare(self) -> None:
        """Download, verify and scan the data. It may take a parameter ``report``, a `Report`. Raises: DataError."""

    def __len__(self) -> int:
        """The number of images, known after `prepare`."""

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image uint8 [c h w] and label of item ``index``; they must depend on ``index`` only.

        The image may also be a PIL image, or an array uint8 [h w c] (or [h w] for one channel), and the label any
        integer, also as a tensor or array without dimensions. Without `classes` the label may be None, or the item the
        image alone.
        """


class Latent(Protocol):
    """The distribution of the latents. Built as ``factory(dim, **params)``; ``dim`` is the recipe's ``latent.dim``.

    Optional methods:

    - ``between(start, end, share)`` interpolates between latents [n d] and returns latents [n d]; ``share`` in [0, 1]
      is 0 at ``start``. Without it, gankit uses spherical interpolation, which suits normally distributed latents.
    - ``after(turn)``, as for a `Regularizer`.
    """

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Draw latents. All random numbers must come from ``generator``: the same seed gives the same latents.

        Args:
            n: the number of latents; in training, of all processes together.
            labels: int64 [n]; None if the run is unconditional.
            generator: on the training device in training, on the CPU otherwise.

        Returns:
            Latents [n d], floating-point, on the device of ``generator``.
        """


class State(Protocol):
    """The networks, optimizers and counters of a run."""

    generator: torch.nn.Module
    discriminator: torch.nn.Module
    step: int
    """Completed steps. A step updates G once."""
    images: int
    """Real images that D has seen."""
    turns: dict[Player, int]
    """Turns that each player has taken, which lazy regularizers count."""

    @property
    def optimizers(self) -> Mapping[Player, torch.optim.Optimizer]:
        """Each player's optimizer. Its hooks (``register_step_pre_hook``) see the gradients of every update."""


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
        """Objects that `run_on_all_ranks` keeps between calls on each rank. Use keys that are unique to your plugin."""

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
        """A `TrainedGenerator` with a copy of G on ``device``; its ``update()`` copies the current weights again.

        Args:
            device: of the copy.
            ema: copy the EMA's weights if the run has an EMA.
        """

    def log(self, event: Event | Mapping[str, Any]) -> None:
        """Append an event to ``events.jsonl``."""

    def sample(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """Generate images, from the EMA if the run has one.

        Args:
            count: the number of images.
            seed: of the latents and labels. Each seed gives the same latents throughout the run.
            labels: ``count`` labels; None draws them with the class frequencies of the data.
            options: sampling options of the generator (see `Generator.forward`).

        Returns:
            uint8 [count c h w] on the CPU.

        Raises:
            ValueError: the labels do not fit the run.
        """

    def generate(self, count: int, seed: int = 0, labels: Sequence[int] | None = None, **options: Any) -> Tensor:
        """The images of `sample` before they are clamped and quantized: fp32 [count c h w] on the CPU."""

    def augment(self, images: Tensor, seed: int = 0) -> Tensor:
        """Apply the run's augmentations in their current state, as for D.

        Args:
            images: [n c h w] in [-1, 1].
            seed: of the augmentations' random numbers.

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
        """Request a return to the last checkpoint. The steps since then are replayed, and the cause of a NaN is logged.

        Args:
            go_on: then continue from that checkpoint without the batch that led to the NaN; otherwise the run ends.
        """

    def save(self) -> None:
        """Request a checkpoint. Allowed in ``on_run_end`` too."""

    def stop(self, reason: str) -> None:
        """Request the end of the run, after this step. The first reason is recorded."""


class Callback(Protocol):
    """An observer of a run, called on rank 0. Built as ``factory(**params)``.

    It has one or more of the methods below; gankit refuses unknown ``on_*`` methods. An exception in a callback ends
    the run.

    A callback with ``state_dict`` and ``load_state_dict`` is saved in checkpoints and restored before ``on_run_start``.
    When a run returns to a checkpoint (`Run.recover`), its state is restored and ``on_run_start`` is called again.

    Optional: ``fits(registries, images)`` is called by ``gankit check`` with all components and the number of real
    images, None if that is not known yet. Raises: GankitError: the callback cannot work.
    """

    def on_run_start(self, run: Run) -> None:
        """Called before the first step of a new or resumed run."""

    def on_step_end(self, run: Run) -> None:
        """Called after each step. Reading values of ``run.scalars`` in every step slows training on a GPU."""

    def on_epoch_end(self, run: Run) -> None:
        """Called after ``on_step_end`` of the last step that began in an epoch."""

    def on_checkpoint(self, run: Run) -> None:
        """Called after a checkpoint has been written; ``run.checkpoint`` is its path."""

    def on_exception(self, run: Run) -> None:
        """Called when an exception ends the run."""

    def on_run_end(self, run: Run) -> None:
        """Called after the last step, before the final checkpoint."""


CALLBACK_METHODS = ("on_run_start", "on_step_end", "on_epoch_end", "on_checkpoint", "on_exception", "on_run_end")


class Features(Protocol):
    """A feature extractor for metrics. Built as ``factory(**params)``. Shapes: ``f`` features, ``k`` classes.

    If it is an `nn.Module`, gankit moves it to the device and sets eval mode.

    Optional:

    - ``logits(features)`` maps features [n f] to class logits [n k]. Metrics that use logits require it.
    - ``established`` maps scores to their usual names, such as ``{"fd": "FID"}``. Other scores are named after metric
      and extractor, such as ``fd_<extractor>``.
    """

    hash: str
    """SHA-256 of the weights, in hexadecimal."""

    resizer: str
    """A description of how images are resized for the network. It is recorded with the scores."""

    def __call__(self, images: Tensor) -> Tensor:
        """Compute features fp32 [n f] of images uint8 [n c h w]. Raises: ValueError: it does not support the images."""


class Metric(Protocol):
    """A score of generated images. Built anew for each evaluation as ``factory(**params)``.

    Optional:

    - ``better`` maps its scores to ``"lower"`` or ``"higher"``. A score that is missing in it does not rank runs.
      Without the attribute, lower is better for all scores.
    - ``require(real, generated)`` is called with the numbers of images before any is processed. Raises: ValueError:
      they are too few.
    - ``needs_real = False`` if the metric does not use real images.
    - ``caution()`` is called after `compute`. It returns a sentence if the scores are less reliable than usual, else
      None. The sentence is printed and recorded.
    """

    uses: Literal["features", "logits"]
    """The values passed to `update`."""

    def update(self, values: Tensor, real: bool) -> None:
        """Add a batch.

        Args:
            values: features [n f] or class logits [n k], fp32 on the CPU. Real images come first.
            real: whether the images are real.
        """

    def compute(self) -> Mapping[str, float]:
        """The scores by name. Raises: ValueError: there are too few images."""


GAME_KEYS = (
    "regularizers",
    "augmentations",
    "train.discriminator_steps",
    "train.fresh_fakes",
    "train.microbatch",
    "train.clip_gradient",
)
"""The keys of a recipe that have an effect only if the game uses them."""


class GameRules(Protocol):
    """A training algorithm, chosen by ``train.game``. Built as ``factory(**params)``.

    Optional:

    - ``honours`` lists the keys of `GAME_KEYS` that the game uses. ``gankit check`` refuses a recipe that sets another
      one. Without the attribute, the game uses none. `gankit.take_turn` applies ``regularizers``, ``augmentations``,
      ``train.microbatch`` and ``train.clip_gradient``; `gankit.adversarial_step` applies all of them.
    - ``after(turn)``, as for a `Regularizer`.
    """

    def step(self, game: Any, batches: Iterator[Batch], state: Any) -> Scalars:
        """Run one step, with one update of G.

        Args:
            game: the networks, loss, regularizers and augmentations. `gankit.take_turn` updates one player.
            batches: of real images, without end. Each batch that is taken counts towards ``state.images``.
            state: the run's `State`.

        Returns:
            The scalars of the step.
        """
