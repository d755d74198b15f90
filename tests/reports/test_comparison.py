"""Columns of comparable scores, and differences between recipes."""

from __future__ import annotations

import math

from gankit.reports.comparison import Column, explain_columns, recipe_differences, score_columns


def test_the_best_of_a_column(record):
    def column(*values, better):
        measure = {"params": {}, "scores": ["x"], "better": better}
        records = [record(scores={"x": value}, metrics={"x": measure}) for value in values]
        return Column("x", records[0], evaluations=dict(enumerate(records)))

    assert column(2.0, 1.0, 3.0, better={"x": "lower"}).best() == {1}
    assert column(2.0, 1.0, 3.0, better={"x": "higher"}).best() == {2}
    assert column(2.0, 1.0, 2.0, better={"x": "higher"}).best() == {0, 2}
    assert column(math.nan, 1.0, math.inf, better={"x": "higher"}).best() == {1}
    assert column(2.0, 1.0, 3.0, better={}).best() == set()
    assert column(2.0, 2.0, better={"x": "lower"}).best() == set()
    assert column(2.0, better={"x": "lower"}).best() == set()
    assert column(math.nan, math.inf, better={"x": "lower"}).best() == set()


def test_the_explanation_abbreviates_long_values_only(record):
    hashes = [letter * 60 for letter in "ab"]
    found = score_columns([[record(real={**record().real.model_dump(), "fingerprint": value})] for value in hashes])
    assert (
        f"fd_x [1] and fd_x [2] are not comparable: they differ in real.fingerprint ({hashes[0]} and {hashes[1]})"
        in (explain_columns(found))
    )
    found = score_columns(
        [[record(real={**record().real.model_dump(), "fingerprint": value + "c"})] for value in hashes]
    )
    assert explain_columns(found)[0].endswith(f"({12 * 'a'}... and {12 * 'b'}...)")


class TestRecipeDifferences:
    def test_dotted_keys_whose_values_differ(self):
        one = {"seed": 0, "loss": {"name": "bce"}, "image": {"size": [8, 8]}, "ema": None}
        other = {"seed": 0, "loss": {"name": "hinge"}, "image": {"size": [8, 9]}, "ema": {"half_life_images": 5}}
        assert recipe_differences([one, other]) == {
            "loss.name": ["bce", "hinge"],
            "image.size": [[8, 8], [8, 9]],
            "ema.half_life_images": [None, 5],
        }

    def test_components_of_a_list_are_keyed_by_name(self):
        r1, other = {"name": "r1", "gamma": 1}, {"name": "r2"}
        rows = recipe_differences(
            [{"regularizers": [r1]}, {"regularizers": [other, r1 | {"gamma": 2}]}, {"regularizers": []}]
        )
        assert rows["regularizers.r1.gamma"] == [1, 2, None]
        assert rows["regularizers.r2.name"] == [None, "r2", None]
        twice = recipe_differences([{"x": [r1, r1]}, {"x": [r1]}])
        assert twice == {"x.r1#1.name": ["r1", None], "x.r1#2.name": ["r1", None], "x.r1.name": [None, "r1"],
                         "x.r1#1.gamma": [1, None], "x.r1#2.gamma": [1, None], "x.r1.gamma": [None, 1]}  # fmt: skip

    def test_equal_recipes(self):
        assert recipe_differences([{"a": {"b": 1}}] * 3) == {}


def test_without_evaluations_there_are_no_columns():
    assert score_columns([[], []]) == []
    assert explain_columns([]) == []
