"""The interfaces of networks, augmentations and latents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

GeneratorOutput = Any
"""Images [n c h w], or a mapping with these under ``images`` and other tensors [n ...] under other keys."""

DiscriminatorOutput = Any
"""One of: logits [n ...]; a list of such tensors, one for each head; or a mapping with either of these under ``logits``
and anything else under other keys.
"""


class Generator(Protocol):
    """The generator G, an `nn.Module`. Built as ``factory(image, latent_dim, data, **params)``.

    ``image`` is the run's `ImageSpec`, ``latent_dim`` the recipe's ``latent.dim``, and ``data`` the `DataSpec` of all
    fields. A constructor omits those that it does not need.

    A generator whose images depend on random numbers that it draws itself, such as noise per pixel, may define
    ``deterministic_options``, a class attribute: the sampling options, by name, with which they do not. ``gankit
    export``, ``project`` and ``directions`` use them by default.

    Optional methods of generators and discriminators: ``parameter_groups()`` returns the optimizer's parameter groups
    (an ``lr_scale`` in a group multiplies the recipe's learning rate); ``after(turn)`` is called as for a
    `Regularizer`.

    A generator that is controlled by one style per layer may define ``styles(z, labels)``, which returns the styles
    [n l s] of l layers, and ``synthesize(styles)``, which generates images from them, so that ``forward`` is
    ``synthesize(styles(z, labels))``. Both may have sampling options of ``forward`` as keyword-only parameters. gankit
    then mixes the styles of images, projects images into the space of styles, and finds directions in it.
    """

    def forward(self, z: Tensor, labels: Tensor | None = None) -> GeneratorOutput:
        """Generate images. gankit selects ``z``, ``labels`` and fields of the data by the names of the parameters.

        If none of the parameters has a known name, it passes ``z`` and ``labels`` by position.

        Keyword-only parameters of ``forward`` are sampling options, such as ``*, truncation: float = 1.0``. Each needs
        a type annotation, which values are checked against, and a default, which training uses. Users set them with
        ``gankit sample RUN truncation=0.7``, ``gankit eval``, and ``sample(..., truncation=0.7)``.

        Args:
            z: latents [n d] from the recipe's `Latent`.
            labels: int64 [n] in [0, image.classes), or fp32 [n v] if they are vectors; None if unconditional.

        Returns:
            Images [n c h w] of the run's `ImageSpec`, in about [-1, 1]; or a mapping with these under ``images`` and
            other tensors [n ...], which losses and games can access as ``turn.generated``.
        """


class Discriminator(Protocol):
    """The discriminator D, an `nn.Module`. Built as ``factory(image, data, **params)``, as for a `Generator`."""

    def forward(self, images: Tensor, labels: Tensor | None = None) -> DiscriminatorOutput:
        """Score images. The first parameter receives the images. The names of the others select their values.

        Args:
            images: augmented images [n c h w] in about [-1, 1], real or generated.
            labels: int64 [n] in [0, image.classes), or fp32 [n v] if they are vectors; None if unconditional.

        Returns:
            Logits [n ...], without a sigmoid, or a non-empty list of such tensors, one for each head. The shapes of
            heads may differ after the first dimension. The loss is computed for each head and summed over the heads.
            A mapping contains the logits (or list) under ``logits``. Losses and regularizers can access its other
            entries, for example class logits or features, in ``turn.real_output`` and ``turn.fake_output``.
        """


class Augmentation(Protocol):
    """An `nn.Module` applied to all images that D receives, real and generated.

    Built as ``factory(image, data, **params)``, as for a `Generator`. Optional: ``after(turn)``, as for a
    `Regularizer`.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Augment images [n c h w] in [-1, 1].

        Returns:
            Images of the same shape and dtype, twice differentiable with respect to the input. They need not be clamped
            to [-1, 1].
        """


class Codec(Protocol):
    """A pretrained encoder and decoder of images. The networks of a run are then trained on its encodings.

    Built as ``factory(image, data, **params)``, where ``image`` and ``data`` describe the images before encoding. A
    codec that is an `nn.Module` stays in eval mode and is never trained. The result of both methods must depend only on
    their argument, and the result for an image must not depend on the other images.

    In a run with a codec, networks, losses and augmentations receive encodings instead of images. gankit standardizes
    each channel of the encodings. It computes the mean and the standard deviation from the encodings of up to 1,024
    images. Samples are decoded.

    Optional: ``prepare()`` reads pretrained weights. gankit calls it when a run starts or is resumed. For sampling, the
    weights come from the run directory instead, so the constructor should not need any file.
    """

    def encode(self, images: Tensor) -> Tensor:
        """The encodings [n k y x], floating-point, of images [n c h w] in [-1, 1]."""

    def decode(self, encodings: Tensor) -> Tensor:
        """The images [n c h w] in about [-1, 1] of encodings [n k y x]."""


class Latent(Protocol):
    """The distribution of the latents. Built as ``factory(dim, **params)``; ``dim`` is the recipe's ``latent.dim``.

    Optional methods:

    - ``between(start, end, share)`` interpolates between latents [n d] and returns latents [n d]; ``share`` in [0, 1]
      is 0 at ``start``. Without it, gankit uses spherical interpolation, which suits normally distributed latents.
    - ``after(turn)``, as for a `Regularizer`.
    """

    def sample(self, n: int, labels: Tensor | None, generator: torch.Generator) -> Tensor:
        """Draw latents. All random numbers must come from ``generator``, so that the same seed gives the same latents.

        Args:
            n: the number of latents; in training, for all processes together.
            labels: int64 [n], or fp32 [n v] if labels are vectors; None if the run is unconditional.
            generator: on the training device in training, on the CPU otherwise.

        Returns:
            Latents [n d], floating-point, on the device of ``generator``.
        """
