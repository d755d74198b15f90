"""The page of a run in each state, and its content against independent calculation."""

from __future__ import annotations

import html
import json
import math

import numpy as np
import pytest

from gankit.errors import GankitError
from gankit.reports.page.curves import Curves
from gankit.reports.run_report import RunReport
from gankit.runs.run_lock import RunLock


def curves_of(page, title):
    """The steps and the curves of a chart, by label."""
    (found,) = [chart for chart in page.data["charts"] if chart["title"] == title]
    return found["steps"], {series["label"]: series["values"] for series in found["series"]}


def words(page):
    return " ".join(page.text.split())


class TestStates:
    def test_finished(self, finished_run, page_of):
        page = page_of(finished_run())
        assert "done at step 100, after 800 images" in page.text
        assert "does not update itself" not in page.text
        assert [sample["label"] for sample in page.data["samples"]] == ["step 1", "step 50", "step 100"]
        assert "Nearest real images" in page.text
        assert page.data["findings"] == [{"number": 1, "first": 40, "end": None, "kind": "mode_collapse"}]
        assert "To continue this run" not in page.text

    def test_running(self, finished_run, page_of):
        directory = finished_run(record={})
        lock = RunLock(directory)
        try:
            page = page_of(directory)
        finally:
            lock.release()
        assert "running at step 100, after 800 images: process" in page.text
        assert "does not update itself" in page.text
        assert "To continue this run" not in page.text

    def test_killed(self, finished_run, page_of):
        directory = finished_run(record={})
        RunLock(directory).release()
        page = page_of(directory)
        assert "killed at step 100, after 800 images" in page.text
        assert "To continue this run: gankit resume" in page.text

    def test_the_ending_may_be_given(self, finished_run):
        directory = finished_run(record={})
        assert "stopped at step 100, after 800 images: signal 15" in RunReport(directory).write("signal 15").read_text()

    def test_empty(self, write_run, page_of):
        page = page_of(write_run())
        for sentence in (
            "There are no pictures of samples yet.", "No step has been logged yet.", "This run has no scores.",
            "No problems of the training were found.",
        ):  # fmt: skip
            assert sentence in page.text
        assert page.data["charts"] == page.data["samples"] == []
        assert not page.all("img")
        assert not page.all("button")

    def test_one_line(self, write_run, metrics_line, page_of):
        page = page_of(write_run(metrics=[metrics_line(4)]))
        assert curves_of(page, "Losses") == ([4], {"loss D": [0.25], "loss G": [0.4]})

    def test_nan(self, write_run, metrics_line, page_of):
        values = [1.0, "nan", "inf", 3.0, "-inf"]
        page = page_of(write_run(metrics=[metrics_line(i, generator_loss=v) for i, v in enumerate(values, 1)]))
        assert curves_of(page, "Losses")[1]["loss G"] == [1.0, None, None, 3.0, None]
        assert "NaN or infinity in the log from step 2 on (generator_loss)" in page.text

    def test_one_player(self, write_run, page_of):
        lines = [{"step": step, "images": step, "seconds": step, "velocity_error": step} for step in (1, 2)]
        page = page_of(write_run(metrics=lines))
        assert [found["title"] for found in page.data["charts"]] == ["Losses"]
        assert curves_of(page, "Losses")[1] == {"velocity error": [1.0, 2.0]}

    def test_pictures_of_the_callback_sample_images_stand_in(self, write_run, webp, page_of):
        names = ["fake_samples_epoch_002.png", "fake_samples_epoch_010.png", "fake_samples_epoch_x.png", "real_samples.png"]
        page = page_of(write_run(files=dict.fromkeys(names, webp())))
        assert [sample["label"] for sample in page.data["samples"]] == ["epoch 2", "epoch 10"]
        assert len(page.all("img")) == 2

    @pytest.mark.parametrize(
        ("name", "message"),
        [("missing", "missing: no such run directory"), (".", "is not a run directory: it lacks recipe.yaml")],
    )
    def test_not_a_run(self, name, message, tmp_path):
        with pytest.raises(GankitError, match=message):
            RunReport(tmp_path / name).write()


class TestCurves:
    @pytest.mark.parametrize(("count", "points"), [(1, 7), (7, 7), (8, 7), (100, 7), (100, 100), (1000, 33)])
    def test_points_are_means_of_groups_of_nearly_equal_size(self, count, points, metrics_line):
        random = np.random.default_rng(count)
        losses = random.normal(size=count)
        losses[random.random(count) < 0.2] = math.nan
        lines = [metrics_line(3 * step, generator_loss=loss) for step, loss in enumerate(losses.tolist(), 1)]
        curves = Curves(lines, points)
        found = curves.losses()
        (values,) = [series["values"] for series in found["series"] if series["label"] == "loss G"]
        wanted = min(count, points)
        edges = [0]
        for index in range(wanted):  # the first groups are one longer
            edges.append(edges[-1] + count // wanted + (index < count % wanted))
        for value, start, end in zip(values, edges[:-1], edges[1:], strict=True):
            finite = [loss for loss in losses[start:end] if not math.isnan(loss)]
            assert value == (pytest.approx(sum(finite) / len(finite), rel=1e-4) if finite else None)
        assert found["steps"] == [3 * end for end in edges[1:]]
        assert curves.positions["images"] == [24 * end for end in edges[1:]]

    def test_each_scalar_has_its_chart(self, write_run, metrics_line, page_of):
        scalars = {"r1": 2, "real_logits": 1, "fake_logits": -1, "discriminator_gradient": 3, "peak_memory_mib": 7}
        page = page_of(write_run(metrics=[metrics_line(1), metrics_line(2, **scalars)]))
        assert {found["title"]: curves_of(page, found["title"])[1] for found in page.data["charts"]} == {
            "Losses": {"loss D": [1.0, 0.5], "loss G": [0.1, 0.2]},
            "D's mean output (logit)": {"real images": [None, 1.0], "generated images": [None, -1.0]},
            "Gradient norms": {"discriminator": [None, 3.0]},
            "r1": {"r1": [None, 2.0]},
            "Speed (images/s)": {"images/s": [64.0, 64.0]},
            "Peak memory (MiB)": {"MiB": [None, 7.0]},
        }

    def test_lines_out_of_order_and_axes_that_do_not_increase_are_left_out(self, metrics_line):
        steps = [1, 3, 2, 3, "nan", 5]
        curves = Curves([metrics_line(1) | {"step": step, "seconds": -index} for index, step in enumerate(steps)])
        assert curves.positions == {"step": [1, 3, 5], "images": [8, 8, 8]}

    def test_scalars_beyond_a_hundred_are_counted(self, write_run, metrics_line, page_of):
        line = metrics_line(1, **{f"x{i}": i for i in range(103)})
        page = page_of(write_run(metrics=[line]))
        positions = ("step", "epoch", "images", "seconds")
        assert sum(len(found["series"]) for found in page.data["charts"]) + len(positions) == 100
        assert f"{len(line) - 100} more scalars are in metrics.jsonl" in page.text


class TestScores:
    def test_newest_and_best(self, finished_run, page_of):
        page = page_of(finished_run())
        assert curves_of(page, "fd_x") == ([20, 60, 100], {"fd_x": [3.0, 1.5, 2.0]})
        assert "fd_x2 (step 100)1.5 (step 60)lower" in words(page)
        assert "kid_x0.25 (step 100)--" in words(page)  # it does not rate quality

    def test_higher_may_be_better_and_nan_is_never_best(self, write_run, page_of, record):
        metrics = {"fd": {"params": {}, "scores": ["fd_x"], "better": {"fd_x": "higher"}}}
        values = [(1, math.nan), (2, 4.0), (3, 1.0), (3, 2.0), (4, math.nan)]
        evaluations = [record(evaluated={"step": step}, scores={"fd_x": v}, metrics=metrics) for step, v in values]
        page = page_of(write_run(evaluations=evaluations))
        assert "fd_xnan (step 4)4 (step 2)higher" in words(page)
        assert curves_of(page, "fd_x") == ([1, 2, 3, 4], {"fd_x": [None, 4.0, 2.0, None]})

    def test_each_protocol_has_its_row_and_command(self, write_run, page_of, record):
        evaluations = [record(evaluated={"step": 1}, samples=samples) for samples in (50, 100)]
        page = page_of(write_run(evaluations=evaluations))
        for number, samples in ((1, 50), (2, 100)):
            assert f"fd_x [{number}]" in page.text
            assert f"gankit eval NEW_DIRECTORY --metrics fd,kid --features x --samples {samples} --seed 0" in page.text


    def test_the_command_names_real_images_that_are_not_those_of_the_recipe(self, write_run, page_of, record):
        def commands(**real):
            real = {"split": "train", "count": 100, "fingerprint": "ff", **real}
            page = page_of(write_run(real["dataset"], recipe={"dataset": {"name": "own", "side": 8}}, evaluations=[record(real=real)]))
            return html.unescape(page.text)

        assert "--real" not in commands(dataset="own", params={"side": 8}).replace("--real-samples", "")
        other = commands(dataset="other", params={"split": "test"})
        assert """--real '{"name": "other", "split": "test"}'""" in other


def test_changes_of_each_layer_of_the_recipe(write_run, page_of):
    layers = [
        {"source": "base.yaml"},
        {"source": "mine.yaml", "changes": {"train.steps": [10, 20], "loader": [None, {"batch_size": 4}]}},
        {"source": "the command line", "changes": {}},
    ]
    text = words(page_of(write_run(record={"recipe": layers})))
    assert "Based on base.yaml." in text
    assert 'Changed by mine.yaml keybeforenow train.steps1020loader-{"batch_size": 4}' in text
    assert "Changed by the command line Nothing." in text


class TestSize:
    def test_pictures_are_thinned_evenly_until_the_page_has_at_most_20_mb(self, finished_run, webp, page_of):
        large = webp(600, lossless=True)
        assert len(large) > 1_000_000
        files = {f"report/step-{step:08d}.webp": large for step in range(48)}
        page = page_of(finished_run(files=files | {"report/real.webp": large, "report/neighbors.webp": large}))
        assert len(page.html.encode()) < 20_000_000
        steps = [int(sample["label"].removeprefix("step ")) for sample in page.data["samples"]]
        assert (steps[0], steps[-1]) == (0, 47)
        assert len(steps) >= 6
        assert len(set(np.diff(steps)[:-1])) == 1

    def test_a_large_picture_is_reduced(self, write_run, webp, page_of):
        page = page_of(write_run(files={"report/step-00000001.webp": webp(900, lossless=True)}))
        (image,) = page.all("img")
        assert 1000 < len(image["src"]) < 2_000_000

    def test_text_is_bounded(self, write_run, page_of):
        findings = [{"event": "finding", "finding": f"kind_{i}", "message": "x" * 5000, "step": i} for i in range(2000)]
        changes = {f"key{i}": ["<" * 300, ">" * 300] for i in range(2000)}
        layers = [{"source": "a"}, {"source": "b", "changes": changes}]
        page = page_of(write_run(events=findings, record={"recipe": layers}))
        assert len(page.html) < 3_000_000
        assert "1,900 more are in events.jsonl" in page.text

    def test_a_curve_has_at_most_a_thousand_points(self, write_run, metrics_line, page_of):
        page = page_of(write_run(metrics=(metrics_line(step) for step in range(1, 3001))))
        assert curves_of(page, "Losses")[0] == [*range(3, 3001, 3)]


@pytest.mark.parametrize("broken", ["[]", "{", '{"step": 1}', '{"step": "x", "among": 1}', '{"step": 1e999}'])
def test_neighbors_without_a_valid_record_are_left_out(finished_run, page_of, broken):
    directory = finished_run()
    (directory / "report" / "neighbors.json").write_text(broken)
    assert "Nearest real images" not in page_of(directory).text


@pytest.mark.parametrize("value", [None, [], {}, [[]], "x", 1e308, -1, True, 2**70, {"a": [1]}], ids=str)
def test_values_of_any_type(write_run, page_of, value):
    """Files of other programs and versions: nothing raises another error than a `GankitError`."""
    keys = ("device", "precision", "seed", "versions", "plugins", "data", "recipe", "world_size", "threads", "ended")
    scalars = dict.fromkeys(("images", "seconds", "peak_memory_mib", "discriminator_loss", "r1"), value)
    layers = [value, {"source": value, "changes": {"a": value, "b": [value, value]}}]
    events = [
        {"event": value, "step": value, "message": value, "at": value},
        {"event": "finding", "finding": value, "step": value, "message": value},
        {"event": "overridden", "settings": value, "step": 1},
        {"event": "changes_accepted", "changes": value},
        {"event": "rolled_back", "without": value, "from_step": value},
    ]
    metrics = [{"step": 1, **scalars}, {**scalars, "step": value}]
    for name, layer in (("a", value), ("b", layers)):
        page = page_of(write_run(name, record=dict.fromkeys(keys, value) | {"recipe": layer}, metrics=metrics, events=events))
        assert json.dumps(page.data, allow_nan=False)
        assert "Overview" in page.html
