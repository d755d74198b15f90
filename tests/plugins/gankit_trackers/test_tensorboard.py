"""The callback ``tensorboard``, read by TensorBoard itself."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import gankit

pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

TRACKER = {"name": "tensorboard"}


def opened(folder):
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def scalars(log):
    return {tag: {event.step: event.value for event in log.Scalars(tag)} for tag in log.Tags()["scalars"]}


def rows(log):
    return {tag: [event.step for event in log.Scalars(tag)] for tag in log.Tags()["scalars"]}


def texts(log, tag):
    return [(event.step, event.tensor_proto.string_val[0].decode()) for event in log.Tensors(f"{tag}/text_summary")]


def hparams(log, tag):
    return HParamsPluginData.FromString(log.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content)


def in_32_bits(values):
    return {name: {step: float(np.float32(value)) for step, value in curve.items()} for name, curve in values.items()}


def test_the_log_is_that_of_the_run_directory(tracked, expected, without_clocks, notices):
    trainer = tracked("run", TRACKER)
    trainer.fit()
    log = opened(trainer.directory / "tensorboard")
    assert without_clocks(scalars(log)) == in_32_bits(expected(trainer.directory))
    assert rows(log)["train/generator_loss"] == list(range(1, 9))
    assert texts(log, "findings/mode_collapse") == [(2, "all images are equal"), (4, "images differ again")]
    assert texts(log, "ending") == [(8, "done")]
    settings = hparams(log, "session_start_info").session_start_info.hparams
    assert settings["generator.width"].number_value == 8
    assert settings["callbacks.checkpoint.every"].number_value == 4
    assert hparams(log, "session_end_info").session_end_info.status == Status.Value("STATUS_SUCCESS")
    assert notices(trainer) == []


def test_samples_are_drawn_from_the_same_latents(tracked):
    trainer = tracked("run", TRACKER)
    trainer.fit()
    found = opened(trainer.directory / "tensorboard").Images("samples")
    assert [event.step for event in found] == [1, 4, 8]
    grid = gankit.SampleGrid.of_moderate_size(trainer.image)
    pixels = np.asarray(Image.open(io.BytesIO(found[-1].encoded_image_string)))
    assert np.array_equal(pixels, gankit.make_grid(*grid.generated(trainer)).numpy())


def test_a_resumed_run_has_each_step_once(tracked, runtime, expected, without_clocks, stop_at):
    stop_at(tracked("run", TRACKER), 6)
    resumed = runtime.resume("run")
    resumed.fit()
    log = opened("run/tensorboard")
    assert without_clocks(scalars(log)) == in_32_bits(expected(resumed.directory))
    assert rows(log)["train/generator_loss"] == list(range(1, 9))
    assert texts(log, "ending")[-1] == (8, "done")


def test_steps_after_the_checkpoint_of_a_killed_run_are_hidden(tracked, runtime, expected, without_clocks):
    """The directory is copied at step 6, of a run whose last checkpoint is of step 4."""
    for _ in (trainer := tracked("whole", TRACKER)):
        if trainer.state.step == 6:
            shutil.copytree("whole", "run")
    resumed = runtime.resume("run", overrides=["optimizers.generator.lr=0.01"])
    resumed.fit()
    log = opened("run/tensorboard")
    assert without_clocks(scalars(log)) == in_32_bits(expected(resumed.directory))
    assert rows(log)["train/generator_loss"] == list(range(1, 9))


def test_a_run_that_returned_to_a_checkpoint_has_each_step_once(tracked, expected, without_clocks, events):
    trainer = tracked("run", TRACKER, nan_at=5)
    trainer.fit()
    assert events(trainer.directory, "rolled_back")[0]["from_step"] == 6
    log = opened("run/tensorboard")
    found = without_clocks(scalars(log))
    assert found == in_32_bits(expected(trainer.directory))
    assert np.isfinite([*found["train/generator_loss"].values()]).all()
    assert rows(log)["train/generator_loss"] == list(range(1, 9))
    assert "NaN" in texts(log, "findings/not_finite")[0][1]


def test_a_run_that_fails_is_marked(tracked):
    with pytest.raises(RuntimeError, match="a fault"):
        tracked("run", TRACKER, fail_at=3).fit()
    log = opened("run/tensorboard")
    assert texts(log, "ending") == [(3, "failed: RuntimeError: a fault")]
    assert hparams(log, "session_end_info").session_end_info.status == Status.Value("STATUS_FAILURE")


def test_a_common_folder_has_a_subfolder_for_each_run(tracked, tmp_path):
    for name in ("one", "two"):
        tracked(name, {**TRACKER, "folder": str(tmp_path / "all")}).fit()
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["one", "two"]
    assert rows(opened(tmp_path / "all/two"))["train/generator_loss"] == list(range(1, 9))
    assert not (tmp_path / "one/tensorboard").exists()


def test_runs_of_one_name_in_a_common_folder(tracked, tmp_path, runtime, stop_at, expected, without_clocks):
    """As the trials of two searches: neither hides the other, and a resumed run finds its own."""
    setting = {**TRACKER, "folder": str(tmp_path / "all")}
    first = tracked("a/run", setting)
    first.fit()
    stop_at(tracked("b/run", setting), 4)
    resumed = runtime.resume("b/run")
    resumed.fit()
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["run", "run-2"]
    for folder, trainer in (("run", first), ("run-2", resumed)):
        assert without_clocks(scalars(opened(tmp_path / "all" / folder))) == in_32_bits(expected(trainer.directory))


def test_a_common_folder_that_is_set_later(tracked, tmp_path, runtime, stop_at):
    """The resumed run does not join the log of another run of its name."""
    tracked("a/run", {**TRACKER, "folder": str(tmp_path / "all")}).fit()
    before = scalars(opened(tmp_path / "all/run"))
    stop_at(tracked("b/run"), 4)
    setting = {**TRACKER, "every": 1, "folder": str(tmp_path / "all")}
    runtime.resume("b/run", [f"callbacks={json.dumps([setting, {'name': 'checkpoint', 'every': 4}])}"]).fit()
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["run", "run-2"]
    assert scalars(opened(tmp_path / "all/run")) == before
    assert rows(opened(tmp_path / "all/run-2"))["train/generator_loss"] == [5, 6, 7, 8]
