"""StyleGAN2 under rosinality's names against the same network under NVIDIA's, which is tested by formulas."""

from __future__ import annotations

import argparse

import pytest
import torch
from torch import Tensor

import gankit

SIZE, LINE = 16, torch.tensor([1.0, 3.0, 3.0, 1.0])


def low_pass(gain: int) -> Tensor:
    return gain * torch.outer(LINE, LINE) / 64


def renamed_generator(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a generator without classes; rosinality's have a dimension more in some places."""
    renamed = {"input.input": tensors["synthesis.b4.const"][None]}
    for number in (0, 1):
        for part in ("weight", "bias"):
            renamed[f"style.{number + 1}.{part}"] = tensors[f"mapping.fc{number}.{part}"]
    places = [("b4.conv1", "conv1"), ("b8.conv0", "convs.0"), ("b8.conv1", "convs.1"), ("b16.conv0", "convs.2"), ("b16.conv1", "convs.3")]  # fmt: skip
    images = [("b4.torgb", "to_rgb1"), ("b8.torgb", "to_rgbs.0"), ("b16.torgb", "to_rgbs.1")]
    for number, (theirs, ours) in enumerate(places):
        renamed[f"noises.noise_{number}"] = tensors[f"synthesis.{theirs}.noise_const"][None, None]
        renamed[f"{ours}.noise.weight"] = tensors[f"synthesis.{theirs}.noise_strength"][None]
        renamed[f"{ours}.activate.bias"] = tensors[f"synthesis.{theirs}.bias"]
        if theirs.endswith("conv0"):
            renamed[f"{ours}.conv.blur.kernel"] = low_pass(4)
    for theirs, ours in places + images:
        renamed[f"{ours}.conv.weight"] = tensors[f"synthesis.{theirs}.weight"][None]
        for part in ("weight", "bias"):
            renamed[f"{ours}.conv.modulation.{part}"] = tensors[f"synthesis.{theirs}.affine.{part}"]
    for theirs, ours in images:
        renamed[f"{ours}.bias"] = tensors[f"synthesis.{theirs}.bias"][None, :, None, None]
        if ours != "to_rgb1":
            renamed[f"{ours}.upsample.kernel"] = low_pass(4)
    return renamed


def renamed_discriminator(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    renamed = {"convs.0.0.weight": tensors["b16.fromrgb.weight"], "convs.0.1.bias": tensors["b16.fromrgb.bias"]}
    for number, block in ((1, "b16"), (2, "b8")):
        renamed |= {
            f"convs.{number}.conv1.0.weight": tensors[f"{block}.conv0.weight"],
            f"convs.{number}.conv1.1.bias": tensors[f"{block}.conv0.bias"],
            f"convs.{number}.conv2.0.kernel": low_pass(1),
            f"convs.{number}.conv2.1.weight": tensors[f"{block}.conv1.weight"],
            f"convs.{number}.conv2.2.bias": tensors[f"{block}.conv1.bias"],
            f"convs.{number}.skip.0.kernel": low_pass(1),
            f"convs.{number}.skip.1.weight": tensors[f"{block}.skip.weight"],
        }
    renamed |= {"final_conv.0.weight": tensors["b4.conv.weight"], "final_conv.1.bias": tensors["b4.conv.bias"]}
    for number, layer in enumerate(("fc", "out")):
        for part in ("weight", "bias"):
            renamed[f"final_linear.{number}.{part}"] = tensors[f"b4.{layer}.{part}"]
    return renamed


@pytest.fixture
def foreign(stylegan2_generator, stylegan2_discriminator):
    torch.manual_seed(0)
    generator, discriminator = stylegan2_generator(SIZE), stylegan2_discriminator(SIZE)
    discriminator.attributes["b4.mbstd.group_size"] = 4
    return generator, discriminator


def test_the_same_images_and_logits(foreign, persistent_pickle, import_files):
    generator, discriminator = foreign
    expected = import_files(file=persistent_pickle(G_ema=generator, D=discriminator))
    imported = import_files(
        file={
            "g_ema": renamed_generator(generator.tensors),
            "d": renamed_discriminator(discriminator.tensors),
            "latent_avg": generator.tensors["mapping.w_avg"],
            "args": argparse.Namespace(size=SIZE),
        }
    )
    assert (imported.format, expected.format) == ("rosinality_stylegan2", "nvidia_stylegan2")
    z, images = torch.randn(3, 5), torch.randn(4, 3, SIZE, SIZE)
    with torch.no_grad():
        made, wanted = (
            weights.networks["generator_ema"].eval()(z, noise="const", truncation=0.7) for weights in (imported, expected)
        )
        torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5)
        logits, wanted = (weights.networks["discriminator"](images) for weights in (imported, expected))
        torch.testing.assert_close(logits, wanted, rtol=1e-5, atol=1e-5)


def test_the_average_style_is_computed_if_it_is_missing(foreign, import_files):
    network = import_files(file={"g_ema": renamed_generator(foreign[0].tensors), "epoch": 1}).networks["generator_ema"]
    with torch.no_grad():
        styles = network.mapping(torch.randn(20_000, 5))
    error = styles.std(dim=0) * (1 / 20_000 + 1 / 4_096) ** 0.5
    assert ((network.average - styles.mean(dim=0)).abs() < 5 * error).all()
    assert (styles.mean(dim=0).abs() > 5 * error).any()  # zeros would fail


def test_another_filter_is_refused(foreign, import_files):
    weights = renamed_generator(foreign[0].tensors)
    weights["convs.0.conv.blur.kernel"] = low_pass(1)
    with pytest.raises(gankit.GankitError, match=r"1 with other values: convs.0.conv.blur.kernel"):
        import_files(file={"g_ema": weights, "epoch": 1})
