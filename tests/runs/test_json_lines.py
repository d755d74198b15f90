"""Logs with one JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from gankit import GankitError, JsonLines


def test_objects_are_read_as_written(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl")
    records = [{"step": 1, "text": "é\n", "list": [1, {"x": None}]}, {"step": 2}]
    for record in records:
        log.append(record)
    log.close()
    assert list(JsonLines.read(tmp_path / "log.jsonl")) == records
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 2


def test_lines_are_strict_json_for_all_values(tmp_path):
    log = JsonLines(tmp_path / "log.jsonl")
    log.append(
        {
            "nan": float("nan"),
            "inf": [float("-inf")],
            "tensor": torch.tensor(1.5),
            "numpy": np.float32(2.5),
            "count": np.int64(3),
            "lost": torch.tensor(float("nan")),
            "path": Path("a"),
            "several": torch.ones(2),
            3: "three",
        }
    )
    log.close()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    record = json.loads(line, parse_constant=refuse)
    assert isinstance(record.pop("several"), str)
    assert record == {
        "nan": "nan", "inf": ["-inf"], "tensor": 1.5, "numpy": 2.5, "count": 3, "lost": "nan", "path": "a", "3": "three",
    }  # fmt: skip


def test_it_is_truncated_to_its_length_at_a_checkpoint(tmp_path):
    path = tmp_path / "log.jsonl"
    log = JsonLines(path)
    log.append({"step": 1})
    kept = log.sync()
    log.append({"step": 2})
    log.close()
    assert kept == len('{"step": 1}\n')
    log = JsonLines(path, keep_bytes=kept)
    log.append({"step": 3})
    log.close()
    assert [record["step"] for record in JsonLines.read(path)] == [1, 3]
    JsonLines(path, keep_bytes=10**9).close()  # longer than the file, which stays as it is
    assert path.stat().st_size == 2 * kept


def test_an_incomplete_last_line_is_ignored(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step":')
    assert list(JsonLines.read(path)) == [{"step": 1}]
    assert list(JsonLines.read(tmp_path / "none.jsonl")) == []


def test_a_line_that_does_not_fit_leaves_no_part_of_it(tmp_path):
    resource = pytest.importorskip("resource")
    path = tmp_path / "log.jsonl"
    log = JsonLines(path)
    log.append({"step": 1})
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, hard))
    try:
        with pytest.raises(GankitError, match=r"log\.jsonl: cannot be written"):
            log.append({"text": "x" * 100})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    log.append({"step": 2})
    assert [line["step"] for line in JsonLines.read(path)] == [1, 2]
