"""Writing files and folders as a whole."""

from __future__ import annotations

import pytest
import torch
from safetensors import SafetensorError

import gankit
from gankit.files import output_file, save_safetensors, write_failure


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("I/O error: No space left on device (os error 28)", "No space left on device; free some space there"),
        ("Error while serializing: something else", "Error while serializing: something else"),
    ],
)
def test_errors_of_safetensors_are_explained(tmp_path, monkeypatch, message, reason):
    def fail(*args, **options):
        raise SafetensorError(message)

    monkeypatch.setattr("safetensors.torch.save_file", fail)
    with pytest.raises(gankit.GankitError) as caught, output_file(tmp_path / "x.safetensors") as temporary:
        save_safetensors({"x": torch.zeros(1)}, temporary)
    assert str(caught.value) == f"{tmp_path / 'x.safetensors'}: cannot be written: {reason}"
    assert [*tmp_path.iterdir()] == []


def test_an_error_without_a_number_has_no_remedy():
    assert write_failure("x", OSError("it is odd")) == "x: cannot be written: it is odd"


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "folder"
    with gankit.whole_folder(path) as new:
        (new / "a").write_text("1")
    with pytest.raises(FileNotFoundError), gankit.whole_folder(path) as new:
        (new / "missing" / "a").write_text("2")
    assert (path / "a").read_text() == "1"
    with gankit.whole_folder(path) as new:
        (new / "b").write_text("3")
    assert [file.name for file in path.iterdir()] == ["b"]
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
