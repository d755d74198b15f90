"""Requests that are refused before training, and their messages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import gankit

SCORERS = Path(__file__).parents[3] / "evaluation/scorers_plugin.py"


WANTED = {"metrics": ["gap"], "features": "colours", "samples": 70}


FOUND_BY_CHECK = {
    "metric": ({"metrics": ["gpa"]}, r"metrics: no metric is called 'gpa'; did you mean 'gap'\?"),
    "features": ({"features": "colors"}, r"features: no feature is called 'colors'; did you mean 'colours'\?"),
    "both": ({"metrics": ["gpa"], "features": "x"}, r"no metric is called 'gpa'.*\n.*no feature is called 'x'"),
    "params": ({"params": {"gap": {"pwoer": 2}}}, r"gap\.pwoer: unknown parameter; did you mean 'power'\?"),
    "other": ({"params": {"fd": {}}}, "fd: not a metric or extractor of this evaluation; known: colours, gap"),
    "picky": ({"metrics": ["picky"]}, "'picky': power and nothing else is too little; give more"),
    "few": ({"metrics": ["given"], "samples": 1}, "metric 'given': 2 generated images are needed, and 1 were given"),
}  # fmt: skip

FOUND_BY_RUN = {
    "extra": ({"features": "needs_extra"}, r"needs the package 'nowhere'; run: pip install 'gankit\[nowhere\]'"),
    "logits": ({"metrics": ["sureness"]}, r"'sureness' is computed from class logits.*choose .*classes"),
    "images": ({"features": "refusing"}, "features 'refusing': sees nothing of 16 px"),
    "found out": ({"samples": 1}, "metric 'gap': needs 2 generated images or more; got 1"),
    "twice": ({"metrics": ["gap", "same"]}, "'same' computes a score 'gap_colours', as another metric does"),
    "best_by": ({"best_by": "fd"}, "best_by: no metric of this evaluation computes 'fd'; choose one of gap_colours, gap_count_colours"),
    "better": ({"best_by": "gap_count_colours"}, r"the metric of 'gap_count_colours' does not say .*; choose another score \(gap_colours\), or set"),
}  # fmt: skip


class TestRefused:
    @pytest.mark.parametrize(("callback", "message"), FOUND_BY_CHECK.values(), ids=FOUND_BY_CHECK)
    def test_by_the_check(self, make, callback, message):
        with pytest.raises(gankit.RecipeError, match=rf"callbacks\.0: .*{message}"):
            make(callback=callback)

    @pytest.mark.parametrize(("callback", "message"), FOUND_BY_RUN.values(), ids=FOUND_BY_RUN)
    def test_before_the_first_step(self, make, callback, message):
        trainer = make(callback=callback)
        with pytest.raises(gankit.GankitError, match=f"callback 'evaluate': .*{message}"):
            trainer.fit()
        assert trainer.state.step == 0

    def test_as_the_command_line_tells_it(self, tiny_recipe, tmp_path, cli, tiny_plugin_file):
        path = tiny_recipe(tmp_path, callbacks=[{"name": "evaluate", **WANTED, "metrics": ["gpa"]}])
        said = cli("run", path, "--out", "run", "--plugin", tiny_plugin_file, "--plugin", SCORERS)
        assert said.code == 2
        assert "callbacks.0: metrics: no metric is called 'gpa'; did you mean 'gap'?\n" in said.err
        assert not Path("run").exists()

    @pytest.mark.parametrize(
        ("callback", "message"),
        [
            ({"metrics": []}, "metrics: .*at least 1 item"),
            ({"every": 0}, "every: .*greater than 0"),
            ({"params": ["gap.power=2"]}, "params: should be a mapping"),
            ({"better": "more"}, "better: .*'auto', 'lower' or 'higher'"),
            ({"patience": 0}, "patience: .*greater than 0"),
        ],
    )
    def test_by_the_schema(self, make, callback, message):
        with pytest.raises(gankit.RecipeError, match=f"callbacks.0.{message}"):
            make(callback=callback)

    def test_an_item_of_a_wrong_kind_is_one_fault_and_not_two(self, make):
        with pytest.raises(gankit.RecipeError, match="metrics.0: should be a string; got 3") as error:
            make(callback={"metrics": [3]})
        assert len(error.value.problems) == 1

    def test_a_damaged_log_is_told_first(self, make, runtime):
        make(callback={"every": 6}).fit()
        shutil.rmtree("run/checkpoints")
        Path("run/evaluations.jsonl").write_text("nonsense\n")
        trainer = runtime.resume("run", restart=True)
        with pytest.raises(gankit.GankitError, match=r"evaluations\.jsonl: cannot be read: .*delete"):
            trainer.fit()
        assert trainer.state.step == 0
