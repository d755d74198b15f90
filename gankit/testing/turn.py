"""A turn outside of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ..calls import described
from ..device.engine import Engine
from ..distributed.processes import Processes
from ..game.outputs import images_of, in_full_precision
from ..game.step_context import Fakes, StepContext
from ..game.turn import PlayerTurn
from ..interfaces import PLAYERS, Batch, Player
from ..messages import one_line


def make_turn(
    player: Player,
    generator: Callable[..., Tensor],
    discriminator: Callable[..., Any],
    real: Tensor,
    *,
    latents: Tensor | None = None,
    latent_dim: int = 4,
    labels: Tensor | None = None,
    fields: Mapping[str, Tensor] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    images_seen: int = 0,
    leaves: bool = True,
) -> PlayerTurn:
    """Create a turn outside of a run, on the CPU, to test a loss or a regularizer.

    Example:
        >>> image = gankit.ImageSpec(16, 16, 3)
        >>> generator, discriminator = MyGenerator(image, 64), MyDiscriminator(image)
        >>> turn = make_turn("discriminator", generator, discriminator, torch.randn(8, 3, 16, 16), latent_dim=64)
        >>> MyLoss().discriminator(turn).backward()

    Args:
        player: ``discriminator`` or ``generator``.
        generator: a module or function that maps latents [n d] and labels, if there are any, to images [n c h w].
        discriminator: a module or function that maps images and labels, if there are any, to D's output.
        real: real images [n c h w] in [-1, 1], fp32 or fp64; the turn uses their dtype.
        latents: [n d], which ``fake`` is generated from; None draws normally distributed ones.
        latent_dim: dimensions of the latents if ``latents`` are not given: the ``latent_dim`` that the generator was
            built with.
        labels: [n], or None.
        fields: additional fields of the data by name, [n ...] each, which the networks can take as parameters.
        augment: a module or function that augments all images that D receives.
        images_seen: the turn's ``images_seen``.
        leaves: in D's turn, make ``real`` and ``fake`` require gradients, as for gradient penalties.

    Raises:
        TypeError: an argument is not as described, or the generator does not accept the latents.
    """
    require_argument(player in PLAYERS, f"player is {player!r}; expected {' or '.join(map(repr, PLAYERS))}")
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        require_argument(not isinstance(network, type), f"{name} is the class {network!r}; expected an instance")
    require_argument(
        isinstance(real, Tensor) and real.dim() == 4 and real.is_floating_point(),
        f"real is {described(real)}; expected floating-point images [n c h w]",
    )
    z = latents if latents is not None else torch.randn(len(real), latent_dim, dtype=real.dtype)
    for name, rows in (("latents", z), ("labels", labels), *(fields or {}).items()):
        require_argument(
            rows is None or len(rows) == len(real), f"{name} are {described(rows)} for {len(real)} real images"
        )
    latent: Any = SimpleNamespace(sample=lambda n, labels, generator: torch.randn(n, z.shape[1], generator=generator))
    loss: Any = SimpleNamespace(discriminator=lambda turn: torch.zeros(()), generator=lambda turn: torch.zeros(()))
    context = StepContext(
        players={"generator": _module(generator), "discriminator": _module(discriminator)},
        latent=latent,
        loss=loss,
        regularizers={},
        augmentations=[_module(augment)] if augment else [],
        engine=Engine(torch.device("cpu"), "fp64" if real.dtype == torch.float64 else "fp32"),
        random=torch.Generator(),
        processes=Processes(),
        fields=[*(fields or {})],
    )
    batch = Batch(real, labels, dict(fields or {}))
    try:
        output = context.generator(*context.arguments("generator", batch, z=z))
    except Exception as error:
        raise TypeError(
            f"the generator fails on latents {described(z)}: {type(error).__name__}: {one_line(error)}; "
            "latent_dim (or latents) should have the dimensions that it was built for"
        ) from error
    images = images_of(output)
    require_argument(
        isinstance(images, Tensor), f"the generator returns {described(images)}; expected images [n c h w]"
    )
    output = in_full_precision(output, context.engine.dtype)
    fakes = Fakes(images_of(output), z, output)
    return PlayerTurn(context, player, batch, images_seen=images_seen, fakes=fakes, penalties=leaves)


def require_argument(condition: bool, message: str) -> None:
    """Raises: TypeError: the condition does not hold."""
    if not condition:
        raise TypeError(message)


class _Function(nn.Module):
    """A function as a module. It receives labels only if there are any."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor, *rest: Any) -> Any:
        return self.function(images, *(argument for argument in rest if argument is not None))


def _module(function: Callable[..., Any]) -> nn.Module:
    takes_labels = isinstance(function, nn.Module) and not isinstance(function, nn.Sequential)
    return function if takes_labels else _Function(function)  # type: ignore[return-value]
