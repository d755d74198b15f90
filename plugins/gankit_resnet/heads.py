"""What D makes of its features, and of labels. Shapes: ``n`` images, ``f`` features, ``k`` classes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from .layers import prepared

Heads = Literal["projection", "auxiliary_classifier", "contrastive", "none"]


def make_head(name: Heads, features: int, classes: int, embedding_dim: int, spectral: bool) -> Head:
    """The head called ``name``; without classes, a projection has nothing to project on, and none is made.

    Raises:
        ValueError: a head needs classes, and there are none.
    """
    if name == "auxiliary_classifier" and classes:
        return AuxiliaryClassifier(features, classes, spectral)
    if name == "contrastive" and classes:
        return Contrastive(features, classes, embedding_dim, spectral)
    if name == "projection" and classes:
        return Projection(features, classes, spectral)
    if name in ("auxiliary_classifier", "contrastive"):
        raise ValueError(f"head: {name} needs class labels; say conditional: true, or choose head: none")
    return Head(features, spectral)


class Head(nn.Module):
    """One logit, whatever the label."""

    def __init__(self, features: int, spectral: bool) -> None:
        super().__init__()
        self.linear = prepared(nn.Linear(features, 1), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor | dict[str, Tensor]:
        """Features [n f] to logits [n]."""
        return self.logits(features)

    def logits(self, features: Tensor) -> Tensor:
        """[n f] to [n]; as a product and a sum, which autocast leaves in full precision."""
        logits: Tensor = (features * self.linear.weight).sum(dim=1) + self.linear.bias
        return logits


class Projection(Head):
    """The logit, plus the features dotted with an embedding of the label."""

    def __init__(self, features: int, classes: int, spectral: bool) -> None:
        super().__init__(features, spectral)
        self.embedding = prepared(nn.Embedding(classes, features), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> Tensor:
        """Features [n f] and labels [n] to logits [n]. Raises: ValueError, without labels."""
        embedded: Tensor = self.embedding(_given(labels, self.embedding.num_embeddings))
        return self.logits(features) + (features * embedded).sum(dim=1)


class AuxiliaryClassifier(Head):
    """The logit, and logits of the classes."""

    def __init__(self, features: int, classes: int, spectral: bool) -> None:
        super().__init__(features, spectral)
        self.classifier = prepared(nn.Linear(features, classes), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Features [n f] to ``logits`` [n] and ``class_logits`` [n k]."""
        return {"logits": self.logits(features), "class_logits": self.classifier(features)}


class Contrastive(Head):
    """The logit, and embeddings of the image and of its label, which are to be alike."""

    def __init__(self, features: int, classes: int, dim: int, spectral: bool) -> None:
        super().__init__(features, spectral)
        self.projection = prepared(nn.Linear(features, dim), spectral)
        self.embedding = prepared(nn.Embedding(classes, dim), spectral)

    def forward(self, features: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Features [n f] and labels [n] to ``logits`` [n], ``embedding`` and ``label_embedding`` [n dim].

        Raises:
            ValueError: there are no labels.
        """
        return {
            "logits": self.logits(features),
            "embedding": self.projection(features),
            "label_embedding": self.embedding(_given(labels, self.embedding.num_embeddings)),
        }


def _given(labels: Tensor | None, classes: int) -> Tensor:
    if labels is None:
        raise ValueError(f"this resnet was built for {classes} classes: pass labels [n], one an image")
    return labels
