"""The figure in a stand-in for a notebook, which remembers what is displayed; and outside of notebooks."""

from __future__ import annotations

import base64
import io
import math
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
from PIL import Image

import gankit
from gankit.progress import notebook_figure


class ZMQInteractiveShell:
    """Named as the shell of a Jupyter kernel."""


class ColabShell(ZMQInteractiveShell):
    """As that of Colab."""


class TerminalInteractiveShell:
    """Named as the shell of IPython in a terminal."""


@pytest.fixture
def notebook(monkeypatch):
    """The contents that were displayed, oldest first; the process is a notebook's."""
    shown: list[dict[str, str]] = []

    def display(content, raw, display_id=None):
        assert raw
        shown.append(content)
        return SimpleNamespace(update=lambda content, raw: shown.append(content))

    ipython = ModuleType("IPython")
    ipython.get_ipython, ipython.version_info = ColabShell, (9, 0)  # matplotlib reads the version
    ipython.display = ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    monkeypatch.setattr(notebook_figure, "MAX_SHARE", math.inf)
    return shown


@pytest.mark.parametrize(
    ("shell", "is_notebook"), [(ZMQInteractiveShell, True), (ColabShell, True), (TerminalInteractiveShell, False)]
)
def test_notebooks_are_recognized(monkeypatch, shell, is_notebook):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=shell))
    assert gankit.in_notebook() == is_notebook


def test_a_process_without_ipython_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not gankit.in_notebook()
    assert "IPython" not in sys.modules


class TestInANotebook:
    @pytest.fixture
    def trainer(self, notebook, runtime, recipe, tmp_path):
        trainer = runtime.assemble(recipe(), tmp_path / "run")
        trainer.callbacks.named["NotebookFigure"] = gankit.NotebookFigure(seconds=0.0, images=4)
        return trainer

    def test_each_run_has_it(self, notebook, runtime, recipe, tmp_path):
        trainer = runtime.assemble(recipe(callbacks=["metrics_log"]), tmp_path / "run")
        assert [type(c).__name__ for c in trainer.callbacks.named.values()].count("NotebookFigure") == 1

    def test_it_is_updated_and_changes_nothing(self, trainer, notebook, runtime, recipe, tmp_path, monkeypatch):
        trainer.fit()
        assert [content["text/plain"][:15] for content in notebook] == [f"small  step {s}/4" for s in (1, 2, 3, 4, 4)]
        for content in notebook:
            with Image.open(io.BytesIO(base64.b64decode(content["image/png"]))) as image:
                assert (image.format, image.size) == ("PNG", (1152, 504))
        monkeypatch.undo()
        plain = runtime.assemble(recipe(), tmp_path / "plain")
        plain.fit()
        assert "NotebookFigure" not in plain.callbacks.named
        for network in ("generator", "discriminator"):
            weights, others = (getattr(t.state, network).state_dict() for t in (trainer, plain))
            assert all(torch.equal(weights[name], others[name]) for name in others)

    def test_updates_are_seconds_apart(self, trainer, notebook):
        trainer.callbacks.named["NotebookFigure"].seconds = 3600.0
        trainer.fit()
        assert [content["text/plain"][:15] for content in notebook] == ["small  step 1/4", "small  step 4/4"]

    def test_updates_take_a_limited_share_of_the_time(self, trainer, notebook, monkeypatch):
        monkeypatch.setattr(notebook_figure, "MAX_SHARE", 1e-6)
        trainer.fit()
        assert len(notebook) == 2

    def test_a_failure_is_one_notice(self, trainer, notebook, monkeypatch, events, tmp_path):
        monkeypatch.setattr(trainer, "sample", lambda *given: 1 / 0)
        trainer.fit()
        assert (trainer.ending, notebook) == ("done", [])
        (notice,) = events(tmp_path / "run", "picture_missing")
        assert notice["message"].startswith("the figure in the notebook cannot be drawn: division by zero; ")

    def test_a_device_that_fails_is_not_read_again(self, trainer, notebook, monkeypatch):
        def fail(run):
            if run.state.step == 2:
                monkeypatch.setattr(trainer, "sample", lambda *given: pytest.fail("sampled"))
                raise RuntimeError("the device failed")

        trainer.callbacks.add("failing", SimpleNamespace(on_step_end=fail))
        with pytest.raises(RuntimeError, match="the device failed"):
            trainer.fit()
        assert "step 2/4 (50%)" in notebook[-1]["text/plain"]
        assert "failed: RuntimeError: the device failed" in notebook[-1]["text/plain"]

    def test_a_return_to_the_start(self, trainer, notebook):
        """The repeated steps are drawn once."""

        def break_once(run):
            if run.not_finite() is not None:
                run.recover(go_on=True)
            elif run.state.step == 2 and not broken:
                broken.append(True)
                with torch.no_grad():
                    next(run.state.generator.parameters()).fill_(math.nan)

        broken: list[bool] = []
        trainer.callbacks.add("breaking", SimpleNamespace(on_step_end=break_once))
        trainer.fit()
        steps = [int(content["text/plain"].partition("/4")[0][-1]) for content in notebook]
        assert steps == [1, 2, 3, 1, 2, 3, 4, 4]
        assert "not finite: returned from step 3 to step 0" in notebook[-1]["text/plain"]
        curves = trainer.callbacks.named["NotebookFigure"]._history.curves
        assert set(curves) == {"discriminator_loss", "generator_loss", "real_logits", "fake_logits"}
        assert all(steps == [1, 2, 3, 4] for steps, _ in curves.values())


def test_elsewhere_it_does_nothing(runtime, recipe, tmp_path, capsys):
    trainer = runtime.assemble(recipe(), tmp_path / "run")
    trainer.callbacks.add("figure", gankit.NotebookFigure(seconds=0.0))
    trainer.fit()
    assert trainer.ending == "done"
    assert capsys.readouterr() == ("", "")
