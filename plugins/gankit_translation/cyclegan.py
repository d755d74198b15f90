"""The game of CycleGAN (arXiv 1703.10593): two generators and two discriminators, without pairs."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import NonNegativeInt
from torch import Tensor

import gankit

from .image_pool import ImagePool


class CycleGAN(gankit.Game):
    """CycleGAN (arXiv 1703.10593): translation in both directions between data that are not paired.

    A step is one update of both generators on a batch, then one of both discriminators on the same batch. The loss of
    the recipe is applied in both directions (section 3.1). The regularizers ``cycle`` and ``identity`` tie the
    directions to each other (section 3.2 and 5.2). Regularizers of D, such as ``r1``, apply to ``of_images`` only.

    G is ``two_translators`` or another network with the attributes ``to_image`` and ``to_source``, which returns both
    translations as ``images`` and ``sources``. D has ``of_images`` and ``of_sources``.

    Args:
        pool: number of translations of each direction that are kept, and shown to D later in place of new ones.
    """

    def __init__(self, *, pool: NonNegativeInt = 50) -> None:
        self._pools = {"images": ImagePool(pool), "sources": ImagePool(pool)}
        self._shown: dict[str, Tensor] = {}

    def step(self) -> gankit.Scalars:
        """One update of each player."""
        batch = self.next_batch()
        scalars = self.update("generator", batch)
        images, sources = self._shown["images"], self._shown["sources"]
        return scalars | self.update("discriminator", batch.replace(translated=sources), fakes=images)

    def terms(self, turn: gankit.Turn) -> Mapping[str, Tensor]:
        """The loss in both directions, and the regularizers."""
        fake = _translations(turn)["sources"] if turn.player == "generator" else turn["translated"]
        sources = turn.judged_by(turn.discriminator.of_sources, turn["source"], fake)  # type: ignore[arg-type]
        return {**super().terms(turn), f"source_{turn.player}_loss": self.loss(sources)}

    def after(self, turn: gankit.Turn) -> None:
        """Exchange the translations of G's turn for earlier ones, with the same pools in all processes."""
        if turn.player == "discriminator":
            return
        translations, chances = _translations(turn), turn.gather(turn.uniform(len(self._pools), 2))
        for index, (name, pool) in enumerate(self._pools.items()):
            shown = pool.exchange(turn.gather(translations[name]), chances[:, index])
            self._shown[name] = self.context.processes.local_rows(shown)

    def state_dict(self) -> dict[str, Tensor]:
        """The images of both pools."""
        return {name: pool.images for name, pool in self._pools.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the images of both pools, which come on the CPU."""
        device = next(self.generator.parameters()).device
        for name, pool in self._pools.items():
            pool.images = state[name].to(device)


def _translations(turn: gankit.Turn) -> Mapping[str, Tensor]:
    """Both translations of G. Raises: gankit.GankitError: it did not return them."""
    made = turn.generated
    if not isinstance(made, Mapping) or "sources" not in made:
        raise gankit.GankitError(
            f"{type(turn.generator).__name__} returns no 'sources', the translations of the images to sources; "
            "the game 'cyclegan' needs a generator such as two_translators"
        )
    return made
