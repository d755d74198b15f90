"""``gankit eval``: the default number of images, cautions and progress; and what ``gankit check`` knows before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gankit.evaluation import request

GAP = ("--metrics", "gap", "--features", "colours")
FD = ("--metrics", "fd", "--features", "colours")


@pytest.mark.parametrize(("real", "expected"), [(100, 80), (60, 60)])
def test_as_many_images_as_there_are_real_ones(trained_run, score, real, expected, last, monkeypatch):
    assert request.DEFAULT_SAMPLES == 10_000
    monkeypatch.setattr(request, "DEFAULT_SAMPLES", 80)
    trained_run(dataset={"name": "tiny", "count": real, "side": 4}, image={"size": 4})
    assert score("run", *GAP).code == 0
    assert (last().samples, last().real.count) == (expected, expected)


def test_all_images_of_a_folder(trained_run, score, folder, last):
    trained_run()
    assert score(folder, *GAP, "--recipe", "run/recipe.yaml", "--size", 16, "--out", "scores.jsonl").code == 0
    assert (last("scores.jsonl").samples, last("scores.jsonl").real.count) == (40, 40)


def test_a_given_number_stays(trained_run, score, last):
    trained_run()
    assert score("run", *GAP, "--samples", 30, "--real-samples", 70).code == 0
    assert (last().samples, last().real.count) == (30, 70)


class TestCaution:
    def test_fewer_images_than_features(self, trained_run, score, last):
        trained_run()
        said = score("run", *FD, "--samples", 6)  # of six features each
        message = (
            "fd_colours: 6 real and 6 generated images are too few for 6 features: the covariances are singular, and the "
            "distance compares only with the same numbers of images; use the metric kid, with kid.subset_size=6 or less, "
            "or more than 6 images"
        )
        assert said.code == 0
        assert f"caution: {message}\n" in said.err
        assert last().cautions == (message,)

    def test_more_images_than_features(self, trained_run, score, last):
        trained_run()
        assert score("run", *FD, "--samples", 7).err == ""
        assert last().cautions == ()

    def test_a_record_without_cautions_is_read(self, trained_run, score, last):
        trained_run()
        assert score("run", *GAP).code == 0
        file = Path("run/evaluations.jsonl")
        record = json.loads(file.read_text())
        del record["cautions"]
        file.write_text(json.dumps(record) + "\n")
        assert last().cautions == ()

    def test_during_training(self, cli, tiny, scorers_plugin_file):
        callback = "callbacks=[{name: evaluate, features: colours, samples: %d, every: 3, keep_best: false}]"
        words = ["--plugin", scorers_plugin_file, "--out"]
        few = cli("run", *tiny, callback % 5, *words, "few").err
        assert "callback 'evaluate': fd_colours: 5 real and 5 generated images are too few" in few
        assert cli("run", *tiny, callback % 20, *words, "enough").err == ""


class TestProgress:
    def test_every_long_phase_is_shown(self, trained_run, score):
        trained_run()
        lines = score("run", *GAP).out.splitlines()
        assert lines[:3] == [
            "reading real images: 100 ...", "features of real images: 100 ...", "features of generated images: 100 ...",
        ]  # fmt: skip


class TestCheck:
    CALLBACK = "callbacks=[{name: evaluate, features: colours, metrics: [kid], params: {kid: {subset_size: %d}}%s}]"

    @pytest.fixture
    def check(self, cli, tiny, scorers_plugin_file):
        """``check(words) -> (code, out, err)``: of the tiny recipe, with 32 real images."""
        return lambda *words: cli("check", *tiny, "--plugin", scorers_plugin_file, *words)

    def test_a_subset_that_is_larger_than_the_data(self, check):
        said = check(self.CALLBACK % (33, ""))
        assert said.code == 2
        assert "callbacks.0: metric 'kid': at least 33 real images are needed, but 32 were given" in said.err
        assert check(self.CALLBACK % (32, "")).code == 0

    def test_a_subset_that_is_larger_than_the_number_of_samples(self, check):
        said = check(self.CALLBACK % (20, ", samples: 10"))
        assert "callbacks.0: metric 'kid': at least 20 real images are needed, but 10 were given" in said.err

    def test_a_subset_that_is_larger_than_the_number_of_files(self, check, folder):
        """Some of them may not be images, so that a smaller subset is tried again when training starts."""
        count = len([*folder.iterdir()])
        data = f"dataset={{name: image_folder, path: {folder}}}"
        said = check(data, self.CALLBACK % (count + 1, ""))
        assert said.code == 2
        assert f"callbacks.0: metric 'kid': at least {count + 1} real images are needed, but {count} were" in said.err
        said = check(data, self.CALLBACK % (count, ""))
        assert said.code == 0
        assert "callbacks.0: not tried without data (the exact number of real images is not known)" in said.err

    @pytest.mark.parametrize("data", ["{name: image_folder, path: nowhere}", "{name: tiny, count: 0}"])
    def test_data_whose_number_is_not_known(self, check, data):
        said = check(f"dataset={data}", self.CALLBACK % (1000, ""))
        assert said.code == 0
        assert "callbacks.0: not tried without data (the exact number of real images is not known)" in said.err
        assert check(f"dataset={data}", self.CALLBACK % (2001, "")).code == 2  # more than the callback generates

    def test_an_unknown_metric(self, check):
        said = check("callbacks=[{name: evaluate, features: colours, metrics: [kidd]}]")
        assert "callbacks.0: metrics: no metric is called 'kidd'; did you mean 'kid'?" in said.err
