"""Tables of style mixing.

Shapes: ``r`` rows, ``k`` columns, ``c`` channels, ``h`` height, ``w`` width, ``l`` layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .sample_inputs import SampleInputs
from .trained_generator import TrainedGenerator


def style_mixing_table(
    generator: TrainedGenerator, inputs: SampleInputs, columns: int, layers: range, options: Mapping[str, Any]
) -> Tensor:
    """A table of style mixing (arXiv 1812.04948, fig. 3).

    The first row shows the images of the columns, and the first column those of the rows. Every other image has the
    styles of its row's image in some layers, and those of its column's image in the others.

    Args:
        generator: has styles.
        inputs: of the columns' images, then of the rows' images.
        columns: the number of the columns' images.
        layers: whose styles are those of the row.
        options: sampling options.

    Returns:
        uint8 [r k c h w] with a black image in the first row and column.

    Raises:
        ValueError: the generator has no styles, or fewer layers.
    """
    inputs = generator.with_styles(inputs, **options)
    assert inputs.styles is not None
    number = inputs.styles.shape[1]
    if not layers or layers.stop > number:
        raise ValueError(
            f"the layers {layers.start}-{layers.stop - 1} do not exist: this generator has the layers 0-{number - 1}"
        )
    images = generator.images(inputs, **options)
    of_column, of_row = torch.arange(columns), torch.arange(columns, len(inputs))
    table = [torch.cat([torch.zeros_like(images[:1]), images[of_column]])]
    for row in of_row:
        styles = inputs.styles[of_column].clone()
        styles[:, layers] = inputs.styles[row, layers]
        mixed = generator.images(replace(inputs.rows(of_column), styles=styles), **options)
        table.append(torch.cat([images[row][None], mixed]))
    return torch.stack(table)
