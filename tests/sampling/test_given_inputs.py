"""Images generated from the user's own inputs, of any size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import gankit
from gankit.sampling.samples import Sampling
from gankit.sampling.trained_generator import TrainedGenerator

IMAGE = gankit.ImageSpec(16, 16, 3)


class Blur(nn.Module):
    """Blurs and enlarges its source; it looks at 3 x 3 pixels."""

    size_multiple: int | None = 4

    def __init__(self, scale=1, size_multiple=4):
        super().__init__()
        self.scale, self.size_multiple, self.seen = scale, size_multiple, []
        self.weight = nn.Parameter(torch.ones(3, 1, 3, 3) / 9)

    def forward(self, source, *, gain: float = 1.0):
        self.seen.append(tuple(source.shape))
        blurred = F.conv2d(F.pad(source, (1, 1, 1, 1), "replicate"), self.weight, groups=3)
        return gain * F.interpolate(blurred, scale_factor=self.scale)


def generator_of(network, source, **fields):
    specs = {"source": source, **fields}
    sampling = Sampling(Zero(), IMAGE, specs=specs)
    return TrainedGenerator(network, sampling, None, "checkpoint", ema=False)


class Zero:
    def sample(self, n, labels, generator):
        return torch.zeros(n, 1)


def image_of_size(height, width, seed=0):
    """A smooth image, uint8."""
    noise = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return (F.interpolate(noise, (height, width), mode="bicubic") * 200 + 20).clamp(0, 255).byte()


def test_inputs_of_the_size_in_training():
    generator = generator_of(Blur(), IMAGE)
    images = image_of_size(16, 16).repeat(70, 1, 1, 1)
    made = generator.sample(inputs={"source": images})
    assert made.shape == (70, 3, 16, 16)
    assert made.dtype == torch.uint8
    floats = images / 127.5 - 1
    assert torch.equal(generator.sample(inputs={"source": floats}), made)
    assert torch.equal(generator.sample(70, inputs={"source": images}, gain=0.0).unique(), torch.tensor([128]).byte())


@pytest.mark.parametrize("size_multiple", [4, None])
@pytest.mark.parametrize("scale", [1, 2])
@given(st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_any_size_is_the_same_as_the_whole_image(scale, size_multiple, height, width):
    """Except at the borders of the image, which are reflected, tiles give what the whole image gives."""
    network = Blur(scale, size_multiple)
    image = image_of_size(height, width)
    source, run = gankit.ImageSpec(16, 16, 3), gankit.ImageSpec(16 * scale, 16 * scale, 3)
    sampling = Sampling(Zero(), run, specs={"source": source})
    made = TrainedGenerator(network, sampling, None, "checkpoint", ema=False).sample(inputs={"source": image})
    assert made.shape == (1, 3, height * scale, width * scale)
    with torch.no_grad():
        whole = ((network(image / 127.5 - 1) + 1) * 127.5).round().clamp(0, 255)
    inner = (..., slice(scale, -scale), slice(scale, -scale))
    difference = (made[inner].float() - whole[inner]).abs()
    assert not (difference > 1).any()


def test_large_images_are_divided_into_tiles_without_seams():
    network = Blur()
    image = image_of_size(700, 1300)
    made = generator_of(network, IMAGE).sample(inputs={"source": image})
    assert {shape[2:] for shape in network.seen} == {(512, 512)}
    assert sum(shape[0] for shape in network.seen) == 2 * 4
    with torch.no_grad():
        whole = ((network(image / 127.5 - 1) + 1) * 127.5).round().clamp(0, 255)
    assert (made.float() - whole).abs().amax() <= 1


def test_a_network_that_differs_between_tiles_is_blended():
    """Each tile in one gray, so that a hard border between tiles would be a step."""

    class Gray(Blur):
        def forward(self, source):
            super().forward(source)
            return torch.full_like(source, -0.5 + len(self.seen) % 2)

    made = generator_of(Gray(), IMAGE).sample(inputs={"source": image_of_size(512, 900)})[0, 0].float()
    steps = (made[:, 1:] - made[:, :-1]).abs()
    assert made.unique().min() < 70
    assert made.unique().max() > 185
    assert steps.max() <= 3


class Normalizing(Blur):
    """Normalizes its source in each image."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        for parameter, value in zip(layer.parameters(), ([0.5, 0.2, 0.8], [0.1, -0.2, 0.0]), strict=False):
            parameter.data.copy_(torch.tensor(value))

    def forward(self, source):
        self.seen.append(tuple(source.shape))
        return 0.4 * self.layer(self.layer(source) + source)


def without_bias(layer):
    """PyTorch 2.9 does not have GroupNorm(bias=False) yet."""
    layer.bias = None
    return layer


@pytest.mark.parametrize("layer", [
    nn.InstanceNorm2d(3), nn.InstanceNorm2d(3, affine=True), nn.GroupNorm(3, 3, affine=False), nn.GroupNorm(1, 3), without_bias(nn.GroupNorm(1, 3)), nn.InstanceNorm2d(3, track_running_stats=True),
], ids=str)  # fmt: skip
def test_tiles_are_normalized_like_the_whole_image(layer):
    """Which is dark at the left and bright at the right, so that the statistics of tiles differ from its own."""
    network = Normalizing(layer).eval()
    image = torch.linspace(0, 255, 1500).expand(1, 3, 600, 1500).byte()
    made = generator_of(network, IMAGE).sample(inputs={"source": image}).float()
    assert {shape[2:] for shape in network.seen} == {(512, 512)}
    with torch.no_grad():
        whole = ((network(image / 127.5 - 1) + 1) * 127.5).round().clamp(0, 255)
    assert (made - whole).abs().amax() <= 2
    assert not layer._forward_hooks


def test_larger_outputs_get_smaller_tiles():
    network = Blur(scale=4)
    made = generator_of(network, gankit.ImageSpec(4, 4, 3)).sample(inputs={"source": image_of_size(300, 260)})
    assert made.shape == (1, 3, 1200, 1040)
    assert {shape[2:] for shape in network.seen} == {(256, 256)}


def test_smaller_outputs():
    class Shrink(Blur):
        def forward(self, source):
            return F.avg_pool2d(source, 2)

    generator = generator_of(Shrink(), gankit.ImageSpec(32, 32, 3))
    assert generator.sample(inputs={"source": image_of_size(101, 64)}).shape == (1, 3, 50, 32)


def test_each_image_has_the_latents_of_its_number():
    class Noisy(nn.Module):
        size_multiple = 1

        def forward(self, z, source):
            return source * 0 + z[:, :1, None, None] / 4

    class Normal:
        def sample(self, n, labels, generator):
            return torch.randn(n, 1, generator=generator)

    generator = TrainedGenerator(Noisy(), Sampling(Normal(), IMAGE, specs={"source": IMAGE}), None, "checkpoint", False)
    made = generator.sample(seed=3, inputs={"source": torch.zeros(2, 3, 600, 20)})
    small = generator.sample(seed=3, inputs={"source": torch.zeros(2, 3, 16, 16)})
    assert [image.unique().numel() for image in made] == [1, 1]
    assert torch.equal(made[:, 0, 0, 0], small[:, 0, 0, 0])
    assert made[0, 0, 0, 0] != made[1, 0, 0, 0]


class Grows(Blur):
    size_multiple = 1

    def forward(self, source):
        return F.pad(source, (1, 1, 1, 1))


PLACE = gankit.VectorSpec(2)
WRONG = [
    (Blur(), {"source": IMAGE}, {"sorce": torch.zeros(1, 3, 8, 8)}, "this generator has no input 'sorce'; did you mean 'source'"),
    (Blur(), {"source": IMAGE}, {}, "the generator needs 'source', which is missing"),
    (Blur(), {}, {"source": torch.zeros(1, 3, 8, 8)}, "takes latents only, and no inputs"),
    (Blur(), {"source": IMAGE}, {"source": torch.zeros(1, 4, 8, 8)}, r"'source' is a tensor float32 \[1, 4, 8, 8\]; expected uint8 or floats in \[-1, 1\], \[n 3 h w\]"),
    (Blur(), {"source": IMAGE}, {"source": torch.zeros(3, 8, 8)}, r"expected uint8 or floats in \[-1, 1\], \[n 3 h w\]"),
    (Blur(), {"source": IMAGE}, {"source": torch.zeros(1, 3, 8, 8).long()}, "is a tensor int64"),
    (Blur(), {"source": IMAGE}, {"source": "photo.png"}, "'source' is 'photo.png'; expected uint8"),
    (Blur(), {"place": PLACE}, {"place": torch.zeros(1, 3)}, r"expected finite floats \[n 2\]"),
    (Blur(), {"place": PLACE}, {"place": torch.full((1, 2), torch.nan)}, "'place' has values from nan to nan; expected finite floats"),
    (Blur(), {"source": IMAGE}, {"source": torch.full((1, 3, 8, 8), 255.0)}, "'source' has values from 255 to 255; expected uint8 or floats"),
    (Blur(), {"source": IMAGE, "place": PLACE}, {"source": torch.zeros(2, 3, 8, 8), "place": torch.zeros(1, 2)}, "2 of source, 1 of place; expected equal numbers"),
    (Blur(), {"source": IMAGE, "other": IMAGE}, {"source": torch.zeros(1, 3, 9, 9), "other": torch.zeros(1, 3, 9, 9)}, r"takes several images, which need their size in training: source \[3, 16, 16\], other"),
    (Grows(), {"source": IMAGE}, {"source": torch.zeros(1, 3, 9, 9)}, r"Grows returns .* expected .*: correct its attribute `size_multiple`"),
]  # fmt: skip


@pytest.mark.parametrize(("network", "specs", "inputs", "message"), WRONG)
def test_wrong_inputs(network, specs, inputs, message):
    generator = TrainedGenerator(network, Sampling(Zero(), IMAGE, specs=specs), None, "checkpoint", ema=False)
    with pytest.raises(ValueError, match=message):
        generator.sample(inputs=inputs)


def test_another_count():
    with pytest.raises(ValueError, match="count is 3, but there are inputs for 1 images"):
        generator_of(Blur(), IMAGE).sample(3, inputs={"source": torch.zeros(1, 3, 8, 8)})
    with pytest.raises(ValueError, match="pass the number of images, or inputs"):
        generator_of(Blur(), IMAGE).sample()
