"""A run that is killed, whenever it may be, and goes on, ends as one that never was: bit for bit, on the CPU."""

from __future__ import annotations

import random
import re
import shutil
import signal
from pathlib import Path

import pytest
import yaml

import gankit

PIECES = Path(__file__).with_name("pieces.py")
ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
STEPS = 12
EVERYTHING = {
    "name": "everything",
    "image": {"size": 16},
    "conditional": True,
    "latent": {"name": "normal", "dim": 8},
    "dataset": {"name": "shapes", "count": 44, "size": 16},
    "loader": {"batch_size": 8, "flip": True},
    "generator": {"name": "dcgan", "width": 4},
    "discriminator": {"name": "dcgan", "width": 4},
    "loss": "non_saturating",
    "regularizers": [{"name": "r1", "gamma": 0.1, "interval": 3}],
    "augmentations": ["strengthened", {"name": "diffaugment", "policy": ["translation"]}],
    "optimizers": {
        "generator": {"name": "adam", "lr": {"start": 2e-4, "end": 1e-4, "over_images": 60}},
        "discriminator": {"name": "adam", "lr": 2e-4},
    },
    "train": {"steps": STEPS, "device": "cpu"},
    "ema": {"half_life_images": 40},
    "callbacks": [
        {"name": "metrics_log", "every": 1},
        {"name": "sample_images", "every": 4, "count": 8},
        "counting",
        {"name": "checkpoint", "every": 2, "keep": 2},
    ],
}


@pytest.fixture
def words(tmp_path):
    """Of a command that plays all of this."""
    (tmp_path / "everything.yaml").write_text(yaml.safe_dump(EVERYTHING))
    return ["--plugin", str(PIECES)]


@pytest.fixture
def whole(start, words, tmp_path, outcome):
    """The run that is left alone, and what it leaves."""
    ended = start("run", "everything.yaml", "--out", "whole", *words)
    assert ended.status == 0, (tmp_path / "log.txt").read_text()
    left = outcome(tmp_path / "whole")
    assert [line["step"] for line in left["metrics"]] == [*range(1, STEPS + 1)]
    assert left["state"]["callbacks"]["counting"] == {"seen": STEPS}
    assert "augmentations.strengthened" in left["state"]["components"]
    return ended, left


def kill_again_and_again(start, words, directory, moments, require_whole):
    """Run and resume, killed each time, until the run is done or there are no more moments. Gives what was seen."""
    seen = {"kills": 0, "while saving": 0, "from": []}
    log = directory.parent / "log.txt"

    def play(**how):
        begun = (directory / "recipe.yaml").is_file() and (directory / "recipe.yaml").stat().st_size
        again = [] if any(directory.glob("checkpoints/step-*")) else ["--restart"]
        command = ["resume", directory.name, *again] if begun else ["run", "everything.yaml", "--out", directory.name]
        if directory.exists() and not begun:  # killed before there was anything
            ended = start("resume", directory.name, *words)
            assert ended.status == 2
            assert re.search("killed before it started|is (no|not a) run directory", log.read_text().splitlines()[-1])
            shutil.rmtree(directory)
        return start(*command, *words, **how).status

    status = -signal.SIGKILL
    for how in moments:
        status = play(**how)
        assert status in (0, -signal.SIGKILL), log.read_text()
        if status == 0:
            break
        seen["kills"] += 1
        seen["while saving"] += any(directory.glob("checkpoints/.step-*"))
        seen["from"].append(require_whole(directory))
    if status != 0:
        assert play() == 0, log.read_text()
    return seen


def at_random(seconds, count, kills):
    return [{"kill_after": kills.random() * seconds} for _ in range(count)]


def test_killed_at_three_random_moments(start, words, whole, tmp_path, outcome, require_whole):
    kills, done, rounds = random.Random(), 0, 0
    while done < 3:
        directory = tmp_path / f"parts{rounds}"
        done += kill_again_and_again(
            start, words, directory, at_random(whole[0].seconds, 3 - done, kills), require_whole
        )["kills"]
        assert outcome(directory) == whole[1]
        rounds += 1


@pytest.mark.slow
def test_killed_at_fifty_random_moments(start, words, whole, tmp_path, outcome, require_whole):
    kills, seconds, done, saving, rounds = random.Random(), whole[0].seconds, 0, 0, 0
    froms = set()
    while done < 50:
        directory = tmp_path / f"parts{rounds}"
        seen = kill_again_and_again(start, words, directory, at_random(seconds, 50 - done, kills), require_whole)
        done, saving, rounds = done + seen["kills"], saving + seen["while saving"], rounds + 1
        froms |= set(seen["from"])
        assert outcome(directory) == whole[1]
    print(
        f"\n{done} kills in {rounds} runs of {seconds:.2f} s, {saving} of them while saving; resumed from {sorted(froms)}"
    )
    assert saving > 0


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(slice(3, None, 29), id="some", marks=pytest.mark.slow),
        pytest.param(slice(0, None), id="all", marks=pytest.mark.slow),
    ],
)
def test_killed_before_an_operation_on_files(start, words, whole, tmp_path, outcome, require_whole, part):
    """The first of them, the second, ... of all that a run does, the writing of checkpoints included."""
    moments = range(1, whole[0].operations + 1)[part]
    saving = 0
    for moment in moments:
        directory = tmp_path / f"parts{moment}"
        seen = kill_again_and_again(start, words, directory, [{"kill_at": moment}], require_whole)
        assert seen["kills"] == 1
        saving += seen["while saving"]
        assert outcome(directory) == whole[1], f"killed before operation {moment}"
        shutil.rmtree(directory)
    print(f"\n{len(moments)} kills, each before another operation on files; {saving} of them while saving")


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe(path, start, data, tmp_path, outcome, require_whole):
    """Steps 1 to 2N are N of them, a kill -9 at a random moment, and the rest."""
    words = [
        "image.size=32",
        "generator.width=4",
        "discriminator.width=4",
        "loader.batch_size=8",
        "train.steps=6",
        "train.device=cpu",
    ]
    listed = gankit.Recipe.load(path).callbacks
    index = next(index for index, callback in enumerate(listed) if callback.name == "checkpoint")
    words += [f"callbacks.{index}.every=3", "callbacks.0.every=3"]
    ended = start("run", path, *words, "--out", "whole")
    log = tmp_path / "log.txt"
    assert ended.status == 0, log.read_text()
    after = ended.seconds * random.uniform(0.3, 0.95)
    assert start("run", path, *words, "--out", "parts", kill_after=after).status in (-signal.SIGKILL, 0), (
        log.read_text()
    )
    killed_at = require_whole(tmp_path / "parts")
    again = ["--restart"] if killed_at < 0 else []
    assert start("resume", "parts", *again).status == 0, log.read_text()
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole"), f"resumed from step {killed_at}"
