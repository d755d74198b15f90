import math
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import gankit
import gankit_callbacks
from gankit_callbacks.metrics_log import MetricsLog
from gankit_callbacks.report_page import ReportPage


def lines(run: Any) -> list[dict[str, Any]]:
    return list(gankit.JsonLines.read(run.directory / "metrics.jsonl"))


def steps(run: Any) -> list[int]:
    return [line["step"] for line in lines(run)]


@pytest.mark.parametrize(
    ("every", "total", "until", "expected"),
    [
        (4, 10, None, [1, 4, 8, 10]),
        (5, 10, None, [1, 5, 10]),
        (1, 3, None, [1, 2, 3]),
        (100, 10, None, [1, 10]),
        (4, 10, 6, [1, 4]),
        (4, 10, 4, [1, 4]),
        (100, 1, None, [1]),
    ],
)
def test_logs_the_first_step_every_so_many_and_the_last(
    make_run: Any, every: int, total: int, until: int | None, expected: list[int]
) -> None:
    run = make_run(total_steps=total)
    list(run.play(MetricsLog(every=every), until=until))
    assert steps(run) == expected


def test_a_run_of_no_steps_logs_nothing(make_run: Any) -> None:
    run = make_run()
    list(run.play(MetricsLog(), start=10))
    assert steps(run) == []


def test_a_line_says_where_training_stands(make_run: Any) -> None:
    run = make_run(scalars=lambda step: {"discriminator_loss": step / 4, "r1": math.nan})
    list(run.play(MetricsLog(every=4)))
    line = lines(run)[1]
    assert list(line) == [
        *("step", "epoch", "images", "seconds", "images_per_second", "peak_memory_mib", "discriminator_loss", "r1")
    ]
    assert (line["step"], line["epoch"], line["images"]) == (4, 1, 32)
    assert 50 < line["peak_memory_mib"] < 50_000  # of this process, which has imported torch
    assert (line["discriminator_loss"], line["r1"]) == (1.0, "nan")


def test_a_line_holds_the_gradient_norms_of_its_step(make_run: Any) -> None:
    run = make_run()
    weight = torch.nn.Parameter(torch.zeros(2))
    run.state.optimizers = {"generator": torch.optim.SGD([weight], lr=0.0)}
    playing = iter(run.play(MetricsLog(every=3), until=6))
    for step in range(1, 8):  # the update of a step comes before its callbacks
        weight.grad = torch.tensor([3.0, 4.0]) * step
        run.state.optimizers["generator"].step()
        if step == 1:
            continue  # the log has not started
        next(playing, None)
    assert {line["step"]: line["generator_gradient"] for line in lines(run) if "generator_gradient" in line} == {
        3: pytest.approx(20.0), 6: pytest.approx(35.0)
    }  # fmt: skip


def test_scalars_of_some_steps_are_logged_with_their_last_value(make_run: Any) -> None:
    run = make_run(scalars=lambda step: {"loss": step} | ({"r1": 100 + step} if step % 4 == 1 or step == 6 else {}))
    list(run.play(MetricsLog(every=2)))
    assert [(line["step"], line["loss"], line.get("r1")) for line in lines(run)] == [
        (1, 1, 101),
        (2, 2, None),
        (4, 4, None),
        (6, 6, 106),
        (8, 8, None),
        (10, 10, 109),
    ]


def test_clock_and_rate(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    log, run = MetricsLog(every=4), make_run()
    for step in run.play(log):
        now += 0.5 if step < 4 else 2.0
    # steps 1 and 4 are logged 0 and 1.5 seconds after the start, step 8 after another 8
    assert [line["seconds"] for line in lines(run)] == [0, 1.5, 9.5, 13.5]
    assert [line["images_per_second"] for line in lines(run)][1:] == [16.0, 4.0, 4.0]


def test_resume_cuts_the_log_back_and_the_clock_goes_on(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    log, run = MetricsLog(every=2), make_run()
    state: dict[str, Any] = {}
    for step in run.play(log):
        now += 1.0
        if step == 5:
            state = log.state_dict()
        if step == 9:
            break
    log.on_exception(run)  # as a crash that leaves later lines behind
    assert steps(run) == [1, 2, 4, 6, 8]
    assert state["seconds"] == 5.0

    now = 1000.0
    resumed = MetricsLog(every=2)
    resumed.load_state_dict(state)
    for _ in run.play(resumed, start=5):
        now += 1.0
    assert steps(run) == [1, 2, 4, 6, 8, 10]
    assert [line["seconds"] for line in lines(run)] == [0, 1, 3, 5, 7, 9]
    assert lines(run)[3]["images_per_second"] > 1e6  # one step at no time at all, and not minus infinity


def test_a_run_with_no_checkpoint_starts_the_log_anew(make_run: Any) -> None:
    run = make_run()
    list(run.play(MetricsLog(every=1), until=7))
    list(run.play(MetricsLog(every=5)))
    assert steps(run) == [1, 5, 10]


def test_the_state_can_be_asked_for_before_during_and_after_the_run(make_run: Any) -> None:
    log, run = MetricsLog(every=1), make_run(total_steps=3)
    assert log.state_dict() == {"bytes": 0, "seconds": 0.0, "figures": {}}
    sizes = [log.state_dict()["bytes"] for _ in run.play(log)]
    size = (run.directory / "metrics.jsonl").stat().st_size
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == size == log.state_dict()["bytes"]
    assert log.state_dict() == log.state_dict()


def test_a_resumed_log_writes_what_it_would_have_written_without_a_stop(make_run: Any) -> None:
    """A lazy penalty's figure of a step before the stop belongs to the line after it."""

    def scalars(step: int) -> dict[str, float]:
        return {"discriminator_loss": step / 3} | ({"r1": step / 7} if step % 3 == 0 else {})

    def without_clocks(run: Any) -> list[dict[str, Any]]:
        return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_second")} for line in lines(run)]

    run = make_run(total_steps=8, scalars=scalars)
    list(run.play(MetricsLog(every=4)))
    expected = without_clocks(run)
    assert expected[1]["r1"] == pytest.approx(3 / 7)
    log, again = MetricsLog(every=4), MetricsLog(every=4)
    for step in run.play(log):
        if step == 3:
            saved = log.state_dict()
    again.load_state_dict(saved)
    list(run.play(again, start=3))
    assert without_clocks(run) == expected


def test_scalars_of_any_dtype_become_floats() -> None:
    scalars = {
        "single": torch.tensor(0.1),
        "double": torch.tensor(0.1, dtype=torch.float64),
        "half": torch.tensor(0.5, dtype=torch.bfloat16),
        "whole": torch.tensor(3),
        "graph": torch.tensor(2.0, requires_grad=True),
    }
    floats = gankit.scalars_to_floats(scalars)
    assert list(floats) == list(scalars)
    assert floats["double"] == 0.1
    assert floats["single"] == pytest.approx(0.1, rel=1e-7)
    assert (floats["half"], floats["whole"], floats["graph"]) == (0.5, 3.0, 2.0)
    assert all(type(value) is float for value in floats.values())
    assert gankit.scalars_to_floats({}) == {}


@pytest.mark.parametrize(
    ("names", "report", "added"),
    [
        (["checkpoint"], True, [MetricsLog, ReportPage]),
        (["checkpoint"], False, [MetricsLog]),
        (["checkpoint", "metrics_log"], True, [ReportPage]),
        (["report", "metrics_log"], True, []),
    ],
)
def test_every_run_has_a_log_and_a_report_and_none_has_two(names: list[str], report: bool, added: list[type]) -> None:
    recipe: Any = SimpleNamespace(callbacks=tuple(SimpleNamespace(name=name) for name in names), report=report)
    assert list(map(type, gankit_callbacks.run_callbacks(recipe))) == added


def test_registration() -> None:
    registries = gankit.Registries()
    gankit_callbacks.register(registries)
    defaults = {entry.name: entry.schema().model_dump() for entry in registries.callbacks}
    assert defaults == {
        "checkpoint": {"every": 1000, "keep": 3},
        "evaluate": {
            "every": 1000,
            "metrics": ("fd",),
            "features": "effnet_lite0",
            "params": None,
            "samples": 2000,
            "real_samples": None,
            "size": None,
            "seed": 0,
            "best_by": None,
            "better": "auto",
            "keep_best": True,
            "patience": None,
        },
        "loss_curves": {"every": 100},
        "metrics_log": {"every": 10},
        "report": {"every": 100, "seed": 0, "features": "pixels", "neighbors": 8, "among": 2000},
        "sample_images": {"every": 100, "count": 64, "columns": 8, "seed": 0},
    }
