"""``gankit bench``."""

from __future__ import annotations

import re
import tempfile

import pytest

from gankit.profiling import step_profile
from gankit.profiling.step_profile import PARTS, profile_steps


@pytest.fixture
def scratch(tmp_path, tmp_path_factory, monkeypatch):
    """The folder in which temporary folders are created."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    # torch creates its cache in the temporary folder when it first counts operations, and keeps it for the process
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
    return folder


@pytest.fixture(autouse=True)
def _small_matrices(monkeypatch):
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SECONDS", 0.01)
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SIDES", {"cpu": (64,), "cuda": (1024,)})


def test_the_printed_profile(cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe(tmp_path)
    measured = []
    monkeypatch.setattr(
        step_profile, "profile_steps", lambda t, steps: measured.append((t, steps)) or profile_steps(t, steps)
    )
    said = cli("bench", recipe, "ema={half_life_images: 100}", "--plugin", tiny_plugin_file, "--steps", 3)
    assert said.code == 0, said.err
    shown = dict(re.findall(r"^ (\w.*?) {2,}([\d.,]+)(?= )", said.out, flags=re.M))
    parts = {name: float(shown.pop(name)) for name in (*PARTS, "total")}
    whole = parts.pop("total")
    assert sum(parts.values()) == pytest.approx(whole, abs=0.005 * (len(parts) + 1))  # as rounded for the table
    assert set(shown) == {"speed", "peak memory", "computed", "achieved", "one checkpoint"}
    assert "ReportPage" in said.out.partition("one checkpoint")[2]
    assert float(shown["speed"].replace(",", "")) == pytest.approx(8 * 1000 / whole, rel=0.1)
    assert [steps for _, steps in measured] == [3]
    assert "tiny on cpu" in said.out
    assert "in fp32, batch size 8" in said.out
    assert re.search(r"^   tiny ", said.out, flags=re.M)
    assert list(scratch.iterdir()) == []
    assert set(tmp_path.iterdir()) == {recipe, scratch}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["loader.batch_size=33"], "dataset: a batch of 33 is larger than the dataset"),
        (["generator.gian=2"], "generator.gian: unknown parameter; did you mean 'gain'?"),
        (["--device", "tpu"], "train.device: should be auto, cpu, mps, cuda or cuda:N; got 'tpu'"),
        (["--steps", 0], "--steps"),
    ],
)
def test_errors_leave_no_files(cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch, words, message):
    said = cli("bench", tiny_recipe(tmp_path), "--plugin", tiny_plugin_file, *words)
    assert said.code == 2
    assert message in said.err
    assert list(scratch.iterdir()) == []


FAILING = """
import gankit

class Failing:
    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step == 2:
            raise {error}

@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.callbacks.add("failing", Failing)
"""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("gankit.GankitError('the disk is full')", 1),
        ("KeyboardInterrupt", 130),
    ],
)
def test_a_failing_run_leaves_no_files(cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch, error, code):
    plugin = tmp_path / "failing.py"
    plugin.write_text(FAILING.format(error=error))
    recipe = tiny_recipe(tmp_path, callbacks=[{"name": "failing"}])
    said = cli("bench", recipe, "--plugin", tiny_plugin_file, "--plugin", plugin)
    assert said.code == code
    assert re.fullmatch({1: "error: the disk is full.*\n", 130: "error: interrupted.*\n"}.get(code, ""), said.err)
    assert list(scratch.iterdir()) == []


def test_segments_and_time_limits_do_not_end_the_measurement(cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch):
    train = {"steps": 100, "device": "cpu", "precision": "fp32", "max_hours": 1e-9}
    recipe = tiny_recipe(tmp_path, train=train, segments=[{"step": 2, "set": {"loss.name": "tiny"}}])
    said = cli("bench", recipe, "--plugin", tiny_plugin_file, "--steps", 3)
    assert said.code == 0, said.err


def test_a_callback_that_ends_the_run(cli, tiny_recipe, tiny_plugin_file, tmp_path, scratch):
    plugin = tmp_path / "failing.py"
    plugin.write_text(FAILING.format(error="RuntimeError").replace("raise RuntimeError", "run.stop('enough')"))
    recipe = tiny_recipe(tmp_path, callbacks=[{"name": "failing"}])
    said = cli("bench", recipe, "--plugin", tiny_plugin_file, "--plugin", plugin)
    assert said.code == 1
    assert "the run ended at step 2, before the measurement was complete (enough); measure fewer steps" in said.err
