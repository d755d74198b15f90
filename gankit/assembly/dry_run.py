"""Dry runs: networks and augmentations on the meta device, which computes shapes only."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..calls import described, require_call
from ..device.compute_mode import ComputeMode
from ..device.seeding import preserved_random_state
from ..game.game import Game, has_own_generate, sampling_options
from ..game.outputs import heads_of, images_of
from ..game.step_context import network_arguments
from ..injection import forward_names, position_hint
from ..interfaces import Batch, DataSpec, ImageSpec
from ..interfaces.data_spec import IMAGE
from ..messages import one_line, truncate
from ..sampling.sample_inputs import DeviceInputs, SampleInputs
from .meta_shortcuts import MetaShortcuts
from .sampled_items import sampling_fields

MAX_PARAMETERS = 100_000_000_000

Build = Callable[[], Any]
T = TypeVar("T")


class NotTriedError(Exception):
    """A network that does not run on the meta device. The message is for the user."""


def try_generator(build: Build, data: DataSpec, latent_dim: int, game: Game | None = None) -> nn.Module:
    """Build the generator and generate two images with it. Returns the generator, on the meta device.

    Raises:
        NotTriedError: it does not run on the meta device.
        Exception: it cannot be built, or two latents do not become two of the recipe's images.
    """
    generator, game = build_on_meta(build), game or Game()
    ComputeMode.declared_by(generator)
    names: tuple[str, ...] = ()
    if not has_own_generate(game):  # whose options are checked with the game
        names = forward_names("generator", generator, [*data.fields])
        sampling_options(game, generator)
    called_by = f"called by {type(game).__name__}.generate" if has_own_generate(game) else None
    with _hinting(generator, names, data, called_by):
        output = _run(
            lambda: game.generate(generator, inputs_of_two(data, latent_dim, sampling_fields(generator, data, game)))
        )
    require_images(images_of(output), data.image)
    return generator


def inputs_of_two(data: DataSpec, latent_dim: int, fields: Collection[str], like: Tensor | None = None) -> DeviceInputs:
    """Inputs of zeros for two samples.

    Args:
        data: as the networks see it.
        latent_dim: dimensions of the latents.
        fields: the names of the fields that samples have.
        like: a tensor of the device and dtype; None for the meta device.
    """
    like = torch.zeros((), device="meta") if like is None else like
    batch = batch_of_two(data, like.device, like.dtype)
    z = torch.zeros(2, latent_dim, device=like.device, dtype=like.dtype)
    values = {name: value for name, value in {IMAGE: batch.images, **batch.fields}.items() if name in fields}
    return DeviceInputs(SampleInputs.of_images(z, batch.labels, values, seed=0), data.image, like)


def try_discriminator(build: Build, data: DataSpec) -> tuple[nn.Module, Any]:
    """Build the discriminator and run it on two images. Returns it and its output, on the meta device.

    Raises:
        NotTriedError: it does not run on the meta device.
        Exception: it cannot be built, or does not return logits for two images.
    """
    discriminator = build_on_meta(build)
    names = forward_names("discriminator", discriminator, [*data.fields])
    ComputeMode.declared_by(discriminator)

    def discriminate() -> Any:
        batch = batch_of_two(data)
        return discriminator(*network_arguments(names, batch, images=batch.images))

    with _hinting(discriminator, names, data):
        output = _run(discriminate)
    require_logits(output)
    return discriminator, output


def try_augmentation(build: Build, image: ImageSpec) -> None:
    """Build the augmentation and run it on two images.

    Raises:
        NotTriedError: it does not run on the meta device.
        Exception: it cannot be built, or changes the shape of the images.
    """
    augmentation = build_on_meta(build)
    require_call(augmentation, "forward", ("images",))
    augmented = _run(lambda: augmentation(torch.zeros(shape_of_two(image))))
    shape = shape_of_two(image)
    if not isinstance(augmented, Tensor) or tuple(augmented.shape) != shape:
        raise ValueError(f"returns {described(augmented)} for images {list(shape)}; it must keep the shape")


def require_images(images: Any, image: ImageSpec) -> None:
    """Raises: ValueError: what a generator returned for two latents are not two of the run's images."""
    expected = shape_of_two(image)
    if not isinstance(images, Tensor) or tuple(images.shape) != expected:
        raise ValueError(
            f"returns {described(images)} for two latents; the recipe's images are {list(expected)}: "
            "channels come from the dataset, height and width from image.size"
        )
    if not images.is_floating_point():
        raise ValueError(f"returns images of {images.dtype}; expected floating-point numbers in about [-1, 1]")


def require_logits(output: Any) -> None:
    """Raises: ValueError: what a discriminator returned for two images holds no logits for them."""
    logits = output["logits"] if isinstance(output, Mapping) and "logits" in output else output
    heads = logits if isinstance(logits, (list, tuple)) else [logits]
    if not heads or not all(
        isinstance(head, Tensor) and head.shape[:1] == (2,) and head.is_floating_point() for head in heads
    ):
        given = ", ".join(described(head) for head in heads) or "an empty list"
        raise ValueError(
            f"returns {given} for two images; expected logits [2 ...], a list of logits, or a mapping with 'logits'"
        )
    heads_of(output)


def shape_of_two(image: ImageSpec) -> tuple[int, int, int, int]:
    """The shape of two of the run's images."""
    return 2, image.channels, image.height, image.width


def batch_of_two(data: DataSpec, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Batch:
    """Two items of the data, of zeros."""
    shapes = {name: (2, *data.shape_of(name)) for name in (IMAGE, *data.fields)}
    tensors = {name: torch.zeros(shape, device=device, dtype=dtype) for name, shape in shapes.items()}
    return Batch(tensors.pop(IMAGE), labels_of_two(data, device, dtype), tensors)


def labels_of_two(
    data: DataSpec, device: torch.device | None = None, dtype: torch.dtype = torch.float32
) -> Tensor | None:
    """Labels of two items; None without classes and vectors of labels."""
    if data.label is not None:
        return torch.zeros(2, data.label.size, device=device, dtype=dtype)
    return torch.zeros(2, dtype=torch.int64, device=device) if data.image.classes else None


@contextmanager
def _hinting(network: nn.Module, names: Sequence[str], data: DataSpec, hint: str | None = None) -> Iterator[None]:
    """A block whose errors get a note: ``hint``, or that the network received values under other names than its own."""
    try:
        yield
    except Exception as error:
        if hint := hint or position_hint(network, names, [*data.fields]):
            error.add_note(hint)
        raise


def build_on_meta(build: Build) -> nn.Module:
    """The module on the meta device. Raises: ValueError: it is not a module, or has too many parameters."""
    network = _run(build)
    if not isinstance(network, nn.Module):
        raise ValueError(f"returns {described(network)}, which is not a torch.nn.Module")
    if getattr(network.forward, "__func__", None) is nn.Module.forward:
        raise ValueError(f"{type(network).__name__} lacks `forward`")
    count = sum(parameter.numel() for parameter in network.parameters())
    if count > MAX_PARAMETERS:
        raise ValueError(f"has {count:,} parameters; the limit is {MAX_PARAMETERS:,}")
    return network


@contextmanager
def meta_device() -> Iterator[None]:
    """Build and run networks on the meta device, without gradients, random numbers and most of the slow kernels."""
    with preserved_random_state(), torch.no_grad(), torch.device("meta"), MetaShortcuts(), warnings.catch_warnings():
        # of torch, for a constructor that loads weights
        warnings.filterwarnings("ignore", ".*copying from a non-meta parameter", UserWarning)
        yield


def _run(call: Callable[[], T]) -> T:
    """The result of ``call`` on the meta device."""
    try:
        with meta_device():
            return call()
    except (NotImplementedError, RuntimeError) as error:
        if isinstance(error, NotImplementedError) or "meta" in str(error):  # it reads the values of a tensor
            raise NotTriedError(f"{type(error).__name__}: {truncate(one_line(error), 200)}") from error
        raise
