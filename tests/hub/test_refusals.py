"""What goes wrong with the Hub: one sentence each, in which the token never is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import gankit
from gankit.hub import push

pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of the library


@pytest.fixture
def said(cli, tiny_plugin_file):
    """The message of a command that fails, with the tiny plugin."""

    def fail(*words):
        done = cli(*words, "--plugin", tiny_plugin_file)
        assert done.code == 2
        assert done.err.count("\n") == 1
        assert "hf_" not in done.err.replace("hf_home", "")
        assert "Traceback" not in done.err
        return done.err

    return fail


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hub:me/nothing", "no such repository, or a private one; check the name, and log in"),
        ("hub:me/tiny@v9", "the repository has no such revision"),
        ("hub:me/tiny/sub", "is not a checkpoint of gankit: it lacks manifest.json"),
    ],
)
def test_missing_repositories_revisions_and_folders(hub, said, trained_run, tiny_runtime, tiny_recipe, tmp_path, name, message):
    push(trained_run(), "me/tiny", runtime=tiny_runtime)
    assert f"{name}: {message}" in said("sample", name)
    recipe = tiny_runtime.load_checked(tiny_recipe(tmp_path, initialize=name))
    with pytest.raises(gankit.RecipeError, match=r"tiny.yaml:\d+:\d+: initialize: .*" + message[:20]):
        tiny_runtime.assemble(recipe, "new")


@pytest.mark.parametrize("command", ["push", "sample"])
def test_a_token_that_the_hub_refuses(hub, said, trained_run, monkeypatch, command):
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    words = ("push", trained_run(), "me/tiny") if command == "push" else ("sample", "hub:me/tiny")
    assert "hub:me/tiny: the Hub refuses the token; log in with 'hf auth login', or set HF_TOKEN" in said(*words)


def test_a_token_that_the_hub_repeats(hub, said, trained_run):
    hub.failing.append(("create", 400, {"X-Error-Message": "the token hf_of_the_owner is strange"}))
    assert "the Hub refuses the request (HTTP 400: the token *** is strange)" in said("push", trained_run(), "me/tiny")


def test_no_token(hub, said, trained_run, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    message = "hub:me/tiny: an upload needs a token; log in with 'hf auth login', or set HF_TOKEN"
    assert message in said("push", trained_run(), "me/tiny")
    assert not hub.requests


@pytest.mark.parametrize("exists", [True, False])
def test_repositories_of_someone_else(hub, said, trained_run, exists):
    if exists:
        hub.add("someone/tiny")
    message = said("push", trained_run(), "someone/tiny")
    assert "hub:someone/tiny: the Hub refuses access: the token lacks the permission, or the repository belongs" in message


def test_repositories_with_other_files(hub, said, trained_run):
    hub.add("me/bert").commit("main", {"README.md": b"", "model.safetensors": b"x"})
    message = said("push", trained_run(), "me/bert")
    assert "holds other files (model.safetensors) and no checkpoint of gankit, and nothing is overwritten" in message
    assert hub.repositories["me/bert"].commits[hub.repositories["me/bert"].branches["main"]]["model.safetensors"] == b"x"


def test_private_repositories(hub, said, trained_run, tiny_runtime, monkeypatch):
    run = trained_run()
    push(run, "me/secret", private=True, runtime=tiny_runtime)
    push(run, "me/secret", private=True, runtime=tiny_runtime)
    assert hub.repositories["me/secret"].private
    push(run, "me/public", runtime=tiny_runtime)
    assert "hub:me/public: exists and is public; remove --private" in said("push", run, "me/public", "--private")
    monkeypatch.delenv("HF_TOKEN")
    assert "hub:me/secret: no such repository, or a private one" in said("sample", "hub:me/secret")


@pytest.mark.parametrize(
    ("status", "message"),
    [(409, "was changed by someone else at the same time; try again"), (429, "refuses more requests for now"), (500, "the Hub has a fault (HTTP 500")],
)
def test_answers_of_the_hub(hub, said, trained_run, monkeypatch, status, message):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the library tries again after some
    hub.failing.append(("/commit/", status, {}))
    assert message in said("push", trained_run(), "me/tiny")


@pytest.mark.parametrize("command", ["push", "sample"])
def test_no_network(hub, said, trained_run, monkeypatch, command):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}")
    words = ("push", trained_run(), "me/tiny") if command == "push" else ("sample", "hub:me/tiny")
    assert "hub:me/tiny: the Hub cannot be reached; check the network" in said(*words)


def test_offline(hub, said, trained_run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for words in (("sample", "hub:me/tiny"), ("push", trained_run(), "me/tiny")):
        assert "hub:me/tiny: HF_HUB_OFFLINE forbids requests to the Hub; unset it" in said(*words)


@pytest.mark.parametrize("name", ["tiny", "me/", "me/a/b", "me/a--b", "../x", "me/x y", "me/" + "x" * 100])
def test_names_that_are_not_of_a_repository(hub, said, trained_run, name):
    assert "is not the name of a repository; give owner/name" in said("push", trained_run(), name)
    assert not hub.requests


def test_other_arguments(hub, said, trained_run):
    run = trained_run()
    assert "missing: no such run or checkpoint" in said("push", "missing", "me/tiny")
    assert "license 'do what you want': should be an identifier" in said("push", run, "me/tiny", "--license", "do what you want")
    assert "--dry-run: uploads nothing; remove --message" in said("push", run, "me/tiny", "--dry-run", "y", "--message", "m")
    Path("full").mkdir()
    Path("full/file").touch()
    assert "full: exists already, and nothing is overwritten" in said("push", run, "me/tiny", "--dry-run", "full")
    assert not hub.repositories


def test_without_the_library(said, cli, tiny_plugin_file, trained_run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    run = trained_run()
    for name in [name for name in sys.modules if name.partition(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for words in (("push", run, "me/tiny"), ("sample", "hub:me/tiny")):
        assert "the Hugging Face Hub needs the package 'huggingface_hub'" in said(*words)
        assert "pip install 'gankit[hub]'" in said(*words)
    assert cli("push", run, "me/tiny", "--dry-run", "card", "--plugin", tiny_plugin_file).code == 0
