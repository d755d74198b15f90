"""Floating-point operations, the peak rate of the device, and memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gankit
from gankit.device.memory import peak_memory
from gankit.profiling.flops import count_flops, matrix_flops

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")


def test_flops_count_the_matrix_products(trainer):
    """Compare with a count by hand: two operations for each weight and image."""
    n, d, pixels, width = 8, 4, 16 * 16 * 3, 4
    generator, discriminator = 2 * n * d * pixels, 2 * n * (pixels * width + width)
    hidden_input = 2 * n * width  # gradient of the hidden layer of D
    first_layer = 2 * n * pixels * width
    d_turn = generator + 2 * discriminator + 2 * (discriminator + hidden_input)
    g_turn = (
        discriminator + hidden_input + first_layer + generator
    )  # D's weights are frozen; the latents need no gradient
    assert count_flops(trainer()) == d_turn + g_turn


def test_flops_of_lazy_penalties_are_averaged():
    runtime = gankit.Runtime()
    counts = {}
    for interval in (1, 4):
        recipe = runtime.load(
            ROOT / "recipes/quickstart.yaml",
            [
                "dataset={name: shapes, count: 8, size: 16}",
                "image.size=16",
                "loader.batch_size=4",
                "generator.width=4",
                "discriminator.width=4",
                f"regularizers=[{{name: r1, interval: {interval}}}]",
                "train.precision=fp32",
                "train.device=cpu",
            ],
        )
        counts[interval] = count_flops(runtime.assemble(recipe))
    assert 0 < counts[4] < counts[1]


def test_peak_memory_on_a_cpu_is_that_of_the_process():
    before = peak_memory(CPU)
    held = torch.ones(64 * 2**20, dtype=torch.uint8)
    assert held[-1] == 1
    assert 2**20 < before <= peak_memory(CPU)


def test_peak_flops_are_those_of_a_matrix_product(trainer, clock, monkeypatch):
    engine = trainer(train={"steps": 3, "device": "cpu", "precision": "bf16"}).setup.engine
    product = torch.mm

    def mm(one, other, *, out):
        clock.advance(0.004)
        assert (one.dtype, other.dtype) == (torch.bfloat16, torch.bfloat16)
        return product(one, other, out=out)

    engine = trainer(train={"steps": 3, "device": "cpu", "precision": "bf16"}).setup.engine
    monkeypatch.setattr("gankit.profiling.flops.time", clock)
    monkeypatch.setattr(torch, "mm", mm)
    assert matrix_flops(engine) == pytest.approx(64 * 64 * (2 * 64) / 0.004)
