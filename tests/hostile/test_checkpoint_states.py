"""Untrusted ``state.pt`` files: each fault gives one error, and no code is executed."""

from __future__ import annotations

import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gankit
from gankit import CheckpointError
from gankit.runs.checkpoint import Checkpoint

NAME = "step-00000003"


@pytest.fixture(autouse=True)
def _bounded(within):
    with within(10, 1024):
        yield


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value, value]
    return value


class TestStates:
    @pytest.mark.parametrize(
        ("harm", "message"),
        [
            pytest.param(lambda state: nested(40), "has more than 2,000,000 values", marks=pytest.mark.slow),  # so does the next
            (lambda state: state | {"callbacks": nested(40)}, "has more than 2,000,000 values"),
            (lambda state: state | {"x": torch.zeros(1).expand(2**20, 2**20)}, "is larger than its stored data"),
            (lambda state: state | {"x": torch.zeros(2**40, device="meta")}, "is larger than its stored data"),
            (lambda state: state | {"x": torch.sparse_coo_tensor(torch.zeros(2, 1), [1.0], (2**30, 2**30))}, "cannot be read as plain data and tensors"),
            (lambda state: state | {"seconds": "x"}, "could not convert"),
            (lambda state: state | {"events_bytes": []}, "its state does not fit"),
            (lambda state: state | {"callbacks": 3}, ""),
            (lambda state: state | {"callbacks": {"metrics_log": 3}}, ""),
            (lambda state: state | {"components": []}, ""),
            (lambda state: state | {"training": state["training"] | {"step": -1}}, "-1 is not a valid count"),
            (lambda state: state | {"training": state["training"] | {"position": 2**64}}, "is not a valid count"),
            (lambda state: state | {"training": state["training"] | {"images": float("inf")}}, "does not fit these networks"),
            (lambda state: state | {"training": state["training"] | {"skipped": 3}}, "does not fit these networks"),
            (lambda state: state | {"training": state["training"] | {"optimizers": {"generator": "x", "discriminator": "x"}}}, "does not fit these networks"),
        ],
    )  # fmt: skip
    def test_states_of_other_content(self, run, harm, message, rehash):
        checkpoint = run / "checkpoints" / NAME
        torch.save(harm(torch.load(checkpoint / "state.pt", weights_only=True)), checkpoint / "state.pt")
        rehash(checkpoint)
        if message:
            with pytest.raises(CheckpointError, match=message):
                gankit.Runtime().resume(run)
        else:
            with suppress(CheckpointError):
                gankit.Runtime().resume(run)

    def test_optimizer_states_of_other_shapes(self, run, rehash):
        checkpoint = run / "checkpoints" / NAME
        state = torch.load(checkpoint / "state.pt", weights_only=True)
        moments = state["training"]["optimizers"]["generator"]["state"]
        moments[0]["exp_avg"] = torch.zeros(7)
        torch.save(state, checkpoint / "state.pt")
        rehash(checkpoint)
        with pytest.raises(CheckpointError, match=r"'exp_avg' has the shape torch.Size\(\[7\]\) for a parameter of \["):
            gankit.Runtime().resume(run)

    def test_compressed_states_are_refused(self, run, rehash):
        checkpoint = run / "checkpoints" / NAME
        file = checkpoint / "state.pt"
        with zipfile.ZipFile(file) as archive:
            entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        large = max((name for name in entries if "/data/" in name), key=lambda name: len(entries[name]))
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries.items():
                if name == large:
                    with archive.open(name, "w", force_zip64=True) as entry:
                        for _ in range(200):
                            entry.write(bytes(2**20))
                else:
                    archive.writestr(name, content)
        assert file.stat().st_size < 2**21
        rehash(checkpoint)
        with pytest.raises(CheckpointError, match="it is compressed, which torch.save never does"):
            gankit.Runtime().resume(run)

    @pytest.mark.parametrize(
        "code",
        [
            b"cos\nsystem\n(S'touch owned'\ntR.",
            b"\x80\x02cbuiltins\neval\n(X\x1a\x00\x00\x00open('owned','w').write('')tR.",
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0btouch owned\x85R.",
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(cos\nsystem\n(S'touch owned'\ntRtR.",
            b"\x80\x02ctorch\nload\n(S'/dev/zero'\ntR.",
            b"\x80\x02}(X\x01\x00\x00\x00x" + b"(" * 500_000 + b".",
        ],
        ids=["system", "eval", "stack_global", "nested", "torch.load", "marks"],
    )
    def test_code_is_not_executed(self, run, code, rehash):
        checkpoint = run / "checkpoints" / NAME
        with zipfile.ZipFile(checkpoint / "state.pt", "w") as archive:
            for name, content in (("data.pkl", code), ("byteorder", b"little"), ("version", b"3\n")):
                archive.writestr(f"state/{name}", content)
        rehash(checkpoint)
        with pytest.raises(CheckpointError, match="cannot be read as plain data and tensors: "):
            gankit.Runtime().resume(run)
        assert not Path("owned").exists()

    @pytest.mark.parametrize("content", [b"", b"PK\3\4", pickle.dumps({"training": {}}), b"\0" * 10_000])
    def test_files_that_are_not_archives(self, run, content, rehash):
        (run / "checkpoints" / NAME / "state.pt").write_bytes(content)
        rehash(run / "checkpoints" / NAME)
        with pytest.raises(CheckpointError, match="cannot be read as plain data and tensors: "):
            gankit.Runtime().resume(run)

    def test_random_bytes(self, run, rehash):
        checkpoint = run / "checkpoints" / NAME
        content = (checkpoint / "state.pt").read_bytes()
        random = np.random.default_rng(0)
        for _ in range(60):
            harmed = bytearray(content)
            for place in random.integers(len(content), size=random.integers(1, 4)):
                harmed[place] = random.integers(256)
            (checkpoint / "state.pt").write_bytes(harmed)
            rehash(checkpoint)
            opened = Checkpoint.open(checkpoint)
            with suppress(CheckpointError):
                opened.load_state()
