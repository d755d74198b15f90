"""Damaged records and logs in untrusted run directories: commands succeed, or report one error on one line."""

from __future__ import annotations

import json
import os
import random
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

import gankit
from gankit.evaluation.evaluation_log import append_evaluation
from gankit.evaluation.record import Evaluation
from gankit.reports.diagnosis import diagnose
from gankit.reports.run_summary import read_run
from gankit_callbacks import curve_plot

Within = Callable[[float, int], AbstractContextManager[None]]

RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
SMALL = ["image.size=8", "generator.width=4", "discriminator.width=4", "latent.dim=4", "dataset.count=32", "dataset.size=8", "loader.batch_size=8", "train.steps=4", "train.device=cpu", "train.precision=fp32", "callbacks=[{name: checkpoint}, {name: metrics_log, every: 1}, {name: loss_curves}]"]  # fmt: skip
STRANGE: list[Any] = [
    None, True, -1, 10**30, -(10**400), 1e308, float("nan"), float("inf"), "nan", "-inf", "9" * 5000, "", "x" * 10_000, "\x1b[2J\x1b]0;owned\x07", "a\nb", "\ud800", "\u202e",
    "$\\frac{$", "[bold]", [], {}, [[]], {"step": {}}, [1, "x"], {"reason": []}, {"reason": "\x1b[31m"},
]  # fmt: skip
LOGS = ("metrics.jsonl", "events.jsonl", "evaluations.jsonl")
CONTROL_CHARACTERS = [chr(code) for code in range(32) if chr(code) != "\n"]


def evaluation(score: float, step: int) -> Evaluation:
    return Evaluation.model_validate(
        {
            "at": "2026-01-01T00:00:00+00:00",
            "evaluated": {"kind": "run", "path": "run", "checkpoint": "step-00000004", "step": step, "ema": False},
            "scores": {"fd": score},
            "metrics": {"fd": {"params": {"k": 3}, "scores": ["fd"], "better": {"fd": "lower"}}},
            "features": {"name": "f", "params": {}, "hash": "0", "resizer": "none"},
            "samples": 10,
            "real": {"dataset": "shapes", "params": {}, "split": "train", "count": 10, "fingerprint": "0"},
            "image": {"height": 8, "width": 8, "channels": 3},
            "seed": 0,
            "precision": "fp32",
            "device": "cpu",
            "versions": {"gankit": "0"},
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runtime = gankit.Runtime()
    folder = tmp_path_factory.mktemp("trained") / "run"
    runtime.assemble(runtime.load_checked(RECIPE, SMALL), folder).fit()
    for step in (2, 4):
        append_evaluation(folder / "evaluations.jsonl", evaluation(step * 1.5, step))
    with OpenLog(folder / "events.jsonl") as events:
        events.append({"at": "x", "step": 3, "event": "finding", "finding": "mode_collapse", "message": "m"})
        events.append({"at": "x", "step": 3, "event": "recovered", "finding": "mode_collapse"})
        events.append({"at": "x", "step": 3, "event": "rolled_back", "from_step": 4, "without": [1, 2]})
        events.append({"at": "x", "step": 3, "event": "failed", "error": "failed: x"})
    return folder


class OpenLog(gankit.JsonLines):
    def __enter__(self) -> OpenLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained, tmp_path / "run").name)


@pytest.fixture(autouse=True)
def _bounded(within: Within) -> Iterator[None]:
    with within(40, 1024):
        yield


def places(data: Any) -> list[tuple[Any, Any]]:
    own = list(data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ())
    return [*((data, key) for key, _ in own), *(place for _, value in own for place in places(value))]


def changed(draw: random.Random, data: Any) -> Any:
    for _ in range(draw.choice([1, 1, 2, 5])):
        found = places(data)
        if not found or draw.random() < 0.03:
            return draw.choice(STRANGE)
        holder, key = draw.choice(found)
        if draw.random() < 0.2:
            del holder[key]
        elif draw.random() < 0.2 and isinstance(holder, dict):
            holder[str(draw.choice(STRANGE))] = holder.pop(key)
        else:
            holder[key] = draw.choice(STRANGE)
    return data


def change(draw: random.Random, run: Path) -> None:
    """Change one file of a run, as JSON and sometimes as text."""
    path = run / draw.choice([*LOGS, *LOGS, "run.json"])
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    at = draw.randrange(len(lines))
    lines[at] = json.dumps(changed(draw, json.loads(lines[at])))
    text = "\n".join(lines) + "\n"
    if draw.random() < 0.15:
        where = draw.randrange(len(text))
        text = text[:where] + draw.choice(["\0", "{", "[" * 100_000, "9" * 10_000, "\n", "\x1b"]) + text[where + 1 :]
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def require_success_or_one_error(said: Any) -> None:
    assert said.code in (0, 2), said
    assert "Traceback" not in said.err
    assert not [c for c in CONTROL_CHARACTERS if c in said.out + said.err]
    assert (said.err.count("error: ") == 1) == (said.code == 2)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("numbers", [range(25), pytest.param(range(25, 200), marks=pytest.mark.slow)])
def test_doctor_and_compare_with_random_changes(cli, run, trained, numbers):
    codes = set()
    for number in numbers:
        draw = random.Random(number)
        change(draw, run)
        said = cli("doctor", run)
        require_success_or_one_error(said)
        codes.add(said.code)
        if number % 10 == 0:
            require_success_or_one_error(cli("compare", run, trained, "--count", 1))
        for name in (*LOGS, "run.json"):
            shutil.copyfile(trained / name, run / name)
    assert codes == {0, 2}


def test_resume_with_random_changes(trained, tmp_path):
    """It succeeds or raises a GankitError."""
    runtime = gankit.Runtime()
    for number in range(5):
        run = Path(shutil.copytree(trained, tmp_path / f"run{number}"))
        draw = random.Random(number)
        for _ in range(3):
            change(draw, run)
        try:
            runtime.resume(run, ["train.steps=5"]).fit()
        except gankit.GankitError:
            continue
        assert (run / "checkpoints/step-00000005").is_dir()


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b'{"a": "' + b"x" * 5_000_000 + b'"}\n', "a line is longer than 4,194,304 bytes"),
        (b"[" * 500_000 + b"\n", "is nested too deeply"),
        (b'{"a": ' + b"[" * 50 + b"]" * 50 + b"}\n", "is nested too deeply"),
        (b'{"step": ' + b"9" * 5_000 + b"}\n", "Exceeds the limit"),
        (b"[1]\n", "is not a JSON object"),
        (b"\xff\xfe{\n", "can't decode"),
    ],
    ids=["long", "deep", "deeper than ours", "number", "list", "binary"],
)
def test_invalid_lines_of_logs(run, name, content, fault):
    (run / name).write_bytes(content)
    with pytest.raises(gankit.GankitError, match=f"{name}: cannot be read: .*{fault}"):
        diagnose(run)


@pytest.mark.parametrize(
    ("name", "size"), [("metrics.jsonl", 2**30), ("events.jsonl", 2**27), ("evaluations.jsonl", 2**28)]
)
def test_logs_above_the_size_limit(run, name, size):
    os.truncate(run / name, size + 1)
    with pytest.raises(gankit.GankitError, match=f"{name}: is larger than {size:,} bytes"):
        diagnose(run)


def test_long_logs_are_read_in_little_memory(run):
    line = (run / "metrics.jsonl").read_text().splitlines()[-1]
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines([line + "\n"] * 30_000)
    tracemalloc.start()
    try:
        facts = read_run(run)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert len(facts.curves["generator_loss"][0]) == 30_004


@pytest.mark.parametrize("name", ["recipe.yaml", "run.json", *LOGS])
def test_pipes_and_devices_are_refused_without_waiting(cli, run, name, monkeypatch):
    monkeypatch.setattr(curve_plot, "draw_curves", lambda *given: None)  # takes most of the time
    for kind in ("pipe", "/dev/zero"):
        (run / name).unlink()
        os.mkfifo(run / name) if kind == "pipe" else (run / name).symlink_to(kind)
        for words in (("doctor", run), ("compare", run), ("resume", run, "train.steps=6")):
            said = cli(*words)
            assert said.code in ((0, 1, 2) if words[0] == "resume" else (0, 2)), (kind, words, said)
            assert "Traceback" not in said.err


def test_scores_that_belong_to_no_metric(run):
    record = evaluation(1, 4).model_dump(mode="json")
    record["scores"]["stray"] = 1.0
    (run / "evaluations.jsonl").write_text(json.dumps(record) + "\n")
    with pytest.raises(gankit.GankitError, match="score 'stray' belongs to none of the metrics"):
        read_run(run)


def test_control_characters_are_escaped(cli, run):
    """Escape sequences and line feeds, in the output and in errors."""
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    with OpenLog(run / "events.jsonl") as events:
        events.append({"at": evil, "step": 4, "event": "ended", "reason": evil})
    said = cli("doctor", run)
    assert said.code == 0
    assert r"\x1b]0;owned\x07\x1b[2J\u202e" in said.out
    assert "\x1b" not in said.out
    record = evaluation(1, 4).model_dump(mode="json")
    text = json.dumps(record).replace('"fd"', json.dumps(f"fd{evil}"))
    (run / "evaluations.jsonl").write_text(text + "\n")
    said = cli("compare", run, "--count", 1)
    assert said.code == 0
    assert r"fd\x1b]0;owned" in said.out
    assert "\x1b" not in said.out + said.err
    said = cli("doctor", Path(f"no{evil}"))
    assert (said.code, "\x1b" in said.err) == (2, False)
