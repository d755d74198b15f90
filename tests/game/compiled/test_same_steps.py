"""``train.compile``: the same step, in compiled networks."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import torch

SGD = {"generator": {"name": "sgd", "lr": 0.01}, "discriminator": {"name": "sgd", "lr": 0.01}}
PLAIN = {"generator": {"name": "plain"}, "optimizers": SGD}
R1, R2 = {"name": "r1", "gamma": 1.0}, {"name": "r2", "gamma": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizers": SGD, "regularizers": [R1 | {"interval": 2}], "augmentations": [{"name": "diffaugment"}], "conditional": True, "ema": {"half_life_images": 40}},
        # that penalty, of other networks, is below
        pytest.param({"optimizers": SGD, "discriminator": {"name": "dcgan", "width": 8, "norm": "layer"}, "regularizers": [{"name": "gradient_penalty"}]}, marks=pytest.mark.slow),
    ],
    ids=["lazy R1 through augmentation, conditional, with BatchNorm", "WGAN-GP without BatchNorm"],
)  # fmt: skip
@pytest.mark.usefixtures("backend")
def test_convolutions(assemble, changes, assert_same_steps):
    assert assert_same_steps(assemble, **changes).context.compiled.warnings == []


@pytest.mark.parametrize(
    ("peculiarity", "regularizers"),
    [
        pytest.param("batch norm", [R1], marks=pytest.mark.slow),  # a lazy R1 is below
        pytest.param("batch norm", [{"name": "gradient_penalty"}], marks=pytest.mark.slow),  # without it above
        pytest.param("batch norm", [{"name": "logits_first"}], marks=pytest.mark.slow),  # spectral norm below
        ("batch norm", [R1 | {"interval": 2}, R2 | {"interval": 3}]),
        pytest.param("spectral norm", [{"name": "logits_first"}], marks=pytest.mark.slow),
        pytest.param("spectral norm", [R1, R2], marks=pytest.mark.slow),  # of a convolution below
        ("assignment", [R1]),
        pytest.param("dropout", [R1], marks=pytest.mark.slow),  # random numbers are drawn by augmentations above
        ("features", [R1, R2, {"name": "of_fakes"}]),
    ],
)
@pytest.mark.usefixtures("backend")
def test_penalties(assemble, peculiarity, regularizers, assert_same_steps):
    """Several heads, a mapping, and whatever changes when D looks at an image."""
    critic = {"name": "critic", "peculiarity": peculiarity}
    trainer = assert_same_steps(assemble, **PLAIN, discriminator=critic, regularizers=regularizers)
    assert trainer.context.compiled.warnings == []


@pytest.mark.slow
@pytest.mark.parametrize("regularizers", [[R1], [R1, R2]])
def test_penalties_where_a_backward_keeps_what_changes_with_each_pass(assemble, regularizers, monkeypatch, assert_same_steps, traced_by):
    # what a backward keeps and what it computes again, "aot_eager" leaves as it is
    monkeypatch.setattr(torch, "compile", traced_by("aot_eager_decomp_partition"))
    critic = {"name": "critic", "peculiarity": "spectral norm of a convolution"}
    trainer = assert_same_steps(assemble, **PLAIN, discriminator=critic, regularizers=regularizers)
    assert trainer.context.compiled.warnings == []


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("regularizer", ["gradient_penalty", *(pytest.param(name, marks=pytest.mark.slow) for name in ("logits_first", "of_fakes"))])
def test_a_discriminator_that_cannot_be_compiled_in_one_piece_takes_its_penalties_eagerly(assemble, tmp_path, regularizer, assert_same_steps):  # fmt: skip
    changes = {"discriminator": {"name": "critic", "peculiarity": "break"}, "regularizers": [{"name": regularizer}]}
    trainer = assert_same_steps(assemble, **PLAIN, **changes)
    (warning,) = trainer.context.compiled.warnings
    assert re.match(r"the gradient of Critic .* cannot be compiled \(.+\); turns with penalties run", warning)
    trainer.step()
    assert trainer.context.compiled.warnings == [warning]
    assemble(run_dir=tmp_path / "run", **PLAIN, **changes).fit()
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    told = [event for event in events if event["event"] == "not_compiled"]
    assert len(told) == 1
    assert "turns with penalties run uncompiled" in told[0]["reason"]


@pytest.mark.usefixtures("backend")
def test_nothing_is_compiled_again_and_again(assemble, assert_same_steps):
    """Not by scheduled numbers, frozen parameters, lazy penalties or a batch that is cut unevenly."""
    from torch._dynamo.utils import counters

    gain = {"start": 1.0, "end": 0.5, "over_images": 200, "shape": "linear"}
    trainer = assert_same_steps(
        assemble,
        steps=6,
        generator={"name": "fading", "gain": gain},
        discriminator={"name": "plain"},
        optimizers=SGD,
        regularizers=[{"name": "gradient_penalty", "interval": 2}],
        train={"microbatch": 5, "steps": 12},
    )
    compiled = counters["stats"]["unique_graphs"]
    for _ in range(6):
        trainer.step()
    assert counters["stats"]["unique_graphs"] == compiled


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_compiled_networks_without_batch_statistics(assemble, assert_same_steps):
    assert_same_steps(assemble, **PLAIN, discriminator={"name": "plain"}, regularizers=[R1])


@pytest.mark.usefixtures("backend")
def test_bf16(assemble, assert_same_gradients):
    changes = {**PLAIN, "discriminator": {"name": "plain"}, "regularizers": [R1]}
    compiled, eager = (assemble(compile, **changes, train={"precision": "bf16"}) for compile in (True, False))
    one, other = compiled.step(), eager.step()
    for name, value in other.items():
        assert float(one[name]) == pytest.approx(float(value), rel=0.02, abs=0.01)
    assert_same_gradients(compiled, eager, tolerance=0.2)


@pytest.mark.usefixtures("backend")
def test_resumed_is_as_never_stopped(assemble, runtime, tmp_path, tensors):
    changes = {"discriminator": {"name": "critic", "peculiarity": "batch norm"}, "regularizers": [R1], **PLAIN}
    changes |= {"callbacks": [{"name": "checkpoint", "every": 2}], "train": {"steps": 4, "deterministic": True}}
    for _ in (whole := assemble(run_dir=tmp_path / "whole", **changes)):
        if whole.state.step == 2:
            shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    assert whole.state.step == 4
    resumed = runtime.resume(tmp_path / "parts")
    assert resumed.state.step == 2
    resumed.fit()
    for one, other in zip(tensors(whole), tensors(resumed), strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("backend")
def test_flops_are_those_of_the_eager_step(assemble):
    from gankit.profiling.flops import count_flops

    changes = {**PLAIN, "discriminator": {"name": "plain"}, "regularizers": [R1]}
    assert count_flops(assemble(True, **changes)) == count_flops(assemble(False, **changes))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("regularizers", [[], [R1]])
def test_a_network_that_needs_another_memory_layout(assemble, assert_same_steps, regularizers):
    assert_same_steps(assemble, **PLAIN, discriminator={"name": "viewing"}, regularizers=regularizers)
