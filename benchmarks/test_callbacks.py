"""What the callbacks of a recipe cost each time that they act, in steps of training."""

from __future__ import annotations

import pytest

CALLBACKS = ["sample_images", "loss_curves", "checkpoint"]


@pytest.mark.parametrize("name", CALLBACKS)
def test_callback(name, assemble, compare, benchmark, amount, tmp_path):
    trainer = assemble(
        "dcgan_cifar10", f"callbacks=[{{name: {name}, every: 1}}]", "dataset={name: stand_in}", "train.steps=1000000"
    )
    playing = iter(trainer)
    for _ in range(3 if amount.quick else 30):
        next(playing)
    callback = list(trainer.callbacks)[-1]
    step = trainer.state.step

    def act():
        if hasattr(callback, "on_run_start"):
            callback.on_run_start(trainer)  # so that it is due again
        if name == "checkpoint":
            trainer.state.step += 1  # one that is not saved yet
        callback.on_step_end(trainer)
        trainer._save_if_wanted()

    compare(act, trainer.step, against="a step of training", rounds=min(amount.rounds, 10))
    playing.close()
    assert trainer.state.step > step
    if "speedup" in benchmark.extra_info:
        benchmark.extra_info["in_steps"] = round(1 / benchmark.extra_info["speedup"], 3)
