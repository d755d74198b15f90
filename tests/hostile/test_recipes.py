"""Recipes mutated at random, and recipes made to use much time or memory."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gankit
from gankit import RecipeError

Within = Callable[[float, int], AbstractContextManager[None]]

FUZZ = Path(__file__).parent / "fuzz_recipes.py"
QUICKSTART = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    """The script as a module; it imports another of its folder, as it does when it is run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FUZZ.parent)
        return importlib.import_module("fuzz_recipes")


def run_fuzzer(first: int, count: int) -> tuple[dict[str, Any], list[str]]:
    """Run ``count`` cases from ``first`` in a new process. Returns: the summary, and one line for each fault."""
    finished = subprocess.run(
        [sys.executable, FUZZ, str(first), str(count)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    *faults, summary = finished.stdout.splitlines()
    return json.loads(summary), faults


class TestMutations:
    def test_thirty_cases(self, fuzz, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)  # so that it is changed back
        handler = signal.getsignal(signal.SIGALRM)
        try:
            *faults, summary = fuzz.play(tmp_path, 0, 30)
        finally:
            signal.signal(signal.SIGALRM, handler)
        assert not faults
        assert summary["accepted"] > 0
        assert summary["refused"] > 15

    @pytest.mark.slow
    def test_ten_thousand_cases(self):
        for first in range(0, 10_000, 2_500):
            summary, faults = run_fuzzer(first, 2_500)
            assert not faults, "\n".join(faults)
            assert summary["accepted"] + summary["refused"] == 2_500
            assert summary["peak_mib"] < 2_048

    def test_cases_are_reproducible(self, fuzz):
        runtime = gankit.Runtime()
        cases = [fuzz.case(number, runtime) for number in range(40)]
        assert cases == [fuzz.case(number, runtime) for number in range(40)]
        assert len(set(map(repr, cases))) > 30

    @pytest.mark.parametrize(
        ("answer", "fault"),
        [
            (ValueError("no"), "ValueError: no"),
            (RecipeError([]), "a problem without place"),
            (RecipeError([gankit.errors.Problem("", "seed", "no")]), "a problem without place"),
            (RecipeError([gankit.errors.Problem("r.yaml:1:1", "seed", "no")]), ""),
            (SystemExit(0), "SystemExit"),
            (lambda: os.close(os.open(os.devnull, os.O_WRONLY)), "open "),
            (lambda: os.system("true"), "os.system"),
        ],
    )  # fmt: skip
    def test_violations_are_detected(self, fuzz, tmp_path, answer, fault):
        class Runtime:
            def load(self, path: Path, words: list[str]) -> None:
                if isinstance(answer, BaseException):
                    raise answer
                answer()
                raise RecipeError([gankit.errors.Problem("r.yaml:1:1", "", "no")])

        monitor = fuzz.AuditMonitor()
        found = fuzz.load_and_check(tmp_path / "r.yaml", [], Runtime(), monitor)[1]
        assert found.startswith(fault) if fault else not found


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: Within) -> Any:
    """``refused(text, words) -> messages``: the problems of an invalid recipe, with bounds on time and memory."""
    monkeypatch.chdir(tmp_path)
    runtime = gankit.Runtime()

    def load(text: str, words: list[str] | None = None) -> list[str]:
        Path("r.yaml").write_text(text)
        with within(8, 1024), pytest.raises(RecipeError) as caught:
            runtime.load("r.yaml", words or [])
        messages = [str(problem) for problem in caught.value.problems]
        assert all(problem.place for problem in caught.value.problems)
        assert max(map(len, messages)) < 2_000
        return messages

    return load


def recipe(*changes: tuple[str, str], more: str = "") -> str:
    text = QUICKSTART.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text + more


class TestExpensiveRecipes:
    """Each of these once took minutes or gigabytes, did not end, or raised another exception."""

    def test_pipe_without_writer(self, refused):
        os.mkfifo("pipe")
        assert refused("extends: pipe\n") == ["r.yaml:1:10: extends: pipe: cannot be read: is not a regular file"]

    def test_many_keys_in_child_and_parent(self, refused):
        keys = "".join(f"k{index}: 1\n" for index in range(9_000))
        Path("parent.yaml").write_text(keys)
        found = refused("extends: parent.yaml\n" + keys)
        assert sum(": unknown key; known: " in line for line in found) == 9_000

    def test_many_large_parents(self, refused):
        for number in range(20):
            keys = "".join(f"k{number}_{index}: 1\n" for index in range(9_000))
            Path(f"p{number}.yaml").write_text((f"extends: p{number - 1}.yaml\n" if number else "") + keys)
        message = "p18.yaml:1:10: extends: the recipe and its parents have more than 20,000 values"
        assert refused("extends: p19.yaml\n") == [message]

    def test_long_key_with_many_duplicates(self, refused):
        assert "r.yaml:23:" in refused(recipe(more='? "' + "k" * 100_000 + '"\n: {' + "a: 1, " * 9_000 + "}\n"))[0]

    def test_huge_hexadecimal_number(self, refused):
        found = refused(recipe(("steps: 2000", "steps: 0x" + "f" * 100_000)))
        assert found[0].startswith("r.yaml:17:16: train.steps: should be a whole number; got '0xfff")
        assert len(found[0]) < 150

    def test_escape_outside_unicode(self, refused):
        assert refused(recipe(("steps: 2000", 'steps: "\\U00110000"')))[0].startswith("r.yaml:17:19: invalid YAML: ")

    @pytest.mark.parametrize("word", ["a." * 100_000 + "a=1", "train." + "a." * 2_000 + "a=1"])
    def test_deeply_nested_override(self, refused, word):
        assert "an override is KEY=VALUE, such as train.epochs=1" in refused(recipe(), [word])[0]

    @pytest.mark.parametrize(("key", "count"), [("callbacks", 6_000), ("regularizers", 40), ("augmentations", 9)])
    def test_many_components(self, refused, key, count):
        more = f"{key}: [{'{name: unknown}, ' * count}]\n"
        text = recipe(("regularizers:\n", "x:\n"), ("callbacks:\n", "y:\n"), more=more)
        assert sum("is called 'unknown'" in line for line in refused(text)) == count

    def test_many_transforms(self, refused):
        many = "{name: ColorJitter, brightness: 0.2}, " * 2_000
        assert (
            "augmentations.0.transforms: list should have at most 16 items"
            in refused(recipe(more=f"augmentations: [{{name: kornia, transforms: [{many}]}}]\n"))[0]
        )

    @pytest.mark.parametrize(
        "transform",
        [
            "{name: RandomMedianBlur, kernel_size: [501, 501]}",
            "{name: RandomResizedCrop, size: [60000, 60000]}",
        ],
    )
    def test_transform_that_needs_gigabytes(self, refused, transform):
        found = refused(recipe(more=f"augmentations: [{{name: kornia, transforms: [{transform}]}}]\n"))
        assert found[0].startswith("r.yaml:23:17: augmentations.0: ")

    @pytest.mark.parametrize("size", [1024, 16_384])
    def test_transform_of_large_images(self, tmp_path, size, within):
        path = tmp_path / "r.yaml"
        path.write_text(
            recipe(
                ("image: {size: 32}", f"image: {{size: {size}}}"),
                more="augmentations: [{name: kornia, transforms: [{name: ColorJitter, hue: 0.1}]}]\n",
            )
        )
        with within(8, 1024):
            gankit.Runtime().load(path)
