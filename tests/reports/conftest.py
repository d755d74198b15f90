"""Reports run in a temporary working directory, from small evaluations."""

from __future__ import annotations

import pytest

from gankit.evaluation.record import Evaluation


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))


@pytest.fixture
def record():
    """``record(**changes)``: a small evaluation with some fields replaced."""

    def make(**changes):
        data = {
            "at": "2026-01-01T00:00:00+00:00",
            "evaluated": {"kind": "training", "path": "a"},
            "scores": {"fd_x": 1.5, "kid_x": 0.25},
            "metrics": {"fd": {"params": {}, "scores": ["fd_x"], "better": {"fd_x": "lower"}},
                        "kid": {"params": {}, "scores": ["kid_x"]}},
            "features": {"name": "x", "params": {}, "hash": "aa", "resizer": "none"},
            "samples": 100,
            "real": {"dataset": "d", "params": {}, "split": "train", "count": 100, "fingerprint": "ff"},
            "image": {"height": 16, "width": 16, "channels": 3},
            "seed": 0, "precision": "fp32", "device": "cpu", "versions": {},
        }  # fmt: skip
        for key, value in changes.items():
            data[key] = data[key] | value if key == "evaluated" else value
        return Evaluation.model_validate(data)

    return make
