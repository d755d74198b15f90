"""Checks of single components, which are built from a factory and its parameters."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..assembly.codec import prepare_codec
from ..assembly.dry_run import meta_device
from ..calls import described, require_attributes, require_call
from ..data.datasets import classes_of, prepare_dataset, spec_of
from ..data.encodings.image_codec import require_batch
from ..data.items import read_item, read_tensors
from ..data.resize import resize
from ..errors import DataError, GankitError
from ..game.outputs import heads_of, images_of
from ..injection import argument_names, forward_names, select_arguments
from ..interfaces import Batch, DataSpec, ImageSpec, Player, no_report
from ..interfaces.data_spec import IMAGE, LABEL, data_spec
from ..networks.nested_tensors import tensors_in
from ..training.callbacks import Callbacks
from .turn import require_argument

# Without a tanh at the end, an untrained network may exceed [-1, 1]: an RRDBNet of 23 blocks reaches 15. Images in
# [0, 255] exceed this limit.
MAX_ABSOLUTE = 100.0


def build_component(
    factory: Callable[..., Any], params: Mapping[str, Any], image: ImageSpec | DataSpec, **more: Any
) -> tuple[Any, DataSpec]:
    """The component and its data. Raises: TypeError: the factory or ``image`` is something else."""
    require_argument(
        isinstance(image, (ImageSpec, DataSpec)),
        f"image is {image!r:.80}; expected an ImageSpec, such as ImageSpec(32, 32, 3), or a DataSpec",
    )
    require_argument(
        not isinstance(factory, nn.Module) and callable(factory),
        f"{described(factory)} was given; expected its class, which is built from the ImageSpec and the parameters",
    )
    data = data_spec(image)
    sizes = [spec.height for spec in data.values() if isinstance(spec, ImageSpec)]
    require_argument(None not in sizes, f"{data!r} has images of any size; pass a spec with the sizes of a run")
    values = {"image": data.image, **more, "data": data}
    try:
        names = argument_names(factory, [*values], ("image", *more), "the constructor")
    except ValueError as error:
        raise AssertionError(str(error)) from None
    return factory(*select_arguments(names, values), **params), data


def build_network(
    factory: Callable[..., nn.Module], params: Mapping[str, Any], image: ImageSpec | DataSpec, **more: Any
) -> tuple[nn.Module, DataSpec]:
    """The same for a component that is a module."""
    network, data = build_component(factory, params, image, **more)
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


def random_batch(data: DataSpec, count: int) -> Batch:
    """Random items of the data."""
    tensors = {name: torch.rand(count, *data.shape_of(name)).mul(2).sub(1) for name in data}
    labels = tensors.pop(LABEL, None)
    if data.image.classes:
        labels = torch.arange(count) % data.image.classes
    return Batch(tensors.pop(IMAGE), labels, tensors)


def check_generator(
    factory: Callable[..., nn.Module], image: ImageSpec | DataSpec, latent_dim: int = 16, **params: Any
) -> None:
    """Check that a generator returns images of the expected shape in about [-1, 1] and all parameters get gradients."""
    network, data = build_network(factory, params, image, latent_dim=latent_dim)
    output = _call("generator", network, random_batch(data, 4), z=torch.randn(4, latent_dim))
    images = images_of(output)
    expected = (4, *data.shape_of(IMAGE))
    assert isinstance(images, Tensor), f"returns {described(images)}; expected images {list(expected)}"
    assert tuple(images.shape) == expected, f"images are {list(images.shape)}; expected {list(expected)}"
    assert bool(images.isfinite().all()), "images are not finite"
    largest = float(images.detach().abs().max())
    assert largest <= MAX_ABSOLUTE, f"images have values up to {largest:.3g}; expected about [-1, 1]"
    differentiable = [tensor.flatten() for tensor in tensors_in(output) if tensor.requires_grad]
    assert differentiable, "no output requires gradients: it is detached, or the network has no parameters"
    _check_gradients(network, torch.cat(differentiable))
    _check_meta(lambda: build_network(factory, params, image, latent_dim=latent_dim)[0])


def check_discriminator(factory: Callable[..., nn.Module], image: ImageSpec | DataSpec, **params: Any) -> None:
    """Check that a discriminator returns finite logits for each image, which are twice differentiable."""
    network, data = build_network(factory, params, image)
    batch = random_batch(data, 4)
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
    assert total.requires_grad, "logits do not require gradients: they are detached"
    (gradient,) = torch.autograd.grad(total, images, create_graph=True, allow_unused=True)
    depends = gradient is not None and bool(gradient.detach().any())
    assert depends, "logits do not depend on the images"
    gradient.square().sum().backward()
    network.zero_grad()
    again = heads_of(_call("discriminator", network, batch, images=images))
    _check_gradients(network, torch.cat([head.flatten() for head in again]))
    _check_meta(lambda: build_network(factory, params, image)[0])


def check_augmentation(factory: Callable[..., nn.Module], image: ImageSpec | DataSpec, **params: Any) -> None:
    """Check that an augmentation keeps shape and dtype, is reproducible with a seed, and is twice differentiable."""
    augmentation, data = build_network(factory, params, image)
    try:
        require_call(augmentation, "forward", ("images",))
    except ValueError as error:
        raise AssertionError(str(error)) from None
    images = random_batch(data, 4).images.requires_grad_()
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


def check_codec(factory: Callable[..., Any], image: ImageSpec | DataSpec, **params: Any) -> None:
    """Check that a codec encodes and decodes images reproducibly, and each one independently of the others."""
    codec, data = build_component(factory, params, image)
    for method, argument in (("encode", "images"), ("decode", "encodings")):
        try:
            require_call(codec, method, (argument,))
        except (AttributeError, ValueError) as error:
            raise AssertionError(str(error)) from None
    prepare_codec(codec)
    if isinstance(codec, nn.Module):
        codec.eval()
    images = random_batch(data, 4).images
    with torch.no_grad():
        encodings = codec.encode(images)
        try:
            require_batch(encodings, 4, "encode")
        except ValueError as error:
            raise AssertionError(str(error)) from None
        decoded = codec.decode(encodings)
        for method, given, result in (("encode", images, encodings), ("decode", encodings, decoded)):
            run = getattr(codec, method)
            assert isinstance(result, Tensor), f"{method} returns {described(result)}; expected a tensor"
            assert bool(result.isfinite().all()), f"{method} returns NaN or infinity"
            assert torch.equal(run(given), result), f"{method} returns another result in a second call"
            alone = torch.cat([run(row[None]) for row in given])
            close = alone.shape == result.shape and torch.allclose(alone, result, rtol=1e-3, atol=1e-4)
            assert close, f"{method} treats an image differently when it is alone"
    assert decoded.shape == images.shape, f"decode returns {described(decoded)}; expected {list(images.shape)}"


def check_dataset(dataset: Any) -> None:
    """Check a dataset: items fit the spec and classes, are reproducible, survive pickling and equal ``tensors()``."""
    require_argument(not isinstance(dataset, type), f"the class {dataset!r} was given; expected an instance")
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
    require_argument(not isinstance(callback, type), f"the class {callback!r} was given; expected an instance")
    try:
        Callbacks([(type(callback).__name__, callback)])
    except GankitError as error:
        raise AssertionError(str(error)) from None


def _check_gradients(network: nn.Module, output: Tensor) -> None:
    (output * torch.randn(output.shape)).sum().backward()
    unused = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, f"no gradient reaches {unused}"


def _check_meta(build: Callable[[], nn.Module]) -> None:
    with meta_device():
        devices = sorted({p.device.type for p in build().parameters()})
    assert set(devices) <= {"meta"}, f"built under torch.device('meta'), it has parameters on {devices}"
