"""``train.compile`` on CUDA, where compiled networks run as CUDA graphs."""

from __future__ import annotations

import pytest
import torch

SGD = {"generator": {"name": "sgd", "lr": 0.01}, "discriminator": {"name": "sgd", "lr": 0.01}}
R1, R2 = {"name": "r1", "gamma": 1.0}, {"name": "r2", "gamma": 1.0}


class Keeper:
    """Keeps what it is shown, as a history of fakes would, and a copy to tell whether it has changed."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval, self.kept = interval, []

    def discriminator(self, turn):
        gradient = turn.gradient(turn.real)
        self.kept += [(tensor, tensor.detach().clone()) for tensor in (turn.fake, turn.real_logits, gradient)]
        return gradient.square().sum()


ALL = {
    "conditional": True,
    "loader": {"flip": True, "cache": "device"},
    "optimizers": SGD,
    "regularizers": [R1 | {"interval": 3}, R2],
    "augmentations": [{"name": "diffaugment"}],
    "ema": {"half_life_images": 40},
}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
class TestCudaGraphs:
    @pytest.mark.parametrize("train", [{"precision": "fp64"}, {"precision": "fp32", "tf32": False}])
    @pytest.mark.parametrize("discriminator_steps", [1, 3])
    def test_compiled_steps_are_eager_steps(self, assemble, train, discriminator_steps, assert_same_steps):
        """Long enough for the graphs to be warmed up, recorded and replayed."""
        train = train | {"device": "cuda", "discriminator_steps": discriminator_steps}
        assert_same_steps(assemble, steps=8, **ALL, train=train)

    @pytest.mark.parametrize("train", [{"microbatch": 5}, {"fresh_fakes": True}, {"precision": "bf16"}])
    def test_it_runs(self, assemble, train):
        trainer = assemble(**ALL, train={"device": "cuda", **train})
        for _ in range(8):
            scalars = trainer.step()
        assert all(bool(value.isfinite()) for value in scalars.values())

    def test_what_is_kept_is_not_written_over(self, assemble, runtime, add_components):
        add_components(runtime, regularizers={"keeper": Keeper})
        trainer = assemble(**(ALL | {"regularizers": [{"name": "keeper"}]}), train={"device": "cuda"})
        history = [trainer.step() for _ in range(8)]
        values = [{name: value.clone() for name, value in scalars.items()} for scalars in history]
        trainer.step()
        kept = trainer.context.regularizers["keeper"].kept
        assert all(torch.equal(tensor, copy) for tensor, copy in kept)
        assert all(
            torch.equal(scalars[name], value[name])
            for scalars, value in zip(history, values, strict=True)
            for name in value
        )

    def test_the_step_waits_for_nothing(self, assemble):
        trainer = assemble(**ALL, train={"device": "cuda"})
        for _ in range(9):
            trainer.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(3):
                trainer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_two_runs_never_meet(self, assemble, difference, tensors):
        alone = assemble(**ALL, train={"device": "cuda", "precision": "fp64"})
        one, other = (assemble(**ALL, train={"device": "cuda", "precision": "fp64"}) for _ in range(2))
        for _ in range(6):
            alone.step()
        for _ in range(6):
            one.step()
            other.step()
        for trainer in (one, other):
            assert difference(tensors(trainer), tensors(alone)) < 1e-9
