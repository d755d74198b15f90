"""``gankit eval``: each fault gives one message and exit code 2, and nothing is written."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

import gankit

GAP = ("--metrics", "gap", "--features", "colours", "--samples", "40")


class TestErrors:
    @pytest.fixture
    def refused(self, score):
        def check(message, *words):
            said = score(*words)
            assert said.code == 2
            assert re.fullmatch(rf"error: {message}\n", said.err), said.err
            assert "Traceback" not in said.out + said.err
            assert not Path("run/evaluations.jsonl").exists()

        return check

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--metrics", "gpa"], r"metrics: no metric is called 'gpa'; did you mean 'gap'\?"),
            (["--features", "colors"], r"features: no feature is called 'colors'; did you mean 'colours'\?"),
            (
                ["--metrics", "gpa,x", "--features", "y"],
                r"metrics: .*'gpa'.*\nmetrics: .*'x'; known: .*gap.*\nfeatures: .*'y'; known: .*colours.*",
            ),
            (["--metrics", ","], r"metrics: at least one metric is required; known: .*gap.*"),
            (["gpa.power=2"], r"command line: gpa.power=2: gpa: not a metric or extractor of this .*mean 'gap'\?"),
            (["gap.pwoer=2"], r"command line: gap.pwoer=2: gap.pwoer: unknown parameter; did you mean 'power'\?"),
            (["gap.power=x"], r"command line: gap.power=x: gap.power: should be a whole number; got 'x'"),
            (["gap=2"], r"command line: gap=2: gap: should be a mapping; got 2"),
            (["power"], r"command line: power: an override is KEY=VALUE.*"),
            (["--metrics", "sureness"], r"metric 'sureness' is computed from class logits.*\(.*classes.*\)"),
            (["--metrics", "hungry"], r"metric 'hungry': 'uses' should be .*"),
            (["--metrics", "misspelt"], r"metric 'misspelt': Misspelt has a method 'cautoin'; did you mean 'caution'\?"),
            (["--metrics", "picky"], r"metrics: 'picky': power and nothing else is too little; give more"),
            (["--features", "needs_extra"], r"features 'needs_extra' needs .*; run: pip install 'gankit\[nowhere\]'"),
            (["--features", "broken"], r"features 'broken': features of 40 images should be \[40 f\]; got .*"),
            (
                ["--option", "truncatoin=1"],
                r"run/checkpoints/step-00000003: sampling option 'truncatoin': unknown key; did you mean 'truncation'\?",
            ),
            (
                ["--option", "truncation=x", "--option", "labels=[1]"],
                r"run/\S+: sampling option 'truncation': should be a number; got 'x'; sampling option 'labels': unknown key; .*",
            ),
            (["--option", "truncation"], r"command line: truncation: an option is NAME=VALUE.*"),
            (
                ["--metrics", "unsaid"],
                r"metric 'unsaid': 'better' should map names of scores to lower or higher; got .*'more'.*",
            ),
            (["--device", "cuda:99"], r"--device: 'cuda:99' is not available: torch finds \d+ CUDA devices; try 'auto'"),
            (["--samples", "1"], r"metric 'gap': needs 2 generated images or more; got 1; raise --samples"),
            (["--device", "gpu"], r"--device: should be auto, cpu, mps, cuda or cuda:N; got 'gpu'"),
            (
                ["--real", "tny"],
                r"command line: real=tny: real.name: no dataset is called 'tny'; did you mean 'tiny'\?",
            ),
            (["--real", "{name: tiny, cuont: 3}"], r"command line: real=.*: real.cuont: unknown param.*'count'\?"),
            (["--real", "{name: tiny"], r"command line: real=\{name: tiny: .*"),
            (["--real", "5"], r"command line: real=5: real: should be the name of a component.*; got 5"),
            (
                ["--real", "{name: tiny, count: 0}"],
                r"dataset 'tiny' is empty, but real images are needed to compare with",
            ),
            (["--recipe", "none.yaml"], r"none.yaml: no such file"),
            (
                ["--real", "{name: tiny, channels: 1}"],
                r"run/checkpoints/step-00000003: generates images with 3 channels, but the real images \('tiny'\) have 1 channel; "
                r"choose real images with 3 channels with --real",
            ),
        ],
    )
    def test_faults_in_the_options(self, trained_run, refused, words, message):
        trained_run()
        refused(message, "run", *GAP, *words)

    def test_too_few_images_are_an_error_before_features_are_computed(self, trained_run, refused):
        trained_run()
        message = r"metric 'fakes': needs 10 generated images in addition to 20 real ones; got 9"
        words = ("--metrics", "gap,fakes", "--features", "classes", "--samples", "9", "--real-samples", "20")
        refused(message, "run", *words)
        assert not Path("data").exists()

    def test_sampling_options_of_a_folder(self, folder, refused):
        refused("noise: sampling options do not apply to a folder of images; remove truncation", folder, *GAP,
                "--real", "tiny", "--option", "truncation=1")  # fmt: skip

    def test_out_of_memory(self, trained_run, refused, monkeypatch):
        def fail(*_):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 25769803776 bytes.")

        trained_run()
        monkeypatch.setattr("gankit.evaluation.evaluate_source.prepare_dataset", fail)
        message = r"out of memory \(the last request was for 24.00 GiB\): use fewer or smaller images"
        refused(message, "run", *GAP)

    def test_a_missing_source(self, refused):
        refused("nothing: no such folder; pass a run directory, a checkpoint or a folder of images", "nothing", *GAP)

    def test_a_file(self, refused):
        Path("file").touch()
        refused("file: is a file; pass a run directory.*", "file", *GAP)

    def test_a_run_without_a_checkpoint(self, trained_run, refused):
        trained_run(callbacks=[], train={"steps": 3, "final_checkpoint": False})
        refused("run: this run has no checkpoint yet", "run", *GAP)

    def test_a_checkpoint_outside_its_run(self, trained_run, refused, score, last):
        trained_run()
        shutil.copytree("run/checkpoints/step-00000003", "alone")
        refused("alone: a checkpoint outside its run does not specify the real .*--real.*--recipe", "alone", *GAP)
        assert score("alone", *GAP, "--real", "tiny", "--out", "x.jsonl").code == 0
        assert last("x.jsonl").evaluated.run is None

    def test_a_folder_without_real_images(self, folder, refused):
        refused("noise: a folder of images does not specify the real images.*", folder, *GAP)

    def test_too_few_images(self, folder, refused):
        message = "noise: contains 40 images, but 41 are needed; add images or pass --samples 40"
        refused(message, folder, *GAP, "--real", "tiny", "--samples", "41")

    def test_a_folder_of_other_channels(self, folder, refused):
        refused(r"noise/0000.png: has 3 channels \(RGB\).*--real", folder, *GAP, "--real", "{name: tiny, channels: 1}")

    def test_no_images(self, refused):
        Path("empty").mkdir()
        refused("empty: contains no images .*", "empty", *GAP, "--real", "tiny")

    @pytest.mark.parametrize("option", [["--samples", "0"], ["--size", "0"], ["--seed", "-1"], ["--real-samples", "0"]])
    def test_numbers_out_of_range(self, trained_run, score, option):
        trained_run()
        said = score("run", *GAP, *option)
        assert said.code == 2
        least = 0 if option[0] == "--seed" else 1
        said_in_a_box = " ".join(said.err.replace("│", "").split())
        assert re.search(rf"'{option[0]}': .*(should be greater than or equal to {least} |not in the range (x>=)?{least}\b)", said_in_a_box), said_in_a_box

    def test_a_record_that_cannot_be_written_exits_with_code_1(self, trained_run, score, monkeypatch):
        def full(path, evaluation):
            raise gankit.GankitError(f"{path}: cannot be written: No space left on device")

        trained_run()
        monkeypatch.setattr("gankit.evaluation.evaluation_log.append_evaluation", full)
        said = score("run", *GAP)
        assert said.code == 1
        assert "gap_colours" in said.out
        assert "error: run/evaluations.jsonl: cannot be written" in said.err

    @pytest.mark.parametrize("content", [None, "no record\n"])
    def test_a_log_of_the_run_that_is_none_is_found_before_anything_is_computed(self, trained_run, score, content):
        log = trained_run() / "evaluations.jsonl"
        log.mkdir() if content is None else log.write_text(content)
        said = score("run", *GAP)
        assert (said.code, said.out) == (2, "")
        assert "run/evaluations.jsonl" in said.err

    def test_a_checkpoint_that_the_run_deletes_meanwhile(self, trained_run, score, last, monkeypatch):
        from gankit.evaluation import evaluate_source

        checkpoint = trained_run() / "checkpoints/step-00000003"
        evaluate = evaluate_source.evaluate

        def evaluated(*given):
            done = evaluate(*given)
            shutil.rmtree(checkpoint)
            return done

        monkeypatch.setattr(evaluate_source, "evaluate", evaluated)
        assert score("run/checkpoints/step-00000003", *GAP).code == 0
        assert last().evaluated.step == 3

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_does_not_block(self, trained_run, score):
        trained_run()
        os.mkfifo("scores.jsonl")
        said = score("run", *GAP, "--out", "scores.jsonl")
        assert said.code == 2  # before anything is computed
        assert "scores.jsonl: cannot be read: is not a regular file" in said.err


def test_a_missing_plugin_is_named(trained_run, cli, scorers_plugin_file):
    trained_run()
    said = cli("eval", "run", *GAP, "--plugin", scorers_plugin_file, "--real", "{name: shapes, count: 40, size: 16}")
    assert said.code == 2
    assert "--plugin" in said.err
