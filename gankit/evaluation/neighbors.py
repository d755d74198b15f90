"""The real images that are nearest to generated ones, which show whether the generator repeats its training data.

Shapes: ``n`` generated images, ``m`` real images, ``k`` neighbors of each, ``f`` features, ``c h w`` an image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from ..assembly.selection import select
from ..errors import RecipeError
from ..recipe.located_document import Document
from ..registry import Registries
from .extractor import BATCH, Extractor
from .request import build

COUNT = 4  # neighbors of each image
COMPARED = 256  # real images whose distance to the nearest other real image is measured, at most
PART = 4096  # real images whose features are converted to fp64 at a time


class Neighbors(NamedTuple):
    """Generated images and their nearest real images.

    Attributes:
        generated: uint8 [n c h w].
        real: uint8 [n k c h w], nearest first.
        distances: Euclidean distances of features, fp32 [n k].
        among: the number of real images that were searched.
        real_distance: the median distance of a real image to the nearest other one; None if there is only one.
        features: the name of the extractor.
    """

    generated: Tensor
    real: Tensor
    distances: Tensor
    among: int
    real_distance: float | None
    features: str


def find_neighbors(
    generated: Tensor, real_features: Tensor, real_image: Callable[[int], Tensor], extractor: Extractor
) -> Neighbors:
    """Find the nearest real images of each generated one.

    Args:
        generated: uint8 [n c h w].
        real_features: of all real images, fp32 [m f].
        real_image: returns the real image of an index, uint8 [c h w].
        extractor: computes features.
    """
    distances, indices = _nearest(features_of(generated.split(BATCH), extractor), real_features, COUNT)
    compared = real_features[:COMPARED]
    others = _nearest(compared, real_features, 2)[0][:, 1:]  # the nearest one is the image itself
    return Neighbors(
        generated=generated,
        real=torch.stack([torch.stack([real_image(int(index)) for index in row]) for row in indices]),
        distances=distances,
        among=len(real_features),
        real_distance=float(others.median()) if others.numel() else None,
        features=extractor.name,
    )


def features_of(batches: Iterable[Tensor], extractor: Extractor) -> Tensor:
    """Features fp32 [n f] of batches of images uint8 [n c h w]."""
    return torch.cat([extractor(images) for images in batches])


def open_extractor(registries: Registries, name: str, device: torch.device) -> Extractor:
    """The extractor of a name. Raises: GankitError: it is unknown, not installed, or refuses to be built."""
    selected, problems = select(registries, "features", name, {}, Document({}), ("features",))
    if selected is None:
        raise RecipeError(problems)
    return Extractor(selected.entry.name, selected.params_without_paths(), build(selected), device)


def _nearest(features: Tensor, real: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Distances and indices of the ``count`` nearest real images, or of all if there are fewer."""
    features = features.double()  # the fast way, by matrix products, loses half of the digits of a small distance
    distances = torch.cat([torch.cdist(features, part.double()) for part in real.split(PART)], dim=1)
    found = distances.topk(min(count, len(real)), largest=False)
    return found.values.float(), found.indices
