"""Samples from a generator. They depend only on its weights and the seed, not on the state of a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.encodings.image_codec import ImageCodec
from ..data.items import describe_value
from ..device.seeding import ITEMS, LABELS, SAMPLE, random_state, seeded
from ..errors import CheckpointError
from ..game.game import Game
from ..game.outputs import images_of
from ..interfaces import DataSpec, ImageSpec, Latent
from ..interfaces.data_spec import IMAGE, LABEL
from ..messages import quote
from .given_inputs import Specs
from .sample_inputs import BLOCK, DeviceInputs, SampleInputs, block_seed
from .styles import styles_of, synthesized

MAX_PIXELS = BLOCK * 128 * 128  # in a batch of the network: fewer images than a block if they are large


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
        """The names of the fields that samples take from real items, by the generator's own names for them.

        Labels that are classes are not among them.
        """
        labels = {} if self._label_size is None else {"labels": LABEL}
        return {name: name for name in self.specs} | labels

    @property
    def has_labels(self) -> bool:
        """Whether images have labels: class indices or vectors."""
        return bool(self.image.classes) or self._label_size is not None

    @property
    def _label_size(self) -> int | None:
        """The length of labels that are vectors."""
        label = None if self.data is None else self.data.label
        return None if label is None else label.size

    def on(self, device: torch.device) -> Sampling:
        """The same with the codec on a device."""
        return self if self.codec is None else replace(self, codec=self.codec.on(device))

    def draw(
        self,
        count: int,
        seed: int,
        labels: Sequence[int] | Tensor | None = None,
        fields: Mapping[str, Tensor] | None = None,
    ) -> SampleInputs:
        """Draw latents, labels, which are None for an unconditional generator, and the fields of real items.

        Args:
            count: the number of images, ``n``.
            seed: of all of them. Those of image i depend on the seed and i only.
            labels: one class index per image, or vectors [n v]. None draws class indices from ``frequencies``, and
                vectors from real items.
            fields: in place of those of real items.

        Raises:
            ValueError: ``labels`` are not those of ``count`` images, or the generator takes none.
            CheckpointError: the fields of real items are missing.
        """
        self.require_labels(count, labels)
        return SampleInputs.cat([self.draw_block(n, count, seed, labels, fields) for n in range(-(-count // BLOCK))])

    def draw_block(
        self,
        number: int,
        count: int,
        seed: int,
        labels: Sequence[int] | Tensor | None = None,
        fields: Mapping[str, Tensor] | None = None,
    ) -> SampleInputs:
        """Draw a block of the images of `draw`: those from ``number * BLOCK`` on, at most `BLOCK` of them."""
        images = range(number * BLOCK, min((number + 1) * BLOCK, count))
        own_seed = block_seed(seed, number)
        if fields is not None:
            fields = {name: values[images.start : images.stop] for name, values in fields.items()}
        else:
            fields = self._choose_items(images, seed) if self.specs or labels is None else {}
        vectors = fields.pop("labels", None)
        if isinstance(labels, Tensor):
            chosen: Tensor | None = labels[images.start : images.stop]
        elif labels is not None:
            chosen = torch.tensor([labels[image] for image in images], dtype=torch.int64)
        elif vectors is None and "labels" in self.items:  # with given fields
            chosen = self.items["labels"][self._item_rows(images, seed)]
        else:
            chosen = self._draw_labels(len(images), own_seed) if vectors is None else vectors
        # a whole block, since other numbers may be drawn for another count, also by torch (in groups of 16)
        rows = torch.arange(BLOCK) % len(images)
        latents = self.latent.sample(
            BLOCK, None if chosen is None else chosen[rows], torch.Generator().manual_seed(own_seed)
        )
        return SampleInputs.of_images(latents[: len(images)], chosen, fields, seed, number)

    def generate(self, generator: nn.Module, inputs: SampleInputs, options: Mapping[str, Any]) -> Tensor:
        """Generate images in eval mode.

        Args:
            generator: the network.
            inputs: of `draw` or `draw_block`.
            options: sampling options.

        Returns:
            fp32 [n c h w], in about [-1, 1], on the CPU.
        """
        blocks = [inputs.block(number) for number in range(-(-len(inputs) // BLOCK))]
        return torch.cat([self._generate_block(generator, block, options) for block in blocks]).contiguous()

    def _generate_block(self, generator: nn.Module, inputs: SampleInputs, options: Mapping[str, Any]) -> Tensor:
        """The images of a block, which has a seed of its own for random numbers of the network."""
        like = next(generator.parameters(), torch.empty(0, dtype=torch.float32))
        count, size = len(inputs), max(1, min(BLOCK, MAX_PIXELS // (self.image.height * self.image.width)))

        def images_and_draws(rows: Tensor) -> tuple[Tensor, bool]:
            """The images of these rows, and whether the network has drawn random numbers."""
            images = []
            entropy = np.random.SeedSequence(block_seed(inputs.seed, inputs.first_block), spawn_key=(SAMPLE,))
            # `seeded` comes first: it waits for a step that another thread runs
            with seeded(entropy, like.device), eval_mode(generator), torch.no_grad():
                before = random_state(like.device)
                for batch in rows.split(size):
                    images.append(self.forward(generator, inputs.rows(batch), options).float().cpu())
                drew = not torch.equal(before, random_state(like.device))
            return torch.cat(images), drew

        images, drew = images_and_draws(torch.arange(count))
        if drew and count % size:  # such numbers depend on the size of the batch
            images, _ = images_and_draws(torch.arange(-(-count // size) * size) % count)
        return images[:count]

    def forward(self, generator: nn.Module, inputs: SampleInputs, options: Mapping[str, Any]) -> Tensor:
        """The images of one batch [n c h w], on the device of the network and differentiable by latents and styles."""
        like = next(generator.parameters(), torch.empty(0, dtype=torch.float32))
        if inputs.styles is not None:
            images = synthesized(generator, inputs.styles.to(like), options)
        else:
            image = self.image if self.codec is None else self.codec.encoded
            images = images_of(self.game.generate(generator, DeviceInputs(inputs, image, like), **options))
        return images if self.codec is None else self.codec.decode(images)

    def with_styles(self, generator: nn.Module, inputs: SampleInputs, options: Mapping[str, Any]) -> SampleInputs:
        """The same images by their styles. Raises: ValueError: the generator has no styles."""
        if inputs.styles is not None:
            return inputs
        on_device = DeviceInputs(inputs, self.image, next(generator.parameters()))
        with eval_mode(generator), torch.no_grad():
            return replace(inputs, styles=styles_of(generator, on_device, options).float().cpu())

    def items_of(self, count: int, seed: int) -> dict[str, Tensor]:
        """The fields that the images of `draw` are generated from, and their real images as ``image`` if they have any.

        Empty if the generator asks for none.
        """
        if not self.items:
            return {}
        targets = {} if self.targets is None else {IMAGE: self.targets[self._item_rows(range(count), seed)]}
        return {**self._choose_items(range(count), seed), **targets}

    def _item_rows(self, images: range, seed: int) -> Tensor:
        """The items that these images are generated from: a random order that repeats after all of them."""
        total = len(next(iter(self.items.values())))
        order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(ITEMS,))).permutation(total)
        return torch.from_numpy(order[np.array(images) % total])

    def _choose_items(self, images: range, seed: int) -> dict[str, Tensor]:
        if self.missing is not None:
            raise self.missing
        rows = self._item_rows(images, seed) if self.items else None
        return {name: values[rows] for name, values in self.items.items()}

    def _draw_labels(self, count: int, seed: int) -> Tensor | None:
        """Labels [n] from the frequencies; None for an unconditional generator."""
        if not (classes := self.image.classes):
            return None
        # from a separate generator, so that the latents are the same with given labels
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LABELS,)))
        shares = np.asarray(self.frequencies or [1.0] * classes)
        return torch.from_numpy(random.choice(classes, count, p=shares / shares.sum()))

    def require_labels(self, count: int, labels: Sequence[int] | Tensor | None) -> None:
        """Raises: ValueError: ``labels`` are given, and are not those of ``count`` images."""
        if labels is None:
            return
        if not self.has_labels:
            raise ValueError("this generator is unconditional and takes no labels")
        given = describe_value(labels) if isinstance(labels, Tensor) else quote(labels)
        if (size := self._label_size) is not None:
            if not isinstance(labels, Tensor) or labels.shape != (count, size) or not labels.isfinite().all():
                raise ValueError(f"labels must be finite floats [{count} {size}], one row per image; got {given}")
            return
        classes = self.image.classes
        if isinstance(labels, Tensor) or len(labels) != count or not all(0 <= label < classes for label in labels):
            raise ValueError(f"labels must be {count} integers from 0 to {classes - 1}, one per image; got {given}")


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
