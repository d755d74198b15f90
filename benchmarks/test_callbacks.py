"""The cost of one call of each callback of a recipe, in training steps."""

from __future__ import annotations

import pytest

CALLBACKS = ["sample_images", "loss_curves", "checkpoint"]


@pytest.mark.parametrize("name", CALLBACKS)
def test_callback(name, assemble, compare, benchmark, amount):
    data = "dataset={name: noise}"
    trainer = assemble("dcgan_cifar10", f"callbacks=[{{name: {name}, every: 1}}]", data, "train.steps=1000000")
    without = assemble("dcgan_cifar10", "callbacks=[]", data, "train.steps=1000000")
    callback = trainer.callbacks.named[name]
    with_callback, without_callback = iter(trainer), iter(without)
    for _ in range(3 if amount.quick else 30):
        next(with_callback)
    step = trainer.state.step

    def act():
        if hasattr(callback, "on_run_start"):
            callback.on_run_start(trainer)  # makes it due again at once
        next(with_callback)

    compare(act, lambda: next(without_callback), against="a step without it", rounds=min(amount.rounds, 10))
    with_callback.close()
    without_callback.close()
    assert trainer.state.step > step
    if "speedup" in benchmark.extra_info:
        benchmark.extra_info["in_steps"] = round(1 / benchmark.extra_info["speedup"] - 1, 3)
