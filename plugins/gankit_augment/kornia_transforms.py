"""Builds kornia augmentations from recipes and checks that they suit a discriminator's input."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import gankit

NO_GRADIENT = "its gradient is zero almost everywhere, so the generator could not learn through it"
NOT_RANDOM = "it treats every image in the same way; prepare the dataset with it instead"
UNSUITABLE: Mapping[str, str] = {
    "CenterCrop": NOT_RANDOM,
    "Denormalize": NOT_RANDOM,
    "LongestMaxSize": NOT_RANDOM,
    "Normalize": NOT_RANDOM,
    "PadTo": NOT_RANDOM,
    "RandomClahe": NO_GRADIENT,
    "RandomDissolving": "it needs a pretrained diffusion model",
    "RandomEqualize": NO_GRADIENT,
    "RandomFisheye": "its parameters are tensors, which a recipe cannot contain; use RandomThinPlateSpline",
    "RandomGamma": "its gradient is infinite on black; use RandomBrightness or RandomContrast",
    "RandomPosterize": NO_GRADIENT,
    "Resize": NOT_RANDOM,
    "SmallestMaxSize": NOT_RANDOM,
}
MAX_TRIAL_SIDE = 256  # pixels: the trial keeps dozens of copies of its five images
MAX_TRIAL_PIXELS = MAX_TRIAL_SIDE**2
PROBABILITIES = ("p", "p_batch")


def build_transform(name: str, parameters: Mapping[str, Any], image: gankit.ImageSpec) -> nn.Module:
    """Build the kornia augmentation ``name`` and try it.

    Raises:
        ValueError: it is unknown or unsuitable, or its parameters are; the message does not repeat the name.
    """
    import kornia.augmentation

    factory = _find(name, kornia.augmentation)
    _check_parameters(factory, parameters)
    given = {key: _tuples(value) for key, value in parameters.items()}
    # the caller may have set the meta device, and its random state must not change
    with torch.device("cpu"), gankit.preserved_random_state(), torch.enable_grad():
        try:
            transform = factory(**given)
        except MemoryError:
            raise
        except Exception as error:  # kornia raises many types for invalid parameters
            raise ValueError(gankit.one_line(error)) from None
        if image.height * image.width <= MAX_TRIAL_PIXELS:
            _try_out(transform, image)
        elif "size" not in given:  # a transform with a fixed output size cannot be tried on smaller images
            _try_out(transform, gankit.ImageSpec(MAX_TRIAL_SIDE, MAX_TRIAL_SIDE, image.channels))
    return transform


def _find(name: str, library: ModuleType) -> type[nn.Module]:
    known = {key for key, value in vars(library).items() if _is_transform(value, library.AugmentationBase2D)}
    if name in known and name not in UNSUITABLE:
        return getattr(library, name)  # type: ignore[no-any-return]
    if name in UNSUITABLE:
        raise ValueError(UNSUITABLE[name])
    if inspect.isclass(getattr(library, name, None)):
        raise ValueError("it does not augment single images; volumes, mixtures and containers are not supported")
    raise ValueError(f"kornia has no such augmentation{gankit.did_you_mean(name, known - set(UNSUITABLE))}")


def _is_transform(value: Any, base: type) -> bool:
    return inspect.isclass(value) and issubclass(value, base) and not value.__name__.endswith("Base2D")


def _check_parameters(factory: type[nn.Module], parameters: Mapping[str, Any]) -> None:
    signature = inspect.signature(factory)
    valid = [p.name for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for key in parameters:
        if key not in valid:
            raise ValueError(f"unknown parameter '{key}'{gankit.did_you_mean(key, valid)}")
    needed = [key for key in valid if signature.parameters[key].default is inspect.Parameter.empty]
    if missing := [key for key in needed if key not in parameters]:
        raise ValueError(f"parameter '{missing[0]}' is missing")
    for key in PROBABILITIES:
        value = parameters.get(key, 1.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise ValueError(f"{key} is {value!r}; give a probability from 0 to 1")


def _try_out(transform: Any, image: gankit.ImageSpec) -> None:
    """Check that ``transform`` keeps the images' shape and is twice differentiable.

    Raises:
        ValueError: a check fails.
    """
    torch.default_generator.manual_seed(0)
    chances = {key: getattr(transform, key) for key in PROBABILITIES}
    for key in PROBABILITIES:
        setattr(transform, key, 1.0)
    images = _trial_images(image)
    weight = torch.ones((), requires_grad=True)
    size = f"{list(images.shape[1:])} images (c h w)"
    try:
        outcome = transform(images)
    except MemoryError:  # for callers that limit memory
        raise
    except Exception as error:  # as in `build_transform`
        raise ValueError(f"kornia cannot apply it to {size}: {gankit.one_line(error)}") from None
    if outcome.shape != images.shape:
        raise ValueError(f"it changes {size} to {list(outcome.shape[1:])}; it must keep their shape")
    if not outcome.requires_grad:
        raise ValueError(NO_GRADIENT)
    (gradient,) = torch.autograd.grad((outcome * weight).sin().sum(), images, create_graph=True)
    if not bool(gradient[0].any()):
        raise ValueError(NO_GRADIENT)
    try:
        (second,) = torch.autograd.grad(gradient.square().sum(), weight)
    except RuntimeError as error:
        raise ValueError(f"it cannot be differentiated twice with this torch: {gankit.one_line(error)}") from None
    if not bool(gradient.isfinite().all() and second.isfinite()):
        raise ValueError("its gradient is NaN or infinite on black, white or flat images")
    for key, value in chances.items():
        setattr(transform, key, value)


def _trial_images(image: gankit.ImageSpec) -> Tensor:
    """Noise, black and white noise, black, grey, white: [5 c h w] in [0, 1]."""
    noise = torch.rand(image.channels, image.height, image.width)
    flat = [torch.full_like(noise, value) for value in (0.0, 0.5, 1.0)]
    return torch.stack([noise, noise.round(), *flat]).requires_grad_()


def _tuples(value: Any) -> Any:
    """Convert a recipe's lists to tuples, which kornia expects."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
