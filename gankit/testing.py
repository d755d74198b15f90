"""For plugin authors: a component looked at alone, and checks that it keeps its side of the contract.

Each ``check_*`` raises AssertionError with a sentence that says what is not as `gankit.interfaces` promises.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .data.resize import resize
from .device.engine import Engine
from .distributed.processes import Processes
from .game.game import Fakes, Game
from .game.outputs import heads_of
from .game.turn import PlayerTurn
from .interfaces import CALLBACK_METHODS, Batch, ImageSpec, Player

ABOUT_ONE = 10.0  # networks without a tanh at their end overshoot [-1, 1], not by orders of magnitude


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
    """A turn of ``player`` outside of any run, in fp32 or fp64 on the CPU.

    Args:
        player: ``discriminator`` or ``generator``.
        generator: latents [n d] (and labels) to images [n c h w].
        discriminator: images (and labels) to logits, heads or a mapping.
        real: real images [n c h w] in [-1, 1]; its dtype is the turn's.
        latents: [n d]; 4-d normal ones where None.
        labels: [n], or None.
        augment: applied to all that the discriminator sees.
        images_seen: as on a `Turn`.
        leaves: in D's turn, let ``real`` and ``fake`` require gradients, as when a penalty is due.
    """
    z = latents if latents is not None else torch.randn(len(real), 4, dtype=real.dtype)
    game = Game(
        generator=_module(generator),
        discriminator=_module(discriminator),
        latent=_Given(z),
        loss=_NoLoss(),
        regularizers={},
        augmentations=[_module(augment)] if augment else [],
        engine=Engine(torch.device("cpu"), "fp64" if real.dtype == torch.float64 else "fp32"),
        random=torch.Generator(),
        processes=Processes(),
    )
    images = game.run_generator(z, labels)
    batch, fakes = Batch(real, labels), Fakes(images, z)
    return PlayerTurn(game, player, batch, images_seen=images_seen, fakes=fakes, penalties=leaves)


class _Given:
    def __init__(self, z: Tensor) -> None:
        self.z = z

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.z.shape[1], generator=generator)


class _NoLoss:
    def discriminator(self, turn: Any) -> Tensor:
        return torch.zeros(())

    generator = discriminator


class _Function(nn.Module):
    """A plain function where a network is expected."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: Tensor, *rest: Any) -> Any:
        # plain functions and sequential networks know no labels
        return self.function(images, *(part for part in rest if part is not None))


def _module(function: Callable[..., Any]) -> nn.Module:
    known = isinstance(function, nn.Module) and not isinstance(function, nn.Sequential)
    return function if known else _Function(function)  # type: ignore[return-value]


def _labels(image: ImageSpec, count: int) -> Tensor | None:
    return torch.arange(count) % image.classes if image.classes else None


def check_generator(factory: Callable[..., nn.Module], image: ImageSpec, latent_dim: int = 16, **params: Any) -> None:
    """A generator gives images of the asked size in about [-1, 1], and every parameter gets a gradient."""
    network = factory(image, latent_dim, **params)
    images = network(torch.randn(4, latent_dim), _labels(image, 4))
    expected = (4, image.channels, image.height, image.width)
    assert tuple(images.shape) == expected, f"images are {list(images.shape)}; expected {list(expected)}"
    assert bool(images.isfinite().all()), "images are not finite"
    reach = float(images.detach().abs().max())
    assert reach <= ABOUT_ONE, f"images reach {reach:.3g}; expected about [-1, 1]"
    _check_gradients(network, images)
    _check_meta(lambda: factory(image, latent_dim, **params))


def check_discriminator(factory: Callable[..., nn.Module], image: ImageSpec, **params: Any) -> None:
    """A discriminator gives finite logits for each image, twice differentiable with respect to it."""
    network = factory(image, **params)
    images = torch.rand(4, image.channels, image.height, image.width).mul(2).sub(1).requires_grad_()
    heads = heads_of(network(images, _labels(image, 4)))
    for head in heads:
        assert head.shape[:1] == (4,), f"logits are {list(head.shape)}; the first side must be the batch's"
        assert bool(head.isfinite().all()), "logits are not finite"
    total = torch.stack([head.sum() for head in heads]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    assert bool(gradient.detach().any()), "logits do not depend on the images"
    gradient.square().sum().backward()
    network.zero_grad()
    _check_gradients(network, torch.cat([head.flatten() for head in heads_of(network(images, _labels(image, 4)))]))
    _check_meta(lambda: factory(image, **params))


def check_augmentation(factory: Callable[..., nn.Module], image: ImageSpec, **params: Any) -> None:
    """An augmentation keeps shape and type, repeats under a seed, and can be differentiated twice."""
    augmentation = factory(image, **params)
    images = torch.rand(4, image.channels, image.height, image.width).mul(2).sub(1).requires_grad_()
    outcomes = []
    for _ in range(2):
        torch.manual_seed(0)
        outcomes.append(augmentation(images))
    assert outcomes[0].shape == images.shape, f"{list(images.shape)} became {list(outcomes[0].shape)}"
    assert outcomes[0].dtype == images.dtype, f"{images.dtype} became {outcomes[0].dtype}"
    assert torch.equal(*outcomes), "two results under one seed differ"
    weight = torch.ones((), requires_grad=True)
    (gradient,) = torch.autograd.grad((outcomes[0].square() * weight).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert weight.grad is not None, "the second derivative does not pass through"


def check_dataset(dataset: Any) -> None:
    """A data set keeps its word: spec, labels, purity, ``tensors()`` as its items say, and pickling."""
    dataset.prepare()
    spec, classes, count = dataset.spec, dataset.classes, len(dataset)
    assert count > 0, "it is empty"
    indices = sorted({0, count // 2, count - 1})
    whole = dataset.tensors() if hasattr(dataset, "tensors") else None
    other = pickle.loads(pickle.dumps(dataset))
    for index in indices:
        image, label = dataset[index]
        assert image.dtype == torch.uint8, f"image {index} is {image.dtype}; expected uint8"
        assert image.ndim == 3, f"image {index} is {list(image.shape)}; expected [c h w]"
        assert image.shape[0] == spec.channels, f"image {index} has {image.shape[0]} channels; spec: {spec.channels}"
        if spec.height is not None:
            assert tuple(image.shape[1:]) == (spec.height, spec.width), f"image {index} is not of the spec's size"
        if classes is not None:
            assert 0 <= label < len(classes), f"label {label} of image {index} is none of {len(classes)} classes"
        for name, again in (("a second time", dataset[index]), ("from a pickled copy", other[index])):
            assert torch.equal(image, again[0]), f"image {index} is another {name}"
            assert label == again[1], f"label {index} is another {name}"
        if whole is not None:
            assert torch.equal(whole[0][index], image), f"tensors() and item {index} differ"
            assert int(whole[1][index]) == label, f"tensors() and label {index} differ"
        resize(image[None], 8, 8)


def check_callback(callback: Any) -> None:
    """A callback has known ``on_*`` methods alone, and both halves of its state or none."""
    names = [name for name in dir(callback) if name.startswith("on_") and callable(getattr(callback, name))]
    unknown = sorted(set(names) - set(CALLBACK_METHODS))
    assert not unknown, f"unknown methods {unknown}; known: {list(CALLBACK_METHODS)}"
    assert names, "it has none of the on_* methods"
    halves = [hasattr(callback, half) for half in ("state_dict", "load_state_dict")]
    assert halves[0] == halves[1], "it has one of state_dict and load_state_dict, and needs both"


def _check_gradients(network: nn.Module, output: Tensor) -> None:
    (output * torch.randn(output.shape)).sum().backward()
    idle = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not idle, f"no gradient reaches {idle}"


def _check_meta(build: Callable[[], nn.Module]) -> None:
    with torch.device("meta"):
        devices: Sequence[str] = sorted({p.device.type for p in build().parameters()})
    assert set(devices) <= {"meta"}, f"built under torch.device('meta'), it has parameters on {devices}"
