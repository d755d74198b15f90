"""Heads of the discriminator: from its features to logits and, with labels, to further outputs.

Shapes: ``n`` images, ``f`` features, ``k`` classes.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

import gankit

from .layers import initialized

HeadName = Literal["projection", "auxiliary_classifier", "contrastive", "none"]


def make_head(name: HeadName, features: int, classes: int, embedding_dim: int, spectral: bool) -> Head:
    """The head called ``name``. Without classes, ``projection`` is the same as ``none``.

    Raises:
        ValueError: the head needs classes and the images have none.
    """
    if name == "auxiliary_classifier" and classes:
        return AuxiliaryClassifier(features, classes, spectral)
    if name == "contrastive" and classes:
        return Contrastive(features, classes, embedding_dim, spectral)
    if name == "projection" and classes:
        return Projection(features, classes, spectral)
    if name in ("auxiliary_classifier", "contrastive"):
        raise ValueError(f"head: {name} needs class labels; set conditional: true, or choose head: none")
    return Head(features, spectral)


class Head(nn.Module):
    """One logit per image, independent of labels."""

    def __init__(self, features: int, spectral: bool) -> None:
        super().__init__()
        self.linear = initialized(nn.Linear(features, 1), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor | dict[str, Tensor]:
        """Features [n f] to logits [n]."""
        return self.logits(features)

    def logits(self, features: Tensor) -> Tensor:
        """[n f] to [n]. Autocast leaves a product and a sum in full precision, unlike a linear layer."""
        logits: Tensor = (features * self.linear.weight).sum(dim=1) + self.linear.bias
        return logits


class Projection(Head):
    """The logit plus the dot product of the features and an embedding of the label (arXiv 1802.05637, eq. 4)."""

    def __init__(self, features: int, classes: int, spectral: bool) -> None:
        super().__init__(features, spectral)
        self.embedding = initialized(nn.Embedding(classes, features), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Features [n f] and labels [n] to logits [n]. Raises: ValueError: ``labels`` is None."""
        embedded: Tensor = self.embedding(gankit.require_labels(labels, "resnet", self.embedding.num_embeddings))
        return self.logits(features) + (features * embedded).sum(dim=1)


class AuxiliaryClassifier(Head):
    """The logit, and a logit for each class (arXiv 1610.09585)."""

    def __init__(self, features: int, classes: int, spectral: bool) -> None:
        super().__init__(features, spectral)
        self.classifier = initialized(nn.Linear(features, classes), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Features [n f] to ``logits`` [n] and ``class_logits`` [n k]."""
        with gankit.full_precision(features):
            return {"logits": self.logits(features), "class_logits": self.classifier(features)}


class Contrastive(Head):
    """The logit, and embeddings of the image and of its label (arXiv 2006.12681)."""

    def __init__(self, features: int, classes: int, dim: int, spectral: bool) -> None:
        super().__init__(features, spectral)
        self.projection = initialized(nn.Linear(features, dim), spectral)
        self.embedding = initialized(nn.Embedding(classes, dim), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Features [n f] and labels [n] to ``logits`` [n], ``embedding`` and ``label_embedding`` [n dim].

        Raises:
            ValueError: ``labels`` is None.
        """
        labels = gankit.require_labels(labels, "resnet", self.embedding.num_embeddings)
        with gankit.full_precision(features):
            return {
                "logits": self.logits(features),
                "embedding": self.projection(features),
                "label_embedding": self.embedding(labels),
            }
