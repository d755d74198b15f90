"""Test utilities for plugin authors: a turn outside of a run, and checks of components.

Each ``check_*`` function raises AssertionError with a message if the component violates its protocol in
`gankit.interfaces`. ``image`` is the `ImageSpec` to build a component with, and ``params`` its parameters.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from .data.datasets import read_item, read_tensors
from .data.resize import resize
from .device.engine import Engine
from .distributed.processes import Processes
from .errors import DataError, GankitError
from .game.game import Fakes, Game
from .game.outputs import heads_of
from .game.turn import PlayerTurn
from .interfaces import Batch, ImageSpec, Player
from .training.callbacks import Callbacks

MAX_ABSOLUTE = 10.0  # networks that do not end with tanh exceed [-1, 1], but not by orders of magnitude


def make_turn(
    player: Player,
    generator: Callable[..., Tensor],
    discriminator: Callable[..., Any],
    real: Tensor,
    *,
    latents: Tensor | None = None,
    labels: Tensor | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    images_seen: int = 0,
    leaves: bool = True,
) -> PlayerTurn:
    """A turn outside of a run, on the CPU.

    Args:
        player: ``discriminator`` or ``generator``.
        generator: a module or function that maps latents [n d] and labels, if there are any, to images [n c h w].
        discriminator: a module or function that maps images and labels, if there are any, to D's output.
        real: real images [n c h w] in [-1, 1], fp32 or fp64; the turn uses their dtype.
        latents: [n d], which ``fake`` is generated from; None draws 4-dimensional normal latents.
        labels: [n], or None.
        augment: applied to all images that D sees.
        images_seen: the turn's ``images_seen``.
        leaves: in D's turn, make ``real`` and ``fake`` require gradients, as for gradient penalties.
    """
    z = latents if latents is not None else torch.randn(len(real), 4, dtype=real.dtype)
    latent: Any = SimpleNamespace(sample=lambda n, labels, generator: torch.randn(n, z.shape[1], generator=generator))
    loss: Any = SimpleNamespace(discriminator=lambda turn: torch.zeros(()), generator=lambda turn: torch.zeros(()))
    game = Game(
        generator=_module(generator),
        discriminator=_module(discriminator),
        latent=latent,
        loss=loss,
        regularizers={},
        augmentations=[_module(augment)] if augment else [],
        engine=Engine(torch.device("cpu"), "fp64" if real.dtype == torch.float64 else "fp32"),
        random=torch.Generator(),
        processes=Processes(),
    )
    images = game.run_generator(z, labels)
    batch, fakes = Batch(real, labels), Fakes(images, z)
    return PlayerTurn(game, player, batch, images_seen=images_seen, fakes=fakes, penalties=leaves)


class _Function(nn.Module):
    """A function as a module. It receives labels only if there are any."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor, *rest: Any) -> Any:
        return self.function(images, *(argument for argument in rest if argument is not None))


def _module(function: Callable[..., Any]) -> nn.Module:
    takes_labels = isinstance(function, nn.Module) and not isinstance(function, nn.Sequential)
    return function if takes_labels else _Function(function)  # type: ignore[return-value]


def _labels(image: ImageSpec, count: int) -> Tensor | None:
    return torch.arange(count) % image.classes if image.classes else None


def check_generator(factory: Callable[..., nn.Module], image: ImageSpec, latent_dim: int = 16, **params: Any) -> None:
    """Check that a generator returns images of the expected shape in about [-1, 1] and all parameters get gradients."""
    network = factory(image, latent_dim, **params)
    images = network(torch.randn(4, latent_dim), _labels(image, 4))
    expected = (4, image.channels, image.height, image.width)
    assert tuple(images.shape) == expected, f"images are {list(images.shape)}; expected {list(expected)}"
    assert bool(images.isfinite().all()), "images are not finite"
    largest = float(images.detach().abs().max())
    assert largest <= MAX_ABSOLUTE, f"images have values up to {largest:.3g}; expected about [-1, 1]"
    _check_gradients(network, images)
    _check_meta(lambda: factory(image, latent_dim, **params))


def check_discriminator(factory: Callable[..., nn.Module], image: ImageSpec, **params: Any) -> None:
    """Check that a discriminator returns finite logits for each image, which are twice differentiable."""
    network = factory(image, **params)
    images = torch.rand(4, image.channels, image.height, image.width).mul(2).sub(1).requires_grad_()
    heads = heads_of(network(images, _labels(image, 4)))
    for head in heads:
        assert head.shape[:1] == (4,), f"logits are {list(head.shape)}; the first dimension must be the batch"
        assert bool(head.isfinite().all()), "logits are not finite"
    total = torch.stack([head.sum() for head in heads]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    assert bool(gradient.detach().any()), "logits do not depend on the images"
    gradient.square().sum().backward()
    network.zero_grad()
    _check_gradients(network, torch.cat([head.flatten() for head in heads_of(network(images, _labels(image, 4)))]))
    _check_meta(lambda: factory(image, **params))


def check_augmentation(factory: Callable[..., nn.Module], image: ImageSpec, **params: Any) -> None:
    """Check that an augmentation keeps shape and dtype, is reproducible with a seed, and is twice differentiable."""
    augmentation = factory(image, **params)
    images = torch.rand(4, image.channels, image.height, image.width).mul(2).sub(1).requires_grad_()
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        results.append(augmentation(images))
    assert results[0].shape == images.shape, f"{list(images.shape)} became {list(results[0].shape)}"
    assert results[0].dtype == images.dtype, f"{images.dtype} became {results[0].dtype}"
    assert torch.equal(*results), "two results with the same seed differ"
    weight = torch.ones((), requires_grad=True)
    (gradient,) = torch.autograd.grad((results[0].square() * weight).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert weight.grad is not None, "it cannot be differentiated twice"


def check_dataset(dataset: Any) -> None:
    """Check a dataset: items fit the spec and classes, are reproducible, survive pickling and equal ``tensors()``."""
    dataset.prepare()
    spec, classes, count = dataset.spec, dataset.classes, len(dataset)
    assert count > 0, "the dataset is empty"
    indices = sorted({0, count // 2, count - 1})
    try:
        whole = read_tensors(dataset) if hasattr(dataset, "tensors") else None
        copy = pickle.loads(pickle.dumps(dataset))
        items = {index: [read_item(source, index) for source in (dataset, dataset, copy)] for index in indices}
    except DataError as error:
        raise AssertionError(str(error)) from None
    for index, ((image, label), *others) in items.items():
        if spec.height is not None:
            assert tuple(image.shape[1:]) == (spec.height, spec.width), (
                f"image {index} is {list(image.shape[1:])}; spec: {[spec.height, spec.width]}"
            )
        if classes is not None:
            assert 0 <= label < len(classes), f"label {label} of image {index} is not in [0, {len(classes)})"
        for when, again in zip(("when read a second time", "in a pickled copy"), others, strict=True):
            assert torch.equal(image, again[0]), f"image {index} differs {when}"
            assert label == again[1], f"label {index} differs {when}"
        if whole is not None:
            assert torch.equal(whole[0][index], image), f"image {index} differs in tensors()"
            assert int(whole[1][index]) == label, f"label {index} differs in tensors()"
        resize(image[None], 8, 8)


def check_callback(callback: Any) -> None:
    """Check that a callback has only known ``on_*`` methods, and both or neither of the state methods."""
    try:
        Callbacks([(type(callback).__name__, callback)])
    except GankitError as error:
        raise AssertionError(str(error)) from None


def _check_gradients(network: nn.Module, output: Tensor) -> None:
    (output * torch.randn(output.shape)).sum().backward()
    unused = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, f"no gradient reaches {unused}"


def _check_meta(build: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        devices = sorted({p.device.type for p in build().parameters()})
    assert set(devices) <= {"meta"}, f"built under torch.device('meta'), it has parameters on {devices}"
