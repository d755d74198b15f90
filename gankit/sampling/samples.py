"""Samples from a generator. They depend only on its weights and the seed, not on the state of a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.image_codec import ImageCodec
from ..device.seeding import ITEMS, LABELS, SAMPLE, seeded
from ..errors import CheckpointError
from ..game.game import Game
from ..game.outputs import images_of
from ..interfaces import DataSpec, ImageSpec, Latent
from ..interfaces.data_spec import IMAGE, LABEL
from ..messages import quote
from .given_inputs import Specs
from .sample_inputs import DeviceInputs, SampleInputs

BATCH_SIZE = 64
GROUP = 16


@dataclass(frozen=True)
class Sampling:
    """How images are sampled from a generator. Everything is drawn on the CPU, independently of the device.

    Attributes:
        latent: the distribution of the latents.
        image: the images of the run; with ``classes`` its generator is conditional.
        frequencies: the share of each class in the data, not necessarily normalized. None means uniform.
        items: the fields of real items that the generator asks for, [m ...] by name, and ``labels`` that are vectors.
        missing: the error to raise where the items are needed, and the run directory lacks them.
        specs: of these fields.
        targets: the real images [m c h w] of these items, if the fields belong to them.
        game: generates images with the network.
        codec: decodes what it generates; None without a codec.
        data: the fields of the run's data in the sizes of the run, before a codec encodes them.
    """

    latent: Latent
    image: ImageSpec
    frequencies: Sequence[float] | None = None
    items: Mapping[str, Tensor] = field(default_factory=dict)
    missing: CheckpointError | None = None
    specs: Specs = field(default_factory=dict)
    targets: Tensor | None = None
    game: Game = field(default_factory=Game)
    codec: ImageCodec | None = None
    data: DataSpec | None = None

    @property
    def fields(self) -> dict[str, str]:
        """What samples take from real items: the names of their fields, by the generator's own names for them.

        Labels that are classes are not among them.
        """
        labels = {"labels": LABEL} if self.data is not None and self.data.label is not None else {}
        return {name: name for name in self.specs} | labels

    def on(self, device: torch.device) -> Sampling:
        """The same with the codec on a device."""
        return self if self.codec is None else replace(self, codec=self.codec.on(device))

    def draw(
        self, count: int, seed: int, labels: Sequence[int] | None = None, fields: Mapping[str, Tensor] | None = None
    ) -> SampleInputs:
        """Draw latents, labels, which are None for an unconditional generator, and the fields of real items.

        Args:
            count: the number of images, ``n``.
            seed: of all of them. Those of image i depend on the seed and i only.
            labels: one class index per image. None draws them from ``frequencies``.
            fields: in place of those of real items.

        Raises:
            ValueError: ``labels`` are not ``count`` class indices, or the generator takes no classes.
            CheckpointError: the fields of real items are missing.
        """
        chosen = self._choose_labels(count, seed, labels)
        fields = self._choose_items(count, seed) if fields is None else dict(fields)
        if "labels" in fields:
            chosen = fields.pop("labels")
        # torch draws normal numbers in groups of 16, the last of which depends on the size of an incomplete one
        rows = torch.arange(-(-count // GROUP) * GROUP) % count
        labels_of_rows = None if chosen is None else chosen[rows]
        latents = self.latent.sample(len(rows), labels_of_rows, torch.Generator().manual_seed(seed))
        return SampleInputs.first(latents[:count], chosen, fields, seed)

    def generate(self, generator: nn.Module, inputs: SampleInputs, options: Mapping[str, Any]) -> Tensor:
        """Generate images in eval mode.

        Args:
            generator: the network.
            inputs: of `draw`.
            options: sampling options.

        Returns:
            fp32 [n c h w], in about [-1, 1], on the CPU.
        """
        like = next(generator.parameters(), torch.empty(0, dtype=torch.float32))
        images = []
        entropy = np.random.SeedSequence(inputs.seed, spawn_key=(SAMPLE,))
        # `seeded` comes first: it waits for a step that another thread runs
        with seeded(entropy, like.device), eval_mode(generator), torch.no_grad():
            for start in range(0, len(inputs), BATCH_SIZE):
                image = self.image if self.codec is None else self.codec.encoded
                part = DeviceInputs(inputs.rows(slice(start, start + BATCH_SIZE)), image, like)
                generated = images_of(self.game.generate(generator, part, **options))
                images.append((generated if self.codec is None else self.codec.decode(generated)).float().cpu())
        return torch.cat(images).contiguous()

    def items_of(self, count: int, seed: int) -> dict[str, Tensor]:
        """The fields that the images of `draw` are generated from, and their real images as ``image`` if they have any.

        Empty if the generator asks for none.
        """
        if not self.items:
            return {}
        targets = {} if self.targets is None else {IMAGE: self.targets[self._item_rows(count, seed)]}
        return {**self._choose_items(count, seed), **targets}

    def _item_rows(self, count: int, seed: int) -> Tensor:
        """The items that ``count`` images are generated from: a random order that repeats after all of them."""
        total = len(next(iter(self.items.values())))
        order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(ITEMS,))).permutation(total)
        return torch.from_numpy(order[np.arange(count) % total])

    def _choose_items(self, count: int, seed: int) -> dict[str, Tensor]:
        if self.missing is not None:
            raise self.missing
        rows = self._item_rows(count, seed) if self.items else None
        return {name: values[rows] for name, values in self.items.items()}

    def _choose_labels(self, count: int, seed: int, labels: Sequence[int] | None) -> Tensor | None:
        classes = self.image.classes
        if not classes:
            if labels is not None:
                raise ValueError("this generator is unconditional and takes no labels")
            return None
        if labels is None:
            # from a separate generator, so that the latents are the same with given labels
            random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LABELS,)))
            shares = np.asarray(self.frequencies or [1.0] * classes)
            return torch.from_numpy(random.choice(classes, count, p=shares / shares.sum()))
        if len(labels) != count or not all(0 <= label < classes for label in labels):
            raise ValueError(
                f"labels must be {count} integers from 0 to {classes - 1}, one per image; got {quote(labels)}"
            )
        return torch.tensor(list(labels), dtype=torch.int64)


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Set the network to eval mode inside the block, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
