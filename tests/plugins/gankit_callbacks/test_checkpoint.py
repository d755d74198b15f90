from pathlib import Path
from typing import Any

import pytest

from gankit_callbacks.checkpoint import Checkpoint


def test_saves_every_so_many_steps(make_run: Any) -> None:
    run = make_run(total_steps=10)
    list(run.play(Checkpoint(every=4)))
    assert run.saves == [4, 8]


def saved(run: Any, step: int) -> Path:
    run.checkpoint = run.directory / "checkpoints" / f"step-{step:08d}"
    run.checkpoint.mkdir(parents=True)
    (run.checkpoint / "manifest.json").write_text("{}")
    return run.checkpoint


def kept(run: Any) -> list[str]:
    return sorted(path.name for path in (run.directory / "checkpoints").iterdir())


@pytest.mark.parametrize(
    ("keep", "expected"), [(1, [5]), (3, [3, 4, 5]), (4, [2, 3, 4, 5]), (9, [1, 2, 3, 4, 5]), (None, [1, 2, 3, 4, 5])]
)
def test_the_newest_are_kept(make_run: Any, keep: int | None, expected: list[int]) -> None:
    run, callback = make_run(), Checkpoint(keep=keep)
    for step in range(1, 6):
        saved(run, step)
        callback.on_checkpoint(run)
    assert kept(run) == [f"step-{step:08d}" for step in expected]


def test_age_is_counted_in_steps_not_in_letters(make_run: Any) -> None:
    run = make_run()
    for step in (99_999_999, 100_000_000):
        saved(run, step)
    Checkpoint(keep=1).on_checkpoint(run)
    assert kept(run) == ["step-100000000"]


def test_the_one_just_written_stays_whatever_lies_beside_it(make_run: Any) -> None:
    run = make_run()
    for step in (7, 8, 9, 2):
        saved(run, step)
    Checkpoint(keep=2).on_checkpoint(run)
    assert kept(run) == ["step-00000002", "step-00000008", "step-00000009"]


def test_nothing_else_is_touched(make_run: Any, tmp_path: Path) -> None:
    run = make_run()
    others = ["step-1", "step-0000000x", "best", "my-step-00000001", "step-00000001.bak", ".step-00000001.42"]
    folder = run.directory / "checkpoints"
    for name in others:
        (folder / name).mkdir(parents=True)
    (folder / "step-00000003").write_text("a file")
    elsewhere = run.directory / "elsewhere"
    elsewhere.mkdir()
    (folder / "step-00000004").symlink_to(elsewhere)
    for step in (5, 6):
        saved(run, step)
    Checkpoint(keep=1).on_checkpoint(run)
    assert kept(run) == sorted([*others, "step-00000003", "step-00000004", "step-00000006"])
    assert elsewhere.is_dir()
