"""Pictures that cannot be drawn or written: one notice, and training continues."""

from __future__ import annotations

import subprocess
import sys

import pytest

import gankit_callbacks.curve_plot

PICTURES = [{"name": "sample_images", "every": 1, "count": 4}, {"name": "loss_curves", "every": 1}]


def test_a_run_goes_on_without_them(runtime, recipe, tmp_path, monkeypatch, events):
    def fail(*given, **options):
        raise OSError(28, "No space left on device")

    whole = runtime.assemble(recipe(callbacks=PICTURES), tmp_path / "whole")
    whole.fit()
    assert not events(tmp_path / "whole", "picture_missing")
    monkeypatch.setattr(gankit_callbacks.curve_plot, "draw_curves", fail)
    trainer = runtime.assemble(recipe(callbacks=PICTURES), tmp_path / "run")
    (tmp_path / "run").mkdir()
    trainer.callbacks.add("blocking", Blocking())
    trainer.fit()
    assert trainer.ending == "done"
    reasons = {
        "fake_samples_epoch_000.png": f"{tmp_path / 'run/fake_samples_epoch_000.png'}: cannot be written: Is a directory",
        "loss_curves.png": "[Errno 28] No space left on device",
    }
    assert sorted(event["message"] for event in events(tmp_path / "run", "picture_missing")) == [
        f"{name} cannot be drawn: {reason}; training continues without the picture" for name, reason in reasons.items()
    ]
    assert (tmp_path / "run/real_samples.png").is_file()


class Blocking:
    """A folder that has the name of a picture."""

    def on_run_start(self, run):
        (run.directory / "fake_samples_epoch_000.png").mkdir()


def test_a_failing_generator_still_ends_the_run(runtime, recipe, tmp_path):
    """Only drawing is optional: no images means that the network is broken."""
    trainer = runtime.assemble(recipe(callbacks=PICTURES), tmp_path / "run")

    def fail(*given):
        raise ZeroDivisionError

    trainer.sample = fail
    with pytest.raises(ZeroDivisionError):
        trainer.fit()


def test_the_environments_backend_does_not_matter():
    """Each backend in a process of its own, which has not imported matplotlib."""
    script = """
import os, sys
import gankit, gankit_callbacks
assert "matplotlib" not in sys.modules
for backend in sys.argv[1:]:
    if os.fork() == 0:
        os.environ["MPLBACKEND"] = backend
        gankit.import_matplotlib()
        import matplotlib, gankit_callbacks.curve_plot
        print(os.environ["MPLBACKEND"], matplotlib.get_backend(auto_select=False), flush=True)
        os._exit(0)
    os.wait()
"""
    backends = ["module://matplotlib_inline.backend_inline", "nonsense", "svg"]
    done = subprocess.run([sys.executable, "-c", script, *backends], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    given, used = zip(*(line.split() for line in done.stdout.splitlines()), strict=True)
    assert [*given] == backends
    assert [backend == "svg" for backend in used] == [False, False, True]
