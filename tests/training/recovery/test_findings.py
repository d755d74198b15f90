"""A run that becomes NaN: noticed on the device, found by a replay, stopped or rolled back."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import gankit
from gankit.anomaly.detect import NonFiniteDetector
from gankit.interfaces import NotFinite


class Fuse(nn.Module):
    """Passes images on, but of the image whose first pixel says so it makes NaN: in forward, or in backward alone."""

    def __init__(self, backward: bool) -> None:
        super().__init__()
        self.backward = backward

    def forward(self, x: Tensor) -> Tensor:
        marked = (x[:, :1, :1, :1] > 0.999) & (x[:, 1:2, :1, :1] > 0.999)
        if self.backward:  # the root's slope at 0 is infinite, and infinity times 0 is NaN
            return x + 0 * torch.where(marked, x * 0, x.abs() + 1).sqrt()
        return x.masked_fill(marked, torch.nan)


class Fused(nn.Module):
    """A critic that breaks over one image."""

    def __init__(self, image: gankit.ImageSpec, *, backward: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear(image.channels * image.height * image.width, 4)
        self.fuse, self.out = Fuse(backward), nn.Linear(image.channels * image.height * image.width, 1)
        self.scale = nn.Parameter(torch.ones(1, image.channels, 1, 1))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.out(self.fuse(images * self.scale + (self.scale - 1)).flatten(1)).flatten()


class Marked:
    """48 noise pictures, of which number 21 is marked."""

    split, spec, classes = "train", gankit.ImageSpec(16, 16, 3), None

    def prepare(self) -> None:
        random = torch.Generator().manual_seed(1)
        self.images = torch.randint(0, 200, (48, 3, 16, 16), dtype=torch.uint8, generator=random)
        self.images[21, :2, 0, 0] = 255

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], 0


class Caretaker:
    """Looks at every step; plants a NaN where it is told to."""

    def __init__(self, *, go_on: bool = False, plant_at: int | None = None) -> None:
        self.go_on, self.plant_at = go_on, plant_at
        self.seen: list[int] = []

    def on_run_start(self, run: gankit.Run) -> None:
        self.seen.append(-run.state.step)

    def on_step_end(self, run: gankit.Run) -> None:
        self.seen.append(run.state.step)
        if run.not_finite() is not None:
            run.recover(self.go_on)
        if run.state.step == self.plant_at:
            self.plant_at = None
            with torch.no_grad():
                run.state.generator.layers[0].weight[1, 2, 0, 0] = float("nan")


class Faults:
    @gankit.hookimpl
    def register(self, registries: gankit.Registries) -> None:
        registries.discriminators.add("fused", Fused)
        registries.datasets.add("marked", Marked)
        registries.callbacks.add("caretaker", Caretaker)


@pytest.fixture
def runtime(runtime: gankit.Runtime) -> gankit.Runtime:
    runtime.load_plugin(Faults())
    return runtime


def broken_run(runtime, recipe, directory, *, go_on=False, backward=False, every=1000, **caretaker):
    callbacks = [
        {"name": "caretaker", "go_on": go_on, **caretaker},
        {"name": "checkpoint", "every": every},
        {"name": "metrics_log", "every": 1},
    ]
    changes = {"dataset": {"name": "marked"}, "discriminator": {"name": "fused", "backward": backward}}
    return runtime.assemble(recipe(**changes, callbacks=callbacks, train={"steps": 12}), directory)


def events(directory, kind):
    return [event for event in gankit.JsonLines.read(directory / "events.jsonl") if event["event"] == kind]


def marked_step(trainer):
    """The step whose batch has image 21, and that batch's indices."""
    for step in range(12):
        indices = trainer.setup.loader.order.at(8 * step, 8)[0].tolist()
        if 21 in indices:
            return step + 1, indices
    raise AssertionError


@pytest.mark.parametrize("every", [1000, 1])
@pytest.mark.parametrize(("backward", "layer", "what"), [(False, "fuse (Fuse)", "output"), (True, "scale", "gradient")])
def test_step_layer_and_batch_are_named(runtime, recipe, tmp_path, backward, layer, what, every):
    trainer = broken_run(runtime, recipe, tmp_path / "run", backward=backward, every=every)
    step, indices = marked_step(trainer)
    with pytest.raises(gankit.GankitError, match=rf"in step {step}, the {what}.* of discriminator .*on_nan: roll_back"):
        trainer.fit()
    (event,) = events(tmp_path / "run", "finding")
    figures = event["figures"]
    assert event["finding"] == "not_finite"
    assert (figures["broke_at_step"], figures["network"], figures["layer"], figures["what"]) == (
        step,
        "discriminator",
        layer,
        what,
    )
    assert figures["indices"] == indices
    saved = load_file(tmp_path / "run/not_finite" / f"step-{step:08d}.safetensors")
    assert saved["indices"].tolist() == indices
    assert saved["images"][indices.index(21), 0, 0, 0] == 1.0
    assert (tmp_path / "run/not_finite" / f"step-{step:08d}.png").is_file()
    for checkpoint in (tmp_path / "run/checkpoints").glob("step-*"):
        for file in checkpoint.glob("*.safetensors"):
            assert all(bool(tensor.isfinite().all()) for tensor in load_file(file).values())
    assert json.loads((tmp_path / "run/run.json").read_text())["ended"]["reason"].startswith("failed")


@pytest.mark.parametrize("every", [1000, 2])
@pytest.mark.parametrize("backward", [False, True])
def test_rolled_back_it_goes_on_without_that_batch(runtime, recipe, tmp_path, backward, every):
    trainer = broken_run(runtime, recipe, tmp_path / "run", go_on=True, backward=backward, every=every)
    _, indices = marked_step(trainer)
    trainer.fit()
    assert trainer.ending == "done"
    assert all(bool(p.isfinite().all()) for p in trainer.state.discriminator.parameters())
    assert (trainer.state.step, trainer.state.images) == (12, 96)
    lines = list(gankit.JsonLines.read(tmp_path / "run/metrics.jsonl"))
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert all(isinstance(line["discriminator_loss"], float) for line in lines)
    rolled = events(tmp_path / "run", "rolled_back")
    assert rolled[0]["without"] == indices
    assert trainer.state.position == 96 + 8 * len(rolled)  # a second epoch brings image 21 again
    assert all(21 in event["without"] for event in rolled)


def test_a_run_rolled_back_resumes_to_the_same_weights(runtime, recipe, tmp_path):
    whole = broken_run(runtime, recipe, tmp_path / "whole", go_on=True, every=2)
    whole.fit()
    for _ in (parts := broken_run(runtime, recipe, tmp_path / "parts", go_on=True, every=2)):
        if parts.state.step == 9:
            break
    resumed = runtime.resume(tmp_path / "parts")
    resumed.fit()
    assert resumed.state.skipped == whole.state.skipped != []
    for one, other in zip(whole.state.generator.parameters(), resumed.state.generator.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("every", [1000, 2])
@pytest.mark.parametrize("go_on", [False, True])
def test_a_weight_broken_from_outside_is_named(runtime, recipe, tmp_path, go_on, every):
    callbacks = [{"name": "caretaker", "go_on": go_on, "plant_at": 5}, {"name": "checkpoint", "every": every}]
    trainer = runtime.assemble(recipe(callbacks=callbacks, train={"steps": 8}), tmp_path / "run")
    message = "generator layers.0.weight became NaN or infinite at step 6, .* outside the steps"
    if go_on:
        trainer.fit()
        assert trainer.state.step == 8
        assert trainer.state.position == 64
        (event,) = events(tmp_path / "run", "finding")
        assert event["figures"]["noticed_in"] == ["generator layers.0.weight"]
        assert event["figures"]["indices"] == trainer.setup.loader.order.at(40, 8)[0].tolist()
        assert (event["step"], event["fatal"]) == (6, False)
    else:
        with pytest.raises(gankit.GankitError, match=message):
            trainer.fit()


def test_what_breaks_always_ends_the_run(runtime, recipe, tmp_path):
    """Not the batch's fault: after a few attempts it is over."""

    class Dividing(nn.Module):
        def __init__(self, image: gankit.ImageSpec) -> None:
            super().__init__()
            self.calls, self.out = 0, nn.Linear(image.channels * image.height * image.width, 1)

        def forward(self, images, labels=None):
            self.calls += 1
            return self.out(images.flatten(1)) / (0.0 if self.calls > 8 else 1.0)

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.discriminators.add("dividing", Dividing)

    runtime.load_plugin(Plugin())
    trainer = runtime.assemble(
        recipe(discriminator="dividing", callbacks=[{"name": "caretaker", "go_on": True}], train={"steps": 12}),
        tmp_path / "run",
    )
    with pytest.raises(gankit.GankitError, match="has returned to step 0 3 times"):
        trainer.fit()


def test_nothing_is_said_of_a_run_that_is_well(runtime, recipe, tmp_path):
    trainer = runtime.assemble(recipe(callbacks=["caretaker"]), tmp_path / "run")
    for _ in trainer:
        assert trainer.not_finite() is None
    assert events(tmp_path / "run", "finding") == []


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_detector_keeps_the_first_step(runtime, recipe, device):
    """By layers on a CPU, by networks elsewhere; later ones change nothing."""
    state = runtime.assemble(recipe()).state
    detector = NonFiniteDetector(state, torch.device(device))
    detector.check_weights(1)
    detector.check_scalars({"a": torch.tensor(1.0), "b": torch.tensor(2.0)}, 1)
    assert detector.first() is None
    detector.check_scalars({"a": torch.tensor(1.0), "b": torch.tensor(float("inf"))}, 2)
    with torch.no_grad():
        next(state.discriminator.parameters())[0, 0, 0, 0] = float("nan")
    detector.check_weights(3)
    detector.check_scalars({"a": torch.tensor(float("nan")), "b": torch.tensor(1.0), "c": torch.tensor(1.0)}, 3)
    assert detector.first() == NotFinite(2, ("b",))
    detector.reset()
    detector.check_weights(4)
    first = next(state.discriminator.named_parameters())[0]
    assert detector.first() == NotFinite(4, (f"discriminator {first}" if device == "cpu" else "discriminator",))


def test_a_lower_learning_rate_stays_after_going_back(runtime, recipe, tmp_path):
    """What the recipe says now, not what the checkpoint's optimizer said."""
    for _ in (first := broken_run(runtime, recipe, tmp_path / "run", go_on=True, every=2)):
        if first.state.step == 2:
            break
    resumed = runtime.resume(tmp_path / "run", ["optimizers.generator.lr=1e-6"])
    resumed.fit()
    assert events(tmp_path / "run", "rolled_back")
    assert resumed.state.optimizers["generator"].param_groups[0]["lr"] == 1e-6


def test_images_are_said_to_be_left_out_only_where_they_are(runtime, recipe, tmp_path):
    callbacks = [{"name": "caretaker", "go_on": True, "plant_at": 5}, {"name": "checkpoint", "every": 2}]
    trainer = runtime.assemble(recipe(callbacks=callbacks, train={"steps": 8}), tmp_path / "run")
    trainer.fit()
    assert [event["without"] for event in events(tmp_path / "run", "rolled_back")] == [[]]


def test_what_the_last_step_breaks_is_found(runtime, recipe, tmp_path):
    class Breaking(torch.optim.SGD):
        steps = 0

        def step(self, closure=None):
            super().step(closure)
            self.steps += 1
            if self.steps == 4:
                with torch.no_grad():
                    self.param_groups[0]["params"][0].fill_(float("inf"))

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.optimizers.add("breaking", breaking)

    def breaking(parameters: list[nn.Parameter], *, lr: float = 1e-4) -> torch.optim.Optimizer:
        return Breaking(parameters, lr=lr)

    runtime.load_plugin(Plugin())
    optimizers = {"generator": {"name": "breaking"}, "discriminator": {"name": "adam", "lr": 2e-4}}
    trainer = runtime.assemble(recipe(optimizers=optimizers, callbacks=[{"name": "caretaker"}]), tmp_path / "run")
    with pytest.raises(gankit.GankitError, match="generator .* became NaN or infinite at step 5"):
        trainer.fit()


def test_a_buffer_may_be_infinite(runtime, recipe, tmp_path):
    """Such as the mask of an attention."""
    trainer = runtime.assemble(recipe(callbacks=["checkpoint"], train={"steps": 2}), tmp_path / "run")
    trainer.state.discriminator.register_buffer("mask", torch.tensor([0.0, -float("inf")]))
    trainer.fit()
    assert (tmp_path / "run/checkpoints/step-00000002").is_dir()


def test_the_learning_rate_of_the_recipe_stays_after_a_rollback(runtime, recipe, tmp_path):
    """The checkpoint was written with another learning rate than the run has now."""
    callbacks = [{"name": "caretaker"}, {"name": "checkpoint", "every": 2}]
    runtime.assemble(recipe(callbacks=callbacks, train={"steps": 2}), tmp_path / "run").fit()
    resumed = runtime.resume(
        tmp_path / "run",
        ["train.steps=5", "optimizers.generator.lr=0.001", "callbacks.0.go_on=true", "callbacks.0.plant_at=3"],
    )
    resumed.fit()
    assert [event["from_step"] for event in events(tmp_path / "run", "rolled_back")] == [4]
    assert resumed.state.optimizers["generator"].param_groups[0]["lr"] == 0.001
    assert resumed.state.optimizers["discriminator"].param_groups[0]["lr"] == 2e-4
