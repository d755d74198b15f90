"""The score that a search optimizes, and its direction."""

from __future__ import annotations

import pytest

import gankit
from gankit.search.objective import find_objective


@pytest.fixture
def find(tiny_plugin_file, tiny_recipe, scorers_plugin_file, tmp_path):
    """``find(metrics, ...)``: the objective for a recipe with these metrics, or with a callback for each list of them."""
    runtime = gankit.Runtime([str(tiny_plugin_file), str(scorers_plugin_file)])

    def objective(metrics, features="colours", score=None, better=None):
        evaluate = {"name": "evaluate", "features": features, "samples": 16}
        callbacks = [{**evaluate, "metrics": part} for part in metrics] if isinstance(metrics[0], list) else [{**evaluate, "metrics": metrics}]
        checked = runtime.load_checked(tiny_recipe(tmp_path, callbacks=callbacks))
        return find_objective(checked, runtime.registries, score, better)

    return objective


@pytest.mark.parametrize(
    ("metrics", "features", "expected"),
    [
        (["gap"], "colours", ("gap_colours", "lower")),
        (["gap", "sureness"], "classes", ("GAP", "lower")),  # the established name with these features
        (["sureness", "gap"], "classes", ("sureness_classes", "higher")),
    ],
)
def test_the_first_score_with_a_direction(find, metrics, features, expected):
    assert find(metrics, features) == expected


def test_a_given_score(find):
    assert find(["gap", "sureness"], "classes", "sureness_classes") == ("sureness_classes", "higher")
    assert find(["gap"], score="gap_colours", better="higher") == ("gap_colours", "higher")
    assert find(["gap"], score="of_another_callback", better="lower") == ("of_another_callback", "lower")
    with pytest.raises(gankit.GankitError, match="no score 'gap_count_colours' with a known direction; did you mean 'gap_colours'"):
        find(["gap"], score="gap_count_colours")


def test_only_a_direction(find):
    assert find(["gap"], better="higher") == ("gap_colours", "higher")


def test_several_callbacks(find):
    assert find([["sureness"], ["gap"]], "classes") == ("sureness_classes", "higher")
    assert find([["sureness"], ["gap"]], "classes", "GAP") == ("GAP", "lower")
    with pytest.raises(gankit.GankitError, match="objective: 2 callbacks compute the score 'gap_colours', .*; keep one of them"):
        find([["gap"], ["gap"]])
