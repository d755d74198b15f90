"""Pictures that cannot be drawn or written: one notice, and training continues."""

from __future__ import annotations

import os
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
    messages = sorted(event["message"] for event in events(tmp_path / "run", "picture_missing"))
    assert len(messages) == 2
    assert "fake_samples_epoch_000.png" in messages[0]
    assert messages[1] == (
        "loss_curves.png cannot be drawn: [Errno 28] No space left on device; training continues without the picture"
    )
    assert (tmp_path / "run/real_samples.png").is_file()


class Blocking:
    """A folder that has the name of a picture."""

    def on_run_start(self, run):
        (run.directory / "fake_samples_epoch_000.png").mkdir()


def test_a_failing_generator_still_ends_the_run(runtime, recipe, tmp_path):
    """Only drawing is optional; a callback of the user's own that fails is an error as well."""
    trainer = runtime.assemble(recipe(callbacks=PICTURES), tmp_path / "run")

    def fail(*given):
        raise ZeroDivisionError

    trainer.sample = fail
    with pytest.raises(ZeroDivisionError):
        trainer.fit()


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.backend_inline", "nonsense", "svg"])
def test_the_environments_backend_does_not_matter(backend):
    script = (
        "import os, gankit; gankit.import_matplotlib(); import matplotlib, gankit_callbacks.curve_plot; "
        "print(os.environ['MPLBACKEND'], matplotlib.get_backend(auto_select=False))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "MPLBACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == backend
    assert (done.stdout.split()[1] == "svg") == (backend == "svg")
