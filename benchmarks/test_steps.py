"""The training step of every recipe, in fp32 and in bf16."""

from __future__ import annotations

import pytest
from conftest import RECIPES
from noise_dataset import noise_instead_of


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_step(name, precision, assemble, runtime, amount, compare, benchmark, synchronize):
    data = noise_instead_of(runtime.load(RECIPES / f"{name}.yaml").dataset.name)
    trainer = assemble(name, f"train.precision={precision}", *data)
    images = trainer.recipe.loader.batch_size * trainer.recipe.train.discriminator_steps

    def step():
        trainer.step()
        synchronize()

    if precision == "fp32":
        benchmark.pedantic(step, rounds=amount.rounds, warmup_rounds=2)
        if benchmark.stats is not None:
            benchmark.extra_info["images_per_second"] = round(images / benchmark.stats["median"], 1)
    else:
        compare(step, assemble(name, "train.precision=fp32", *data).step, against="the same in fp32", images=images)
    benchmark.extra_info["data"] = "noise of the same size" if data else "as in the recipe"
    assert trainer.state.images == images * trainer.state.step
