"""Samples of generators that take fields: from real items, which the run saves."""

from __future__ import annotations

import shutil

import pytest
import torch

import gankit


class TestSamples:
    @pytest.fixture
    def run(self, assemble, tmp_path):
        trainer = assemble()
        trainer.fit()
        return trainer, tmp_path / "run"

    def test_they_come_from_real_items_and_need_no_dataset(self, run, runtime):
        trainer, directory = run
        generator = runtime.load_generator(directory)
        first = generator.sample(40, seed=3)
        assert torch.equal(first, runtime.load_generator(directory).sample(40, seed=3))
        assert torch.equal(first[:5], generator.sample(5, seed=3))
        assert not torch.equal(first, generator.sample(40, seed=4))
        assert torch.equal(first[:8], first[32:])  # all 32 items, and again from the start
        assert len(first[:32].flatten(1).unique(dim=0)) == 32
        assert generator.sample(2, gain=0.0).unique().tolist() == [128]
        assert trainer.sample(5, seed=3).shape == (5, 3, 8, 8)

    def test_held_out_items_are_preferred(self, assemble):
        trainer = assemble(dataset="held_out")
        assert trainer.setup.sampling.items["source"].unique().tolist() == [-1.0]
        assert trainer.setup.sampling.items["source"].shape == (5, 3, 4, 4)

    def test_a_checkpoint_without_its_run_needs_inputs(self, run, runtime, tmp_path):
        _, directory = run
        copied = tmp_path / "elsewhere" / "deep" / "step"
        shutil.copytree(next((directory / "checkpoints").iterdir()), copied)
        generator = runtime.load_generator(copied)
        with pytest.raises(gankit.CheckpointError, match=r"inputs.safetensors: is missing, and the generator needs the fields source, place in it; keep .* or give inputs"):
            generator.sample(3)
        images = generator.sample(inputs={"source": torch.zeros(3, 3, 4, 4), "place": torch.zeros(3, 2)})
        assert images.shape == (3, 3, 8, 8)

    @pytest.mark.parametrize("content", [b"", b"nothing", None])
    def test_damaged_inputs(self, run, runtime, content):
        from safetensors.torch import save_file

        _, directory = run
        if content is None:
            save_file({"source": torch.zeros(4, 3, 5, 5), "place": torch.zeros(4, 2)}, directory / "inputs.safetensors")
        else:
            (directory / "inputs.safetensors").write_bytes(content)
        with pytest.raises(gankit.CheckpointError, match="inputs.safetensors: "):
            runtime.load_generator(directory)
