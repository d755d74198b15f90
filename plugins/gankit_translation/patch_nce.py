"""The contrastive regularizer of CUT, which ties a translation to its source without pairs.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``p`` places, ``d`` values of a projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit


class PatchNCE(gankit.Regularizer, nn.Module):
    """PatchNCE (CUT, arXiv 2007.15651, equations 3 to 5): each place of a translation resembles the same place of its
    source more than other places of the source.

    Places are compared by the features of G's own ``encoder``. For each feature map, a small network with two layers,
    trained together with G, projects the features of a place to a unit vector. The term is the cross entropy of
    finding the same place of the source among all drawn places of that image. As in the authors' code, the features of
    the source have no gradient.

    G has a network ``encoder`` that returns a list of feature maps [n c h w], with their channels in its attribute
    ``channels``, such as ``resnet_translator``.

    Args:
        weight: of the term for sources and their translations; 1 in CUT, 10 in FastCUT.
        identity: weight of the same term for real images and what G makes of them; 1 in CUT, 0 in FastCUT. It keeps G
            from changing images that already belong to the target domain.
        channels: of the encoder's feature maps. The default is that of ``resnet_translator`` with its default width.
        patches: number of places that are drawn in each feature map, at most all.
        width: values of a projection.
        temperature: by which similarities are divided.
    """

    player = "generator"

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 1.0,
        identity: NonNegativeFloat = 1.0,
        channels: Sequence[PositiveInt] = (3, 128, 256, 256, 256),
        patches: PositiveInt = 256,
        width: PositiveInt = 256,
        temperature: Annotated[float, Field(gt=0)] = 0.07,
    ) -> None:
        super().__init__()
        self.weight, self.identity, self.channels = weight, identity, tuple(channels)
        self.patches, self.temperature = patches, temperature
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        """Raises: ValueError: G has no such encoder, or one with other channels."""
        found = getattr(getattr(generator, "encoder", None), "channels", None)
        if found is None:
            raise ValueError(
                "needs a generator with a network `encoder` that returns feature maps and has their `channels`, such "
                f"as resnet_translator; {type(generator).__name__} has none"
            )
        if tuple(found) != self.channels:
            raise ValueError(
                f"the feature maps of {type(generator).__name__}.encoder have {_listed(found)} channels, not "
                f"{_listed(self.channels)}; set channels: [{_listed(found)}]"
            )

    def generator(self, turn: gankit.Turn) -> Tensor:
        """The weighted terms, each a mean over feature maps, images and places.

        Raises:
            gankit.GankitError: images and sources have different numbers of channels, so that the encoder, which sees
                sources, cannot see images.
        """
        source, real = turn["source"], turn.real
        if source.shape[1] != real.shape[1]:
            raise gankit.GankitError(
                "patch_nce needs images and sources with equal numbers of channels; these have "
                f"{real.shape[1]} and {source.shape[1]}"
            )
        term = self.weight * self._contrast(turn, turn.fake, source)
        if self.identity:
            term = term + self.identity * self._contrast(turn, turn.run(turn.generator, real), real)
        return term

    def _contrast(self, turn: gankit.Turn, translation: Tensor, source: Tensor) -> Tensor:
        """The mean cross entropy of finding the places of translations [n c h w] in their sources."""
        encoder: nn.Module = turn.generator.encoder  # type: ignore[assignment]
        with torch.no_grad():
            of_source = turn.run(encoder, source)
        errors = []
        for project, ours, theirs in zip(self.projections, turn.run(encoder, translation), of_source, strict=True):
            places = turn.uniform(ours[0, 0].numel()).argsort(dim=1)[:, None, : self.patches]  # distinct ones, [n 1 p]
            queries = F.normalize(project(_at(ours, places)), dim=2)
            with torch.no_grad():
                keys = F.normalize(project(_at(theirs, places)), dim=2)
            logits = queries @ keys.mT / self.temperature  # [n p p]
            errors.append(-logits.log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean())
        return torch.stack(errors).mean()


def _at(features: Tensor, places: Tensor) -> Tensor:
    """The features [n p c] of places [n 1 p] in feature maps [n c h w]."""
    return features.flatten(2).gather(2, places.expand(-1, features.shape[1], -1)).mT


def _listed(channels: Sequence[int]) -> str:
    return ", ".join(map(str, channels))
