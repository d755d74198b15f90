"""Test utilities for plugin authors: a turn outside of a run, and checks of components.

Each ``check_*`` function raises AssertionError with a message if the component violates its protocol in
`gankit.interfaces`, and TypeError if the function itself is called wrongly. ``image`` is the `ImageSpec` to build a
component with, or the `DataSpec` for networks that ask for further fields, and ``params`` its parameters.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from .calls import described, require_attributes, require_call
from .data.datasets import classes_of, prepare_dataset, spec_of
from .data.items import read_item, read_tensors
from .data.resize import resize
from .device.engine import Engine
from .distributed.processes import Processes
from .errors import DataError, GankitError
from .game.outputs import heads_of, images_of, in_full_precision
from .game.step_context import Fakes, StepContext
from .game.turn import PlayerTurn
from .injection import argument_names, forward_names, select_arguments
from .interfaces import PLAYERS, Batch, DataSpec, ImageSpec, Player, no_report
from .interfaces.data_spec import IMAGE, LABEL, data_spec
from .messages import one_line
from .training.callbacks import Callbacks

MAX_ABSOLUTE = 10.0  # networks that do not end with tanh exceed [-1, 1], but not by orders of magnitude


def make_turn(
    player: Player,
    generator: Callable[..., Tensor],
    discriminator: Callable[..., Any],
    real: Tensor,
    *,
    latents: Tensor | None = None,
    latent_dim: int = 4,
    labels: Tensor | None = None,
    fields: Mapping[str, Tensor] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    images_seen: int = 0,
    leaves: bool = True,
) -> PlayerTurn:
    """A turn outside of a run, on the CPU, to call a loss or regularizer with.

    Example:
        >>> image = gankit.ImageSpec(16, 16, 3)
        >>> generator, discriminator = MyGenerator(image, 64), MyDiscriminator(image)
        >>> turn = make_turn("discriminator", generator, discriminator, torch.randn(8, 3, 16, 16), latent_dim=64)
        >>> MyLoss().discriminator(turn).backward()

    Args:
        player: ``discriminator`` or ``generator``.
        generator: a module or function that maps latents [n d] and labels, if there are any, to images [n c h w].
        discriminator: a module or function that maps images and labels, if there are any, to D's output.
        real: real images [n c h w] in [-1, 1], fp32 or fp64; the turn uses their dtype.
        latents: [n d], which ``fake`` is generated from; None draws normal ones.
        latent_dim: dimensions of the latents, if ``latents`` are not given: the ``latent_dim`` that the generator was
            built with.
        labels: [n], or None.
        fields: further fields of the data by name, [n ...] each, which the networks may ask for.
        augment: applied to all images that D sees.
        images_seen: the turn's ``images_seen``.
        leaves: in D's turn, make ``real`` and ``fake`` require gradients, as for gradient penalties.

    Raises:
        TypeError: an argument is not as described, or the generator does not accept the latents.
    """
    _require(player in PLAYERS, f"player is {player!r}; expected {' or '.join(map(repr, PLAYERS))}")
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        _require(not isinstance(network, type), f"{name} is the class {network!r}; expected an instance")
    _require(
        isinstance(real, Tensor) and real.dim() == 4 and real.is_floating_point(),
        f"real is {described(real)}; expected floating-point images [n c h w]",
    )
    z = latents if latents is not None else torch.randn(len(real), latent_dim, dtype=real.dtype)
    for name, rows in (("latents", z), ("labels", labels), *(fields or {}).items()):
        _require(rows is None or len(rows) == len(real), f"{name} are {described(rows)} for {len(real)} real images")
    latent: Any = SimpleNamespace(sample=lambda n, labels, generator: torch.randn(n, z.shape[1], generator=generator))
    loss: Any = SimpleNamespace(discriminator=lambda turn: torch.zeros(()), generator=lambda turn: torch.zeros(()))
    game = StepContext(
        players={"generator": _module(generator), "discriminator": _module(discriminator)},
        latent=latent,
        loss=loss,
        regularizers={},
        augmentations=[_module(augment)] if augment else [],
        engine=Engine(torch.device("cpu"), "fp64" if real.dtype == torch.float64 else "fp32"),
        random=torch.Generator(),
        processes=Processes(),
        fields=[*(fields or {})],
    )
    batch = Batch(real, labels, dict(fields or {}))
    try:
        output = game.generator(*game.conditions("generator", batch, z=z))
    except Exception as error:
        raise TypeError(
            f"the generator fails on latents {described(z)}: {type(error).__name__}: {one_line(error)}; "
            "latent_dim (or latents) should have the dimensions that it was built for"
        ) from error
    images = images_of(output)
    _require(isinstance(images, Tensor), f"the generator returns {described(images)}; expected images [n c h w]")
    output = in_full_precision(output, game.engine.dtype)
    fakes = Fakes(images_of(output), z, output)
    return PlayerTurn(game, player, batch, images_seen=images_seen, fakes=fakes, penalties=leaves)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise TypeError(message)


def _build(
    factory: Callable[..., nn.Module], params: dict[str, Any], image: ImageSpec | DataSpec, **more: Any
) -> tuple[nn.Module, DataSpec]:
    """The component and its data. Raises: TypeError: the factory or ``image`` is something else."""
    _require(
        isinstance(image, (ImageSpec, DataSpec)),
        f"image is {image!r:.80}; expected an ImageSpec, such as ImageSpec(32, 32, 3), or a DataSpec",
    )
    _require(
        not isinstance(factory, nn.Module) and callable(factory),
        f"{described(factory)} was given; expected its class, which is built from the ImageSpec and the parameters",
    )
    data = data_spec(image)
    values = {"image": data.image, **more, "data": data}
    try:
        names = argument_names(factory, [*values], ("image", *more), "the constructor")
    except ValueError as error:
        raise AssertionError(str(error)) from None
    network = factory(*select_arguments(names, values), **params)
    assert isinstance(network, nn.Module), f"the factory returns {described(network)}, which is not a torch.nn.Module"
    return network, data


def _call(player: Player, network: nn.Module, batch: Batch, **inputs: Tensor) -> Any:
    """The network's output for a batch. Raises: AssertionError: it asks for something else."""
    assert hasattr(network, "forward"), f"{type(network).__name__} lacks `forward`"
    try:
        names = forward_names(player, network, [*batch.fields])
    except ValueError as error:
        raise AssertionError(str(error)) from None
    values = {"image": batch.images, "labels": batch.labels, **batch.fields, **inputs}
    return network(*select_arguments(names, values))


def _batch(data: DataSpec, count: int) -> Batch:
    """Random items of the data."""
    tensors = {name: torch.rand(count, *data.shape_of(name)).mul(2).sub(1) for name in data}
    labels = tensors.pop(LABEL, None)
    if data.image.classes:
        labels = torch.arange(count) % data.image.classes
    return Batch(tensors.pop(IMAGE), labels, tensors)


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


def check_generator(
    factory: Callable[..., nn.Module], image: ImageSpec | DataSpec, latent_dim: int = 16, **params: Any
) -> None:
    """Check that a generator returns images of the expected shape in about [-1, 1] and all parameters get gradients."""
    network, data = _build(factory, params, image, latent_dim=latent_dim)
    images = images_of(_call("generator", network, _batch(data, 4), z=torch.randn(4, latent_dim)))
    expected = (4, *data.shape_of(IMAGE))
    assert isinstance(images, Tensor), f"returns {described(images)}; expected images {list(expected)}"
    assert tuple(images.shape) == expected, f"images are {list(images.shape)}; expected {list(expected)}"
    assert bool(images.isfinite().all()), "images are not finite"
    largest = float(images.detach().abs().max())
    assert largest <= MAX_ABSOLUTE, f"images have values up to {largest:.3g}; expected about [-1, 1]"
    _check_gradients(network, images)
    _check_meta(lambda: _build(factory, params, image, latent_dim=latent_dim)[0])


def check_discriminator(factory: Callable[..., nn.Module], image: ImageSpec | DataSpec, **params: Any) -> None:
    """Check that a discriminator returns finite logits for each image, which are twice differentiable."""
    network, data = _build(factory, params, image)
    batch = _batch(data, 4)
    images = batch.images.clone().requires_grad_()
    output = _call("discriminator", network, batch, images=images)
    logits = output["logits"] if isinstance(output, Mapping) and "logits" in output else output
    given = logits if isinstance(logits, (list, tuple)) and logits else [logits]
    for head in given:
        assert isinstance(head, Tensor), (
            f"returns {described(head)}; expected logits, a list, or a mapping with 'logits'"
        )
    heads = heads_of(output)
    for head in heads:
        assert head.shape[:1] == (4,), f"logits are {list(head.shape)}; the first dimension must be the batch"
        assert bool(head.isfinite().all()), "logits are not finite"
    total = torch.stack([head.sum() for head in heads]).sum()
    (gradient,) = torch.autograd.grad(total, images, create_graph=True)
    assert bool(gradient.detach().any()), "logits do not depend on the images"
    gradient.square().sum().backward()
    network.zero_grad()
    again = heads_of(_call("discriminator", network, batch, images=images))
    _check_gradients(network, torch.cat([head.flatten() for head in again]))
    _check_meta(lambda: _build(factory, params, image)[0])


def check_augmentation(factory: Callable[..., nn.Module], image: ImageSpec | DataSpec, **params: Any) -> None:
    """Check that an augmentation keeps shape and dtype, is reproducible with a seed, and is twice differentiable."""
    augmentation, data = _build(factory, params, image)
    try:
        require_call(augmentation, "forward", ("images",))
    except ValueError as error:
        raise AssertionError(str(error)) from None
    images = _batch(data, 4).images.requires_grad_()
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        results.append(augmentation(images))
        assert isinstance(results[-1], Tensor), f"returns {described(results[-1])}; expected images"
    assert results[0].shape == images.shape, f"{list(images.shape)} became {list(results[0].shape)}"
    assert results[0].dtype == images.dtype, f"{images.dtype} became {results[0].dtype}"
    assert torch.equal(*results), "two results with the same seed differ"
    weight = torch.ones((), requires_grad=True)
    (gradient,) = torch.autograd.grad((results[0].square() * weight).sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert weight.grad is not None, "it cannot be differentiated twice"


def check_dataset(dataset: Any) -> None:
    """Check a dataset: items fit the spec and classes, are reproducible, survive pickling and equal ``tensors()``."""
    _require(not isinstance(dataset, type), f"the class {dataset!r} was given; expected an instance")
    try:
        require_attributes(dataset, ("__len__", "__getitem__"), "dataset")
    except ValueError as error:
        raise AssertionError(str(error)) from None
    prepare_dataset(dataset, no_report)
    count = len(dataset)
    assert count > 0, "the dataset is empty"
    indices = sorted({0, count // 2, count - 1})
    try:
        spec, classes = spec_of(dataset), classes_of(dataset)
        whole = read_tensors(dataset, spec) if hasattr(dataset, "tensors") else None
        copy = pickle.loads(pickle.dumps(dataset))
        items = {
            index: [read_item(source, index, spec, classes is not None) for source in (dataset, dataset, copy)]
            for index in indices
        }
    except DataError as error:
        raise AssertionError(str(error)) from None
    for index, (item, *others) in items.items():
        for name, field in spec.items():
            if isinstance(field, ImageSpec):
                size = tuple(item[name].shape[1:])
                assert field.height is None or size == (field.height, field.width), (
                    f"{name} {index} is {list(size)}; spec: {[field.height, field.width]}"
                )
                resize(item[name][None], 8, 8)
        if classes is not None and spec.label is None:
            label = int(item[LABEL])
            assert 0 <= label < len(classes), f"label {label} of image {index} is not in [0, {len(classes)})"
        for name, value in item.items():
            for when, again in zip(("when read a second time", "in a pickled copy"), others, strict=True):
                assert torch.equal(value, again[name]), f"{name} {index} differs {when}"
            if whole is not None:
                assert torch.equal(whole[name][index], value), f"{name} {index} differs in tensors()"


def check_callback(callback: Any) -> None:
    """Check that a callback has only known ``on_*`` methods, and both or neither of the state methods."""
    _require(not isinstance(callback, type), f"the class {callback!r} was given; expected an instance")
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
