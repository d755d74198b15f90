"""The callback ``wandb``, offline: its files are read with the client's own message formats."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gankit

wandb = pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")

from wandb.proto.wandb_internal_pb2 import Record  # noqa: E402

TRACKER = {"name": "wandb", "mode": "offline"}
FILE_HEADER, RECORD_HEADER, BLOCK = 7, 7, 2**15  # bytes of LevelDB's log format, which the client writes
FULL, LAST = 1, 4


@pytest.fixture(autouse=True)
def _own_folders(monkeypatch, tmp_path):
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "of_the_client"))


def sessions(directory):
    """The records of each session of a run, oldest first."""
    wandb.teardown()  # the process that writes the files may still be at work
    return [
        list(records(next(folder.glob("*.wandb")))) for folder in sorted(Path(directory, "wandb").glob("offline-run-*"))
    ]


def records(path):
    data, position, record = path.read_bytes(), FILE_HEADER, b""
    while position + RECORD_HEADER <= len(data):
        if (left := BLOCK - position % BLOCK) < RECORD_HEADER:
            position += left
            continue
        length, kind = struct.unpack_from("<HB", data, position + 4)
        position += RECORD_HEADER + length
        record += data[position - length : position]
        if kind in (FULL, LAST):
            yield Record.FromString(record)
            record = b""


def items(found):
    return {(item.key or ".".join(item.nested_key)): json.loads(item.value_json) for item in found}


def rows(session):
    return [items(record.history.item) for record in session if record.WhichOneof("record_type") == "history"]


def curves(history):
    values = {}
    for row in history:
        for name, value in row.items():
            if name.startswith(("train/", "scores/")):
                values.setdefault(name, {})[row["step"]] = value
    return values


def of_kind(session, kind):
    return [getattr(record, kind) for record in session if record.WhichOneof("record_type") == kind]


def test_the_log_is_that_of_the_run_directory(tracked, expected, without_clocks, notices, capfd):
    trainer = tracked("run", {**TRACKER, "project": "shapes", "checkpoints": True})
    trainer.fit()
    assert capfd.readouterr() == ("", "")
    (session,) = sessions("run")
    history = rows(session)
    assert without_clocks(curves(history)) == expected(trainer.directory)
    assert [row["step"] for row in history if "train/generator_loss" in row] == list(range(1, 9))
    notes = [(row["step"], row["findings/mode_collapse"]) for row in history if "findings/mode_collapse" in row]
    assert notes == [(2, "all images are equal"), (4, "images differ again")]
    (run,) = of_kind(session, "run")[:1]
    assert (run.project, run.display_name, run.run_id) == ("shapes", "run", json.loads(Path("run/wandb_run.json").read_text())["run_id"])
    assert items(run.config.update)["generator.width"] == 8
    assert ("*", "step") in {(metric.name or metric.glob_name, metric.step_metric) for metric in of_kind(session, "metric")}
    assert {"ending": "done"}.items() <= {k: v for record in of_kind(session, "summary") for k, v in items(record.update).items()}.items()
    assert [end.exit_code for end in of_kind(session, "exit")] == [0]
    assert notices(trainer) == []
    uploads = of_kind(session, "artifact")
    assert [json.loads(upload.metadata)["step"] for upload in uploads] == [4, 8]
    assert {entry.path for entry in uploads[-1].manifest.contents} >= {"generator.safetensors", "manifest.json"}
    samples = [(row["step"], row["samples.path"]) for row in history if "samples.path" in row]
    assert [step for step, _ in samples] == [1, 4, 8]
    (folder,) = Path("run/wandb").glob("offline-run-*")
    grid = gankit.SampleGrid.of_moderate_size(trainer.image)
    pixels = np.asarray(Image.open(folder / "files" / samples[-1][1]))
    assert np.array_equal(pixels, gankit.make_grid(*grid.generated(trainer)).numpy())


def test_a_resumed_run_continues_under_its_id(tracked, runtime, expected, without_clocks, stop_at):
    stop_at(tracked("run", TRACKER), 6)
    Path("run/wandb_run.json").unlink()  # the checkpoint has the id, too
    resumed = runtime.resume("run")
    resumed.fit()
    first, second = sessions("run")
    assert of_kind(first, "run")[0].run_id == of_kind(second, "run")[0].run_id
    assert without_clocks(curves([*rows(first), *rows(second)])) == expected(resumed.directory)
    assert [row["step"] for row in rows(second) if "train/epoch" in row] == [7, 8]


def test_of_a_step_that_was_trained_again_the_last_row_is_valid(tracked, expected, without_clocks):
    trainer = tracked("run", TRACKER, nan_at=5)
    trainer.fit()
    (session,) = sessions("run")
    history = rows(session)
    assert [row["step"] for row in history if "train/generator_loss" in row] == [1, 2, 3, 4, 5, 6, 5, 6, 7, 8]
    assert without_clocks(curves(history)) == expected(trainer.directory)


def test_a_run_that_fails_is_marked(tracked):
    with pytest.raises(RuntimeError, match="a fault"):
        tracked("run", TRACKER, fail_at=3).fit()
    (session,) = sessions("run")
    assert [end.exit_code for end in of_kind(session, "exit")] == [1]


def test_without_an_account_the_run_is_logged_offline(tracked, notices, monkeypatch, tmp_path, expected, without_clocks):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    trainer = tracked("run", {"name": "wandb", "mode": "online"})
    trainer.fit()
    run_id = json.loads(Path("run/wandb_run.json").read_text())["run_id"]
    (notice,) = notices(trainer)
    assert notice.startswith(f"callback 'wandb': the run is logged offline, for 'wandb sync --id {run_id} ")
    assert "No API key configured" in notice
    (session,) = sessions("run")
    assert without_clocks(curves(rows(session))) == expected(trainer.directory)


def test_disabled_nothing_is_written(tracked, notices):
    trainer = tracked("run", {**TRACKER, "mode": "disabled"})
    trainer.fit()
    assert sessions("run") == []
    assert notices(trainer) == []
