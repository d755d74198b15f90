"""`gankit.Game`, the base class of training algorithms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import GankitError
from ..interfaces import GAME_KEYS, Batch, GeneratorOutput, Inputs, Player, Scalars, State, Turn
from ..registered_component import Params
from ..registry import signature_schema
from .backward import PlayerUpdate, Terms
from .freezing import frozen
from .lazy_regularization import due_regularizers, interval_of
from .optimizer_step import optimizer_step, regularizer_terms, turn_loss, turn_terms
from .step_context import Fakes, StepContext


class Game:
    """A training algorithm, selected by ``train.game``. A subclass defines `step` and uses the methods of this class.

    A *player* is a network with its optimizer: the generator or the discriminator. A *turn* is one update of a player,
    which minimizes the sum of its *terms*.

    The constructor has only keyword-only parameters, which the recipe sets. ``gankit check`` calls it too. Create
    objects that only training needs, such as teachers, in `setup`.

    Example:
        >>> class TwoTurnsOfG(gankit.Game):
        ...     def step(self):
        ...         scalars = self.update("discriminator", self.next_batch())
        ...         for _ in range(2):
        ...             scalars |= self.update("generator", self.next_batch())
        ...         return scalars

    Optional: ``after(turn)``; ``state_dict`` and ``load_state_dict``, for checkpoints.

    Attributes:
        players: the players of the game. With ``("generator",)``, as for the training of a diffusion model, the recipe
            has neither a discriminator nor a loss. The game defines `terms`, or passes terms to `update`.
        honours: the keys of `GAME_KEYS` that have an effect in this game. ``gankit check`` refuses a recipe that sets
            one of the other keys. By default, they are the keys that `update` and `terms` use.
        whole_batch: whether the terms compare the images of a batch with each other, as a contrastive loss does.
            ``gankit check`` then refuses ``train.microbatch``.
    """

    players: ClassVar[Sequence[Player]] = ("generator", "discriminator")
    honours: ClassVar[Sequence[str]] = (
        "loss",
        "regularizers",
        "augmentations",
        "train.joint_pass",
        "train.microbatch",
        "train.clip_gradient",
    )

    whole_batch: ClassVar[bool] = False

    _context: StepContext | None = None
    _state: State | None = None
    _batches: Iterator[Batch] | None = None

    def setup(self) -> None:
        """Called once before training, after the networks are built. Override it to create teachers or pools."""

    def step(self) -> Scalars:
        """Run one training step with one or more turns. Returns: 0-d tensors by name, which are logged."""
        raise NotImplementedError(f"{type(self).__name__} lacks `step`")

    def terms(self, turn: Turn) -> Mapping[str, Tensor]:
        """The terms of a turn: scalars by name, whose sum the player minimizes.

        By default, these are the loss (``generator_loss`` or ``discriminator_loss``) and the regularizers with an
        interval of 1. Lazy regularizers run independently of this method.
        """
        return turn_terms(self.context, self.state, turn)

    def generate(self, generator: nn.Module, inputs: Inputs, **options: Any) -> GeneratorOutput:
        """Generate samples, in eval mode and without gradients. By default, this is one forward pass of G.

        gankit calls it with G or its EMA for samples during training, for evaluations and in `gankit.load_generator`.
        It must not use the state of the run. If a game overrides it, its keyword-only parameters are the sampling
        options. Otherwise, the sampling options are those of `Generator.forward`.

        Args:
            generator: the network.
            inputs: the inputs that the samples are generated from.
            options: sampling options.

        Returns:
            Images [n c h w] in about [-1, 1], or a mapping with these under ``images``.
        """
        return inputs.run(generator, **options)

    if TYPE_CHECKING:

        def after(self, turn: Turn, /) -> Mapping[str, Tensor] | None:
            """Called after each turn, as for a `Regularizer`."""

    def next_batch(self) -> Batch:
        """The next batch of real images. Each batch counts towards ``state.images``."""
        if self._batches is None:
            raise GankitError(f"{type(self).__name__}.next_batch() is available in step() only")
        return next(self._batches)

    def draw_fakes(self, batch: Batch, graph: bool = True) -> Fakes:
        """Generate one image for each item of a batch, with its labels and fields as inputs.

        Args:
            batch: a batch of real images.
            graph: keep the autograd graph, which an update of G on these images needs.

        Returns:
            The images [n c h w], their latents [n d], and the complete output of G. Pass them to `update` as ``fakes``
            to use the same images in a turn of D and in the following turn of G.
        """
        return self.context.draw_fakes_for_turns(batch, graph)

    def loss(self, turn: Turn) -> Tensor:
        """Compute the recipe's loss for the player of the turn, summed over the heads of D."""
        return turn_loss(self.context, turn)

    def update(
        self, player: Player, batch: Batch, terms: Terms | None = None, fakes: Fakes | Tensor | None = None
    ) -> Scalars:
        """Run one turn of a player: an optimizer step on its terms, then one for each lazy regularizer that is due.

        This handles microbatches, precision, augmentations, clipping and averaging over processes, and calls
        ``after(turn)``.

        Args:
            player: ``generator`` or ``discriminator``. In a turn of G, the parameters that D's optimizer trains are
                frozen.
            batch: a batch of real images.
            terms: a function that is called with the turn instead of the method `terms`.
            fakes: images from `draw_fakes` for this batch, or in a turn of D other images [n c h w], such as those of
                earlier steps; None generates new ones for the turn.

        Returns:
            The value of each term and D's mean logits, as means over all processes.
        """
        context, state = self.context, self.state
        if player not in state.optimizers:
            known = " and ".join(repr(name) for name in state.optimizers)
            raise GankitError(f"{type(self).__name__}: update of {player!r}; the players of this run are {known}")
        joint, lazy = due_regularizers(context.regularizers, player, state.turns[player])
        if isinstance(fakes, Tensor):
            fakes = Fakes(fakes, fakes.new_empty(len(fakes), 0), fakes)
        penalties = bool(joint) or terms is not None or type(self).terms is not Game.terms
        opponent = state.trained.get("discriminator", {}) if player == "generator" else {}
        with frozen(nn.ModuleList(opponent.values())):
            graph_name = "terms" if terms is None else None
            first = PlayerUpdate(context, state, player, terms or self.terms, batch, fakes, penalties, graph_name)
            scalars = optimizer_step(first)
            reusable = fakes if player == "discriminator" else None  # G's first update has freed the graph of its fakes
            for name, regularizer in lazy.items():
                own, interval = regularizer_terms(name, regularizer), interval_of(regularizer)
                scalars |= optimizer_step(
                    PlayerUpdate(context, state, player, own, batch, reusable, True, name, interval)
                )
        state.turns[player] += 1
        return scalars

    @property
    def generator(self) -> nn.Module:
        """The network G."""
        return self.context.generator

    @property
    def discriminator(self) -> nn.Module:
        """The network D. Raises: GankitError: the game has no discriminator."""
        return self.context.discriminator

    @property
    def discriminator_steps(self) -> int:
        """The value of ``train.discriminator_steps``."""
        return self.context.discriminator_steps

    @property
    def shares_fakes(self) -> bool:
        """Whether G's turn can use the images that were generated for D's turn.

        False if the recipe sets ``train.fresh_fakes`` or ``train.microbatch``.
        """
        return not self.context.fresh_fakes and self.context.microbatch is None

    @property
    def state(self) -> State:
        """The networks, optimizers and counters of the run."""
        if self._state is None:
            raise self._not_in_run()
        return self._state

    @property
    def context(self) -> StepContext:
        """Everything that a step works with."""
        if self._context is None:
            raise self._not_in_run()
        return self._context

    def _not_in_run(self) -> GankitError:
        name = type(self).__name__
        return GankitError(f"{name} is not part of a run yet; use `setup` for what needs the networks")


# functions, so that a game may have attributes of these names


def join_run(game: Game, context: StepContext, state: State) -> None:
    """Make the game part of a run, and call its `setup`."""
    game._context, game._state = context, state
    game.setup()


def play_step(game: Game, batches: Iterator[Batch]) -> Any:
    """Run one step of the game on these batches."""
    game._batches = batches
    try:
        return game.step()
    finally:
        game._batches = None


def has_own_generate(game: Game) -> bool:
    """Whether the game overrides `Game.generate`."""
    return type(game).generate is not Game.generate


def sampling_options(game: Game, generator: nn.Module) -> type[Params]:
    """The schema of the sampling options: the keyword-only parameters of ``forward``, or of the game's own `generate`.

    Raises:
        RegistrationError: one of them lacks an annotation, or has an unusable one.
    """
    function, owner = (game.generate, game) if has_own_generate(game) else (generator.forward, generator)
    where = f"{type(owner).__name__}.{getattr(function, '__name__', 'forward')}"
    return signature_schema(function, ("z",), where, ignore_variable=True)


class Adversarial(Game):
    """The adversarial game (arXiv 1406.2661): ``discriminator_steps`` turns of D, then one turn of G.

    G's turn uses the images that were generated for D's last turn, which saves one forward pass of G.
    """

    honours = GAME_KEYS

    def step(self) -> Scalars:
        """Run ``discriminator_steps`` turns of D and one turn of G."""
        scalars: Scalars = {}
        for turn in range(self.discriminator_steps):
            batch = self.next_batch()
            is_last = turn == self.discriminator_steps - 1
            shown = self.shown_to_discriminator(batch)
            fakes = self.draw_fakes(batch) if is_last and self.shares_fakes else None
            scalars = _with_latest(scalars, self.update("discriminator", shown, fakes=fakes))
        return scalars | self.update("generator", batch, fakes=fakes)

    def shown_to_discriminator(self, batch: Batch) -> Batch:
        """The batch of D's turn, which a subclass may change. By default, it is the batch itself."""
        return batch


def _with_latest(scalars: Scalars, latest: Scalars) -> Scalars:
    """The scalars of several turns: the latest values, but NaN and infinity of an earlier turn stay to be noticed."""
    both = scalars.keys() & latest.keys()
    kept = {name: torch.where(scalars[name].isfinite(), latest[name], scalars[name]) for name in both}
    return scalars | latest | kept
