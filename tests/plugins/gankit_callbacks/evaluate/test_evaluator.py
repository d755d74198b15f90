"""`gankit.Evaluator` in other callbacks."""

from __future__ import annotations

import pytest

import gankit
from gankit.evaluation import evaluate

WANTED = {"metrics": ["gap"], "features": "colours", "samples": 70}


REQUEST = gankit.Request(**WANTED, device="cpu")


class TestEvaluator:
    def test_real_images_of_another_set(self, make, runtime):
        trainer = make()
        trainer.fit()
        request = gankit.Request(**WANTED, real={"name": "tiny", "count": 90}, device="cpu")
        found = gankit.Evaluator(trainer, request).evaluate()
        assert found.real.params["count"] == 90
        assert found.scores == evaluate("run", request, runtime).scores

    def test_options_and_no_average(self, make, runtime):
        trainer = make(ema={"half_life_images": 20})
        trainer.fit()
        scores = []
        for extra in ({}, {"ema": False}, {"options": {"truncation": 0.5}}):
            request = gankit.Request(**WANTED, **extra, device="cpu")
            found = gankit.Evaluator(trainer, request).evaluate()
            assert found.scores == evaluate("run", request, runtime).scores
            assert found.options == extra.get("options", {})
            scores.append(found.scores["gap_colours"])
        assert len(set(scores)) == 3

    def test_other_channels(self, make):
        request = gankit.Request(**WANTED, real={"name": "tiny", "channels": 1})
        trainer = make()
        trainer.fit()
        with pytest.raises(
            gankit.GankitError, match=r"generates images with 3 channels, but the real images \('tiny'\) have 1"
        ):
            gankit.Evaluator(trainer, request)
