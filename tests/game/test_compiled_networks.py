"""``train.compile``: the same step, in compiled networks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

import gankit

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler: there is no g++"
)

SGD = {"generator": {"name": "sgd", "lr": 0.01}, "discriminator": {"name": "sgd", "lr": 0.01}}
PLAIN = {"generator": {"name": "plain"}, "optimizers": SGD}


class Critic(nn.Module):
    """A discriminator with one peculiarity; all but the last can be compiled in one piece."""

    def __init__(self, image: gankit.ImageSpec, *, peculiarity: str) -> None:
        super().__init__()
        self.narrow = peculiarity == "narrow spectral norm"
        size = image.channels * (1 if self.narrow else image.height * image.width)
        hidden = nn.Linear(size, 6)
        self.peculiarity = peculiarity
        hidden.bias = None if peculiarity == "batch norm" else hidden.bias  # which BatchNorm leaves without a gradient
        spectral = peculiarity.endswith("spectral norm")
        self.hidden = nn.utils.parametrizations.spectral_norm(hidden) if spectral else hidden
        colors = nn.Conv2d(image.channels, image.channels, 1)
        spectral = peculiarity == "spectral norm of a convolution"
        self.colors = nn.utils.parametrizations.spectral_norm(colors) if spectral else nn.Identity()
        self.norm = nn.BatchNorm1d(6) if peculiarity == "batch norm" else nn.Identity()
        self.out = nn.Linear(6, 2 if peculiarity == "features" else 1)
        self.register_buffer("mean", torch.zeros(6))

    def forward(self, images, labels=None):
        images = self.colors(images)
        pixels = images.mean(dim=(2, 3)) if self.narrow else images.flatten(1)
        hidden = self.norm(self.hidden(pixels)).tanh()
        if self.peculiarity == "assignment":
            self.mean = 0.9 * self.mean + 0.1 * hidden.detach().mean(0)
            hidden = hidden + self.mean
        if self.peculiarity == "dropout":
            hidden = nn.functional.dropout(hidden, 0.5)
        if self.peculiarity == "break" and float(hidden.detach().sum()) > 1e9:
            hidden = hidden * 2
        logits = self.out(hidden)
        return {"logits": list(logits.unbind(1)), "features": hidden} if self.peculiarity == "features" else logits


class Fading(nn.Module):
    """A generator with a number that changes each step."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, gain: gankit.Scheduled = 1.0) -> None:
        super().__init__()
        self.image, self.gain = image, gain
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, z, labels=None):
        return (self.gain * self.linear(z)).view(-1, self.image.channels, self.image.height, self.image.width).tanh()


class Strict(nn.Module):
    """A discriminator that refuses what it is given."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.out = nn.Linear(image.channels * image.height * image.width, 1)

    def forward(self, images, labels=None):
        if len(images) == 8:
            raise ValueError("give me more images")
        return self.out(images.flatten(1))


class LogitsFirst:
    """A penalty that looks at the logits, and only then takes the gradient."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval = interval

    def discriminator(self, turn):
        return turn.real_logits.square().mean() + turn.gradient(turn.real).square().sum()


class OfFakes:
    """A term of the generator's that the gradient with respect to its images enters."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval = interval

    def generator(self, turn):
        return turn.gradient(turn.fake).square().sum()


class ByHand:
    """A penalty that does not use `turn.gradient`."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval = interval

    def discriminator(self, turn):
        return torch.autograd.grad(turn.real_logits.sum(), turn.real, create_graph=True)[0].square().sum()


class Parts:
    @gankit.hookimpl
    def register(self, registries):
        registries.generators.add("fading", Fading)
        registries.discriminators.add("critic", Critic)
        registries.discriminators.add("strict", Strict)
        registries.regularizers.add("logits_first", LogitsFirst)
        registries.regularizers.add("of_fakes", OfFakes)
        registries.regularizers.add("by_hand", ByHand)


@pytest.fixture(params=["traced", pytest.param("compiled", marks=[needs_compiler, pytest.mark.slow])])
def backend(request, monkeypatch):
    """All of torch.compile, or all but writing C++, which takes most of the time and has the least to do with us."""
    if request.param == "traced":
        monkeypatch.setattr(torch, "compile", traced_by("aot_eager"))


def traced_by(backend):
    """`torch.compile`, but by a backend that writes no C++."""
    compile = torch.compile
    return lambda function, fullgraph, options: compile(function, fullgraph=fullgraph, backend=backend)


@pytest.fixture
def assemble(runtime, recipe):
    runtime.load_plugin(Parts())

    def make(compile=True, run_dir=None, **changes):
        train = {"compile": compile, **changes.pop("train", {})}
        return runtime.assemble(recipe(**changes, train=train), run_dir)

    return make


def difference(one, other):
    """The largest of the tensors' differences, each relative to its norm."""
    pairs = [(a.detach().double(), b.detach().double()) for a, b in zip(one, other, strict=True)]
    return max(float((a - b).norm() / b.norm().clamp_min(1e-6)) for a, b in pairs)


def gradients(trainer):
    """Those that there are; without one, an optimizer leaves a weight alone."""
    named = [(side, *pair) for side, network in trainer.state.networks().items() for pair in network.named_parameters()]
    return {(side, name): p.grad for side, name, p in named if p.grad is not None}


def assert_same_gradients(one, other, tolerance=1e-5):
    one, other = gradients(one), gradients(other)
    assert one.keys() == other.keys()
    assert difference(one.values(), other.values()) < tolerance


def tensors(trainer):
    return [tensor for network in trainer.state.networks().values() for tensor in network.state_dict().values()]


def assert_same_steps(assemble, steps=3, **changes):
    compiled, eager = assemble(True, **changes), assemble(False, **changes)
    for step in range(steps):
        scalars = compiled.step(), eager.step()
        if step == 0:
            assert_same_gradients(compiled, eager)
    assert scalars[0].keys() == scalars[1].keys()
    for name, value in scalars[1].items():
        assert float(scalars[0][name]) == pytest.approx(float(value), rel=1e-5, abs=1e-5), name
    assert difference(tensors(compiled), tensors(eager)) < 1e-5
    assert not any("torch._dynamo" in type(network).__module__ for network in compiled.state.networks().values())
    return compiled


R1, R2 = {"name": "r1", "gamma": 1.0}, {"name": "r2", "gamma": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizers": SGD, "regularizers": [R1 | {"interval": 2}], "augmentations": [{"name": "diffaugment"}], "conditional": True, "ema": {"half_life_images": 40}},
        {"optimizers": SGD, "discriminator": {"name": "dcgan", "width": 8, "norm": "layer"}, "regularizers": [{"name": "gradient_penalty"}]},
    ],
    ids=["lazy R1 through augmentation, conditional, with BatchNorm", "WGAN-GP without BatchNorm"],
)  # fmt: skip
@pytest.mark.usefixtures("backend")
def test_convolutions(assemble, changes):
    assert assert_same_steps(assemble, **changes).game.compiled.warnings == []


@pytest.mark.parametrize(
    ("peculiarity", "regularizers"),
    [
        pytest.param("batch norm", [R1], marks=pytest.mark.slow),  # a lazy R1 is below
        ("batch norm", [{"name": "gradient_penalty"}]),
        ("batch norm", [{"name": "logits_first"}]),
        ("batch norm", [R1 | {"interval": 2}, R2 | {"interval": 3}]),
        ("spectral norm", [{"name": "logits_first"}]),
        ("spectral norm", [R1, R2]),
        ("assignment", [R1]),
        ("dropout", [R1]),
        ("features", [R1, R2, {"name": "of_fakes"}]),
    ],
)
@pytest.mark.usefixtures("backend")
def test_penalties(assemble, peculiarity, regularizers):
    """Several heads, a mapping, and whatever changes when D looks at an image."""
    critic = {"name": "critic", "peculiarity": peculiarity}
    trainer = assert_same_steps(assemble, **PLAIN, discriminator=critic, regularizers=regularizers)
    assert trainer.game.compiled.warnings == []


@pytest.mark.parametrize("regularizers", [pytest.param([R1], marks=pytest.mark.slow), [R1, R2]])
def test_penalties_where_a_backward_keeps_what_changes_with_each_pass(assemble, regularizers, monkeypatch):
    # what a backward keeps and what it computes again, "aot_eager" leaves as it is
    monkeypatch.setattr(torch, "compile", traced_by("aot_eager_decomp_partition"))
    critic = {"name": "critic", "peculiarity": "spectral norm of a convolution"}
    trainer = assert_same_steps(assemble, **PLAIN, discriminator=critic, regularizers=regularizers)
    assert trainer.game.compiled.warnings == []


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("regularizer", ["gradient_penalty", "logits_first", "of_fakes"])
def test_a_discriminator_that_cannot_be_compiled_in_one_piece_takes_its_penalties_eagerly(assemble, tmp_path, regularizer):  # fmt: skip
    changes = {"discriminator": {"name": "critic", "peculiarity": "break"}, "regularizers": [{"name": regularizer}]}
    trainer = assert_same_steps(assemble, **PLAIN, **changes)
    (warning,) = trainer.game.compiled.warnings
    assert re.match(r"the gradient of Critic .* cannot be compiled \(.+\); turns with penalties run", warning)
    trainer.step()
    assert trainer.game.compiled.warnings == [warning]
    assemble(run_dir=tmp_path / "run", **PLAIN, **changes).fit()
    events = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    told = [event for event in events if event["event"] == "not_compiled"]
    assert len(told) == 1
    assert "turns with penalties run uncompiled" in told[0]["reason"]


@pytest.mark.usefixtures("backend")
def test_nothing_is_compiled_again_and_again(assemble):
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
        train={"microbatch": 5},
    )
    compiled = counters["stats"]["unique_graphs"]
    for _ in range(6):
        trainer.step()
    assert counters["stats"]["unique_graphs"] == compiled


@needs_compiler
def test_compiled_networks_without_batch_statistics(assemble):
    assert_same_steps(assemble, **PLAIN, discriminator={"name": "plain"}, regularizers=[R1])


@pytest.mark.usefixtures("backend")
def test_bf16(assemble):
    changes = {**PLAIN, "discriminator": {"name": "plain"}, "regularizers": [R1]}
    compiled, eager = (assemble(compile, **changes, train={"precision": "bf16"}) for compile in (True, False))
    one, other = compiled.step(), eager.step()
    for name, value in other.items():
        assert float(one[name]) == pytest.approx(float(value), rel=0.02, abs=0.01)
    assert_same_gradients(compiled, eager, tolerance=0.2)


@pytest.mark.usefixtures("backend")
def test_resumed_is_as_never_stopped(assemble, runtime, tmp_path):
    changes = {"discriminator": {"name": "critic", "peculiarity": "batch norm"}, "regularizers": [R1], **PLAIN}
    changes |= {"callbacks": [{"name": "checkpoint", "every": 2}], "train": {"steps": 4, "deterministic": True}}
    whole = assemble(run_dir=tmp_path / "whole", **changes)
    whole.fit()
    for _ in (parts := assemble(run_dir=tmp_path / "parts", **changes)):
        if parts.state.step == 2:
            break
    resumed = runtime.resume(tmp_path / "parts")
    resumed.fit()
    for one, other in zip(tensors(whole), tensors(resumed), strict=True):
        assert torch.equal(one, other)


@pytest.mark.usefixtures("backend")
def test_a_gradient_taken_by_hand_is_told_what_to_do(assemble):
    trainer = assemble(**PLAIN, discriminator={"name": "plain"}, regularizers=[{"name": "by_hand"}])
    with pytest.raises(gankit.GankitError, match=r"cannot be differentiated twice: .* turn\.gradient"):
        trainer.step()


@pytest.mark.slow
@needs_compiler
def test_spectral_norm_on_few_channels_is_told_what_to_do(assemble):
    """The compiler saves the smaller of the two vectors, which is a buffer that the next pass overwrites."""
    trainer = assemble(**PLAIN, discriminator={"name": "critic", "peculiarity": "narrow spectral norm"})
    with pytest.raises(gankit.GankitError, match=r"needs what its next pass has overwritten.*train\.compile=false"):
        trainer.step()


@pytest.mark.usefixtures("backend")
def test_a_networks_own_error_stays_its_own(assemble):
    with pytest.raises(ValueError, match="^give me more images$"):
        assemble(**PLAIN, discriminator={"name": "strict"}).step()


def test_without_a_compiler_the_message_says_what_to_do(assemble):
    trainer = assemble(**PLAIN, discriminator={"name": "plain"})
    options = {"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}
    said = r"^train\.compile: torch\.compile cannot compile the generator Plain: .*compiler.*no-such-compiler.*; set train\.compile=false to train without it$"
    with torch._inductor.config.patch(options), pytest.raises(gankit.GankitError, match=said):
        trainer.step()


@pytest.mark.usefixtures("backend")
def test_flops_are_those_of_the_eager_step(assemble):
    from gankit.profiling.flops import count_flops

    changes = {**PLAIN, "discriminator": {"name": "plain"}, "regularizers": [R1]}
    assert count_flops(assemble(True, **changes)) == count_flops(assemble(False, **changes))


@pytest.mark.slow
@needs_compiler
def test_an_eager_run_never_meets_the_compiler(tmp_path, tiny_plugin_file, tiny_recipe):
    script = (
        "import gankit, sys\n"
        f"runtime = gankit.Runtime(plugins=[{str(tiny_plugin_file)!r}])\n"
        f"recipe = gankit.Recipe.load({str(tiny_recipe(tmp_path))!r}, overrides=['train.compile=' + sys.argv[1]])\n"
        "runtime.check(recipe)\n"
        "print('torch._dynamo' in sys.modules)\n"
        "runtime.assemble(recipe).step()\n"
        "print('torch._inductor.compile_fx' in sys.modules)\n"  # optimizers import other parts of the compiler
    )

    def says(compile):
        done = subprocess.run([sys.executable, "-c", script, compile], capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert says("false") == ["False", "False"]
    assert says("true") == ["False", "True"]


class Keeper:
    """Keeps what it is shown, as a history of fakes would, and a copy to tell whether it has changed."""

    def __init__(self, *, interval: int = 1) -> None:
        self.interval, self.kept = interval, []

    def discriminator(self, turn):
        gradient = turn.gradient(turn.real)
        self.kept += [(tensor, tensor.detach().clone()) for tensor in (turn.fake, turn.real_logits, gradient)]
        return gradient.square().sum()


class Keeping:
    @gankit.hookimpl
    def register(self, registries):
        registries.regularizers.add("keeper", Keeper)


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
    def test_compiled_steps_are_eager_steps(self, assemble, train, discriminator_steps):
        """Long enough for the graphs to be warmed up, recorded and replayed."""
        train = train | {"device": "cuda", "discriminator_steps": discriminator_steps}
        assert_same_steps(assemble, steps=8, **ALL, train=train)

    @pytest.mark.parametrize("train", [{"microbatch": 5}, {"fresh_fakes": True}, {"precision": "bf16"}])
    def test_it_runs(self, assemble, train):
        trainer = assemble(**ALL, train={"device": "cuda", **train})
        for _ in range(8):
            scalars = trainer.step()
        assert all(bool(value.isfinite()) for value in scalars.values())

    def test_what_is_kept_is_not_written_over(self, assemble, runtime):
        runtime.load_plugin(Keeping())
        trainer = assemble(**(ALL | {"regularizers": [{"name": "keeper"}]}), train={"device": "cuda"})
        history = [trainer.step() for _ in range(8)]
        values = [{name: value.clone() for name, value in scalars.items()} for scalars in history]
        trainer.step()
        kept = trainer.game.regularizers["keeper"].kept
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

    def test_two_runs_never_meet(self, assemble):
        alone = assemble(**ALL, train={"device": "cuda", "precision": "fp64"})
        one, other = (assemble(**ALL, train={"device": "cuda", "precision": "fp64"}) for _ in range(2))
        for _ in range(6):
            alone.step()
        for _ in range(6):
            one.step()
            other.step()
        for trainer in (one, other):
            assert difference(tensors(trainer), tensors(alone)) < 1e-9
