"""What the callbacks of a recipe cost each time that they act, in steps of training."""

from __future__ import annotations

import pytest

CALLBACKS = ["sample_images", "loss_curves", "checkpoint"]


@pytest.mark.parametrize("name", CALLBACKS)
def test_callback(name, assemble, compare, benchmark, amount):
    data = "dataset={name: stand_in}"
    trainer = assemble("dcgan_cifar10", f"callbacks=[{{name: {name}, every: 1}}]", data, "train.steps=1000000")
    without = assemble("dcgan_cifar10", "callbacks=[]", data, "train.steps=1000000")
    callback = dict(trainer.callbacks.items())[name]
    playing, rival = iter(trainer), iter(without)
    for _ in range(3 if amount.quick else 30):
        next(playing)
    step = trainer.state.step

    def act():
        if hasattr(callback, "on_run_start"):
            callback.on_run_start(trainer)  # so that it is due again, however short a while ago it acted
        next(playing)

    compare(act, lambda: next(rival), against="a step without it", rounds=min(amount.rounds, 10))
    playing.close()
    rival.close()
    assert trainer.state.step > step
    if "speedup" in benchmark.extra_info:
        benchmark.extra_info["in_steps"] = round(1 / benchmark.extra_info["speedup"] - 1, 3)
