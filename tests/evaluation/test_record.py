"""Records of evaluations: JSON, the log, and which scores are comparable."""

from __future__ import annotations

import json
import math

import pytest

import gankit
from gankit.evaluation.evaluation_log import append_evaluation, read_evaluations
from gankit.evaluation.record import Evaluation, differences

RECORD = {
    "at": "2026-01-01T00:00:00+00:00",
    "evaluated": {"kind": "run", "path": "a", "run": "a", "checkpoint": "step-00000003", "step": 3, "ema": True},
    "scores": {"fd_x": 1.5, "kid_x": 0.25},
    "metrics": {"fd": {"params": {}, "scores": ["fd_x"]}, "kid": {"params": {"subset_size": 10}, "scores": ["kid_x"]}},
    "features": {"name": "x", "params": {"layer": 2}, "hash": "aa", "resizer": "none"},
    "samples": 100,
    "real": {"dataset": "d", "params": {"root": None}, "split": "train", "count": 100, "fingerprint": "ff"},
    "image": {"height": 16, "width": 16, "channels": 3},
    "seed": 0,
    "precision": "fp32",
    "device": "cpu",
    "versions": {"gankit": "0"},
}


def record(**changes) -> Evaluation:
    """The record with parts of its sections replaced."""
    data = json.loads(json.dumps(RECORD))
    for key, value in changes.items():
        data[key] = data[key] | value if isinstance(value, dict) else value
    return Evaluation.model_validate(data)


def test_json_round_trip():
    one = record(scores={"fd_x": math.inf})
    again = Evaluation.model_validate(json.loads(json.dumps(one.model_dump(mode="json"))))
    assert again == one


def test_log_round_trip_after_a_partial_line(tmp_path):
    path = tmp_path / "deep" / "evaluations.jsonl"
    path.parent.mkdir()
    ones = [record(), record(scores={"fd_x": math.inf}), record(seed=5)]
    for one in ones:
        append_evaluation(path, one)
    assert read_evaluations(path) == ones
    with path.open("a") as file:
        file.write('{"cut sho')  # as after a crash
    append_evaluation(path, ones[0])
    assert read_evaluations(path) == [*ones, ones[0]]
    assert json.loads(path.read_text().splitlines()[0])["protocol"] == ones[0].protocol


def test_a_log_without_its_last_line_break_loses_nothing(tmp_path):
    path = tmp_path / "scores.jsonl"
    for one in (record(), record(seed=5)):
        append_evaluation(path, one)
    path.write_text(path.read_text().removesuffix("\n"))  # as some editors save it
    append_evaluation(path, record(seed=6))
    assert read_evaluations(path) == [record(), record(seed=5), record(seed=6)]


@pytest.mark.parametrize("text", ["notes on one line", "notes\non two lines", '{"a": 1}\nmore', "[1,\n2]"])
def test_another_file_is_not_changed(tmp_path, text, cli):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(gankit.GankitError, match="is not a log of evaluations; choose another file"):
        append_evaluation(path, record())
    said = cli("eval", "builtin:cifar10", "--out", path)  # refused before anything is computed
    assert (said.code, "notes.txt: is not a log of evaluations" in said.err) == (2, True)
    assert path.read_text() == text


def test_a_missing_log_is_empty(tmp_path):
    assert read_evaluations(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [("nonsense\n", "cannot be read: .*delete the damaged line"), ('{"at": "x"}\n', "not an evaluation: evaluated: ")],
)
def test_a_damaged_log(tmp_path, line, message):
    path = tmp_path / "evaluations.jsonl"
    path.write_text(line)
    with pytest.raises(gankit.GankitError, match=message):
        read_evaluations(path)


def test_a_log_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(gankit.GankitError, match=r"scores\.jsonl: cannot be written"):
        append_evaluation(tmp_path / "file" / "scores.jsonl", record())


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluated": {"path": "b", "step": 9, "ema": False}},
        {"seed": 1},
        {"device": "cuda"},
        {"versions": {"gankit": "1"}},
        {"real": {"params": {"root": "elsewhere"}}},
        {"scores": {"fd_x": 99.0}},
        {"at": "2027-01-01T00:00:00+00:00"},
    ],
)
def test_fields_outside_the_protocol(changes):
    assert differences("fd_x", record(), record(**changes)) == {}
    assert record().protocol == record(**changes).protocol


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"samples": 50}, {"samples": (100, 50)}),
        ({"precision": "bf16"}, {"precision": ("fp32", "bf16")}),
        ({"features": {"hash": "bb"}}, {"features.hash": ("aa", "bb")}),
        ({"features": {"resizer": "other"}}, {"features.resizer": ("none", "other")}),
        ({"features": {"params": {"layer": 3}}}, {"x.layer": (2, 3)}),
        ({"features": {"params": {}}}, {"x.layer": (2, None)}),
        ({"real": {"fingerprint": "00"}}, {"real.fingerprint": ("ff", "00")}),
        ({"real": {"fingerprint": "00", "split": "test"}}, {"real.split": ("train", "test")}),
        ({"real": {"fingerprint": "00", "dataset": "e"}}, {"real.dataset": ("d", "e")}),
        ({"real": {"fingerprint": "00", "count": 9}}, {"real.count": (100, 9)}),
        (
            {"real": {"fingerprint": "00"}, "image": {"height": 8, "width": 8}},
            {"image.height": (16, 8), "image.width": (16, 8)},
        ),
    ],
)
def test_fields_of_the_protocol(changes, expected):
    one, other = record(), record(**changes)
    assert differences("fd_x", one, other) == expected
    assert differences("fd_x", other, one) == {name: pair[::-1] for name, pair in expected.items()}
    assert one.protocol["fd_x"] != other.protocol["fd_x"]


def test_parameters_of_a_metric_concern_its_own_scores_only():
    other = record(metrics={"kid": {"params": {"subset_size": 20}, "scores": ["kid_x"]}})
    assert differences("kid_x", record(), other) == {"kid.subset_size": (10, 20)}
    assert differences("fd_x", record(), other) == {}


def test_other_metrics_do_not_change_the_protocol():
    alone = record()
    alone = alone.model_copy(update={"scores": {"fd_x": 1.5}, "metrics": {"fd": alone.metrics["fd"]}})
    assert alone.protocol["fd_x"] == record().protocol["fd_x"]


def test_the_key_of_a_protocol_does_not_depend_on_the_order_of_parameters():
    one = record(features={"params": {"a": 1, "b": 2}})
    other = record(features={"params": {"b": 2, "a": 1}})
    assert list(one.features.params) != list(other.features.params)
    assert one.protocol == other.protocol


def test_features_may_be_missing_only_for_metrics_of_pairs():
    pairs = {"psnr": {"params": {}, "scores": ["psnr"], "pairs": True, "hash": None}}
    data = RECORD | {"scores": {"psnr": 20.0}, "metrics": pairs, "features": None}
    one = Evaluation.model_validate(data)
    assert not any(key.startswith("features") for key in one.protocol_of("psnr"))
    again = Evaluation.model_validate(data | {"features": RECORD["features"]})
    assert again.protocol == one.protocol
    pairs["psnr"]["hash"] = "ab"
    other = Evaluation.model_validate(data)
    assert differences("psnr", one, other) == {"psnr.hash": (None, "ab")}
    with pytest.raises(ValueError, match="the features are missing"):
        record(features=None)


def test_the_inputs_of_generated_images_are_a_part_of_the_protocol():
    one, other = record(real={"inputs": "aa"}), record(real={"inputs": "bb"})
    assert differences("fd_x", one, other) == {"real.inputs": ("aa", "bb")}
    other = record(real={"inputs": "bb", "fingerprint": "gg", "count": 90})
    assert differences("fd_x", one, other) == {"real.count": (100, 90)}
    other = record(real={"inputs": "aa", "fingerprint": "gg", "count": 90})
    assert differences("fd_x", one, other) == {"real.count": (100, 90)}


def test_keys_of_protocols_have_not_changed():
    """Records of earlier versions stay comparable with new ones."""
    assert record().protocol == {"fd_x": "396392797ace", "kid_x": "c7ceffa16a31"}
