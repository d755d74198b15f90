import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gankit_callbacks.curve_plot import draw_curves, limits, smoothed, thinned
from gankit_callbacks.loss_curves import LossCurves, read_curves
from gankit_callbacks.metrics_log import MetricsLog


def figures(step: int) -> dict[str, float]:
    return {
        "discriminator_loss": 1.4 - step / 100,
        "generator_loss": 0.7 + step / 100,
        "real_logits": 1.0,
        "fake_logits": -1.0,
    }


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.array(image.convert("RGB"))


def has_color(picture: np.ndarray[Any, Any], color: str) -> bool:
    rgb = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return bool((np.abs(picture.astype(int) - rgb).max(axis=2) < 6).any())


def drawn_at(run: Any, callback: LossCurves, **options: Any) -> list[int]:
    """The steps at which the picture changed; 0 is the end of the run."""
    path, steps = run.directory / "loss_curves.png", []
    for step in run.play(callback, **options):
        if path.exists():
            path.unlink()
            steps.append(step)
    return steps + [0] * path.exists()


@pytest.fixture
def only_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty file in place of each plot, for tests of when it is drawn."""
    monkeypatch.setattr("gankit_callbacks.curve_plot.draw_curves", lambda curves, name, step, path: path.touch())


@pytest.mark.usefixtures("only_touched")
def test_drawn_at_the_first_step_every_so_many_and_the_last(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 100
        return now

    monkeypatch.setattr(time, "monotonic", clock)
    assert drawn_at(make_run(scalars=figures), LossCurves(every=4)) == [1, 4, 8, 10]
    assert drawn_at(make_run(scalars=figures), LossCurves(every=4), until=6) == [1, 4, 0]


@pytest.mark.usefixtures("only_touched")
def test_drawn_no_more_than_twice_a_minute_in_between(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    run, path = make_run(scalars=figures, total_steps=40), None
    steps = []
    for step in run.play(LossCurves(every=2)):
        path = run.directory / "loss_curves.png"
        if path.exists():
            path.unlink()
            steps.append(step)
        now += 5.0
    assert steps == [1, 8, 14, 20, 26, 32, 38, 40]


@pytest.mark.parametrize("log_first", [True, False])
def test_the_curves_are_the_log_and_the_step_just_played(make_run: Any, log_first: bool) -> None:
    run, log = make_run(scalars=figures), MetricsLog(every=4)
    log.on_run_start(run)
    for step in range(1, 9):
        run.state.step = step
        if log_first:
            log.on_step_end(run)
        curves = read_curves(run)
        if not log_first:
            log.on_step_end(run)
    log.on_exception(run)
    assert list(curves) == list(figures(1))
    steps, losses = curves["discriminator_loss"]
    assert steps == [1, 4, 8]
    assert losses == pytest.approx([1.39, 1.36, 1.32])


def test_curves_go_back_to_before_a_resume(make_run: Any) -> None:
    run, log = make_run(scalars=figures), MetricsLog(every=2)
    list(run.play(log, until=4))
    resumed = MetricsLog(every=2)
    resumed.load_state_dict(log.state_dict())
    list(run.play(resumed, start=4))
    assert read_curves(run)["generator_loss"][0] == [1, 2, 4, 6, 8, 10]


def test_figures_that_json_lacks_and_lines_without_a_figure(make_run: Any) -> None:
    run = make_run()
    lines = [
        {"step": 1, "epoch": 0, "discriminator_loss": 1.0, "r1": 0.5},
        {"step": 2, "epoch": 0, "discriminator_loss": "nan"},
        {"step": 3, "epoch": 0, "discriminator_loss": "-inf", "note": "hello", "r1": None},
    ]
    (run.directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4')
    run.state.step = 3
    curves = read_curves(run)
    assert curves["r1"] == ([1], [0.5])
    assert curves["discriminator_loss"][0] == [1, 2, 3]
    assert str(curves["discriminator_loss"][1]) == "[1.0, nan, -inf]"
    assert set(curves) == {"r1", "discriminator_loss"}


def test_an_empty_log_is_not_plotted(make_run: Any) -> None:
    run = make_run(scalars=lambda step: {})
    list(run.play(LossCurves()))
    assert not list(run.directory.iterdir())


@pytest.mark.parametrize(
    "values",
    [[1.0], [1.0, 1.0], [math.nan], [math.inf, 1.0, -math.inf], [0.0] * 300, [1e300, -1e300] * 100, [1e-300] * 3],
    ids=["one", "two", "nan", "infinite", "constant", "huge", "tiny"],
)
# the garbage collector may find a file here that another test has left open
@pytest.mark.filterwarnings("error", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_odd_curves_can_be_drawn(tmp_path: Path, values: list[float]) -> None:
    path = tmp_path / "curves.png"
    steps = list(range(1, len(values) + 1))
    draw_curves({"discriminator_loss": (steps, values), "r$1_x": (steps, values)}, "na$me", len(values), path)
    assert pixels(path).shape == (1056, 1080, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["curves.png"]


def test_each_curve_has_its_color_and_trouble_is_marked(tmp_path: Path) -> None:
    steps = list(range(1, 201))
    curves = {name: (steps, [figures(step)[name] for step in steps]) for name in figures(1)}
    draw_curves(curves, "a_run", 200, tmp_path / "fine.png")
    picture = pixels(tmp_path / "fine.png")
    colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7"]
    assert [has_color(picture, color) for color in colors] == [True] * 4
    assert not has_color(picture, "#c00000")
    curves["generator_loss"][1][150:] = [math.nan] * 50
    draw_curves(curves, "a_run", 200, tmp_path / "broken.png")
    assert has_color(pixels(tmp_path / "broken.png"), "#c00000")


@given(st.integers(1, 9000))
def test_long_curves_are_thinned_evenly_and_end_at_the_last_point(count: int) -> None:
    steps = list(range(10, 10 * count + 10, 10))
    x, y = thinned(steps, [float(step) for step in steps])
    assert len(x) == len(y) <= 2000
    assert len(x) >= min(count, 1000)
    assert x[-1] == y[-1] == steps[-1]
    assert set(x) <= set(steps)
    assert len(set(np.diff(x))) <= 1


@given(st.lists(st.sampled_from([0.0, 1.5, -2.0, 7.0, math.nan]), min_size=1, max_size=30), st.integers(0, 4))
def test_smoothing_is_the_mean_of_the_neighbours_that_are_numbers(values: list[float], half: int) -> None:
    window = min(2 * half + 1, len(values) if len(values) % 2 else len(values) - 1) if len(values) > 1 else 1
    half = window // 2
    found = smoothed(np.array(values), window)
    for i, value in enumerate(values):
        near = [v for v in values[max(0, i - half) : i + half + 1] if not math.isnan(v)]
        expected = math.nan if math.isnan(value) else sum(near) / len(near)
        assert found[i] == pytest.approx(expected, nan_ok=True)


def test_a_spike_does_not_flatten_the_rest_but_the_end_is_always_seen() -> None:
    values = np.sin(np.arange(1000) / 10)
    values[3] = 1e6
    low, high = limits([values])
    assert -1.2 < low < -1
    assert 1 < high < 1.2
    values[-1] = 50.0
    assert limits([values])[1] > 50


def test_drawing_leaves_pyplot_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    monkeypatch.delattr(matplotlib, "pyplot", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # its import fails
    draw_curves({"generator_loss": ([1, 2], [0.5, 0.7])}, "a_run", 2, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").exists()
