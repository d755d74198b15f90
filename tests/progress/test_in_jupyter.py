"""The figure in notebooks that a Jupyter kernel executes, with the documented programs."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

import gankit

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[2]
SMALL = [
    "dataset={name: shapes, count: 32, size: 16}",
    "image.size=16",
    "generator.width=4",
    "discriminator.width=4",
    "loader.batch_size=4",
    "train={steps: 6, precision: fp32, device: cpu}",
]
SET_UP = """
import gankit
from gankit.progress import notebook_figure

class Eventful:
    def on_step_end(self, run):
        if run.state.step == 3:
            run.log(gankit.Evaluated({"fd": 20.5}, "fd", 20.5, 3))
            run.log(gankit.Finding("mode_collapse", "The generator has collapsed."))

class Failing:
    def on_step_end(self, run):
        if run.state.step == 4:
            raise gankit.GankitError('the disk is full')
"""
FIT = "trainer.fit()\n"
AT_EVERY_STEP = """
notebook_figure.MAX_SHARE = float("inf")
trainer.callbacks.named['NotebookFigure'].seconds = 0.0
trainer.callbacks.add("eventful", Eventful())
"""
REMOVE = "del trainer.callbacks.named['NotebookFigure']\n"
FAILING = """
from gankit.progress import figure
draw, figure.draw_progress = figure.draw_progress, lambda *given: 1 / 0
trainer.fit()
figure.draw_progress = draw
"""
LEFT_EARLY = """
trainer.callbacks.add("eventful", Eventful())
for scalars in trainer:
    if trainer.state.step == 5:
        break
"""
ERROR = """
trainer.callbacks.add('failing', Failing())
try:
    trainer.fit()
except gankit.GankitError:
    pass
"""
RESUMED = "gankit.Runtime().resume('results/left_early').fit()"


def cells():
    """The cells of a notebook by name. Those with a run are the documented program, with changes before it trains."""
    text = (ROOT / "docs/runs.md").read_text(encoding="utf-8")
    program, change = re.findall(r"^```python\n(.*?)^```", text, flags=re.S | re.M)
    assert FIT in program

    def run(name, train):
        small = program.replace('"train.steps=200"', f"*{[*SMALL, 'callbacks=[]']}")
        return small.replace("results/notebook", f"results/{name}").replace(FIT, train)

    trainings = {
        "shown": AT_EVERY_STEP + FIT, "removed": REMOVE + FIT, "changed": change + FIT, "failing": FAILING,
        "left_early": LEFT_EARLY, "error": ERROR,
    }  # fmt: skip
    return {"set up": SET_UP, **{name: run(name, train) for name, train in trainings.items()}, "resumed": RESUMED}


CELLS = cells()


class RecordingClient(nbclient.NotebookClient):
    """Keeps the messages with outputs of each cell."""

    def process_message(self, msg, cell, cell_index):
        self.messages.setdefault(cell_index, []).append((msg["header"]["msg_type"], msg["content"]))  # later rewritten
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """``executed.outputs[cell]``, ``executed.messages[cell]`` and the folder with the runs."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "recipes").symlink_to(ROOT / "recipes")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS.values()])
    client = RecordingClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.messages = {}
    client.execute()
    outputs = dict(zip(CELLS, (cell.outputs for cell in notebook.cells), strict=True))
    messages = {name: client.messages.get(index, []) for index, name in enumerate(CELLS)}
    return SimpleNamespace(outputs=outputs, messages=messages, folder=folder)


def displays(executed, cell):
    """Type, identity and content of all displays of a cell."""
    return [
        (kind, content.get("transient", {}).get("display_id"), content["data"])
        for kind, content in executed.messages[cell]
        if kind in ("display_data", "update_display_data")
    ]


def png_of(data):
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


@pytest.mark.slow
class TestInJupyter:
    def test_one_display_is_updated(self, executed):
        shown = displays(executed, "shown")
        assert [kind for kind, _, _ in shown] == ["display_data"] + (len(shown) - 1) * ["update_display_data"]
        assert len(shown) == 6 + 1  # at every step, and at the end
        assert len({identity for _, identity, _ in shown}) == 1
        assert shown[0][1] is not None
        (output,) = executed.outputs["shown"]
        assert output.output_type == "display_data"
        assert output.data["image/png"].strip() == shown[-1][2]["image/png"].strip()

    def test_it_is_a_picture_of_samples_and_curves(self, executed):
        first, *_, last = (png_of(data) for _, _, data in displays(executed, "shown"))
        assert first.shape == last.shape == (504, 1152, 3)
        left, right = last[80:-80, 40:440], last[80:-80, 640:]
        assert left.std() > 20  # samples
        assert (right > 250).all(axis=2).mean() > 0.7  # curves on white
        for color in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0), (0, 0x9E, 0x73), (0xCC, 0x79, 0xA7)):
            assert (right == color).all(axis=2).any(), "a curve is missing"
        assert not np.array_equal(first, last)

    def test_its_status(self, executed):
        statuses = [data["text/plain"] for _, _, data in displays(executed, "shown")]
        assert re.fullmatch(r"quickstart  step 1/6 \(16%\)  [\d,]+ images/s  \d:\d\d left", statuses[0])
        assert re.fullmatch(
            r"quickstart  step 6/6 \(100%\)  \d:\d\d elapsed  done  fd 20.5 at step 3 \(best\)  "
            r"step 3: The generator has collapsed.",
            statuses[-1],
        )

    def test_it_does_not_change_the_training(self, executed, monkeypatch, tmp_path):
        """The weights are those of the same run without the figure, in the notebook and in this process."""
        monkeypatch.chdir(tmp_path)
        recipe = gankit.Recipe.load(ROOT / "recipes/quickstart.yaml", overrides=[*SMALL, "callbacks=[]"])
        trainer = gankit.Runtime().assemble(recipe, tmp_path / "here")
        trainer.fit()
        assert "NotebookFigure" not in trainer.callbacks.named
        for name in ("generator", "generator_ema", "discriminator"):
            path = f"checkpoints/step-00000006/{name}.safetensors"
            files = [executed.folder / "results/shown" / path, executed.folder / "results/removed" / path, tmp_path / "here" / path]
            with_figure, without, here = map(load_file, files)
            for key, value in with_figure.items():
                assert value.equal(without[key]), key
                assert value.equal(here[key]), key

    def test_it_can_be_removed_and_replaced(self, executed):
        assert executed.outputs["removed"] == []
        assert len(executed.outputs["changed"]) == 1
        four, many = (png_of(displays(executed, cell)[-1][2]) for cell in ("changed", "shown"))
        assert not np.array_equal(four[:, :500], many[:, :500])

    def test_a_failure_to_draw_is_a_notice(self, executed, events):
        assert executed.outputs["failing"] == []
        (notice,) = events(executed.folder / "results/failing", "picture_missing")
        assert notice["message"] == (
            "the figure in the notebook cannot be drawn: division by zero; training continues without it"
        )
        assert [event["reason"] for event in events(executed.folder / "results/failing", "ended")] == ["done"]

    @pytest.mark.parametrize(
        ("cell", "status"), [("left_early", "step 5/6 (83%)"), ("error", "step 4/6 (66%)")]
    )
    def test_a_run_that_ends_early(self, executed, cell, status):
        (output,) = executed.outputs[cell]
        assert status in output.data["text/plain"]
        assert {"left_early": "left early", "error": "the disk is full"}[cell] in output.data["text/plain"]

    def test_a_resumed_run_shows_the_curves_and_events_from_before(self, executed):
        (output,) = executed.outputs["resumed"]
        assert "step 6/6 (100%)" in output.data["text/plain"]
        assert "fd 20.5 at step 3" in output.data["text/plain"]
