"""Checkpoints and run directories of a stranger: whatever they claim, one error, little memory, and nothing written."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import gankit
from gankit import CheckpointError, GankitError

Within = Callable[[float, int], AbstractContextManager[None]]

NAME = "step-00000003"
RECIPE = Path(__file__).parents[2] / "recipes" / "quickstart.yaml"
SCORERS = Path(__file__).parents[1] / "evaluation" / "scorers_plugin.py"
SMALL = ["image.size=8", "generator.width=4", "discriminator.width=4", "latent.dim=4", "dataset.count=32", "dataset.size=8", "loader.batch_size=8", "train.steps=3", "train.device=cpu", "train.precision=fp32", "callbacks=[{name: checkpoint}]"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps of a tiny DCGAN."""
    runtime = gankit.Runtime()
    folder = tmp_path_factory.mktemp("trained") / "run"
    runtime.assemble(runtime.load(RECIPE, SMALL), folder).fit()
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(trained, tmp_path / "run").name)


@pytest.fixture(autouse=True)
def _little(within: Within) -> Iterator[None]:
    """Every test here ends soon and in little memory."""
    with within(10, 1024):
        yield


def rehash(checkpoint: Path, change: Callable[[dict[str, Any]], object] = lambda manifest: None) -> None:
    """A manifest that says the files are as they should be, and whatever else."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
    change(manifest)
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def tree(folder: Path) -> dict[str, bytes]:
    """Everything in a folder."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in sorted(folder.rglob("*"))}


def set_at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(manifest: dict[str, Any]) -> None:
        *inner, last = path.split(".")
        for key in inner:
            manifest = manifest[key]
        manifest[last] = value

    return change


class TestManifestsThatLie:
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (set_at("generator.params.width", 2**22), "weights are described, and "),
            (set_at("generator.params.width", 10**9), "weights are described, and "),
            (set_at("generator.params.width", 10**30), "does not describe a generator: "),
            (set_at("latent.dim", 10**9), "weights are described, and "),
            (set_at("latent.dim", 10**12), "weights are described, and "),
            (set_at("image.height", 16_384), "dcgan cannot make images of 16384x8"),
            (set_at("image", {"height": 16_384, "width": 16_384, "channels": 4, "classes": 0}), "weights are described, and "),
            (set_at("images", "9" * 10_000), "does not describe a generator: "),
            (set_at("files", {"generator.safetensors": 10**30}), "its SHA-256 is not the manifest's"),
            (set_at("files", {"\0.safetensors": ""}), "is missing; the checkpoint is damaged"),
            (set_at("files", {f"{n}.safetensors": "" for n in range(100_000)}), "is missing; the checkpoint is damaged"),
            (set_at("files", {"/etc/passwd.safetensors": ""}), "is no file of a checkpoint; do not trust it"),
            (set_at("files", {"..\\generator.safetensors": ""}), "is missing; the checkpoint is damaged"),
        ],
    )  # fmt: skip
    def test_a_network_of_terabytes(self, run, change, message):
        rehash(run / "checkpoints" / NAME, change)
        with pytest.raises(CheckpointError) as caught:
            gankit.load_generator(run)
        assert message in str(caught.value)
        assert len(str(caught.value)) < 1_000

    def test_a_number_that_is_too_long_for_json(self, run):
        manifest = run / "checkpoints" / NAME / "manifest.json"
        manifest.write_text(manifest.read_text().replace('"step": 3', '"step": ' + "9" * 100_000))
        with pytest.raises(CheckpointError, match="cannot be read"):
            gankit.load_generator(run)

    def test_more_pictures_than_fit(self, run):
        with pytest.raises(ValueError, match=r"100000000000 images are .* numbers, beyond 2,147,483,648"):
            gankit.load_generator(run).sample(10**11)

    @pytest.mark.parametrize("step", [None, "x", -1, 1.5, [], 10**30])
    def test_a_step_that_is_none(self, cli, run, step):
        rehash(run / "checkpoints" / NAME, set_at("step", step))
        said = cli("eval", run, "--samples", 32, "--metrics", "fd", "--features", "inception")
        assert said.code == 2, said
        assert "Traceback" not in said.err

    def test_a_manifest_that_is_a_pipe(self, run):
        manifest = run / "checkpoints" / NAME / "manifest.json"
        manifest.unlink()
        os.mkfifo(manifest)
        with pytest.raises(CheckpointError, match=r"manifest.json: cannot be read \(is not a regular file"):
            gankit.load_generator(run)


class TestWeights:
    @pytest.mark.parametrize(
        "harm",
        [
            lambda tensors: tensors | {"more": torch.zeros(3)},
            lambda tensors: tensors | {"../../x": torch.zeros(3)},
            lambda tensors: {name: tensor.flatten() for name, tensor in tensors.items()},
            lambda tensors: {name: tensor[:0] for name, tensor in tensors.items() if tensor.ndim},
            lambda tensors: {},
            lambda tensors: {name: tensor for name, tensor in tensors.items() if not name.endswith("weight")},
        ],
        ids=["extra", "path", "flat", "empty", "none", "less"],
    )
    @pytest.mark.parametrize("side", ["generator", "discriminator"])
    def test_other_tensors(self, run, side, harm):
        checkpoint = run / "checkpoints" / NAME
        for file in checkpoint.glob(f"{side}*.safetensors"):
            save_file(harm(load_file(file)), file)
        rehash(checkpoint)
        with pytest.raises(CheckpointError, match="does not fit this network: "):
            gankit.load_generator(run) if side == "generator" else gankit.Runtime().resume(run)

    @pytest.mark.parametrize(
        "header",
        [
            {"layers.0.weight": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
            {"layers.0.weight": {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 8]}},
            {"layers.0.weight": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}},
            {"layers.0.weight": {"dtype": "F32", "shape": [-1], "data_offsets": [8, 4]}},
            {"__metadata__": {"tied:layers.0.weight": "nothing"}},
            [],
        ],
    )
    def test_a_header_that_lies(self, run, header):
        text = json.dumps(header).encode()
        checkpoint = run / "checkpoints" / NAME
        for length in (len(text), 2**63, 0, 90_000_000):
            for file in checkpoint.glob("generator*.safetensors"):
                file.write_bytes(length.to_bytes(8, "little") + text + bytes(8))
            rehash(checkpoint)
            with pytest.raises(CheckpointError, match="does not fit this network: "):
                gankit.load_generator(run)


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value, value]
    return value


class TestStates:
    @pytest.mark.parametrize(
        ("harm", "message"),
        [
            (lambda state: nested(40), "grows beyond 2,000,000 values"),
            (lambda state: state | {"callbacks": nested(40)}, "grows beyond 2,000,000 values"),
            (lambda state: state | {"x": torch.zeros(1).expand(2**20, 2**20)}, "is larger than what is stored of it"),
            (lambda state: state | {"x": torch.zeros(2**40, device="meta")}, "is larger than what is stored of it"),
            (lambda state: state | {"x": torch.sparse_coo_tensor(torch.zeros(2, 1), [1.0], (2**30, 2**30))}, "cannot be read as plain data and tensors"),
            (lambda state: state | {"seconds": "x"}, "could not convert"),
            (lambda state: state | {"events_bytes": []}, "its state does not fit"),
            (lambda state: state | {"callbacks": 3}, ""),
            (lambda state: state | {"callbacks": {"metrics_log": 3}}, ""),
            (lambda state: state | {"components": []}, ""),
            (lambda state: state | {"training": state["training"] | {"step": -1}}, "-1 is no count of anything"),
            (lambda state: state | {"training": state["training"] | {"position": 2**64}}, "is no count of anything"),
            (lambda state: state | {"training": state["training"] | {"images": float("inf")}}, "does not fit these networks"),
            (lambda state: state | {"training": state["training"] | {"skipped": 3}}, "does not fit these networks"),
            (lambda state: state | {"training": state["training"] | {"optimizers": {"generator": "x", "discriminator": "x"}}}, "does not fit these networks"),
        ],
    )  # fmt: skip
    def test_what_is_no_state(self, run, harm, message):
        checkpoint = run / "checkpoints" / NAME
        torch.save(harm(torch.load(checkpoint / "state.pt", weights_only=True)), checkpoint / "state.pt")
        rehash(checkpoint)
        if message:
            with pytest.raises(CheckpointError, match=message):
                gankit.Runtime().resume(run)
        else:
            with suppress(CheckpointError):
                gankit.Runtime().resume(run)

    def test_an_optimizer_of_other_shapes(self, run):
        checkpoint = run / "checkpoints" / NAME
        state = torch.load(checkpoint / "state.pt", weights_only=True)
        moments = state["training"]["optimizers"]["generator"]["state"]
        moments[0]["exp_avg"] = torch.zeros(7)
        torch.save(state, checkpoint / "state.pt")
        rehash(checkpoint)
        with pytest.raises(CheckpointError, match=r"'exp_avg' has the shape torch.Size\(\[7\]\) for a parameter of \["):
            gankit.Runtime().resume(run)

    def test_a_state_that_is_a_bomb(self, run):
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
        with pytest.raises(CheckpointError, match="it is compressed, which torch never does"):
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
    def test_code_in_a_state(self, run, code):
        checkpoint = run / "checkpoints" / NAME
        with zipfile.ZipFile(checkpoint / "state.pt", "w") as archive:
            for name, content in (("data.pkl", code), ("byteorder", b"little"), ("version", b"3\n")):
                archive.writestr(f"state/{name}", content)
        rehash(checkpoint)
        with pytest.raises(CheckpointError, match="cannot be read as plain data and tensors: "):
            gankit.Runtime().resume(run)
        assert not Path("owned").exists()

    @pytest.mark.parametrize("content", [b"", b"PK\3\4", pickle.dumps({"training": {}}), b"\0" * 10_000])
    def test_what_is_no_archive(self, run, content):
        (run / "checkpoints" / NAME / "state.pt").write_bytes(content)
        rehash(run / "checkpoints" / NAME)
        with pytest.raises(CheckpointError, match="cannot be read as plain data and tensors: "):
            gankit.Runtime().resume(run)

    def test_bytes_at_random(self, run):
        checkpoint = run / "checkpoints" / NAME
        content = (checkpoint / "state.pt").read_bytes()
        random = np.random.default_rng(0)
        for _ in range(60):
            harmed = bytearray(content)
            for place in random.integers(len(content), size=random.integers(1, 4)):
                harmed[place] = random.integers(256)
            (checkpoint / "state.pt").write_bytes(harmed)
            rehash(checkpoint)
            opened = gankit.runs.checkpoint.Checkpoint.open(checkpoint)
            with suppress(CheckpointError):
                opened.load_state()


class TestRunDirectories:
    @pytest.mark.parametrize(
        "change", ["generator.width=1000000", "latent.dim=10000000", "discriminator.width=1000000"]
    )
    def test_a_recipe_of_other_networks(self, run, change):
        with pytest.raises(
            CheckpointError, match=r"is not the recipe's: .* weights are described, and .* bytes stored"
        ):
            gankit.Runtime().resume(run, [change])

    @pytest.mark.parametrize("name", ["metrics.jsonl", "events.jsonl", "not_finite", "run.json", "recipe.yaml", "best"])
    def test_a_link_that_leads_out(self, run, name, cli):
        Path("outside").mkdir()
        inside = run / name
        if inside.exists():
            shutil.move(inside, Path("outside", name))
        else:
            Path("outside", name).write_text("mine")
        inside.symlink_to(Path("..", "outside", name))
        before = tree(Path("outside"))
        with pytest.raises(GankitError, match=f"{name}: leads out of the run directory, to "):
            gankit.Runtime().resume(run, ["train.steps=5"])
        assert tree(Path("outside")) == before

    def test_checkpoints_on_another_disk(self, run, cli):
        """A link that the user made; all there are of this run."""
        shutil.move(run / "checkpoints", "disk")
        (run / "checkpoints").symlink_to(Path("disk").absolute())
        Path("disk/.step-00000002.77").mkdir()  # of a kill
        assert cli("resume", run, "train.steps=5").code == 0
        assert [path.name for path in sorted(Path("disk").iterdir())] == [NAME, "step-00000005"]
        assert (run / "checkpoints").is_symlink()
        assert gankit.load_generator(run).checkpoint.name == "step-00000005"
        Path("disk").rename("unplugged")
        said = cli("resume", run, "train.steps=7")
        assert (said.code, said.err.count("\n")) == (2, 1)
        assert "disk, which is not there; bring it back" in said.err

    @pytest.mark.parametrize("of", ["another run", "nobody", "this run and more", "this run, as a link", "no run.json"])
    def test_checkpoints_that_are_not_this_runs(self, run, trained, of):
        Path("victim").mkdir()
        shutil.move(run / "checkpoints" / NAME, Path("victim", NAME))
        (run / "checkpoints").rmdir()
        (run / "checkpoints").symlink_to(Path("..", "victim"))
        match of:
            case "another run":
                rehash(Path("victim", NAME), set_at("run", "2026-01-01T00:00:00+00:00"))
            case "nobody":
                shutil.rmtree(Path("victim", NAME))
            case "this run and more":
                Path("victim", "thesis.tex").write_text("mine")
            case "this run, as a link":
                Path("victim", "step-00000001").symlink_to("/")
            case _:
                (run / "run.json").unlink()
        before = tree(Path("victim"))
        with pytest.raises(GankitError, match="checkpoints: leads out of .* is not this run's checkpoints alone"):
            gankit.Runtime().resume(run, ["train.steps=5"])
        assert tree(Path("victim")) == before

    @pytest.mark.parametrize(
        "name", ["manifest.json", "state.pt", "generator.safetensors", "discriminator.safetensors"]
    )
    def test_files_of_a_checkpoint_that_are_links_out(self, run, name):
        file = run / "checkpoints" / NAME / name
        shutil.move(file, "outside")
        file.symlink_to(Path("outside").absolute())
        for use in (gankit.load_generator, gankit.Runtime().resume):
            with pytest.raises(CheckpointError, match=f"{name}: is a link to .*outside; put the file itself"):
                use(run)

    def test_files_that_checkpoints_share(self, run):
        twin = Path(shutil.copytree(run / "checkpoints" / NAME, run / "checkpoints" / "step-00000004"))
        (twin / "state.pt").unlink()
        (twin / "state.pt").symlink_to(Path("..", NAME, "state.pt"))
        assert gankit.load_generator(run).checkpoint.name == twin.name

    def test_a_log_that_is_a_link(self, tmp_path):
        (tmp_path / "mine").write_text("mine\n")
        (tmp_path / "log.jsonl").symlink_to("mine")
        with pytest.raises(GankitError, match="leads elsewhere; nothing is written there"):
            gankit.JsonLines(tmp_path / "log.jsonl", keep_bytes=0)
        assert (tmp_path / "mine").read_text() == "mine\n"

    def test_a_temporary_name_that_is_a_link(self, tmp_path):
        (tmp_path / "mine").write_text("mine")
        (tmp_path / f".x.{os.getpid()}").symlink_to("mine")
        with gankit.whole_file(tmp_path / "x") as temporary:
            temporary.write_text("new")
        assert ((tmp_path / "mine").read_text(), (tmp_path / "x").read_text()) == ("mine", "new")

    def test_nothing_is_written_elsewhere(self, run, cli, monkeypatch):
        """The verbs in a folder of their own: what is new lies in the run directory, or is what was asked for."""
        monkeypatch.setenv("GANKIT_DATA_DIR", "data")
        before = set(tree(Path()))
        assert cli("check", RECIPE, *SMALL).code == 0
        assert cli("resume", run, "train.steps=5").code == 0
        assert cli("run", RECIPE, *SMALL, "--out", "other").code == 0
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
        new = set(tree(Path())) - before
        assert "grid.png" in new
        written = {"run", "other", "grid.png", "both.png", "both_curves.png"}
        assert {Path(path).parts[0] for path in new} - {"data"} <= written
