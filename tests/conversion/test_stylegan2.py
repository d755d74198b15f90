"""Networks of StyleGAN2-ADA against the formulas of the papers, applied to the weights under their published names."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gankit

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def low_pass(images: Tensor, before: int, after: int) -> Tensor:
    """[1, 3, 3, 1] / 8 along both axes, after zeros on each side."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = torch.outer(line, line).expand(images.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(images, (before, after, before, after)), kernel, groups=images.shape[1])


def zeros_between(images: Tensor) -> Tensor:
    larger = images.new_zeros(*images.shape[:2], 2 * images.shape[2], 2 * images.shape[3])
    larger[:, :, ::2, ::2] = images
    return larger


class Reference:
    """A network by the published names of its weights."""

    def __init__(self, foreign, clamp=None):
        self.weights, self.clamp = foreign.tensors, clamp

    def linear(self, x, name, rate=1.0, activate=False):
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        x = x @ (weight * rate / math.sqrt(weight.shape[1])).t() + bias * rate
        return F.leaky_relu(x, 0.2) * math.sqrt(2) if activate else x

    def mapping(self, z, labels, layers):
        """arXiv 1812.04948, sec. 2, with the class conditioning of arXiv 2006.06676."""
        parts = [] if z is None else [z]
        if labels is not None:
            classes = self.weights["mapping.embed.weight"].shape[1]
            parts.append(self.linear(F.one_hot(labels, classes).float(), "mapping.embed"))
        x = torch.cat([part / (part.square().mean(1, keepdim=True) + 1e-8).sqrt() for part in parts], dim=1)
        for number in range(layers):
            x = self.linear(x, f"mapping.fc{number}", 0.01, activate=True)
        return x

    def activated(self, x, name, gain=1.0):
        x = F.leaky_relu(x + self.weights[f"{name}.bias"][:, None, None], 0.2) * math.sqrt(2) * gain
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)


class ReferenceGenerator(Reference):
    """arXiv 1912.04958, sec. 2 and fig. 7."""

    def modulated(self, x, style, name, demodulate, flip=False):
        """One image at a time: eq. 1 and 3."""
        weight = self.weights[f"{name}.weight"]
        weight = weight.flip(2, 3) if flip else weight
        scales = self.linear(style, f"{name}.affine") / (1 if demodulate else math.sqrt(weight.shape[1]))
        kernels = weight * scales[:, None, :, None, None]
        if demodulate:
            kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        return torch.cat([F.conv2d(x[i : i + 1], k, padding=k.shape[-1] // 2) for i, k in enumerate(kernels)])

    def styled(self, x, style, name, noise, gain=1.0, up=False):
        if up:  # zeros, filter and convolution in this order, with a margin for what they move over the border
            x = low_pass(F.pad(zeros_between(x), (2, 2, 2, 2)), 2, 1) * 4
        x = self.modulated(x, style, name, demodulate=True, flip=up)  # a transposed convolution flips its kernel
        x = x[:, :, 2:-2, 2:-2] if up else x
        if noise == "const":
            x = x + self.weights[f"{name}.noise_const"] * self.weights[f"{name}.noise_strength"]
        return self.activated(x, name, gain)

    def __call__(self, z, labels, size, architecture, noise="const", truncation=1.0):
        style = self.mapping(z, labels, 2)
        style = self.weights["mapping.w_avg"] * (1 - truncation) + style * truncation
        x, image = self.weights["synthesis.b4.const"].expand(len(z), -1, -1, -1), None
        for side in (side for side in (4, 8, 16) if side <= size):
            block = f"synthesis.b{side}"
            shortcut, gain = None, 1.0
            if architecture == "resnet" and side > 4:
                skip = self.weights[f"{block}.skip.weight"]
                shortcut = low_pass(zeros_between(F.conv2d(x, skip / math.sqrt(skip.shape[1]))), 2, 1) * 4
                shortcut, gain = shortcut * math.sqrt(0.5), math.sqrt(0.5)
            if side > 4:
                x = self.styled(x, style, f"{block}.conv0", noise, up=True)
            x = self.styled(x, style, f"{block}.conv1", noise, gain)
            x = x if shortcut is None else x + shortcut
            if image is not None:
                image = low_pass(zeros_between(image), 2, 1) * 4
            if architecture == "skip" or side == size:
                rgb = self.modulated(x, style, f"{block}.torgb", demodulate=False)
                rgb = rgb + self.weights[f"{block}.torgb.bias"][:, None, None]
                rgb = rgb if self.clamp is None else rgb.clamp(-self.clamp, self.clamp)
                image = rgb if image is None else image + rgb
        return image


class ReferenceDiscriminator(Reference):
    """arXiv 1912.04958, fig. 7, and arXiv 1710.10196, sec. 3."""

    def conv(self, x, name, down=False, gain=1.0):
        weight = self.weights[f"{name}.weight"]
        side = weight.shape[-1]
        kernel = weight / math.sqrt(weight[0].numel())
        padding = (side + 1) // 2
        x = F.conv2d(low_pass(x, padding, padding), kernel, stride=2) if down else F.conv2d(x, kernel, padding=side // 2)
        return self.activated(x, name, gain) if f"{name}.bias" in self.weights else x * gain

    def __call__(self, images, labels, size, architecture):
        x = self.conv(images, f"b{size}.fromrgb")
        for side in (side for side in (16, 8) if side <= size):
            gain = math.sqrt(0.5) if architecture == "resnet" else 1.0
            y = self.conv(self.conv(x, f"b{side}.conv0"), f"b{side}.conv1", down=True, gain=gain)
            x = y + self.conv(x, f"b{side}.skip", down=True, gain=gain) if architecture == "resnet" else y
            if architecture == "skip":
                images = low_pass(images, 1, 1)[:, :, ::2, ::2]
                x = x + self.conv(images, f"b{side // 2}.fromrgb")
        groups = x.unflatten(0, (2, len(x) // 2))
        deviation = (groups.var(dim=0, correction=0) + 1e-8).sqrt().mean(dim=(1, 2, 3)).repeat(2)
        x = torch.cat([x, deviation[:, None, None, None].expand(-1, 1, 4, 4)], dim=1)
        x = self.linear(self.conv(x, "b4.conv").flatten(1), "b4.fc", activate=True)
        x = self.linear(x, "b4.out")
        return x.squeeze(1) if labels is None else (x * self.mapping(None, labels, 3)).sum(1) / math.sqrt(x.shape[1])


@pytest.mark.parametrize("noise", ["const", "none"])
@pytest.mark.parametrize("clamp", [None, 0.5])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_images_of_a_generator(persistent_pickle, stylegan2_generator, import_files, architecture, classes, clamp, noise):
    torch.manual_seed(0)
    foreign = stylegan2_generator(16, classes, architecture, clamp)
    imported = import_files(file=persistent_pickle(G_ema=foreign))
    z, labels = torch.randn(3, 5), torch.tensor([0, 2, 1]) if classes else None
    expected = ReferenceGenerator(foreign, clamp)(z, labels, 16, architecture, noise, truncation=0.7)
    network = imported.networks["generator_ema"].eval()
    with torch.no_grad():
        torch.testing.assert_close(network(z, labels, noise=noise, truncation=0.7), expected, **CLOSE)
    assert (imported.latent_dim, imported.data.image) == (5, gankit.ImageSpec(16, 16, 3, classes))


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_logits_of_a_discriminator(
    persistent_pickle, stylegan2_generator, stylegan2_discriminator, import_files, architecture, classes
):
    torch.manual_seed(0)
    foreign = stylegan2_discriminator(16, classes, architecture)
    imported = import_files(file=persistent_pickle(G=stylegan2_generator(16, classes), D=foreign))
    images, labels = torch.randn(4, 3, 16, 16), torch.tensor([0, 2, 1, 1]) if classes else None
    expected = ReferenceDiscriminator(foreign)(images, labels, 16, architecture)
    with torch.no_grad():
        torch.testing.assert_close(imported.networks["discriminator"](images, labels), expected, **CLOSE)


@pytest.mark.parametrize(
    ("tensors", "attributes", "message"),
    [
        ({}, {"synthesis.b4.conv1.activation": "relu"}, r"synthesis.b4.conv1 has the activation 'relu'; gankit's stylegan2 has 'lrelu'"),
        ({}, {"synthesis.b4.conv1.conv_clamp": 3.0}, "its layers have different values of conv_clamp"),
        ({"synthesis.b8.conv1.resample_filter": torch.ones(4, 4) / 16}, {}, "1 with other values: synthesis.b8.conv1.resample_filter"),
        ({"synthesis.b8.conv1.weight": torch.ones(4, 3, 3, 3)}, {}, r"1 of another shape: synthesis.b8.conv1.weight \[4, 3, 3, 3\] instead of \[4, 4, 3, 3\]"),
        ({"synthesis.b8.extra": torch.ones(2)}, {}, "does not fit stylegan2: 1 unexpected: synthesis.b8.extra"),
        ({"synthesis.input.freqs": torch.ones(2)}, {}, "the alias-free networks of StyleGAN3 are not supported"),
    ],
)  # fmt: skip
def test_other_networks_are_refused(
    persistent_pickle, stylegan2_generator, import_files, tensors, attributes, message
):
    foreign = stylegan2_generator()
    foreign.tensors.update(tensors)
    foreign.attributes.update(attributes)
    with pytest.raises(gankit.GankitError, match=message):
        import_files(file=persistent_pickle(G_ema=foreign))


def test_missing_weights_are_listed(persistent_pickle, stylegan2_generator, import_files):
    foreign = stylegan2_generator()
    del foreign.tensors["synthesis.b8.conv0.noise_strength"], foreign.attributes["mapping.w_avg_beta"]
    with pytest.raises(gankit.GankitError, match=r"file: G: cannot be imported: it lacks the attribute mapping.w_avg_beta"):
        import_files(file=persistent_pickle(G=foreign))
    foreign.attributes["mapping.w_avg_beta"] = 0.9
    with pytest.raises(gankit.GankitError, match=r"1 missing: synthesis.b8.conv0.noise_strength$"):
        import_files(file=persistent_pickle(G=foreign))
