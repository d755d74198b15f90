"""Each plugin in ``plugins/``, a training that is none of a plain GAN, works like one with everything that gankit has."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gankit
from gankit.evaluation import Request, evaluate

PLUGINS = Path(__file__).parent / "plugins"
NAMES = sorted(path.stem for path in PLUGINS.glob("*.py"))
SCORERS = Path(__file__).parent.parent / "evaluation" / "scorers_plugin.py"
MAX_LINES = 60
KINDS = ("codebook", "flow_matching")  # further outputs and other terms, one player; test_stored_encodings has a codec


def weights(trainer):
    modules = trainer.state.networks() | {name: part for own in trainer.state.trained.values() for name, part in own.items()}
    named = [(module, *item) for module, part in modules.items() for item in part.named_parameters()]
    return {f"{module}.{name}": parameter.detach().clone() for module, name, parameter in named}


@pytest.fixture(params=NAMES)
def plugin(request):
    return request.param


def plugins_of_each_kind(test):
    """Parametrize a test that takes long: in the default suite, it runs for one plugin of each kind."""
    slow = [pytest.param(name, marks=[] if name in KINDS else pytest.mark.slow) for name in NAMES]
    return pytest.mark.parametrize("plugin", slow)(test)


@pytest.fixture
def runtime(plugin):
    return gankit.Runtime(plugins=[PLUGINS / f"{plugin}.py", SCORERS])


@pytest.fixture
def assemble(plugin, runtime, tmp_path):
    """``assemble(directory, **train)``: a trainer of the plugin's recipe."""

    def make(directory="run", *overrides, **train):
        overrides = [*overrides, *(f"train.{key}={value}" for key, value in train.items())]
        return runtime.assemble(runtime.load_checked(PLUGINS / f"{plugin}.yaml", overrides), tmp_path / directory)

    return make


def test_a_plugin_is_short_and_uses_what_gankit_exports(plugin):
    text = (PLUGINS / f"{plugin}.py").read_text()
    assert sum(not line.isspace() for line in text.splitlines(keepends=True)) <= MAX_LINES
    assert "from gankit" not in text
    assert "import gankit." not in text


def test_training_changes_every_trainable_parameter(assemble):
    trainer = assemble(steps=8)
    before = weights(trainer)
    trainer.fit()
    after = weights(trainer)
    unchanged = [name for name in before if torch.equal(before[name], after[name])]
    assert not unchanged
    assert all(bool(value.isfinite()) for value in trainer.scalars.values())


def test_microbatches_have_the_gradient_of_the_batch(plugin, assemble):
    # microbatches generate new fakes for G's turn
    fresh = {"fresh_fakes": "true"} if gankit.Recipe.load(PLUGINS / f"{plugin}.yaml").train.game.name == "adversarial" else {}
    one, several = assemble("one", **fresh), assemble("several", microbatch=3)
    for trainer in (one, several):
        trainer.fit()
    if plugin == "codebook":  # its adaptive weight is that of the images that are seen together
        assert all(bool(value.isfinite()) for value in several.scalars.values())
        return
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(several)[name], value, rtol=0, atol=1e-9, msg=name)


def test_resuming_continues_bit_for_bit(assemble, runtime, tmp_path):
    whole = assemble("whole")
    whole.fit()
    assemble("parts", steps=2).fit()
    resumed = runtime.resume(tmp_path / "parts", ["train.steps=4"])
    assert resumed.state.step == 2
    resumed.fit()
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name


def test_samples_need_neither_dataset_nor_trainer(assemble, plugin, tmp_path):
    trainer = assemble()
    trainer.fit()
    generator = gankit.load_generator(tmp_path / "run", plugins=[PLUGINS / f"{plugin}.py"])
    images = generator.sample(5, seed=2)
    assert images.shape == (5, trainer.image.channels, trainer.image.height, trainer.image.width)
    differences = images.int() - trainer.sample(5, seed=2).int()
    assert differences.abs().max() <= 1  # of rounding: the run computes in fp64, and the loaded generator in fp32
    assert torch.equal(images[:3], generator.sample(3, seed=2))
    assert not torch.equal(images, generator.sample(5, seed=3))


def test_it_is_scored_while_it_trains_and_afterwards(assemble, runtime, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scores = "{name: evaluate, every: 2, metrics: [gap], features: colours, samples: 20}"
    trainer = assemble("run", f"callbacks=[{scores}]")
    trainer.fit()
    during = [*gankit.JsonLines.read(tmp_path / "run" / "evaluations.jsonl")]
    assert [line["evaluated"]["step"] for line in during] == [2, 4]
    after = evaluate("run", Request(metrics=["gap"], features="colours", samples=20, device="cpu"), runtime)
    assert after.scores == pytest.approx(during[-1]["scores"], rel=1e-4)  # computed in fp32, and the codec in fp64


@plugins_of_each_kind
def test_callbacks_and_bench_know_it(plugin, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SECONDS", 0.01)
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SIDES", {"cpu": (64,)})
    files = (PLUGINS / f"{plugin}.yaml", "--plugin", PLUGINS / f"{plugin}.py")
    callbacks = "callbacks=[{name: health, every: 3, samples: 32}, loss_curves, {name: sample_images, count: 4}, {name: metrics_log, every: 1}]"
    said = cli("run", *files, callbacks, "train.steps=3", "--out", "run")
    assert said.code == 0, said.err
    assert "no longer checks" not in said.err
    assert {"loss_curves.png", "metrics.jsonl", "real_samples.png"} <= {path.name for path in Path("run").iterdir()}
    for words in (("compare", "run", "run", "--count", 2, *files[1:]), ("sample", "run", "--count", 4, *files[1:]), ("doctor", "run")):
        said = cli(*words)
        assert said.code == 0, said.err
    said = cli("bench", *files, "--steps", 1)
    assert said.code == 0, said.err
    assert "images/s" in said.out


@plugins_of_each_kind
def test_nan_is_located(assemble, plugin, tmp_path):
    trainer = assemble("run", "callbacks=[{name: health, every: 1}]")
    steps = iter(trainer)
    next(steps)
    with torch.no_grad():
        next(trainer.state.generator.parameters()).fill_(float("nan"))
    with pytest.raises(gankit.GankitError, match="NaN"):
        list(steps)


@pytest.mark.parametrize("plugin", ["flow_matching"])
def test_sampling_options_are_those_of_the_game(assemble, plugin, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assemble().fit()
    words = ("sample", "run", "--plugin", PLUGINS / f"{plugin}.py", "--count", 2)
    for steps in (1, 3):
        assert cli(*words, f"steps={steps}", "--out", f"{steps}.png").code == 0
    assert Path("1.png").read_bytes() != Path("3.png").read_bytes()
    assert "sampling option 'stepz': unknown key; did you mean 'steps'?" in cli(*words, "stepz=1").err
    assert "sampling option 'steps': should be greater than 0" in cli(*words, "steps=0").err
    assert "steps: is not a sampling option; use --interpolate" in cli(*words, "steps=2", "--interpolate", 2).err
