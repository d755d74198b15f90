"""The overhead of gankit: its step with progress and log, against a hand-written loop."""

from __future__ import annotations

import copy

import torch
from plain_loop import HandWritten

from gankit.cli.progress import ProgressLines
from gankit.recipe.sections import Train

SAME_KERNELS = ["train.kernels=torch"] if "kernels" in Train.model_fields else []


def test_step_with_log_against_a_hand_written_loop(assemble, compare, benchmark, amount, device):
    trainer = assemble(
        "dcgan_cifar10",
        "callbacks=[]",  # the metrics log is always on
        "dataset={name: noise, count: 4096, side: 32}",
        *SAME_KERNELS,
    )
    trainer.callbacks.add("progress", ProgressLines())
    by_hand = HandWritten(
        *(copy.deepcopy(network) for network in (trainer.state.generator, trainer.state.discriminator)),
        images=trainer.setup.loader.dataset.tensors()[0],
        size=64,
        batch_size=64,
        device=device,
        bf16=trainer.setup.engine.precision == "bf16",
    )
    assert_same_first_step(trainer, by_hand)
    training = iter(trainer)

    def ours():
        for _ in range(amount.window):
            next(training)

    def theirs():
        for _ in range(amount.window):
            by_hand.step()

    compare(ours, theirs, against="plain_loop.py: the same step by hand, data in memory", images=64 * amount.window)
    training.close()
    if "speedup" in benchmark.extra_info:
        low, high = benchmark.extra_info["speedup_interval"]
        overhead = [round(100 * (1 / speedup - 1), 2) for speedup in (benchmark.extra_info["speedup"], high, low)]
        benchmark.extra_info["overhead_percent"] = overhead[0]
        benchmark.extra_info["overhead_percent_interval"] = overhead[1:]
    benchmark.extra_info["precision"] = trainer.setup.engine.precision


def assert_same_first_step(trainer, by_hand):
    """Check, on copies, that the same weights, images and latents give the same losses."""
    context = trainer.context
    with context.engine.step_scope(trainer.recipe.seed, 0) as seed:
        random = torch.Generator(context.engine.device).manual_seed(seed)
        latents = context.latent.sample(64, None, random)
    one, other = copy.deepcopy(by_hand), copy.deepcopy(by_hand)
    indices, _ = trainer.setup.loader.order.at(0, 64)
    real = one.batch(torch.from_numpy(indices))
    torch.testing.assert_close(real, trainer.setup.loader.at(0, 64).images)
    loss_d, loss_g = one.learn(real, latents)
    scalars = trainer.step()
    torch.testing.assert_close(scalars["discriminator_loss"], loss_d, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(scalars["generator_loss"], loss_g, rtol=2e-2, atol=2e-2)
    for network, before, after in (
        (trainer.state.discriminator, other.discriminator, one.discriminator),
        (trainer.state.generator, other.generator, one.generator),
    ):
        moved = [p - q for p, q in zip(network.parameters(), before.parameters(), strict=True)]
        by_hand_moved = [p - q for p, q in zip(after.parameters(), before.parameters(), strict=True)]
        for ours, theirs in zip(moved, by_hand_moved, strict=True):
            # bf16 may flip the sign of the smallest gradients, and Adam's first step depends on the sign only
            assert ((ours - theirs).abs() < 1e-5).float().mean() > 0.9
