"""The callback ``mlflow``, with a SQLite database and with a server, read by MLflow's own client."""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import gankit
from gankit_trackers.mlflow import valid

mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of its database library


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """One database for all tests, because MLflow takes seconds to create it."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def tracker(uri, **options):
    return {"name": "mlflow", "tracking_uri": uri, "experiment": "tests", **options}


def opened(uri, directory="run"):
    """The client and the run that belongs to a run directory."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    return client, client.get_run(json.loads(Path(directory, "mlflow_run.json").read_text())["run_id"])


def history(client, run, name):
    """Values with their steps, in the order in which they were logged."""
    found = client.get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in sorted(found, key=lambda metric: metric.timestamp)]


def curves(client, run):
    return {name: dict(history(client, run, name)) for name in run.data.metrics}


def assert_complete(uri, trainer, expected, without_clocks):
    """A whole run of eight steps, with checkpoints."""
    client, run = opened(uri)
    assert without_clocks(curves(client, run)) == expected(trainer.directory)
    assert (run.info.run_name, run.info.status, run.data.tags["ending"]) == ("run", "FINISHED", "done")
    assert client.get_experiment(run.info.experiment_id).name == "tests"
    assert run.data.tags["finding.mode_collapse"] == "step 4: images differ again"
    assert (run.data.params["generator.width"], run.data.params["callbacks.checkpoint.every"]) == ("8", "4")
    names = [file.path for file in client.list_artifacts(run.info.run_id, "checkpoints")]
    assert names == ["checkpoints/step-00000004", "checkpoints/step-00000008"]
    copy = client.download_artifacts(run.info.run_id, "checkpoints/step-00000008")
    newest = trainer.directory / "checkpoints/step-00000008"
    for file in ("generator.safetensors", "manifest.json"):
        assert Path(copy, file).read_bytes() == (newest / file).read_bytes()
    images = sorted(file.path for file in client.list_artifacts(run.info.run_id, "images") if file.path.endswith(".png"))
    assert [path.split("+step+")[1].split("+")[0] for path in images] == ["1", "4", "8"]
    grid = gankit.SampleGrid.of_moderate_size(trainer.image)
    pixels = np.asarray(Image.open(client.download_artifacts(run.info.run_id, images[-1])))
    assert np.array_equal(pixels, gankit.make_grid(*grid.generated(trainer)).numpy())


def test_the_log_is_that_of_the_run_directory(database, tracked, expected, without_clocks, notices, capfd):
    trainer = tracked("run", tracker(database, checkpoints=True))
    trainer.fit()
    assert capfd.readouterr() == ("", "")
    assert_complete(database, trainer, expected, without_clocks)
    assert notices(trainer) == []


def test_a_resumed_run_continues_with_other_settings(database, tracked, runtime, expected, without_clocks, stop_at):
    stop_at(tracked("run", tracker(database)), 6)
    _, before = opened(database)
    Path("run/mlflow_run.json").unlink()  # the checkpoint has the id, too
    resumed = runtime.resume("run", overrides=["optimizers.generator.lr=0.01"])
    resumed.fit()
    client, run = opened(database)
    assert run.info.run_id == before.info.run_id
    assert (before.info.status, run.info.status) == ("FINISHED", "FINISHED")
    assert without_clocks(curves(client, run)) == expected(resumed.directory)
    assert [step for step, _ in history(client, run, "train/epoch")] == list(range(1, 9))
    assert run.data.params["optimizers.generator.lr"] == "0.0002"
    assert run.data.tags["recipe.optimizers.generator.lr"] == "0.01"


def test_of_a_step_that_was_trained_again_the_last_value_is_valid(database, tracked, expected, without_clocks):
    trainer = tracked("run", tracker(database), nan_at=5)
    trainer.fit()
    client, run = opened(database)
    assert [step for step, _ in history(client, run, "train/epoch")] == [1, 2, 3, 4, 5, 6, 5, 6, 7, 8]
    assert without_clocks(curves(client, run)) == expected(trainer.directory)


def test_a_run_that_fails_or_is_interrupted_is_marked(database, tracked):
    with pytest.raises(RuntimeError, match="a fault"):
        tracked("failed", tracker(database), fail_at=3).fit()
    interrupted = tracked("interrupted", tracker(database))
    for _ in interrupted:
        interrupted.stop("SIGTERM")
    for directory, status, ending in (("failed", "FAILED", "failed: RuntimeError: a fault"), ("interrupted", "KILLED", "SIGTERM")):
        _, run = opened(database, directory)
        assert (run.info.status, run.data.tags["ending"]) == (status, ending)


def test_a_run_that_was_deleted_is_started_anew(database, tracked, runtime, stop_at, notices):
    stop_at(tracked("run", tracker(database)), 4)
    client, before = opened(database)
    client.delete_run(before.info.run_id)
    resumed = runtime.resume("run")
    resumed.fit()
    _, run = opened(database)
    assert run.info.run_id != before.info.run_id
    assert [step for step, _ in history(client, run, "train/epoch")] == [5, 6, 7, 8]
    (notice,) = notices(resumed)
    assert f"lacks the run {before.info.run_id}, so that a new one was started there" in notice
    client.delete_experiment(run.info.experiment_id)
    other = tracked("other", tracker(database))
    other.fit()
    (notice,) = notices(other)
    assert "the experiment 'tests' was deleted; restore it, or set `experiment` to another one" in notice


@pytest.mark.slow
def test_a_run_that_the_database_lacks_is_started_anew(database, tracked, runtime, stop_at, notices):
    stop_at(tracked("run", tracker(database)), 4)
    _, before = opened(database)
    other = database.replace("mlflow.db", "other.db")
    resumed = runtime.resume("run", overrides=[f"callbacks.mlflow.tracking_uri={other}"])
    resumed.fit()
    assert notices(resumed) == [
        f"callback 'mlflow': {other} lacks the run {before.info.run_id}, so that a new one was started there; "
        "training is not affected"
    ]
    client, run = opened(other)
    assert [step for step, _ in history(client, run, "train/epoch")] == [5, 6, 7, 8]


@given(name=st.text() | st.text(alphabet="a./-: _+é", max_size=300))
def test_every_name_becomes_one_that_mlflow_accepts(name):
    validation = importlib.import_module("mlflow.utils.validation")
    validation._validate_metric_name(valid(name))
    validation._validate_param(valid(name), "value")
    validation._validate_tag(valid(name), "value")


@pytest.mark.parametrize("name", ["train/generator_loss", "optimizers.generator.lr", "callbacks.0.every", "a-b c:d"])
def test_valid_names_stay(name):
    assert valid(name) == name


@pytest.fixture
def server(tmp_path):
    """The address of a server with a SQLite database."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    stores = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path / "artifacts")]
    with (tmp_path / "server.log").open("wb") as log:
        process = subprocess.Popen([*words, *stores], stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    while True:
        assert process.poll() is None, (tmp_path / "server.log").read_text()
        with suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5):
            break
        time.sleep(0.2)
    yield address
    with suppress(ProcessLookupError):
        os.killpg(process.pid, 15)
    process.wait()


@pytest.mark.slow
def test_with_a_server(server, tracked, expected, without_clocks, notices, capfd):
    trainer = tracked("run", tracker(server, checkpoints=True))
    trainer.fit()
    assert capfd.readouterr() == ("", "")
    assert_complete(server, trainer, expected, without_clocks)
    assert notices(trainer) == []
