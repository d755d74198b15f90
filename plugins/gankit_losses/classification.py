"""Classification losses of conditional runs, for both players.

Shapes: ``n`` images, ``k`` classes, ``f`` features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize, relu

import gankit

from .discriminator_outputs import labels_of, require_outputs, required

Weight = Annotated[gankit.Scheduled, Field(ge=0)]
Cosine = Annotated[float, Field(ge=-1, le=1)]


class _ClassificationLoss:
    """A weighted term on reals in D's turn and on fakes in G's.

    Attributes:
        name: in recipes, for messages.
        outputs: the tensors that D must return.
    """

    name: str
    outputs: Sequence[str]

    def __init__(self, weight: float, generator_weight: float, interval: int) -> None:
        self.weight, self.generator_weight, self.interval = weight, generator_weight, interval

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        require_outputs(output, self.outputs, image, self.name)

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        return self.weight * self._loss(turn, turn.real_output)

    def generator(self, turn: gankit.Turn) -> Tensor:
        return self.generator_weight * self._loss(turn, turn.fake_output)

    def _loss(self, turn: gankit.Turn, output: object) -> Tensor:
        raise NotImplementedError


class AuxiliaryClassifier(_ClassificationLoss):
    """ACGAN: cross-entropy of D's ``class_logits`` [n k], on reals for D and on fakes for G (arXiv 1610.09585).

    The paper's L_C trains D on fakes too: ``fake_weight: 1``. By default D learns classes from reals only.

    Args:
        weight: on reals, in D's turn.
        fake_weight: on fakes, in D's turn.
        generator_weight: on fakes, in G's turn.
        interval: turns of a player between applications.
    """

    name, outputs = "auxiliary_classifier", ("class_logits",)

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        fake_weight: Weight = 0.0,
        generator_weight: Weight = 1.0,
        interval: PositiveInt = 1,
    ) -> None:
        super().__init__(weight, generator_weight, interval)
        self.fake_weight = fake_weight

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        loss = super().discriminator(turn)
        return loss + self.fake_weight * self._loss(turn, turn.fake_output) if self.fake_weight else loss

    def _loss(self, turn: gankit.Turn, output: object) -> Tensor:
        labels = labels_of(turn, self.name)
        return cross_entropy(required(output, "class_logits", self.name), labels)


class _EmbeddingLoss(_ClassificationLoss):
    outputs = ("embedding", "label_embedding")

    def _cosines(self, turn: gankit.Turn, output: object) -> tuple[Tensor, Tensor, Tensor]:
        """Cosines of each image's embedding with its label's [n] and with each image's [n n]; equal labels [n n]."""
        labels = labels_of(turn, self.name)
        images = normalize(required(output, "embedding", self.name), dim=1)
        classes = normalize(required(output, "label_embedding", self.name), dim=1)
        return (images * classes).sum(1), images @ images.T, labels[:, None] == labels


class Contrastive(_EmbeddingLoss):
    """ContraGAN's 2C loss: pulls an image's embedding to its label's and to its class's (arXiv 2006.12681, eq. 8).

    It compares the cosines of D's ``embedding`` and ``label_embedding``, [n f] each, on reals in D's turn and on fakes
    in G's. An image is compared with the images of its process and, under ``train.microbatch``, of its microbatch.

    Args:
        weight: lambda in the paper, for D.
        generator_weight: lambda for G.
        temperature: t in the paper.
        interval: turns of a player between applications.
    """

    name = "contrastive"

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        generator_weight: Weight = 1.0,
        temperature: PositiveFloat = 1.0,
        interval: PositiveInt = 1,
    ) -> None:
        super().__init__(weight, generator_weight, interval)
        self.temperature = temperature

    def _loss(self, turn: gankit.Turn, output: object) -> Tensor:
        own, others, same_class = self._cosines(turn, output)
        itself = torch.eye(len(own), dtype=torch.bool, device=own.device)
        logits = torch.cat([own[:, None], others.masked_fill(itself, -torch.inf)], dim=1) / self.temperature
        positive = torch.cat([torch.ones_like(same_class[:, :1]), same_class], dim=1)
        return (logits.logsumexp(1) - logits.masked_fill(~positive, -torch.inf).logsumexp(1)).mean()


class DataToData(_EmbeddingLoss):
    """ReACGAN's data-to-data cross-entropy of D's embeddings (arXiv 2111.01118, eq. 8).

    It pulls an image's embedding to its label's, and pushes it away from images of other classes. It compares the
    cosines of D's ``embedding`` and ``label_embedding``, [n f] each, on reals in D's turn and on fakes in G's. Cosines
    above ``positive_margin`` (own label) and below ``negative_margin`` (other classes) have no loss. An image is
    compared with the images of its process and, under ``train.microbatch``, of its microbatch.

    Args:
        weight: lambda in the paper, for D.
        generator_weight: lambda for G.
        temperature: tau in the paper.
        positive_margin: m_p in the paper.
        negative_margin: m_n in the paper, which is 1 - m_p in the authors' code.
        interval: turns of a player between applications.
    """

    name = "d2d_ce"

    def __init__(
        self,
        *,
        weight: Weight = 1.0,
        generator_weight: Weight = 1.0,
        temperature: PositiveFloat = 0.5,
        positive_margin: Cosine = 0.98,
        negative_margin: Cosine = 0.02,
        interval: PositiveInt = 1,
    ) -> None:
        super().__init__(weight, generator_weight, interval)
        self.temperature = temperature
        self.positive_margin, self.negative_margin = positive_margin, negative_margin

    def _loss(self, turn: gankit.Turn, output: object) -> Tensor:
        own, others, same_class = self._cosines(turn, output)
        attraction = -relu(self.positive_margin - own) / self.temperature
        repulsion = relu(others - self.negative_margin).masked_fill(same_class, -torch.inf) / self.temperature
        return (torch.cat([attraction[:, None], repulsion], dim=1).logsumexp(1) - attraction).mean()
