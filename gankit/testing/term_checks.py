"""Checks of losses and regularizers, in a turn of each player outside of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..assembly import check_methods
from ..errors import GankitError
from ..game.returned_values import require_gradient, require_term
from ..interfaces import PLAYERS, ImageSpec, Player
from .turn import make_turn, require_argument

COUNT, LATENT_DIM = 6, 8


class SmallGenerator(nn.Module):
    """One linear layer and tanh."""

    def __init__(self, image: ImageSpec, latent_dim: int) -> None:
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.layer = nn.Linear(latent_dim, image.channels * int(image.height or 0) * int(image.width or 0))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] to images [n c h w] in [-1, 1]."""
        return torch.tanh(self.layer(z)).view(-1, *self.shape)


class SmallDiscriminator(nn.Module):
    """Two convolutions and a linear layer."""

    def __init__(self, image: ImageSpec) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(image.channels, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 8, 4, 2, 1), nn.SiLU()
        )
        self.layer = nn.Linear(8, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [n c h w] to logits [n]."""
        logits: Tensor = self.layer(self.features(images).mean(dim=(2, 3)))
        return logits.flatten()


def check_loss(
    loss: Any,
    image: ImageSpec | None = None,
    generator: Callable[..., nn.Module] = SmallGenerator,
    discriminator: Callable[..., nn.Module] = SmallDiscriminator,
) -> None:
    """Check that a loss gives each player a finite 0-d tensor with a gradient.

    Args:
        loss: an instance.
        image: of the turn; by default, 16x16 with 3 channels and without classes.
        generator: the class of G, or a function that builds it.
        discriminator: the same for D, which a loss may expect to return more than logits.
    """
    require_argument(not isinstance(loss, type), f"the class {loss!r} was given; expected an instance")
    try:
        check_methods.check_loss(loss, PLAYERS)
    except (GankitError, ValueError) as error:
        raise AssertionError(str(error)) from None
    for player in PLAYERS:
        _check_term(loss, player, image, generator, discriminator)


def check_regularizer(
    regularizer: Any,
    image: ImageSpec | None = None,
    generator: Callable[..., nn.Module] = SmallGenerator,
    discriminator: Callable[..., nn.Module] = SmallDiscriminator,
) -> None:
    """Check that a regularizer gives a finite 0-d tensor with a gradient to each player that it acts on.

    The arguments are those of `check_loss`.

    Raises:
        ValueError: its ``fits`` refuses the networks: pass others.
    """
    require_argument(not isinstance(regularizer, type), f"the class {regularizer!r} was given; expected an instance")
    try:
        check_methods.checked_regularizer(regularizer, PLAYERS)
    except (GankitError, ValueError) as error:
        raise AssertionError(str(error)) from None
    image = image or ImageSpec(16, 16, 3)
    if hasattr(regularizer, "fits"):
        network = discriminator(image)
        labels = torch.arange(2) % image.classes if image.classes else None
        output = network(torch.zeros(2, image.channels, image.height, image.width), labels)
        regularizer.fits(generator(image, LATENT_DIM), output, image)
    for player in PLAYERS:
        if hasattr(regularizer, player):
            _check_term(regularizer, player, image, generator, discriminator)


def _check_term(
    component: Any,
    player: Player,
    image: ImageSpec | None,
    generator: Callable[..., nn.Module],
    discriminator: Callable[..., nn.Module],
) -> None:
    image = image or ImageSpec(16, 16, 3)
    real = torch.rand(COUNT, image.channels, int(image.height or 0), int(image.width or 0)) * 2 - 1
    labels = torch.arange(COUNT) % image.classes if image.classes else None
    networks = {"generator": generator(image, LATENT_DIM), "discriminator": discriminator(image)}
    turn = make_turn(
        player, networks["generator"], networks["discriminator"], real, latent_dim=LATENT_DIM, labels=labels
    )
    try:
        term = require_term(getattr(component, player)(turn), component, player)
        require_gradient(term, [f"{type(component).__name__}.{player}"], player)
    except GankitError as error:
        raise AssertionError(str(error)) from None
    assert bool(term.isfinite()), f"{player} returns {float(term.detach())}; expected a finite number"
    own = [*component.parameters()] if isinstance(component, nn.Module) else []
    weights = [*networks[player].parameters(), *own]
    gradients = [found for found in torch.autograd.grad(term, weights, allow_unused=True) if found is not None]
    assert gradients, f"the gradient of {player} does not reach the {player}"
    assert all(bool(gradient.isfinite().all()) for gradient in gradients), f"the gradient of {player} is not finite"
