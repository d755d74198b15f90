"""Links in untrusted run directories: nothing is written outside of the run directory."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import gankit
from gankit import CheckpointError, GankitError, RecipeError

SCORERS = Path(__file__).parents[1] / "evaluation" / "scorers_plugin.py"

NAME = "step-00000003"


@pytest.fixture(autouse=True)
def _bounded(within):
    with within(10, 1024):
        yield


def contents(folder: Path) -> dict[str, bytes]:
    """The content of all files in a folder, and its subfolders."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


class TestRunDirectories:
    @pytest.mark.parametrize(
        "change", ["generator.width=1000000", "latent.dim=10000000", "discriminator.width=1000000"]
    )
    def test_recipes_of_other_networks(self, run, change):
        with pytest.raises(
            RecipeError, match=r"is not the recipe's: .* weights are described, and .* bytes stored"
        ):
            gankit.Runtime().resume(run, [change])

    @pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl", "not_finite", "run.json", "recipe.yaml", "best"])
    def test_links_out_of_the_run_directory_are_refused(self, run, name, cli):
        Path("outside").mkdir()
        inside = run / name
        if inside.exists():
            shutil.move(inside, Path("outside", name))
        else:
            Path("outside", name).write_text("mine")
        inside.symlink_to(Path("..", "outside", name))
        before = contents(Path("outside"))
        with pytest.raises(GankitError, match=f"{name}: leads out of the run directory, to "):
            gankit.Runtime().resume(run, ["train.steps=5"])
        assert contents(Path("outside")) == before

    def test_checkpoints_may_be_on_another_disk(self, run, cli):
        """A link to a folder with checkpoints of this run only."""
        shutil.move(run / "checkpoints", "disk")
        (run / "checkpoints").symlink_to(Path("disk").absolute())
        Path("disk/.step-00000002.77").mkdir()  # left by a killed process
        assert cli("resume", run, "train.steps=5").code == 0
        assert [path.name for path in sorted(Path("disk").iterdir())] == [NAME, "step-00000005"]
        assert (run / "checkpoints").is_symlink()
        assert gankit.load_generator(run).checkpoint.name == "step-00000005"
        Path("disk").rename("unplugged")
        said = cli("resume", run, "train.steps=7")
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "disk, which does not exist; restore it" in said.err

    @pytest.mark.parametrize("of", ["another run", "nobody", "this run and more", "this run, as a link", "no run.json"])
    def test_checkpoints_of_other_runs_are_refused(self, run, of, rehash):
        Path("victim").mkdir()
        shutil.move(run / "checkpoints" / NAME, Path("victim", NAME))
        (run / "checkpoints").rmdir()
        (run / "checkpoints").symlink_to(Path("..", "victim"))
        match of:
            case "another run":
                rehash(Path("victim", NAME), lambda manifest: manifest.update(run="2026-01-01T00:00:00+00:00"))
            case "nobody":
                shutil.rmtree(Path("victim", NAME))
            case "this run and more":
                Path("victim", "thesis.tex").write_text("mine")
            case "this run, as a link":
                Path("victim", "step-00000001").symlink_to("/")
            case _:
                (run / "run.json").unlink()
        before = contents(Path("victim"))
        with pytest.raises(GankitError, match="checkpoints: leads out of .* which must hold checkpoints of this run and nothing else"):
            gankit.Runtime().resume(run, ["train.steps=5"])
        assert contents(Path("victim")) == before

    def test_files_of_a_checkpoint_may_be_links_into_a_cache(self, run):
        """As in the cache of huggingface_hub: the files have the hashes in the manifest."""
        expected = gankit.load_generator(run).sample(2)
        Path("blobs").mkdir()
        for number, file in enumerate(sorted((run / "checkpoints" / NAME).iterdir())):
            shutil.move(file, f"blobs/{number}")
            file.symlink_to(Path(f"blobs/{number}").absolute())
        before = contents(Path("blobs"))
        assert torch.equal(gankit.load_generator(run).sample(2), expected)
        trainer = gankit.Runtime().resume(run, ["train.steps=4"])
        trainer.fit()
        assert trainer.state.step == 4
        assert contents(Path("blobs")) == before

    @pytest.mark.parametrize("name", ["manifest.json", "state.pt", "generator.safetensors"])
    def test_links_to_other_files_are_refused_and_none_of_their_content_is_shown(self, run, name):
        """Nor is anything read that never ends."""
        Path("secret").write_text("password: hunter2\n" * 100)
        Path("secret.json").write_text('{"format": "hunter2", "files": {"hunter2": "hunter2"}, "hunter2": 1}')
        os.mkfifo("pipe")
        file, runtime = run / "checkpoints" / NAME / name, gankit.Runtime()
        for target in ("secret", "secret.json", "pipe", "/dev/zero", "/proc/self/pagemap", "."):
            file.unlink()
            file.symlink_to(Path(target).absolute())
            for use in (runtime.load_generator, runtime.resume):
                with pytest.raises(CheckpointError, match=f"{name}: (cannot be read|its SHA-256 differs|lists no)") as caught:
                    use(run)
                assert "hunter2" not in str(caught.value)

    def test_checkpoints_may_share_files(self, run):
        twin = Path(shutil.copytree(run / "checkpoints" / NAME, run / "checkpoints" / "step-00000004"))
        manifest = json.loads((twin / "manifest.json").read_text())
        (twin / "manifest.json").write_text(json.dumps(manifest | {"step": 4}))
        (twin / "state.pt").unlink()
        (twin / "state.pt").symlink_to(Path("..", NAME, "state.pt"))
        assert gankit.load_generator(run).checkpoint.name == twin.name

    def test_a_log_that_is_a_link_is_refused(self, tmp_path):
        (tmp_path / "mine").write_text("mine\n")
        (tmp_path / "log.jsonl").symlink_to("mine")
        with pytest.raises(GankitError, match="is a link or not a regular file"):
            gankit.JsonLines(tmp_path / "log.jsonl", keep_bytes=0)
        assert (tmp_path / "mine").read_text() == "mine\n"

    def test_a_link_with_the_name_of_a_temporary_file_is_replaced(self, tmp_path):
        (tmp_path / "mine").write_text("mine")
        (tmp_path / f".x.{os.getpid()}").symlink_to("mine")
        with gankit.whole_file(tmp_path / "x") as temporary:
            temporary.write_text("new")
        assert ((tmp_path / "mine").read_text(), (tmp_path / "x").read_text()) == ("mine", "new")

    def test_commands_write_only_to_the_run_directory_and_their_outputs(self, run, cli, monkeypatch, small_recipe):
        """New files are in the run directory, or were asked for."""
        monkeypatch.setenv("GANKIT_DATA_DIR", "data")
        before = set(contents(Path()))
        assert cli("check", *small_recipe).code == 0
        assert cli("resume", run, "train.steps=5").code == 0
        assert cli("run", *small_recipe, "--out", "other").code == 0
        assert cli("sample", run, "--count", 1, "--out", "grid.png").code == 0
        assert cli("doctor", run).code == 0
        assert cli("compare", run, "other", "--count", 1, "--out", "both.png").code == 0
        scoring = ["--plugin", SCORERS, "--features", "colours", "--metrics", "gap", "--samples", 16]
        assert cli("eval", run, *scoring).code == 0
        (run / "pictures").mkdir()
        for number in range(16):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(run / "pictures" / f"{number}.png")
        real = ["--real", "{name: shapes, count: 32, size: 8}"]
        assert cli("eval", run / "pictures", *scoring, *real, "--out", run / "scores.jsonl").code == 0
        new = set(contents(Path())) - before
        assert "grid.png" in new
        written = {"run", "other", "grid.png", "both.png", "both_curves.png"}
        assert {Path(path).parts[0] for path in new} - {"data"} <= written
