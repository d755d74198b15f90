"""Environment variables that commands read."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT", "TORCHELASTIC_RESTART_COUNT"])
@pytest.mark.parametrize("value", ["abc", "-1", "1e9", "1.0"])
def test_a_variable_of_torchrun_that_is_not_a_number(cli, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    message = f"error: the environment variable {name} should be a whole number; got '{value}'; unset it\n"
    assert cli("list", "losses") == (2, "", message)
    monkeypatch.setenv(name, "")
    assert cli("list", "losses").code == 0


def test_a_rank_beyond_the_number_of_processes(cli, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    assert cli("list", "losses") == (2, "", "error: the environment variable RANK is 2, but WORLD_SIZE is 2\n")
    monkeypatch.setenv("RANK", "0")
    assert cli("list", "losses").code == 0


@pytest.mark.parametrize("size", ["0", "00", "", "wide"])
def test_the_size_of_a_terminal(cli, monkeypatch, size):
    expected = cli("list", "losses"), cli("check", "nowhere.yaml")
    assert [said.code for said in expected] == [0, 2]
    assert "nowhere.yaml" in expected[1].err
    monkeypatch.setenv("COLUMNS", size)
    monkeypatch.setenv("LINES", size)
    assert (cli("list", "losses"), cli("check", "nowhere.yaml")) == expected
