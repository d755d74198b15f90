"""`gankit.Game`, the base class of training algorithms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn

from ..errors import GankitError
from ..interfaces import GAME_KEYS, Batch, GeneratorOutput, Inputs, Player, Scalars, State, Turn
from .freezing import frozen
from .lazy_regularization import due_regularizers, interval_of
from .step_context import Fakes, StepContext
from .update import Terms, regularizer_terms, turn_loss, turn_terms, update


class Game:
    """A training algorithm, chosen by ``train.game``. A subclass writes `step` with the services of this class.

    The constructor has keyword-only parameters alone, which the recipe sets. ``gankit check`` calls it too; what only
    training needs is created in `setup`.

    Example:
        >>> class TwoTurnsOfG(gankit.Game):
        ...     def step(self):
        ...         scalars = self.update("discriminator", self.next_batch())
        ...         for _ in range(2):
        ...             scalars |= self.update("generator", self.next_batch())
        ...         return scalars

    Optional: ``after(turn)``; ``state_dict`` and ``load_state_dict``, for checkpoints.

    Attributes:
        players: the players, each with a network and an optimizer. A game of ``("generator",)`` alone, such as the
            training of a diffusion model, has no discriminator and no loss: it defines `terms` or passes them to
            `update`.
        honours: the keys of `GAME_KEYS` that have an effect in this game. ``gankit check`` refuses a recipe that sets
            another one. `update` and `terms` apply the first five.
        whole_batch: whether the terms of the game need the whole batch, such as a contrastive loss that compares its
            images with each other. ``gankit check`` then refuses ``train.microbatch``.
    """

    players: ClassVar[Sequence[Player]] = ("generator", "discriminator")
    honours: ClassVar[Sequence[str]] = (
        "loss",
        "regularizers",
        "augmentations",
        "train.microbatch",
        "train.clip_gradient",
    )

    whole_batch: ClassVar[bool] = False

    _context: StepContext | None = None
    _state: State | None = None
    _batches: Iterator[Batch] | None = None

    def setup(self) -> None:
        """Called once before training, when the networks exist: create teachers, pools and the like."""

    def step(self) -> Scalars:
        """Run one training step, with one or more updates. Returns: its scalars by name, 0-d tensors."""
        raise NotImplementedError(f"{type(self).__name__} lacks `step`")

    def terms(self, turn: Turn) -> Mapping[str, Tensor]:
        """What a player minimizes in every turn: scalars by name, which are added.

        By default, these are the loss (under ``generator_loss`` or ``discriminator_loss``) and the regularizers that
        are due in every turn. Lazy regularizers run in any case.
        """
        return turn_terms(self.context, self.state, turn)

    def generate(self, generator: nn.Module, inputs: Inputs, **options: Any) -> GeneratorOutput:
        """Generate samples, in eval mode and without gradients. By default, G runs once.

        Samples, evaluations and `gankit.load_generator` call it with G or its EMA. It must not use the state of the
        run. The keyword-only parameters of a game's own ``generate`` are sampling options, as those of
        `Generator.forward` are otherwise.

        Args:
            generator: the network.
            inputs: what the samples are generated from.
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
        """Generate an image for each item of a batch, for its labels and fields.

        Args:
            batch: of real images.
            graph: keep the autograd graph, which an update of G on these fakes needs.

        Returns:
            The images [n c h w] and their latents [n d]. They may serve one update of D and then one of G.
        """
        return self.context.draw_fakes(batch, graph)

    def loss(self, turn: Turn) -> Tensor:
        """The recipe's loss for the turn's player, summed over the heads of D."""
        return turn_loss(self.context, turn)

    def update(
        self, player: Player, batch: Batch, terms: Terms | None = None, fakes: Fakes | Tensor | None = None
    ) -> Scalars:
        """One turn of a player: an optimizer step on its terms, then one for each lazy regularizer that is due.

        This applies microbatches, precision, augmentations, clipping, averaging over processes and ``after(turn)``.

        Args:
            player: ``generator`` or ``discriminator``. In a turn of G, what D's optimizer trains is frozen.
            batch: of real images.
            terms: called with the turn in place of `terms`.
            fakes: images of `draw_fakes` for this batch, or other images [n c h w] for a turn of D, such as earlier
                ones; None generates new ones.

        Returns:
            The value of each term and D's mean logits, as means over all processes.
        """
        context, state = self.context, self.state
        joint, lazy = due_regularizers(context.regularizers, player, state.turns[player])
        own = terms or self.terms
        if isinstance(fakes, Tensor):
            fakes = Fakes(fakes, fakes.new_empty(len(fakes), 0), fakes)
        penalties = bool(joint) or terms is not None or type(self).terms is not Game.terms
        opponent = state.trained.get("discriminator", {}) if player == "generator" else {}
        with frozen(nn.ModuleList(opponent.values())):
            scalars = update(context, state, player, batch, own, fakes=fakes, penalties=penalties)
            reusable = fakes if player == "discriminator" else None  # G's first update has freed the graph of its fakes
            for name, regularizer in lazy.items():
                scalars |= update(
                    context,
                    state,
                    player,
                    batch,
                    regularizer_terms(name, regularizer),
                    fakes=reusable,
                    penalties=True,
                    lazy_scale=interval_of(regularizer),
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
        """``train.discriminator_steps``, for games that honour it."""
        return self.context.discriminator_steps

    @property
    def shares_fakes(self) -> bool:
        """Whether fakes of D's turn may serve G's turn too: not with ``train.fresh_fakes`` or ``train.microbatch``."""
        return not self.context.fresh_fakes and self.context.microbatch is None

    @property
    def state(self) -> State:
        """The networks, optimizers and counters of the run."""
        if self._state is None:
            raise GankitError(
                f"{type(self).__name__} is not part of a run yet; use `setup` for what needs the networks"
            )
        return self._state

    @property
    def context(self) -> StepContext:
        """Everything that a step works with."""
        if self._context is None:
            raise GankitError(
                f"{type(self).__name__} is not part of a run yet; use `setup` for what needs the networks"
            )
        return self._context

    def join(self, context: StepContext, state: State) -> None:
        """Make the game part of a run. gankit calls this."""
        self._context, self._state = context, state
        self.setup()

    def play(self, batches: Iterator[Batch]) -> Any:
        """Run one step on these batches. gankit calls this."""
        self._batches = batches
        try:
            return self.step()
        finally:
            self._batches = None


def has_own_generate(game: Game) -> bool:
    """Whether samples come from a method of the game, and not from one forward of G."""
    return type(game).generate is not Game.generate


class Adversarial(Game):
    """The adversarial game (arXiv 1406.2661): ``discriminator_steps`` turns of D, then one turn of G.

    The last fakes that D saw serve G's turn as well, which saves one forward of G.
    """

    honours = GAME_KEYS

    def step(self) -> Scalars:
        """One update of G."""
        scalars: Scalars = {}
        for turn in range(self.discriminator_steps):
            batch = self.next_batch()
            is_last = turn == self.discriminator_steps - 1
            fakes = self.draw_fakes(batch) if is_last and self.shares_fakes else None
            scalars |= self.update("discriminator", batch, fakes=fakes)
        return scalars | self.update("generator", batch, fakes=fakes)
