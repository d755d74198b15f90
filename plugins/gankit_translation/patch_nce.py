"""The contrastive regularizer of CUT, which ties a translation to its source without pairs.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``p`` positions, ``d`` values of a projection.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .layers import require_no_running_averages


class PatchNCE(gankit.Regularizer, nn.Module):
    """PatchNCE (CUT, arXiv 2007.15651, equations 3 to 5): each position of a translation resembles the same position of
    its source more than other positions of the source.

    Positions are compared by the features of G's own ``encoder``. For each feature map, a small network with two
    layers, trained together with G, projects the features of a position to a unit vector. The term is the cross entropy
    of finding the same position of the source among all drawn positions of that image. As in the authors' code, the
    features of the source have no gradient. The authors' networks also filter before halving and after doubling, and
    their FastCUT mirrors half of the images; neither is done here.

    G takes the source alone, and returns images of its shape. Its network ``encoder`` takes a source and returns a list
    of feature maps [n c h w], whose channels are listed in the attribute ``channels``, as in ``resnet_translator``.

    Args:
        weight: of the term for sources and their translations. The authors' code uses 0.5 for CUT and 10 for FastCUT.
        identity: weight of the same term for real images and what G makes of them. The authors' code uses 0.5 for CUT
            and 0 for FastCUT. It keeps G from changing images that already belong to the target domain.
        channels: of the encoder's feature maps. The default fits the default parameters of ``resnet_translator`` and
            sources with three channels.
        patches: number of positions that are drawn in each feature map, at most all.
        width: values of a projection.
        temperature: by which similarities are divided.
    """

    player = "generator"

    def __init__(
        self,
        *,
        weight: NonNegativeFloat = 0.5,
        identity: NonNegativeFloat = 0.5,
        channels: tuple[PositiveInt, ...] = (3, 128, 256, 256, 256),
        patches: Annotated[int, Field(ge=2)] = 256,
        width: PositiveInt = 256,
        temperature: Annotated[float, Field(gt=0)] = 0.07,
    ) -> None:
        super().__init__()
        self.weight, self.identity, self.channels = weight, identity, tuple(channels)
        self.patches, self.temperature = patches, temperature
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Linear(count, width), nn.ReLU(), nn.Linear(width, width)) for count in channels
        )
        for parameter in self.parameters():  # as in the authors' code
            if parameter.dim() > 1:
                nn.init.xavier_normal_(parameter, gain=0.02)
            else:
                nn.init.zeros_(parameter)

    def fits(self, generator: nn.Module, output: object, image: gankit.ImageSpec) -> None:
        """Raises: ValueError: G has no such encoder or one with other channels, needs more than the source, or has
        running averages."""
        found = getattr(getattr(generator, "encoder", None), "channels", None)
        if not isinstance(found, Sequence):
            raise ValueError(
                "needs a generator with a network `encoder` that returns feature maps and lists their `channels`, such "
                f"as resnet_translator; {type(generator).__name__} has none"
            )
        if tuple(found) != self.channels:
            raise ValueError(
                f"the feature maps of {type(generator).__name__}.encoder have {_listed(found)} channels, not "
                f"{_listed(self.channels)}; set channels: [{_listed(found)}]"
            )
        parameters = inspect.signature(generator.forward).parameters.values()
        if [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD] != ["source"]:
            raise ValueError(f"needs a generator that takes `source` alone; {type(generator).__name__} takes more")
        require_no_running_averages(generator, "patch_nce")

    def generator(self, turn: gankit.Turn) -> Tensor:
        """The weighted terms, each a mean over feature maps, images and positions.

        Raises:
            gankit.GankitError: images and sources have different shapes, so that their positions do not correspond, or
                the encoder returns something else than its feature maps.
        """
        source, real = turn["source"], turn.real
        if source.shape[1:] != real.shape[1:]:
            raise gankit.GankitError(
                "patch_nce needs images and sources of the same shape; these are "
                f"{[*real.shape[1:]]} and {[*source.shape[1:]]} (channels, height, width)"
            )
        term = self.weight * self._contrast(turn, turn.fake, source)
        if self.identity:
            made = turn.run(turn.generator, real)
            images = made["images"] if isinstance(made, Mapping) else made
            term = term + self.identity * self._contrast(turn, images, real)
        return term

    def _contrast(self, turn: gankit.Turn, translation: Tensor, source: Tensor) -> Tensor:
        """The mean cross entropy of finding the positions of translations [n c h w] in their sources."""
        with torch.no_grad():
            of_source = self._features(turn, source)
        errors = []
        for project, ours, theirs in zip(self.projections, self._features(turn, translation), of_source, strict=True):
            positions = turn.uniform(ours[0, 0].numel()).argsort(dim=1)[:, None, : self.patches]  # distinct, [n 1 p]
            queries = F.normalize(project(_at(ours, positions)), dim=2)
            with torch.no_grad():
                keys = F.normalize(project(_at(theirs, positions)), dim=2)
            logits = queries @ keys.mT / self.temperature  # [n p p]
            errors.append(-logits.log_softmax(dim=2).diagonal(dim1=1, dim2=2).mean())
        return torch.stack(errors).mean()

    def _features(self, turn: gankit.Turn, images: Tensor) -> Sequence[Tensor]:
        """The feature maps [n c h w] of images. Raises: gankit.GankitError: the encoder returns something else."""
        found: Any = turn.run(turn.generator.encoder, images)  # type: ignore[arg-type]
        maps = isinstance(found, (list, tuple)) and all(isinstance(each, Tensor) and each.dim() == 4 for each in found)
        if not maps or tuple(each.shape[1] for each in found) != self.channels:
            what = [[*each.shape] for each in found] if maps else type(found).__name__
            raise gankit.GankitError(
                f"patch_nce: {type(turn.generator).__name__}.encoder returned {what}; expected a list of feature maps "
                f"[n c h w] with {_listed(self.channels)} channels"
            )
        return found  # type: ignore[no-any-return]


def _at(features: Tensor, positions: Tensor) -> Tensor:
    """The features [n p c] of positions [n 1 p] in feature maps [n c h w]."""
    return features.flatten(2).gather(2, positions.expand(-1, features.shape[1], -1)).mT


def _listed(channels: Sequence[int]) -> str:
    return ", ".join(map(str, channels))
