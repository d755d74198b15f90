"""The programs in docs/hyperparameter_search.md."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

import gankit


@pytest.fixture
def search_files(checkout, blocks):
    """The recipe and the space of docs/hyperparameter_search.md, with a small run and a score that needs no network."""
    recipe, space = blocks("docs/hyperparameter_search.md", "yaml")
    (checkout / "space.yaml").write_text(space.replace("[16, 64], step: 16", "[4, 8], step: 4"))
    data = {
        **yaml.safe_load(recipe),
        "image": {"size": 16},
        "dataset": {"name": "shapes", "count": 128, "size": 16},
        "train": {"steps": 2, "device": "cpu"},
        "loader": {"batch_size": 4},
        "generator": {"width": 4},
        "discriminator": {"width": 4},
        "callbacks": [
            {"name": "evaluate", "every": 1, "metrics": ["kid"], "features": "pixels", "params": {"kid": {"subset_size": 4}}, "samples": 8}
        ],
    }
    (checkout / "my_recipe.yaml").write_text(yaml.safe_dump(data))


def test_searching_in_python(search_files, monkeypatch, capsys, block):
    pytest.importorskip("optuna")
    monkeypatch.setattr("gankit.search.search_page.draw_plots", lambda *given: [])
    program = block("docs/hyperparameter_search.md", "run_search")
    exec(program.replace("trials=4", "trials=1"), {})
    assert "optimizers.generator.lr=" in capsys.readouterr().out


@pytest.fixture
def ray_program(block):
    """The program, with the score of the small runs."""
    return block("docs/hyperparameter_search.md", "ray").replace("fd_effnet_lite0", "kid_pixels")


def test_a_trial_of_ray_tune_without_ray(search_files, ray_program, monkeypatch):
    """The function of a trial trains and reports each score. Ray itself is replaced."""
    reported = []
    tune = ModuleType("ray.tune")
    tune.report = reported.append
    tune.get_context = lambda: SimpleNamespace(get_trial_name=lambda: "train_00001")
    ray, schedulers = ModuleType("ray"), ModuleType("ray.tune.schedulers")
    ray.tune, schedulers.ASHAScheduler = tune, None
    for module in (ray, tune, schedulers):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    names: dict[str, Any] = {"__name__": "tune_gan"}
    exec(ray_program, names)
    names["train"]({"optimizers.generator.lr": 0.001, "loader.batch_size": 8})
    run = Path("results/tune/train_00001").resolve()
    assert [(report["step"], report["run"]) for report in reported] == [(1, str(run)), (2, str(run))]
    assert all(isinstance(report["kid_pixels"], float) for report in reported)
    assert gankit.Recipe.load(run / "recipe.yaml").optimizers.generator.params["lr"] == 0.001


@pytest.mark.slow
def test_ray_tune(search_files, ray_program, capsys):
    pytest.importorskip("ray.tune")
    exec(ray_program.replace("num_samples=20", "num_samples=2"), {"__name__": "__main__"})
    assert "results/tune" in capsys.readouterr().out
