"""``gankit explore``: how it starts, what it refuses and how it ends."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

import pytest

import gankit.optional_imports


@pytest.fixture
def run(trained_run, tiny_plugin_file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    trained_run("run")
    return "run", "--plugin", tiny_plugin_file


@pytest.fixture
def explore(cli, run, monkeypatch):
    """``explore(*words) -> (what it said, the page)``: the page of the run is read once, and then the command ends."""
    pytest.importorskip("gradio")

    def call(*words, then=lambda: None):
        pages = []

        def read_once(address):
            with urlopen(address) as page:
                pages.append(page.read().decode())
            then()

        monkeypatch.setattr("gankit.cli.explore.wait_until_interrupted", read_once)
        said = cli("explore", *run, "--port", 0, *words)
        return said, pages

    return call


def gradio_settings():
    return {name: value for name, value in os.environ.items() if name.startswith("GRADIO")}


def test_the_page_is_served_and_its_files_are_deleted(explore, monkeypatch):
    Path("temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", "temporary")
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "of the user")
    before = gradio_settings()
    said, [page] = explore("--no-open")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("http://127.0.0.1:")
    assert said.out.endswith("/  (press Ctrl-C to stop)\n")
    assert "run - gankit" in page
    assert [*Path("temporary").iterdir()] == []
    assert gradio_settings() == before


def test_ctrl_c(explore):
    def interrupt():
        raise KeyboardInterrupt

    said, _ = explore("--no-open", then=interrupt)
    assert (said.code, said.err) == (130, "")


def test_the_directions_of_the_run_are_offered(explore, cli, run):
    assert cli("directions", *run, "--count", 2).code == 0
    assert cli("directions", *run, "--rename", "1=taller").code == 0
    _, [page] = explore("--no-open")
    assert '"File"' in page


@pytest.mark.parametrize(
    ("words", "variables", "opens"),
    [
        ((), {"DISPLAY": ":0"}, False),  # the output is not a terminal
        (("--open",), {}, True),
        (("--no-open",), {"DISPLAY": ":0"}, False),
    ],
)
def test_opening_a_browser(explore, monkeypatch, words, variables, opens):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    said, _ = explore(*words)
    assert opened == ([said.out.split()[0]] if opens else [])


class TestRefused:
    def test_without_gradio(self, refused, monkeypatch):
        real = importlib.import_module

        def missing(name, *given):
            if name == "gradio":
                raise ModuleNotFoundError("No module named 'gradio'", name="gradio")
            return real(name, *given)

        monkeypatch.setattr(gankit.optional_imports.importlib, "import_module", missing)
        message = refused("explore", "builtin:cifar10")
        assert message == (
            "gankit explore needs the package 'gradio', which is not installed; run: pip install 'gankit[explore]'\n"
        )

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("nothing", "nothing: "),
            ("pictures", "pictures: is neither a run directory nor a checkpoint"),
            ("builtin:nothing", "gankit has no such model"),
        ],
    )
    def test_what_is_not_a_checkpoint(self, cli, source, message):
        pytest.importorskip("gradio")
        Path("pictures").mkdir()
        said = cli("explore", source, "--no-open")
        assert said.code == 2
        assert message in " ".join(said.err.replace("│", " ").split())
        assert "Traceback" not in said.err

    def test_a_damaged_checkpoint(self, refused, run):
        pytest.importorskip("gradio")
        (weights,) = Path("run/checkpoints/step-00000003").glob("generator.safetensors")
        weights.write_bytes(weights.read_bytes()[:-1])
        assert "generator.safetensors" in refused("explore", *run)

    def test_a_port_in_use(self, refused, run):
        pytest.importorskip("gradio")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            message = refused("explore", *run, "--no-open", "--port", port)
        assert message == (
            f"cannot listen on 127.0.0.1, port {port}: address already in use; choose another port with --port, or any "
            "free one with --port 0\n"
        )

    def test_missing_directions(self, refused, run):
        pytest.importorskip("gradio")
        message = refused("explore", *run, "--no-open", "--directions", "found.safetensors")
        assert message == "found.safetensors: does not exist; find directions with gankit directions\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_process(number, code):
    pytest.importorskip("gradio")
    Path("temporary").mkdir()
    command = [sys.executable, "-m", "gankit", "explore", "builtin:cifar10", "--port", "0", "--no-open"]
    environment = os.environ | {"TMPDIR": str(Path("temporary").absolute())}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        address = process.stdout.readline().split()[0]
        urlopen(address).close()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (code, "", "")
    assert [*Path("temporary").iterdir()] == []
