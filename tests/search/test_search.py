"""Searches in this process: trials, their files, what fails, what counts, and how a search goes on."""

from __future__ import annotations

import math
import shutil
import socket
from pathlib import Path

import pytest
import yaml

import gankit

pytest.importorskip("optuna")

from gankit.search import run_search
from gankit.search.outcomes import best_of
from gankit.search.search_page import rewrite_page
from gankit.search.study import fail_killed_trials, host_name, quiet_optuna

LR = "optimizers.generator.lr: {log: [1.0e-4, 1]}"
DISTANCE = {"objective": "distance", "better": "lower", "jobs": 0, "seed": 1}


@pytest.fixture
def search(searched, plugins, monkeypatch):
    """``search(space, trials, **settings)``: with ``sections`` of the recipe, and ``plots`` if they are wanted."""

    def run(space=LR, trials=2, sections=None, plots=False, **settings):
        if not plots:  # they take most of the time
            monkeypatch.setattr("gankit.search.search_page.draw_plots", lambda *given: [])
        return run_search(*searched(space, **(sections or {})), trials=trials, plugins=plugins, **{**DISTANCE, **settings})

    return run


def rate(words):
    return float(next(word for word in words if ".lr=" in word).partition("=")[2])


def test_trials_are_run_directories_and_the_best_recipe_runs_by_itself(search, plugins):
    result = search("optimizers.generator.lr: {log: [1.0e-4, 1]}\ndiscriminator: {choice: [{name: tiny, width: {int: [2, 4]}}]}")
    assert [trial.number for trial in result.trials] == [0, 1]
    assert result.best is best_of(result.trials, result.objective)
    runtime = gankit.Runtime(plugins)
    for trial in result.trials:
        recipe = runtime.load(trial.directory / "recipe.yaml")
        assert recipe.optimizers.generator.params["lr"] == rate(trial.overrides)
        assert recipe.discriminator.params["width"] == trial.params["discriminator[tiny].width"]
        assert trial.value == pytest.approx(abs(math.log10(rate(trial.overrides)) + 2))  # the score of the last step
    assert result.best.value == min(trial.value for trial in result.trials)
    best = runtime.load("results/search-tiny/best.yaml")
    assert best == runtime.load(result.best.directory / "recipe.yaml")
    trainer = runtime.assemble(best, "again")
    trainer.fit()
    assert trainer.ending == "done"


def test_the_better_direction(search):
    result = search(better="higher")
    finals = [trial.value for trial in result.trials]
    assert result.best.value == max(finals)
    # higher is better: the best value of a run is that of its first step, two steps before the end
    assert all(value == pytest.approx(abs(math.log10(rate(t.overrides)) + 2) + 2) for value, t in zip(finals, result.trials, strict=True))


def test_a_search_goes_on_and_draws_what_an_uninterrupted_one_draws(search):
    first = search(trials=1)
    events = []
    both = search(trials=3, report=lambda outcome, best: events.append((outcome.number, best.number)))
    assert both.trials[:1] == first.trials
    assert [number for number, _ in events] == [1, 2]
    at_once = search(trials=3, study="other")
    assert [trial.overrides for trial in both.trials] == [trial.overrides for trial in at_once.trials]
    assert len({trial.overrides for trial in both.trials}) == 3
    assert search(trials=3).trials == both.trials


def test_failed_trials_are_recorded_and_do_not_end_the_search(search):
    callback = {"name": "score", "nan_above": 0.01, "fail_above": 0.2}
    space = LR + "\ngenerator: {choice: [tiny, three_channels]}"
    sections = {"callbacks": [callback], "dataset": {"name": "tiny", "channels": 1}, "conditional": False}
    result = search(space, 9, sections, sampler="random")
    assert len(result.trials) == 9
    failed = {trial.number: trial for trial in result.trials if trial.state == "failed"}
    for trial in result.trials:
        if "generator=three_channels" in trial.overrides:
            assert "the recipe's images are [2, 1, 16, 16]" in failed[trial.number].error
            assert not trial.directory.exists()
        elif rate(trial.overrides) > 0.2:
            assert "out of memory in step" in failed[trial.number].error
            assert (trial.directory / "recipe.yaml").is_file()
        elif rate(trial.overrides) > 0.01:
            assert failed[trial.number].error == "the run has no finite score 'distance'; it ended after step 3"
        else:
            assert trial.state == "complete"
    errors = [trial.error for trial in failed.values()]
    assert 0 < len(failed) < 9
    for part in ("images are [2, 1, 16, 16]", "out of memory", "no finite score"):
        assert any(part in error for error in errors)
    assert "out of memory in step" in Path("results/search-tiny/report.html").read_text()


def test_pruning(search):
    """A trial that is worse than the median of five others at its first score stops there."""
    study = search(trials=1, pruner="none").study
    for rate in (0.02, 0.03, 0.04, 0.05, 0.5, 0.01):
        study.enqueue_trial({"optimizers.generator.lr": rate})
    *_, worse, better = search(trials=7).trials
    assert (worse.state, better.state) == ("pruned", "complete")
    assert [*study.trials[worse.number].intermediate_values] == [1]
    record = yaml.safe_load((worse.directory / "run.json").read_text())
    assert record["ended"]["reason"] == "pruned: worse than other trials at this step"
    study.enqueue_trial({"optimizers.generator.lr": 0.5})
    assert search(trials=8, pruner="none").trials[-1].state == "complete"


def test_searches_with_neighbouring_seeds_draw_nothing_twice(search):
    """As several machines do that share a study, each with a seed of its own."""
    results = [search(trials=3, study=str(seed), seed=seed, sampler="random") for seed in (1, 2, 3)]
    assert len({rate(trial.overrides) for result in results for trial in result.trials}) == 9


@pytest.mark.slow
def test_the_page(search):
    result = search("generator.gain: {uniform: [0.5, 2]}\n" + LR, trials=3, plots=True)
    page = (result.directory / "report.html").read_text()
    for title in ("Optimization history", "Parameter importances", "Slices", "Parallel coordinates", "Scores during training"):
        assert f"<figcaption>{title}</figcaption>" in page
    assert page.count("data:image/webp;base64,") >= 6
    assert 'href="trial-0000/report.html"' not in page  # the recipe says report: false
    assert f"trial-000{result.best.number}" in page
    assert "Content-Security-Policy" in page


def test_another_search_in_the_same_place_is_refused(search):
    search(trials=1)
    for settings, message in (
        ({"space": LR + "\nseed: 3"}, "'tiny': was started with another space; to search anew, give another --study"),
        ({"sections": {"seed": 5}}, "another recipe;"),
        ({"better": "higher"}, "another objective;"),
        ({"study": "b", "directory": "results/search-tiny"}, "has trials of another search; give another directory"),
        ({"sampler": "magic", "study": "c"}, "unknown sampler 'magic'; known: cmaes, random, tpe"),
        ({"storage": "nosql://x", "study": "d"}, "the storage cannot be opened: .*nosql.*; give a URL such as"),
        ({"study": "../e"}, "study '../e': is not the name of a folder under results/; give the folder with --out"),
        ({"trials": 0}, "trials should be at least 1"),
    ):
        with pytest.raises(gankit.GankitError, match=message):
            search(**settings)


@pytest.mark.parametrize("name", ["base.yaml", "best.yaml", "report.html", "recipe.yaml"])
def test_files_of_the_user_are_not_overwritten(search, tmp_path, name):
    folder = tmp_path / "mine ? %20"
    folder.mkdir()
    (folder / name).write_text("mine")
    for storage in (None, None, f"sqlite:///{tmp_path / 'other.db'}"):  # nor at the second attempt
        with pytest.raises(gankit.GankitError, match=f"contains {name}, which the search would overwrite"):
            search(trials=1, directory=str(folder), **({} if storage is None else {"storage": storage}))
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(name, "mine")]
    (folder / name).unlink()
    search(trials=1, directory=str(folder))
    assert (folder / "search.db").is_file()
    search(trials=1, directory=str(folder))


def test_the_space_may_name_what_the_recipe_leaves_to_defaults(search):
    optimizers = {"generator": {"name": "adam", "lr": 1e-3}, "discriminator": {"name": "adam", "lr": 1e-3}}
    space = "optimizers.discriminator.betas.0: {uniform: [0.1, 0.9]}"
    result = search(space, trials=1, sections={"optimizers": optimizers})
    betas = gankit.Recipe.load(result.trials[0].directory / "recipe.yaml").optimizers.discriminator.params["betas"]
    assert betas[0] == pytest.approx(result.trials[0].params["optimizers.discriminator.betas.0"])
    assert betas[1] == 0.999


def test_a_trial_whose_process_cannot_be_seen_is_not_failed(search):
    """Containers have process ids of their own, and may have the name of the host."""
    study = search(trials=1).study
    for host, state in ((socket.gethostname(), "RUNNING"), (host_name(), "FAIL")):
        trial = study.ask()
        trial.set_user_attr("process", [host, 2**22 + 1])  # above all process ids of Linux
        with quiet_optuna():
            fail_killed_trials(study)
        assert study.trials[-1].state.name == state


def test_the_page_is_that_of_the_study_in_the_directory(search):
    """Also if another one in the same storage failed before its first run."""
    failed = search(trials=1, study="a", directory="d", sections={"seed": 5})
    shutil.rmtree(failed.trials[0].directory)
    result = search(trials=2, study="b", directory="d")
    Path("d/report.html").unlink()
    rewrite_page(Path("d"))
    page = Path("d/report.html").read_text()
    assert all(f"trial-000{trial.number}" in page for trial in result.trials)


@pytest.mark.parametrize(("sampler", "pruner"), [("random", "hyperband"), ("cmaes", "none")])
def test_samplers_and_pruners(search, sampler, pruner):
    result = search("optimizers.generator.lr: {log: [1e-4, 1]}\ngenerator.gain: {uniform: [0.5, 2]}", 3, sampler=sampler, pruner=pruner)
    assert len({trial.overrides for trial in result.trials}) == 3


def test_a_journal_file(search):
    result = search(trials=2, storage="journal:shared.log")
    assert Path("shared.log").stat().st_size
    assert not (result.directory / "search.db").exists()
    assert search(trials=2, storage="journal:shared.log").trials == result.trials


class TestFilesOfOthers:
    @pytest.mark.parametrize("name", ["report.html", "best.yaml", "space.yaml", "recipe.yaml", "search.db", "process-0.log", "trial-0000"])
    def test_a_known_study_in_another_directory_replaces_nothing(self, search, name):
        storage = "journal:shared.log"
        search(trials=1, storage=storage, directory="one")
        Path("two").mkdir()
        Path("two", name).write_text("mine")
        with pytest.raises(gankit.GankitError, match=r"two: (contains .*, which the search would overwrite|has trials of another)"):
            search(trials=2, storage=storage, directory="two")
        assert [path.name for path in Path("two").iterdir()] == [name]
        assert Path("two", name).read_text() == "mine"

    def test_it_goes_on_in_its_own_and_in_a_new_one(self, search):
        storage = "journal:shared.log"
        search(trials=1, storage=storage, directory="one")
        assert len(search(trials=2, storage=storage, directory="one").trials) == 2
        assert len(search(trials=3, storage=storage, directory="three").trials) == 3


def test_the_page_is_written_before_the_first_trial_and_of_the_study_with_trials(search, cli):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gankit.search.search_loop.run_trial", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            search(trials=1, directory="found")
    said = cli("report", "found")
    assert said.code == 0, said.err
    page = Path("found/report.html").read_text()
    assert "0 trials; lower is better" in page
    assert "None of the runs in this folder can be read" not in page
    search(trials=1, directory="found", study="another")
    assert cli("report", "found").code == 0
    assert "1 trial: 1 complete" in Path("found/report.html").read_text()
