"""What a user can get wrong: each ends with exit code 2 and one clear message with its place, and no traceback."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gankit
from gankit import CheckpointError, Runtime

DCGAN = Path(__file__).parent.parent / "recipes" / "dcgan_cifar10.yaml"
BOMB = "name: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"k{n}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(12)
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refused(cli: Callable[..., Any]) -> Callable[..., str]:
    """``refused("run", ...) -> message``: the command has to end with code 2 and a message, and start no run."""

    def run(*words: object) -> str:
        said = cli(*words)
        assert said.code == 2, said
        assert "Traceback" not in said.err + said.out
        assert said.err.startswith("error: ")
        assert not Path("results").exists()
        return str(said.err.removeprefix("error: "))

    return run


def dcgan(*changes: tuple[str, str]) -> None:
    text = DCGAN.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    Path("r.yaml").write_text(text)


class TestRecipes:
    """The built-in recipe with one fault each; ``check`` and ``run`` say the same."""

    @pytest.mark.parametrize("verb", ["check", "run"])
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("seed:", "sead:"), "r.yaml:3:1: sead: unknown key; did you mean 'seed'?"),
            (("{size: 64}", "{size: 64, scale: 2}"), "r.yaml:4:19: image.scale: unknown key; known: size"),
            (("generator: {name: dcgan, width: 64}", "generator: {name: dcgan, widht: 64}"), "r.yaml:9:26: generator.widht: unknown parameter; did you mean 'width'?"),
            (("lr: 2.0e-4", "lr: {start: 1, end: 0, over_images: 9, shap: cosine}"), "r.yaml:15:66: optimizers.generator.lr.shap: unknown parameter; did you mean 'shape'?"),
            (("every: 100}", "evry: 100}"), "r.yaml:20:27: callbacks.0.evry: unknown parameter; did you mean 'every'?"),
            (("{name: cifar10}", "{name: cifar100}"), "r.yaml:7:17: dataset.name: no dataset is called 'cifar100'; did you mean 'cifar10'?"),
            (("loss: bce", "loss: 3"), "r.yaml:11:7: loss: should be the name of a component, or a mapping with its 'name'; got 3"),
            (("width: 64", "width: wide"), "r.yaml:9:33: generator.width: should be a whole number; got 'wide'"),
            (("width: 64", "width: true"), "r.yaml:9:33: generator.width: should be a whole number; got true"),
            (("conditional: false", "conditional: 3"), "r.yaml:5:14: conditional: should be true or false; got 3"),
            (("epochs: 25", "epochs: 25, steps: 3"), "r.yaml:17:21: train.steps: give exactly one of epochs, steps, images; epochs and steps are given"),
            (("loader: {", "loader: ["), "r.yaml:8:50: invalid YAML: "),
            (("name: dcgan_cifar10", BOMB), "grows beyond 20,000 values, which no recipe needs; are there aliases?"),
            (("seed: 0", "seed: !!python/object/apply:os.system [touch owned]"), "r.yaml:3:7: seed: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed: recipes are data"),
            (("seed: 0", "seed: 0\nseed: 1"), "r.yaml:4:1: seed: given twice (first r.yaml:3:1)"),
            (("seed: 0", "extends: r.yaml"), "r.yaml:3:10: extends: goes in a circle: r.yaml -> r.yaml"),
            (("seed: 0", "extends: base.yaml"), "r.yaml:3:10: extends: base.yaml: no such file"),
            (("{size: 64}", "{size: 50}"), "r.yaml:9:12: generator: dcgan cannot make images of 50x50 (height x width)"),
        ],
    )  # fmt: skip
    def test_a_fault_in_the_file(self, refused, verb, change, message):
        dcgan(change)
        assert message in refused(verb, "r.yaml")
        assert not Path("owned").exists()

    @pytest.mark.parametrize(
        ("word", "message"),
        [
            ("train.epoch=1", "command line: train.epoch=1: train.epoch: unknown key; did you mean 'epochs'?"),
            (
                "generator=dcgam",
                "command line: generator=dcgam: generator.name: no generator is called 'dcgam'; did you mean 'dcgan'?",
            ),
            ("image.size=50", "r.yaml:9:12: generator: dcgan cannot make images of 50x50"),
            ("seed", "command line: seed: an override is KEY=VALUE, such as train.epochs=1"),
            ("seed=[", "command line: seed=[: invalid YAML"),
            ("initialize=nowhere", None),
        ],
    )
    def test_a_fault_on_the_command_line(self, refused, cli, word, message):
        dcgan()
        if message is None:  # found when the run is assembled, for a check needs no files
            assert cli("check", "r.yaml", word).code == 0
        else:
            assert message in refused("check", "r.yaml", word)

    def test_two_lengths_on_the_command_line(self, refused):
        dcgan()
        message = refused("run", "r.yaml", "train.epochs=1", "train.steps=2")
        assert message == "command line: train: give one length, not train.epochs and train.steps\n"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "r.yaml: no such file"),
            (b"", "r.yaml: is empty; a recipe is a mapping of keys to values"),
            (b"\xff\xfe\x00", "r.yaml: is not UTF-8 text (byte 0)"),
            (b"#" * 300_000, "r.yaml: is too large for a recipe: more than 250,000 bytes"),
            (b"- a", "r.yaml:1:1: is a list; a recipe is a mapping of keys to values"),
            (b'"\\e[31mred\\e[0m": 1', "r.yaml:1:1: \\x1b[31mred\\x1b[0m: unknown key"),  # nothing reaches the terminal
        ],
    )
    def test_a_file_that_is_no_recipe(self, refused, content, message):
        if content is not None:
            Path("r.yaml").write_bytes(content)
        assert message in refused("check", "r.yaml")

    def test_a_folder(self, refused):
        assert refused("run", ".") == ".: is a folder; name a recipe file in it\n"


class TestData:
    @pytest.mark.parametrize(
        ("sections", "message"),
        [
            ({"dataset": {"name": "tiny", "count": 0}}, "tiny.yaml:8:3: dataset: the dataset is empty"),
            ({"dataset": {"name": "tiny", "count": 1}}, "tiny.yaml:8:3: dataset: a batch of 8 is larger than the dataset, which has 1 image; lower loader.batch_size or add images"),
            ({"loader": {"batch_size": 33}}, "tiny.yaml:8:3: dataset: a batch of 33 is larger than the dataset, which has 32 images; lower loader.batch_size"),
            ({"conditional": True, "dataset": {"name": "tiny", "labelled": False}}, "conditional: is true, but dataset 'tiny' has no labels; use labelled data or conditional: false"),
            ({"generator": "three_channels", "dataset": {"name": "tiny", "channels": 1}}, "generator: makes [2, 3, 16, 16] of two latents; the recipe's images are [2, 1, 16, 16]: channels come from the dataset"),
            ({"dataset": {"name": "tiny", "channels": 5}}, "tiny.yaml:8:3: dataset: its images are 5 channels; gankit takes an ImageSpec with 1 to 4 channels"),
            ({"initialize": "nowhere"}, "tiny.yaml:28:13: initialize: nowhere: no such run or checkpoint"),
            ({"initialize": "."}, "initialize: .: is neither a run directory nor a checkpoint"),
        ],
    )  # fmt: skip
    def test_data_that_do_not_fit(self, refused, tiny_recipe, tiny_plugin_file, tmp_path, sections, message):
        tiny_recipe(tmp_path, **sections)
        found = refused("run", "tiny.yaml", "--plugin", tiny_plugin_file)
        assert message in found
        assert found.startswith("tiny.yaml:")

    def test_data_that_are_not_there(self, refused, monkeypatch, tmp_path):
        monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "nothing"))
        dcgan()
        found = refused("run", "r.yaml", "dataset.download=false")
        assert found.startswith("r.yaml:7:10: dataset: ")

    def test_a_directory_that_is_taken(self, refused, tiny_recipe, tiny_plugin_file, tmp_path):
        tiny_recipe(tmp_path)
        Path("mine").mkdir()
        Path("mine/notes.txt").write_text("mine")
        found = refused("run", "tiny.yaml", "--plugin", tiny_plugin_file, "--out", "mine")
        assert "mine: exists already and nothing is overwritten" in found
        assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]


class TestPlugins:
    @pytest.mark.parametrize("verb", [("check", "r.yaml"), ("run", "r.yaml"), ("list",), ("plugins",), ("sample", "x")])
    def test_one_that_fails_to_import(self, refused, verb):
        dcgan()
        Path("mine.py").write_text("import no_such_module\n")
        message = "plugin 'mine' (mine.py): ModuleNotFoundError: No module named 'no_such_module' (mine.py:1)\n"
        assert refused(*verb, "--plugin", "mine.py") == message

    def test_a_name_that_is_taken(self, refused):
        dcgan()
        Path("mine.py").write_text(
            "import gankit\n"
            "class Loss: ...\n"
            "@gankit.hookimpl\n"
            "def register(registries):\n"
            "    registries.losses.add('bce', Loss)\n"
        )
        message = (
            "plugin 'mine' (mine.py): losses: 'bce' of plugin 'mine' is already registered by plugin 'gankit_losses'\n"
        )
        assert refused("check", "r.yaml", "--plugin", "mine.py") == message

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ("def __init__(self): raise RuntimeError('no\\nway')", "loss: RuntimeError: no way"),
            ("def __init__(self): raise ValueError('give me a margin')", "loss: give me a margin"),
            ("def generator(self, turn): ...", "loss: Loss is no loss: it has no discriminator"),
            ("pass", "loss: Loss is no loss: it has no discriminator and no generator"),
        ],
    )
    def test_a_component_that_is_none(self, refused, body, message):
        dcgan(("loss: bce", "loss: mine"))
        Path("mine.py").write_text(
            f"import gankit\nclass Loss:\n    {body}\n@gankit.hookimpl\ndef register(registries):\n"
            "    registries.losses.add('mine', Loss)\n"
        )
        assert refused("check", "r.yaml", "--plugin", "mine.py") == f"r.yaml:11:7: {message}\n"

    @pytest.mark.parametrize(
        ("kind", "section", "body", "message"),
        [
            ("regularizers", "regularizers: [mine]", "def discriminator(self, turn): ...", "a regularizer's interval is a whole number"),
            ("regularizers", "regularizers: [mine]", "interval = 1", "Mine is no regularizer: it has neither discriminator nor generator"),
            ("regularizers", "regularizers: [mine]", "interval = 0\n    def generator(self, turn): ...", "its own is 0"),
            ("callbacks", "callbacks: [mine]", "def on_step(self, run): ...", "callback 'mine': unknown method 'on_step'"),
            ("latents", "latent: mine", "def __init__(self, dim): ...", "Mine is no latent: it has no sample"),
            ("games", "train: {steps: 1, game: mine}", "pass", "Mine is no game: it has no step"),
            ("datasets", "dataset: mine", "pass", "Mine is no dataset: it has no prepare and no spec"),
            ("augmentations", "augmentations: [mine]", "def __init__(self, image): ...", "makes a Mine, which is no torch.nn.Module"),
            ("augmentations", "augmentations: [mine]", "def __new__(cls, image): return torch.nn.AvgPool2d(2)", "makes [2, 3, 8, 8] of images [2, 3, 16, 16]; the shape has to stay"),
            ("generators", "generator: mine", "def __init__(self, image, latent_dim): ...", "makes a Mine, which is no torch.nn.Module"),
            ("discriminators", "discriminator: mine", "def __new__(cls, image): return type('M', (torch.nn.Module,), {'forward': lambda self, images, labels: images.flatten()})()", "makes [1536] of two images; logits are [2 ...]"),
            ("optimizers", "optimizers: {generator: mine, discriminator: mine}", "def __init__(self, parameters): ...", "makes a Mine, which is no torch.optim.Optimizer"),
        ],
    )  # fmt: skip
    def test_other_kinds_that_are_none(
        self, refused, tiny_recipe, tiny_plugin_file, tmp_path, kind, section, body, message
    ):
        recipe = tiny_recipe(tmp_path, **{section.partition(":")[0]: None})
        recipe.write_text(recipe.read_text() + section + "\n")
        Path("mine.py").write_text(
            f"import gankit, torch\nclass Mine:\n    {body}\n@gankit.hookimpl\ndef register(registries):\n"
            f"    registries.{kind}.add('mine', Mine)\n"
        )
        found = refused("check", recipe, "--plugin", tiny_plugin_file, "--plugin", "mine.py")
        assert message in found
        assert found.startswith("tiny.yaml:")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_plugin: Any) -> Path:
    """A run of the tiny recipe: three steps and a checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    adam = {"name": "tiny"}
    recipe = gankit.Recipe.parse(
        {
            "name": "tiny",
            "image": {"size": 16},
            "latent": {"name": "tiny", "dim": 4},
            "conditional": True,
            "dataset": "tiny",
            "loader": {"batch_size": 8},
            "generator": "tiny",
            "discriminator": "tiny",
            "loss": "tiny",
            "optimizers": {"generator": adam, "discriminator": adam},
            "train": {"steps": 3, "device": "cpu", "precision": "fp32"},
            "callbacks": [{"name": "tiny", "save": True}],
        }
    )
    Runtime(plugins=[tiny_plugin], discover=False).assemble(recipe, folder / "run").fit()
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of that run to do harm to."""
    return Path(shutil.copytree(trained, tmp_path / "run").name)


def rehash(checkpoint: Path) -> None:
    """Let the manifest say that the files are as they should be."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name in manifest["files"]:
        manifest["files"][name] = hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


class TestCheckpoints:
    @pytest.fixture
    def words(self, run: Path, tiny_plugin_file: Path) -> dict[str, list[object]]:
        """The commands that read a checkpoint."""
        plugin = ["--plugin", tiny_plugin_file]
        recipe = run.parent / "more.yaml"
        text = (run / "recipe.yaml").read_text()
        recipe.write_text(text.replace("initialize: null", f"initialize: {run}"))
        return {
            "sample": ["sample", run, *plugin],
            "resume": ["resume", run, "train.steps=5", *plugin],
            "initialize": ["run", recipe, *plugin],
        }

    @pytest.mark.parametrize("verb", ["sample", "resume", "initialize"])
    @pytest.mark.parametrize(
        ("file", "harm", "message"),
        [
            ("generator.safetensors", lambda content: content[: len(content) // 2], "its SHA-256 differs from the manifest: the file was damaged or altered"),
            ("generator.safetensors", lambda content: content[:-1] + bytes([content[-1] ^ 1]), "its SHA-256 differs from the manifest"),
            ("discriminator.safetensors", lambda content: b"", "its SHA-256 differs from the manifest"),
            ("state.pt", lambda content: content[:-10], "its SHA-256 differs from the manifest"),
            ("state.pt", lambda content: pickle.dumps(Evil()), "its SHA-256 differs from the manifest"),
            ("generator.safetensors", None, "is missing; the checkpoint is damaged, use an earlier one"),
            ("manifest.json", None, None),
            ("manifest.json", lambda content: content[:100], "cannot be read"),
            ("manifest.json", lambda content: b"[" * 5000, "cannot be read"),
            ("manifest.json", lambda content: b"[]", "cannot be read (is not a JSON object)"),
            ("manifest.json", lambda content: content.replace(b'"format": 1', b'"format": 99'), "format 99; this version of gankit reads format 1"),
            ("manifest.json", lambda content: content.replace(b'"state.pt"', b'"../../recipe.yaml"'), "'../../recipe.yaml' is not a file of a checkpoint; do not trust this checkpoint"),
            ("manifest.json", lambda content: b" " * 11_000_000, "cannot be read (is larger than 10,000,000 bytes)"),
        ],
    )  # fmt: skip
    def test_damage(self, refused, words, run, verb, file, harm, message):
        path = run / "checkpoints" / "step-00000003" / file
        if harm is None:
            path.unlink()
        else:
            path.write_bytes(harm(path.read_bytes()))
        found = refused(*words[verb])
        if message is not None:
            assert message in found
            assert "step-00000003" in found
        assert len(found) < 600
        assert not Path("owned").exists()

    @pytest.mark.parametrize(
        "save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))]
    )
    def test_a_malicious_state_with_the_right_hash_is_not_run(self, refused, words, run, save):
        checkpoint = run / "checkpoints" / "step-00000003"
        save({"training": Evil()}, checkpoint / "state.pt")
        rehash(checkpoint)
        found = refused(*words["resume"])
        assert "state.pt: cannot be read as plain data and tensors: " in found
        assert not Path("owned").exists()
        pickle.loads(pickle.dumps(Evil()))
        assert Path("owned").exists()  # it would have

    def test_a_state_that_the_manifest_leaves_out_is_not_read(self, refused, words, run):
        checkpoint = run / "checkpoints" / "step-00000003"
        manifest = json.loads((checkpoint / "manifest.json").read_text())
        del manifest["files"]["state.pt"]
        (checkpoint / "manifest.json").write_text(json.dumps(manifest))
        assert "lacks state.pt; it can be sampled from, but not resumed" in refused(*words["resume"])

    @pytest.mark.parametrize("verb", ["sample", "resume", "initialize"])
    def test_weights_that_are_a_pickle_with_the_right_hash(self, refused, words, run, verb):
        checkpoint = run / "checkpoints" / "step-00000003"
        torch.save({"linear.weight": torch.zeros(3)}, checkpoint / "generator.safetensors")
        rehash(checkpoint)
        assert "generator.safetensors: does not fit this network: " in refused(*words[verb])

    @pytest.mark.parametrize("state", [{}, [1], {"training": {}}, {"training": {"step": "x"}}, {"training": None}])
    def test_a_state_of_another_shape(self, refused, words, run, state):
        checkpoint = run / "checkpoints" / "step-00000003"
        torch.save(state, checkpoint / "state.pt")
        rehash(checkpoint)
        refused(*words["resume"])

    def test_initializing_networks_that_do_not_fit(self, refused, words):
        found = refused(*words["initialize"], "latent.dim=5")
        assert found.startswith("more.yaml:")
        assert "initialize: " in found
        assert "generator.safetensors: does not fit this network: " in found
        assert "size mismatch" in found

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["truncatoin=0.5"], "sampling option 'truncatoin': unknown key; did you mean 'truncation'?"),
            (["truncation=true"], "sampling option 'truncation': should be a number; got true"),
            (["truncation"], "command line: truncation: an override is KEY=VALUE"),
            (["labels=[0, 1]"], "labels must be 64 integers from 0 to 1, one per image; got [0, 1]"),
            (["labels=3"], "labels must be a list of integers, one per image; got 3"),
            (["labels=[x]", "--count", 1], "labels must be a list of integers, one per image; got ['x']"),
            (["labels=[2]", "--count", 1], "labels must be 1 integers from 0 to 1, one per image; got [2]"),
            (["count=3"], "count: is no option of the network; use --count"),
            (["seed=3"], "seed: is no option of the network; use --seed"),
            (["--seed", 2**70], "seed 0 to 2^63 - 1"),
        ],
    )
    def test_sampling_options(self, cli, refused, words, options, message):
        assert message in refused(*words["sample"], *options)

    def test_a_picture_that_cannot_be_written(self, refused, words):
        Path("file").write_text("in the way")
        assert "file/x.png: cannot be written" in refused(*words["sample"], "--out", "file/x.png")

    @pytest.mark.parametrize("verb", ["sample", "resume"])
    def test_what_is_no_run(self, refused, verb):
        assert refused(verb, "nowhere").startswith("nowhere: ")
        assert re.match(r"\.: is (not|neither) a run directory", refused(verb, "."))

    def test_a_run_without_a_checkpoint(self, refused, run, words):
        shutil.rmtree(run / "checkpoints")
        assert refused(*words["sample"]) == "run: this run has no checkpoint yet\n"


STRANGE = [None, True, -1, 0, 1, 10**30, 1e308, float("nan"), "", "x", [], [1], [[]], {}, {"name": 3}, {"name": "tiny"}]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_no_manifest_raises_anything_but_a_checkpoint_error(tmp_path_factory, trained, tiny_plugin, data):
    """A manifest is a stranger's data: whatever it says, loading ends in a generator or in a `CheckpointError`."""
    folder = tmp_path_factory.mktemp("fuzz") / "step-00000003"
    shutil.copytree(trained / "checkpoints" / "step-00000003", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        holder, key = manifest, data.draw(st.sampled_from(sorted(set(manifest) - {"files", "format"}) or ["x"]))
        while isinstance(holder.get(key), dict) and holder[key] and data.draw(st.booleans()):
            holder, key = holder[key], data.draw(st.sampled_from(sorted(holder[key])))
        if data.draw(st.booleans()):
            holder.pop(key, None)
        else:
            holder[key] = copy.deepcopy(data.draw(st.sampled_from(STRANGE)))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    before = torch.get_rng_state()
    try:
        generator = gankit.load_generator(folder, plugins=[tiny_plugin])
        assert tuple(generator.sample(2).shape) == (2, 3, 16, 16)
    except CheckpointError as error:
        assert str(folder) in str(error)  # noqa: PT017
    assert torch.equal(before, torch.get_rng_state())
