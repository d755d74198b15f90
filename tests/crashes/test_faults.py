"""A disk that is full, a folder or a log that cannot be written: one clear error, and nothing lost."""

from __future__ import annotations

import errno
import os
import re
import resource
import shutil
from pathlib import Path

import pytest

import gankit
from gankit.runs.file_names import checkpoints
from gankit.runs.run_directory import RunRecords

FULL = "No space left on device"


@pytest.fixture
def recipe(tiny_recipe, writing_parts, tmp_path, monkeypatch):
    """Of a tiny run with everything that writes."""
    monkeypatch.chdir(tmp_path)
    return tiny_recipe(tmp_path, **writing_parts, train={"steps": 5, "device": "cpu", "precision": "fp32"})


@pytest.fixture
def runtime(tiny_plugin):
    return gankit.Runtime(plugins=[tiny_plugin])


@pytest.fixture
def whole(runtime, recipe, tmp_path, outcome):
    """What the run leaves where nothing fails."""
    runtime.assemble(runtime.load_checked(recipe), tmp_path / "whole").fit()
    return outcome(tmp_path / "whole")


def then(trainer, step, act):
    """Something happens after this step."""

    class Happening:
        def on_step_end(self, run):
            if run.state.step == step:
                act()

    trainer.callbacks.add("happening", Happening())


class Failing:
    """Calls of the operating system, of which one fails."""

    NAMES = ("fsync", "mkdir", "rename", "replace", "truncate")

    def __init__(self, monkeypatch, number):
        self.number, self.calls, self.of_picture = number, [], False
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name, real):
        def call(*arguments, **options):
            if name == "mkdir" and Path(arguments[0]).is_dir():  # needs no space, so it raises FileExistsError
                return real(*arguments, **options)
            self.calls.append(name)
            if len(self.calls) == self.number:
                path = str(arguments[0])
                self.of_picture = path.endswith((".png", "/report")) or ".png." in path or "report.html" in path
                self.of_picture |= "/report/" in path
                raise OSError(errno.ENOSPC, FULL, arguments[0] if name != "fsync" else None)
            return real(*arguments, **options)

        return call


def fit(trainer):
    """Train to the end. Returns: the error that ended the run, if one did."""
    try:
        trainer.fit()
    except gankit.GankitError as error:
        return error
    return None


@pytest.mark.parametrize(
    "part", [pytest.param(slice(2, None, 9), id="some"), pytest.param(slice(0, None), id="all", marks=pytest.mark.slow)]
)
def test_a_call_of_the_system_fails(runtime, recipe, whole, tmp_path, outcome, require_whole, part):
    """The first of all that a run makes, the second, ..."""
    made = runtime.load_checked(recipe)
    with pytest.MonkeyPatch.context() as patch:
        counted = Failing(patch, 0)
        runtime.assemble(made, tmp_path / "counted").fit()
    saved = []
    for number in range(1, len(counted.calls) + 1)[part]:
        directory = tmp_path / f"run{number}"
        trainer = runtime.assemble(made, directory)
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, number)
            caught = fit(trainer)
        if failing.of_picture:  # which does not end the run
            assert caught is None
            assert re.search("picture_missing|report_incomplete", (directory / "events.jsonl").read_text())
            assert outcome(directory) | {"pictures": None} == whole | {"pictures": None}
            continue
        assert FULL in str(caught)
        assert str(directory) in str(caught)
        saved.append(require_whole(directory) if directory.exists() else None)
        again = (
            runtime.resume(directory, restart=not checkpoints(directory))
            if (directory / "recipe.yaml").is_file() and (directory / "recipe.yaml").stat().st_size
            else runtime.assemble(made, tmp_path / f"again{number}")
        )
        again.fit()
        assert outcome(again.directory) == whole, f"call {number}, {counted.calls[number - 1]}"
    print(f"\n{len(saved)} runs, each with another call that failed; their newest checkpoints: {saved}")
    assert {-1, 2} <= set(saved)


def test_each_file_in_turn_is_larger_than_the_disk(runtime, recipe, whole, tmp_path, outcome, require_whole):
    """Really refused by the kernel, in the middle of a write."""
    made = runtime.load_checked(recipe)
    files = [path for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    sizes = {path.stat().st_size for path in files if "report" not in str(path)}  # which does not end the run
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in sorted(sizes):
        directory = tmp_path / f"run{size}"
        trainer = runtime.assemble(made, directory)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, hard))
        try:
            with pytest.raises(gankit.GankitError, match=r"File too large|cannot be written"):
                trainer.fit()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        require_whole(directory)
        for log in directory.glob("*.jsonl"):
            assert log.read_bytes()[-1:] in (b"\n", b""), f"{log} ends in a part of a line"
        if not (directory / "recipe.yaml").stat().st_size:
            shutil.rmtree(directory)
            runtime.assemble(made, directory).fit()
        else:
            runtime.resume(directory, restart=not checkpoints(directory)).fit()
        assert outcome(directory) == whole, f"files of at most {size - 1} bytes"


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_directory_that_became_read_only(runtime, recipe, whole, tmp_path, outcome, require_whole, number):
    made = runtime.load_checked(recipe)
    trainer = runtime.assemble(made, tmp_path / "run")
    events = []
    trainer.listeners.append(events.append)

    def refuse(*arguments, **options):
        raise OSError(number, os.strerror(number), str(arguments[0]))

    with pytest.MonkeyPatch.context() as patch:
        then(trainer, 3, lambda: [patch.setattr(os, name, refuse) for name in ("mkdir", "rename", "replace")])
        with pytest.raises(gankit.GankitError, match=os.strerror(number)):
            trainer.fit()
    assert require_whole(tmp_path / "run") == 2
    assert events[-1].kind == "failed"
    runtime.resume(tmp_path / "run").fit()
    assert outcome(tmp_path / "run") == whole


def test_a_file_in_place_of_the_checkpoints(cli, recipe, tiny_plugin_file, tmp_path):
    words = [recipe.name, "--plugin", tiny_plugin_file]
    Path("block.py").write_text(
        "import gankit\n"
        "class Block:\n"
        "    def on_run_start(self, run): (run.directory / 'checkpoints').write_text('')\n"
        "@gankit.hookimpl\n"
        "def run_callbacks(recipe): return [Block()]\n"
    )
    said = cli("run", *words, "--plugin", "block.py", "--out", "run")
    assert said.code == 1
    assert said.err == (
        "error: run/checkpoints/step-00000002: cannot be written: Not a directory; earlier checkpoints are complete\n"
    )
    assert "no checkpoint was saved" in said.out
    assert "gankit resume run --plugin" in said.out
    assert said.out.rstrip().endswith(" --restart")
    (tmp_path / "run/checkpoints").unlink()
    assert cli("resume", "run", "--plugin", tiny_plugin_file, "--restart").code == 0


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_log_that_cannot_be_opened(cli, recipe, tiny_plugin_file, name):
    """Because there is a folder of its name."""
    assert cli("run", recipe.name, "--plugin", tiny_plugin_file, "--out", "run", "train.steps=3").code == 0
    Path("run", name).unlink()
    Path("run", name).mkdir()
    said = cli("resume", "run", "train.steps=5", "--plugin", tiny_plugin_file)
    assert said.code == 1
    assert f"error: run/{name}: is a link or not a regular file, which is not written to; remove it" in said.err
    assert "to continue from run/checkpoints/step-00000003" in said.out
    Path("run", name).rmdir()
    assert cli("resume", "run", "train.steps=5", "--plugin", tiny_plugin_file).code == 0


@pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl"])
def test_a_log_that_cannot_be_written_any_more(runtime, recipe, whole, tmp_path, outcome, require_whole, name):
    """The device that always is full takes the place of the file that is open."""
    trainer = runtime.assemble(runtime.load_checked(recipe), tmp_path / "run")

    def fill():
        (number,) = [fd.name for fd in Path("/proc/self/fd").iterdir() if fd.resolve() == tmp_path / "run" / name]
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, int(number))
        os.close(full)
        trainer.log({"event": "test"})

    then(trainer, 3, fill)
    with pytest.raises(gankit.GankitError, match=f"{name}: cannot be written: {FULL}"):
        trainer.fit()
    assert require_whole(tmp_path / "run") == 2
    assert "No space left" in (tmp_path / "run/run.json").read_text()
    runtime.resume(tmp_path / "run").fit()
    assert outcome(tmp_path / "run") == whole


def test_events_of_the_checkpoints_step_stay(runtime, recipe, tmp_path):
    """Such as how the run ended, which no replay would say again; later ones go."""
    made = runtime.load_checked(recipe)
    trainer = runtime.assemble(made, tmp_path / "run")
    for _ in trainer:
        if trainer.state.step == 4:
            trainer.stop("enough")
    with (tmp_path / "run/events.jsonl").open("a") as file:
        file.write('{"step": 4, "event": "late"}\n{"step": 5, "event": "lost"}\n{"step": 4, "event": "after"}\n{"st')
    resumed = runtime.resume(tmp_path / "run")
    resumed.fit()
    told = [event["event"] for event in gankit.JsonLines.read(tmp_path / "run/events.jsonl")]
    assert told == ["started", "ended", "late", "resumed", "ended"]


def test_records_that_cannot_be_written(tmp_path, recipe):
    with pytest.raises(gankit.GankitError, match="nowhere: cannot be written: No such file or directory"):
        RunRecords(tmp_path / "nowhere", {})
