"""The algorithms in docs/games.md."""

from __future__ import annotations

import pytest
import torch

import gankit


def test_a_game_of_ones_own(plugins, checkout, block, small_run):
    """The documented game trains, in one piece and in microbatches to the same weights; its term needs labels."""
    source = block("docs/games.md", "class MatchingAware")
    (checkout / "my_game.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "my_game.py"])
    small = [*small_run, "callbacks=[]", "train.game=matching_aware", "train.precision=fp32"]
    runs = {}
    for name, more in (("whole", []), ("parts", ["train.microbatch=3"])):
        recipe = runtime.load("recipes/quickstart.yaml", [*small, "conditional=true", *more])
        runs[name] = runtime.assemble(recipe)
        scalars = [runs[name].step() for _ in range(3)]
        assert {"discriminator_loss", "wrong_labels", "generator_loss"} <= set(scalars[0])
    for whole, parts in zip(*(run.state.discriminator.parameters() for run in runs.values()), strict=True):
        torch.testing.assert_close(whole, parts, rtol=1e-3, atol=1e-4)
    with pytest.raises(gankit.GankitError, match="needs labels: set conditional: true"):
        runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", small)).step()


def test_a_game_with_state(plugins, checkout, block, small_run):
    """The documented pool is full after some steps, part of a checkpoint, and used."""
    source = block("docs/games.md", "class OldFakes")
    (checkout / "pool.py").write_text(source)
    runtime = gankit.Runtime(plugins=[*plugins, "pool.py"])
    small = [*small_run, "callbacks=[]", "train.game={name: old_fakes, size: 6}", "train.precision=fp32", "train.steps=2"]
    trainer = runtime.assemble(runtime.load_checked("recipes/quickstart.yaml", small), "results/pool")
    trainer.fit()
    assert "old_fakes" in trainer.scalars
    pool = trainer.context.game.pool
    assert len(pool) == 6
    assert torch.equal(runtime.resume("results/pool", ["train.steps=3"]).context.game.pool, pool)


def test_a_game_of_one_player(checkout, block):
    """The documented plugin and recipe train, and samples take the documented option."""
    source = block("docs/games.md", "class FlowMatching")
    (checkout / "flow.py").write_text(source)
    recipe = block("docs/games.md", language="yaml")
    (checkout / "flow.yaml").write_text(recipe)
    runtime = gankit.Runtime(plugins=["flow.py"])
    small = ["image.size=8", "dataset.size=8", "dataset.count=32", "train.steps=3", "loader.batch_size=8"]
    trainer = runtime.assemble(runtime.load_checked("flow.yaml", [*small, "callbacks=[checkpoint]"]), "results/flow")
    trainer.fit()
    assert set(trainer.scalars) == {"velocity_error"}
    generator = runtime.load_generator("results/flow")
    assert generator.sample(3, steps=2).shape == (3, 3, 8, 8)
    assert not torch.equal(generator.sample(3, steps=2), generator.sample(3, steps=20))
