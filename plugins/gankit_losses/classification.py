"""Heads that tell classes apart: terms for both players, in conditional runs.

Shapes: ``n`` images, ``k`` classes, ``f`` features.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, relu

import gankit

from .discriminator_outputs import labels_of, require_outputs, required

Weight = Annotated[gankit.Scheduled, Field(ge=0)]
Cosine = Annotated[float, Field(ge=-1, le=1)]


class AuxiliaryClassifier:
    """ACGAN: D's ``class_logits`` [n k] tell the labels of reals, and G's fakes are to show theirs (arXiv 1610.09585).

    The paper's L_C, in D's turn, is of fakes too: ``fake_weight: 1``. Without, D learns classes from reals alone.

    Args:
        weight: on reals, in D's turn.
        fake_weight: on fakes, in D's turn.
        generator_weight: on fakes, in G's turn.
        interval: turns of a player from one application to the next.
    """

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        fake_weight: Weight = 0.0,
        generator_weight: Weight = 1.0,
        interval: PositiveInt = 1,
    ) -> None:
        self.weight = weight
        self.fake_weight = fake_weight
        self.generator_weight = generator_weight
        self.interval = interval

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        require_outputs(output, ["class_logits"], image, "auxiliary_classifier")

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        loss = self.weight * self._cross_entropy(turn, turn.real_output)
        return loss + self.fake_weight * self._cross_entropy(turn, turn.fake_output) if self.fake_weight else loss

    def generator(self, turn: gankit.Turn) -> Tensor:
        return self.generator_weight * self._cross_entropy(turn, turn.fake_output)

    def _cross_entropy(self, turn: gankit.Turn, output: object) -> Tensor:
        labels = labels_of(turn, "auxiliary_classifier")
        return cross_entropy(required(output, "class_logits", "auxiliary_classifier"), labels)


class Contrastive:
    """ContraGAN's 2C loss: embeddings near their label's and their class's, far from others (arXiv 2006.12681, eq. 8).

    On reals in D's turn, on fakes in G's; of D's ``embedding`` and ``label_embedding``, [n f] each, whose cosines are
    compared. An image meets those of its batch in its process alone, and of its part under ``train.microbatch``.

    Args:
        weight: lambda in the paper, for D.
        generator_weight: for G.
        temperature: t in the paper.
        interval: turns of a player from one application to the next.
    """

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        generator_weight: Weight = 1.0,
        temperature: PositiveFloat = 1.0,
        interval: PositiveInt = 1,
    ) -> None:
        self.weight = weight
        self.generator_weight = generator_weight
        self.temperature = temperature
        self.interval = interval

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        require_outputs(output, ["embedding", "label_embedding"], image, "contrastive")

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return self.weight * self._loss(turn, turn.real_output)

    def generator(self, turn: gankit.Turn) -> Tensor:
        return self.generator_weight * self._loss(turn, turn.fake_output)

    def _loss(self, turn: gankit.Turn, output: object) -> Tensor:
        own, others, alike = _cosines(turn, output, "contrastive")
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        logits = torch.cat([own[:, None], others.masked_fill(itself, -torch.inf)], dim=1) / self.temperature
        positive = torch.cat([torch.ones_like(alike[:, :1]), alike], dim=1)
        return (logits.logsumexp(1) - logits.masked_fill(~positive, -torch.inf).logsumexp(1)).mean()


class DataToData:
    """ReACGAN's data-to-data cross-entropy: each image to its label's embedding (arXiv 2111.01118, eq. 8).

    Images of other classes push it away. On reals in D's turn, on fakes in G's; of D's ``embedding`` and
    ``label_embedding``, [n f] each. Cosines above ``positive_margin`` and below ``negative_margin`` are good enough.
    An image meets those of its batch in its process alone, and of its part under ``train.microbatch``.

    Args:
        weight: lambda in the paper, for D.
        generator_weight: for G.
        temperature: tau in the paper.
        positive_margin: m_p in the paper.
        negative_margin: m_n in the paper.
        interval: turns of a player from one application to the next.
    """

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        generator_weight: Weight = 1.0,
        temperature: PositiveFloat = 0.5,
        positive_margin: Cosine = 0.98,
        negative_margin: Cosine = -0.02,
        interval: PositiveInt = 1,
    ) -> None:
        self.weight = weight
        self.generator_weight = generator_weight
        self.temperature = temperature
        self.positive_margin = positive_margin
        self.negative_margin = negative_margin
        self.interval = interval

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        require_outputs(output, ["embedding", "label_embedding"], image, "d2d_ce")

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return self.weight * self._loss(turn, turn.real_output)

    def generator(self, turn: gankit.Turn) -> Tensor:
        return self.generator_weight * self._loss(turn, turn.fake_output)

    def _loss(self, turn: gankit.Turn, output: object) -> Tensor:
        own, others, alike = _cosines(turn, output, "d2d_ce")
        lacking = -relu(self.positive_margin - own) / self.temperature
        pushing = relu(others - self.negative_margin).masked_fill(alike, -torch.inf) / self.temperature
        return (torch.cat([lacking[:, None], pushing], dim=1).logsumexp(1) - lacking).mean()


def _cosines(turn: gankit.Turn, output: object, regularizer: str) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image's embedding with its label's [n] and with each image's [n n]; which share the label [n n]."""
    labels = labels_of(turn, regularizer)
    images = normalize(required(output, "embedding", regularizer), dim=1)
    classes = normalize(required(output, "label_embedding", regularizer), dim=1)
    return (images * classes).sum(1), images @ images.T, labels[:, None] == labels
