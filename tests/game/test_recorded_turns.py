"""``train.cuda_graphs``: a run whose turns are recorded and replayed is the run whose turns are not."""

from __future__ import annotations

import os
import random

import pytest
import torch

import gankit
from gankit.device.recordings import WARM_UPS, Recordings

from .recorder import LoggingRecorder

BIGGAN = {
    "generator": {"name": "biggan", "width": 4, "embedding_dim": 4, "attention": []},
    "discriminator": {"name": "biggan", "width": 4, "attention": []},
    "loss": "hinge",
    "conditional": True,
}
STYLEGAN2 = {
    "generator": {"name": "stylegan2", "max_width": 8, "style_mixing": 0.9},
    "discriminator": {"name": "stylegan2", "max_width": 8, "group_size": 4},
    "loss": "non_saturating",
    "regularizers": [{"name": "r1", "gamma": 1.0, "interval": 3}, {"name": "path_length", "interval": 2}],
}


class Counting:
    """A term that depends on the number of images."""

    interval = 1

    def generator(self, turn):
        return turn.fake.mean() * turn.images_seen


class Drawing:
    """A term with a random number of the CPU."""

    interval = 1

    def generator(self, turn):
        return turn.fake.mean() * random.random()


class Waiting:
    """A term with a value read from the device."""

    interval = 1

    def generator(self, turn):
        return turn.fake.mean() * float(turn.fake.detach().mean())


class Watching:
    """Looks at the turn afterwards, also at what its term did not need."""

    interval = 1

    def generator(self, turn):
        return turn.fake.square().mean()

    def after(self, turn):
        logits = turn.real_logits.mean()
        return {f"{turn.player}_watched": logits + turn.fake.mean() + turn.latents.mean() + turn.images_seen}


class Rounds(gankit.Game):
    """Two rounds in a step, each with fakes of its own, the second with terms that differ from call to call."""

    def step(self):
        scalars = {}
        for _ in range(2):
            batch = self.next_batch()
            fakes = self.draw_fakes(batch)
            scalars |= self.update("discriminator", batch, fakes=fakes)
            scalars |= self.update("generator", batch, fakes=fakes)
        batch = self.next_batch()
        return scalars | self.update("generator", batch, lambda turn: {"size": turn.fake.square().mean()}, self.draw_fakes(batch))


class AfterOnly(gankit.Game):
    """Its `after` is the first to use the latents."""

    def step(self):
        return self.update("generator", self.next_batch())

    def terms(self, turn):
        return {"size": turn.run(self.generator, turn.normal(8)).square().mean()}

    def after(self, turn):
        return {"latents": turn.latents.mean(), "noise": turn.uniform(1).mean()} if turn.player == "generator" else {}


@pytest.fixture
def assemble(runtime, recipe, add_components):
    add_components(runtime, games={"rounds": Rounds, "after_only": AfterOnly})
    add_components(runtime, regularizers={"counting": Counting, "drawing": Drawing, "waiting": Waiting, "watching": Watching})

    def make(**changes):
        train = {"steps": 30, **changes.pop("train", {})}
        return runtime.assemble(recipe(**changes, train=train), None)

    return make


def recorded(trainer):
    """The trainer as it is on a GPU with ``train.cuda_graphs``, except for the device; and the recorder."""
    recorder = LoggingRecorder(trainer)
    trainer.context.recordings = Recordings(recorder)
    return trainer, recorder


def tensors(trainer):
    networks = trainer.state.networks()
    return {(name, key): value for name, network in networks.items() for key, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, 3),
        ({"augmentations": [{"name": "diffaugment"}, {"name": "ada"}], "ema": {"half_life_images": 40}}, 3),
        ({"regularizers": [{"name": "watching"}], "loader": {"flip": True}, "train": {"precision": "bf16"}}, 3),
        ({"train": {"fresh_fakes": True, "clip_gradient": 0.1}}, 2),
        ({"train": {"discriminator_steps": 2}}, 4),
        ({"train": {"microbatch": 3}}, 2),
        (BIGGAN, 3),
        (STYLEGAN2, 5),
        ({"train": {"game": "rounds"}}, 7),
        ({"train": {"game": "after_only"}}, 1),
    ],
    ids=["dcgan", "augmentation", "bf16, after", "fresh fakes", "two turns of D", "microbatches", "biggan", "stylegan2", "two rounds", "after"],
)
def test_replayed_steps_are_those_of_python(assemble, changes, parts):
    (trainer, recorder), plain = recorded(assemble(**changes)), assemble(**changes)
    for step in range(20):
        scalars, expected = trainer.step(), plain.step()
        assert scalars.keys() == expected.keys()
        assert {n: float(v) for n, v in scalars.items()} == {n: float(v) for n, v in expected.items()}, step
    assert recorder.recorded == parts
    assert recorder.replays > 2 * parts
    for name, value in tensors(plain).items():
        assert torch.equal(tensors(trainer)[name], value), name


def test_a_turn_is_recorded_after_a_few_turns(assemble):
    trainer, recorder = recorded(assemble())
    for _ in range(WARM_UPS):
        trainer.step()
    assert (recorder.recorded, recorder.replays) == (0, 0)
    trainer.step()
    assert (recorder.recorded, recorder.replays) == (3, 3)
    trainer.step()
    assert (recorder.recorded, recorder.replays) == (3, 6)


@pytest.mark.parametrize(
    ("regularizer", "message"),
    [("counting", "a term reads turn.images_seen"), ("drawing", "draws random numbers on the CPU")],
)
def test_what_a_replay_would_repeat_is_refused(assemble, regularizer, message):
    trainer, _ = recorded(assemble(regularizers=[{"name": regularizer}]))
    for _ in range(WARM_UPS):
        trainer.step()
    with pytest.raises(gankit.GankitError, match=rf"^train.cuda_graphs: .*{message}.*set train.cuda_graphs: false$"):
        trainer.step()


def test_what_looks_into_a_step_sees_no_recording(assemble):
    from gankit.profiling.flops import count_flops

    trainer, recorder = recorded(assemble())
    for _ in range(6):
        trainer.step()
    replays = recorder.replays
    assert count_flops(trainer) == count_flops(assemble())
    assert recorder.replays == replays
    trainer.step()
    assert recorder.replays == replays + 3


class Breaking:
    """Sets a weight to NaN once, and asks to return to the checkpoint."""

    def __init__(self) -> None:
        self.broken = False

    def on_step_end(self, run):
        if run.state.step == 8 and not self.broken:
            self.broken = True
            next(run.state.generator.parameters()).data.fill_(torch.nan)
        if run.not_finite() is not None:
            run.recover(go_on=True)


def test_a_run_that_returned_to_a_checkpoint_records_anew(runtime, recipe, add_components, tmp_path):
    add_components(runtime, callbacks={"breaking": Breaking})
    made = recipe(callbacks=[{"name": "breaking"}], train={"steps": 14})
    plain = runtime.assemble(made, tmp_path / "plain")
    plain.fit()
    trainer, recorder = recorded(runtime.assemble(made, tmp_path / "recorded"))
    trainer.fit()
    assert recorder.recorded == 9  # at first, in the replay that looks for the cause, and afterwards
    for name, value in tensors(plain).items():
        assert torch.equal(tensors(trainer)[name], value), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"compile": True}}, r"^train: compile uses CUDA graphs itself; remove cuda_graphs"),
        ({"train": {"checkpoint_activations": {"generator": ["*"]}}}, "^train: cuda_graphs needs activations that are kept"),
        ({"train": {"precision": "fp16"}}, "^train: cuda_graphs needs a precision other than fp16"),
        ({"regularizers": [{"name": "r1", "gamma": {"start": 1.0, "end": 0.1, "over_images": 99}}]}, r"^regularizers\.0\.gamma: changes during training, but the turns"),
        ({"train": {"game": {"name": "own"}}}, "^train.cuda_graphs: has no effect, because the game 'own' does not use it"),
    ],
)
def test_recipes_whose_turns_cannot_be_recorded(runtime, recipe, add_components, changes, message):
    class Own(gankit.Game):
        def step(self):
            return self.update("generator", self.next_batch()) | self.update("discriminator", self.next_batch())

    add_components(runtime, games={"own": Own})
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.check(recipe(**{**changes, "train": {"cuda_graphs": True, **changes.get("train", {})}}))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
class TestCudaGraphs:
    @pytest.mark.parametrize("changes", [{}, {"train": {"fresh_fakes": True}}, {"train": {"discriminator_steps": 2}}, BIGGAN, STYLEGAN2])
    def test_replayed_steps_are_those_of_python(self, assemble, changes):
        train = {"device": "cuda", "precision": "fp64", "deterministic": "CUBLAS_WORKSPACE_CONFIG" in os.environ}
        train |= changes.get("train", {})
        trainer, plain = (assemble(**{**changes, "train": {**train, "cuda_graphs": graphs}}) for graphs in (True, False))
        for _ in range(20):
            scalars, expected = trainer.step(), plain.step()
            for name, value in expected.items():
                assert float(scalars[name]) == pytest.approx(float(value), rel=1e-6, abs=1e-9), name
        for name, value in tensors(plain).items():
            assert torch.allclose(tensors(trainer)[name], value, rtol=1e-6, atol=1e-9), name

    def test_the_step_waits_for_nothing(self, assemble):
        trainer = assemble(**BIGGAN, loader={"cache": "device"}, train={"device": "cuda", "cuda_graphs": True})
        for _ in range(WARM_UPS + 2):
            trainer.step()
        torch.cuda.set_sync_debug_mode("error")
        try:
            trainer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_a_turn_that_waits_for_the_device_is_refused(self, assemble):
        trainer = assemble(regularizers=[{"name": "waiting"}], train={"device": "cuda", "cuda_graphs": True})
        for _ in range(WARM_UPS):
            trainer.step()
        with pytest.raises(gankit.GankitError, match="cannot be recorded as a CUDA graph"):
            trainer.step()
