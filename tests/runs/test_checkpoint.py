"""Checkpoints: complete or absent, and with a state that can be loaded again."""

from __future__ import annotations

import enum
import errno
import json
import os
from collections import OrderedDict, defaultdict, namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import gankit
from gankit import CheckpointError
from gankit.runs.checkpoint import Checkpoint, find_checkpoint
from gankit.runs.file_names import checkpoints
from gankit.runs.json_lines import read_log
from gankit.runs.save_checkpoint import save_checkpoint

Pair = namedtuple("Pair", "a b")


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


def save(folder: Path, step: int = 1, state: dict | None = None, network: nn.Module | None = None) -> Path:
    return save_checkpoint(folder, step, {"generator": network or nn.Linear(2, 2)}, state or {}, {"about": 1})


class TestState:
    def test_plain_data_and_tensors_are_restored(self, tmp_path):
        state = {
            "n": None, "flag": True, "int": 2**70, "float": 0.1, "text": "é", "bytes": b"x", "list": [1, (2, 3)], 7: "key",
            "nested": OrderedDict(a=torch.arange(3)), "parameter": nn.Parameter(torch.ones(2)), "half": torch.ones(2).bfloat16(),
        }  # fmt: skip
        again = Checkpoint.open(save(tmp_path, state=state)).load_state()
        for key, value in state.items():
            if key in ("nested", "parameter", "half"):
                continue
            assert again[key] == value
            assert type(again[key]) is type(value)
        assert torch.equal(again["nested"]["a"], torch.arange(3))
        assert torch.equal(again["parameter"], torch.ones(2))
        assert again["half"].dtype == torch.bfloat16

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (np.float64(1), "float64"),  # an instance of float that weights_only refuses
            (np.int64(1), "int64"),
            (np.ones(2), "ndarray"),
            (Pair(1, 2), "Pair"),
            (Level.LOW, "Level"),
            (Text("x"), "Text"),
            (defaultdict(int), "defaultdict"),
            ({1, 2}, "set"),
            (Path("x"), "PosixPath"),
            (print, "builtin_function_or_method"),
        ],
    )
    def test_other_types_are_refused_before_anything_is_written(self, tmp_path, value, kind):
        with pytest.raises(
            CheckpointError, match=rf"state\.a\.0: a {kind} cannot be saved; use plain data and tensors"
        ):
            save(tmp_path, state={"a": [value]})
        with pytest.raises(CheckpointError, match="cannot be saved"):
            save(tmp_path, state={"a": {Level.LOW: 1}})
        assert not (tmp_path / "checkpoints").exists()


class TestWeights:
    def test_tied_weights_are_stored_once_and_restored(self, tmp_path):
        class Tied(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.one, self.other = nn.Linear(64, 64), nn.Linear(64, 64)
                self.other.weight = self.one.weight

        network, again = Tied(), Tied()
        path = save(tmp_path, network=network)
        assert (path / "generator.safetensors").stat().st_size < 1.5 * 64 * 64 * 4
        with safe_open(path / "generator.safetensors", "pt") as file:  # format 1, as written by gankit 0.1.0
            assert file.metadata() == {"tied:other.weight": "one.weight"}
            assert "other.weight" not in file.keys()  # noqa: SIM118  # not a mapping
        Checkpoint.open(path).load_network("generator", again)
        assert torch.equal(again.other.weight, network.one.weight)

    def test_overlapping_tensors_and_other_memory_layouts(self, tmp_path):
        class Views(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                memory = torch.randn(4, 6)
                self.register_buffer("whole", memory)
                self.register_buffer("part", memory[1:3])
                self.register_buffer("flat", memory.view(-1))
                self.register_buffer("transposed", memory.t())
                self.register_buffer("empty", torch.empty(0))
                self.register_buffer("number", torch.tensor(3))
                self.conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)

        network, again = Views(), Views()
        Checkpoint.open(save(tmp_path, network=network)).load_network("generator", again)
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, again.state_dict()[name]), name

    def test_state_dicts_with_other_values_than_tensors_are_refused(self, tmp_path):
        class Extra(nn.Linear):
            def get_extra_state(self) -> dict[str, int]:
                return {"x": 1}

        with pytest.raises(CheckpointError, match="'_extra_state' in its state dict is a dict, not a tensor"):
            save(tmp_path, network=Extra(2, 2))
        assert list((tmp_path / "checkpoints").iterdir()) == []

    def test_a_renamed_checkpoint_is_refused(self, tmp_path):
        path = save(tmp_path, 8)
        with pytest.raises(CheckpointError, match="step-00000099: is the checkpoint of step 8; rename it to step-00000008"):
            Checkpoint.open(path.rename(path.with_name("step-00000099")))

    def test_other_networks_are_refused(self, tmp_path):
        found = Checkpoint.open(save(tmp_path))
        with pytest.raises(CheckpointError, match=r"generator.safetensors: does not fit this network: .*size mismatch"):
            found.load_network("generator", nn.Linear(3, 2))
        with pytest.raises(CheckpointError, match="lacks discriminator.safetensors"):
            found.load_network("discriminator", nn.Linear(2, 2))


class TestFolders:
    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, "No space left on device"),
            RuntimeError("PytorchStreamWriter failed writing file data/0:\n No space left on device"),
        ],
    )
    @pytest.mark.parametrize("where", ["save_file", "torch.save"])
    def test_a_full_disk_leaves_earlier_checkpoints_unchanged(self, tmp_path, monkeypatch, error, where):
        earlier = save(tmp_path, 1)

        def full(*args: object, **options: object) -> None:
            raise error

        if where == "save_file":
            monkeypatch.setattr("gankit.runs.weights.save_safetensors", full)
        else:
            monkeypatch.setattr(torch, "save", full)
        with pytest.raises(
            CheckpointError,
            match=r"step-00000002: cannot be written: .*No space left on device; earlier checkpoints are complete",
        ) as caught:
            save(tmp_path, 2)
        assert len(str(caught.value).splitlines()) == 1
        assert list((tmp_path / "checkpoints").iterdir()) == [earlier]
        Checkpoint.open(earlier)

    def test_an_interrupted_save_leaves_no_files(self, tmp_path, monkeypatch):
        def interrupt(*args: object, **options: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("gankit.runs.weights.save_safetensors", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(tmp_path)
        assert list((tmp_path / "checkpoints").iterdir()) == []

    def test_unfinished_checkpoints_are_removed_by_the_next_save(self, tmp_path):
        left = tmp_path / "checkpoints" / ".step-00000001.4242"
        left.mkdir(parents=True)
        (left / "generator.safetensors").write_bytes(b"half")
        assert checkpoints(tmp_path) == []
        saved = save(tmp_path, 2)
        assert list((tmp_path / "checkpoints").iterdir()) == [saved]

    def test_saving_a_step_again_replaces_it(self, tmp_path):
        network = nn.Linear(2, 2)
        save(tmp_path, 3)
        path = save(tmp_path, 3, network=network)
        again = nn.Linear(2, 2)
        Checkpoint.open(path).load_network("generator", again)
        assert torch.equal(again.weight, network.weight)

    def test_checkpoints_are_sorted_by_step_and_other_files_ignored(self, tmp_path):
        paths = [save(tmp_path, step) for step in (5, 99_999_999, 100_000_000)]
        for other in ("step-old", "step-", "step-00000006.bak", "other"):
            (tmp_path / "checkpoints" / other).mkdir()
        (tmp_path / "checkpoints" / "step-00000007").write_text("a file")
        assert checkpoints(tmp_path) == paths
        assert find_checkpoint(tmp_path) == paths[-1]
        assert find_checkpoint(paths[0]) == paths[0]

    def test_the_manifest_lists_all_files_and_the_given_entries(self, tmp_path):
        path = save(tmp_path, 12)
        manifest = json.loads((path / "manifest.json").read_text())
        assert (manifest["format"], manifest["step"], manifest["about"]) == (1, 12, 1)
        assert sorted([*manifest["files"], "manifest.json"]) == sorted(file.name for file in path.iterdir())


class TestAdvice:
    """Deleting a checkpoint is advised only if it is known to be damaged."""

    @pytest.fixture
    def run(self, trained_run, tmp_path):
        return tmp_path / trained_run()

    def refusal(self, runtime, run):
        with pytest.raises(gankit.CheckpointError) as error:
            runtime.resume(run)
        return str(error.value)

    @pytest.mark.parametrize("damage", ["other bytes", "missing file", "cut manifest"])
    def test_a_damaged_checkpoint_is_to_be_deleted(self, run, tiny_runtime, damage):
        newest = checkpoints(run)[-1]
        if damage == "other bytes":
            (newest / "state.pt").write_bytes(b"x")
        elif damage == "missing file":
            (newest / "state.pt").unlink()
        else:
            (newest / "manifest.json").write_text('{"format": 1, ')
        assert f"to train from the start with --restart, delete {newest} and" in self.refusal(tiny_runtime, run)

    def test_a_newer_format_asks_for_a_newer_version(self, run, tiny_runtime):
        manifest = checkpoints(run)[-1] / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 2'))
        said = self.refusal(tiny_runtime, run)
        assert said.endswith("reads format 1; a newer version wrote the checkpoint: update gankit")
        assert "delete" not in said

    @pytest.mark.parametrize(
        ("number", "advice"),
        [(errno.EACCES, "change its permissions, or use"), (errno.EIO, "check the disk or network, and try again")],
    )
    @pytest.mark.parametrize("name", ["manifest.json", "state.pt", "generator.safetensors"])
    def test_a_file_that_cannot_be_read_is_not_called_damaged(
        self, run, tiny_runtime, monkeypatch, name, number, advice
    ):
        real = os.open

        def failing(path, *args, **kwargs):
            if str(path).endswith(name):
                raise OSError(number, os.strerror(number), str(path))
            return real(path, *args, **kwargs)

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", failing)
            said = self.refusal(tiny_runtime, run)
        assert name in said
        assert advice in said
        assert "delete" not in said
        assert tiny_runtime.resume(run).state.step == 3

    def test_a_folder_of_checkpoints_that_cannot_be_read_is_not_empty(self, run, tiny_runtime, monkeypatch):
        real = Path.iterdir

        def failing(path):
            if path.name == "checkpoints":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return real(path)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "iterdir", failing)
            assert "checkpoints: cannot be read: permission denied" in self.refusal(tiny_runtime, run)

    def test_a_log_that_cannot_be_read_is_not_called_damaged(self, tmp_path, monkeypatch):
        (tmp_path / "log.jsonl").write_text("{}\n")

        def failing(*args, **kwargs):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", failing)
            with pytest.raises(gankit.GankitError, match="check the disk or network, and try again"):
                list(read_log(tmp_path / "log.jsonl"))
        assert list(read_log(tmp_path / "log.jsonl")) == [{}]


def test_all_files_of_a_run_have_the_usual_permissions(trained_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = trained_run()
    usual = (run / "recipe.yaml").stat().st_mode
    assert len([*run.rglob("*.safetensors")]) >= 2
    assert {path for path in run.rglob("*") if path.is_file() and path.stat().st_mode != usual} == set()
