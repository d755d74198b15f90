"""Weights of PyTorch's DCGAN example, against the layers that its paper lists (arXiv 1511.06434, sec. 3)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import gankit

WIDTH, LATENT, CHANNELS = 2, 6, 1


def batch_norm_state(index: int, channels: int) -> dict[str, Tensor]:
    return {
        f"main.{index}.weight": torch.randn(channels),
        f"main.{index}.bias": torch.randn(channels),
        f"main.{index}.running_mean": torch.randn(channels),
        f"main.{index}.running_var": torch.rand(channels) + 0.5,
        f"main.{index}.num_batches_tracked": torch.tensor(7),
    }


@pytest.fixture
def generator() -> dict[str, Tensor]:
    torch.manual_seed(0)
    widths = [LATENT, 8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH, CHANNELS]
    shapes = enumerate(zip(widths, widths[1:], strict=False))
    state = {f"main.{3 * i}.weight": torch.randn(a, b, 4, 4) / (4 * a**0.5) for i, (a, b) in shapes}
    for number, width in enumerate(widths[1:-1]):
        state |= batch_norm_state(3 * number + 1, width)
    return state


@pytest.fixture
def discriminator() -> dict[str, Tensor]:
    torch.manual_seed(1)
    widths = [CHANNELS, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH, 1]
    shapes = zip((0, 2, 5, 8, 11), widths, widths[1:], strict=False)
    state = {f"main.{index}.weight": torch.randn(b, a, 4, 4) / 4 for index, a, b in shapes}
    for number, width in enumerate(widths[2:-1]):
        state |= batch_norm_state(3 * number + 3, width)
    return state


def normalized(x: Tensor, state: dict[str, Tensor], index: int) -> Tensor:
    mean, variance, scale, shift = (
        state[f"main.{index}.{name}"][:, None, None] for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def test_images_and_logits(generator, discriminator, import_files):
    imported = import_files(G=generator, D=discriminator)
    z = torch.randn(3, LATENT)
    x = F.conv_transpose2d(z[:, :, None, None], generator["main.0.weight"])
    for index in (3, 6, 9, 12):
        x = F.conv_transpose2d(normalized(x, generator, index - 2).relu(), generator[f"main.{index}.weight"], None, 2, 1)
    images = x.tanh()
    x = F.leaky_relu(F.conv2d(images, discriminator["main.0.weight"], None, 2, 1), 0.2)
    for index in (2, 5, 8):
        x = F.conv2d(x, discriminator[f"main.{index}.weight"], None, 2, 1)
        x = F.leaky_relu(normalized(x, discriminator, index + 1), 0.2)
    logits = F.conv2d(x, discriminator["main.11.weight"]).flatten()  # the example's sigmoid follows
    with torch.no_grad():
        torch.testing.assert_close(imported.networks["generator"].eval()(z), images, rtol=0, atol=1e-6)
        torch.testing.assert_close(imported.networks["discriminator"].eval()(images), logits, rtol=1e-5, atol=1e-5)
    assert imported.data.image == gankit.ImageSpec(64, 64, CHANNELS)
    assert imported.format == "pytorch_dcgan"


def test_the_generator_alone_or_with_its_average(generator, import_files):
    assert [*import_files(G=generator).networks] == ["generator"]
    assert [*import_files(file={"g_ema": generator, "g": generator}).networks] == ["generator", "generator_ema"]


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module."])
def test_names_of_data_parallel_and_of_compiled_modules(generator, import_files, prefix):
    wrapped = {f"{prefix}{name}": tensor for name, tensor in generator.items()}
    own, expected = (import_files(G=state).networks["generator"].state_dict() for state in (wrapped, generator))
    assert all(torch.equal(own[name], expected[name]) for name in expected)


def test_batch_norm_of_torch_before_0_4_1(generator, import_files):
    old = {name: tensor for name, tensor in generator.items() if not name.endswith("num_batches_tracked")}
    assert len(old) < len(generator)
    own, expected = (import_files(G=state).networks["generator"].state_dict() for state in (old, generator))
    for name, tensor in expected.items():
        assert torch.equal(own[name], torch.tensor(0) if name.endswith("num_batches_tracked") else tensor)


def test_files_that_do_not_belong_together(generator, discriminator, import_files):
    with pytest.raises(gankit.GankitError, match="D: has a discriminator only; give the generator's file as well"):
        import_files(D=discriminator)
    with pytest.raises(gankit.GankitError, match=r"H: is a second generator; .* generator_ema=FILE"):
        import_files(G=generator, H=generator)
    discriminator["main.0.weight"] = torch.randn(WIDTH, 3, 4, 4)
    with pytest.raises(gankit.GankitError, match=r"images \[1 64 64\] of the generator, and images \[3 64 64\] of the discr"):
        import_files(G=generator, D=discriminator)


def test_everything_that_does_not_fit_is_listed(generator, import_files):
    del generator["main.7.bias"]
    generator["main.6.weight"] = torch.randn(8, 4, 5, 4)
    generator["main.8.weight"] = torch.zeros(3)
    message = (
        r"G: generator: does not fit dcgan: 1 missing: layers.7.bias; 1 unexpected: main.8.weight; "
        r"1 of another shape: main.6.weight \[8, 4, 5, 4\] instead of \[8, 4, 4, 4\]"
    )
    with pytest.raises(gankit.GankitError, match=message):
        import_files(G=generator)


def test_weights_of_other_kinds(generator, import_files):
    with pytest.raises(gankit.GankitError, match="is not of the format mimicry; it has the tensors main.0.weight"):
        import_files("mimicry", G=generator)
    with pytest.raises(gankit.GankitError, match="no weight_format is called 'mimicri'; did you mean 'mimicry'"):
        import_files("mimicri", G=generator)
    with pytest.raises(gankit.GankitError, match="--classes: 2 names given .*, but the model has no classes"):
        import_files(None, ["a", "b"], G=generator)
