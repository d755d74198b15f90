"""Data and plugins that do not fit a recipe: exit code 2, and one message."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
DCGAN = ROOT / "recipes" / "dcgan_cifar10.yaml"


def dcgan(*changes: tuple[str, str]) -> None:
    text = DCGAN.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    Path("r.yaml").write_text(text)


class TestData:
    @pytest.mark.parametrize(
        ("sections", "message"),
        [
            ({"dataset": {"name": "tiny", "count": 0}}, "tiny.yaml:8:3: dataset: the dataset is empty"),
            ({"dataset": {"name": "tiny", "count": 1}}, "tiny.yaml:8:3: dataset: a batch of 8 is larger than the dataset, which has 1 image; lower loader.batch_size or add images"),
            ({"loader": {"batch_size": 33}}, "tiny.yaml:8:3: dataset: a batch of 33 is larger than the dataset, which has 32 images; lower loader.batch_size"),
            ({"conditional": True, "dataset": {"name": "tiny", "labelled": False}}, "conditional: is true, but dataset 'tiny' names no classes: use labeled data with an attribute `classes`, `labels` or `targets`, or set conditional: false"),
            ({"generator": "three_channels", "dataset": {"name": "tiny", "channels": 1}}, "generator: returns [2, 3, 16, 16] for two latents; the recipe's images are [2, 1, 16, 16]: channels come from the dataset"),
            ({"dataset": {"name": "tiny", "channels": 5}}, "tiny.yaml:8:3: dataset: its images have 5 channels; gankit takes 1 to 4"),
            ({"initialize": "nowhere"}, "tiny.yaml:28:13: initialize: nowhere: no such run or checkpoint"),
            ({"initialize": "."}, "initialize: .: is neither a run directory nor a checkpoint"),
        ],
    )  # fmt: skip
    def test_data_that_does_not_fit(self, refused, tiny_recipe, tiny_plugin_file, tmp_path, sections, message):
        tiny_recipe(tmp_path, **sections)
        found = refused("run", "tiny.yaml", "--plugin", tiny_plugin_file)
        assert message in found
        assert found.startswith("tiny.yaml:")

    def test_missing_data(self, refused, monkeypatch, tmp_path):
        monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "nothing"))
        dcgan()
        found = refused("run", "r.yaml", "dataset.download=false")
        assert found.startswith("r.yaml:8:10: dataset: ")

    def test_an_existing_directory(self, refused, tiny_recipe, tiny_plugin_file, tmp_path):
        tiny_recipe(tmp_path)
        Path("mine").mkdir()
        Path("mine/notes.txt").write_text("mine")
        found = refused("run", "tiny.yaml", "--plugin", tiny_plugin_file, "--out", "mine")
        assert "mine: exists already and nothing is overwritten" in found
        assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]


class TestPlugins:
    @pytest.mark.parametrize("verb", [("check", "r.yaml"), ("run", "r.yaml"), ("list",), ("plugins",), ("sample", "x")])
    def test_a_plugin_that_fails_to_import(self, refused, verb):
        dcgan()
        Path("mine.py").write_text("import no_such_module\n")
        message = "plugin 'mine' (mine.py): ModuleNotFoundError: No module named 'no_such_module' (mine.py:1)\n"
        assert refused(*verb, "--plugin", "mine.py") == message

    def test_a_registered_name(self, refused):
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
            ("def generator(self, turn): ...", "loss: Loss is not a loss: it lacks `discriminator`"),
            ("pass", "loss: Loss is not a loss: it lacks `generator` and `discriminator`"),
        ],
    )
    def test_an_invalid_loss(self, refused, body, message):
        dcgan(("loss: bce", "loss: mine"))
        Path("mine.py").write_text(
            f"import gankit\nclass Loss:\n    {body}\n@gankit.hookimpl\ndef register(registries):\n"
            "    registries.losses.add('mine', Loss)\n"
        )
        assert refused("check", "r.yaml", "--plugin", "mine.py") == f"r.yaml:12:7: {message}\n"

    @pytest.mark.parametrize(
        ("kind", "section", "body", "message"),
        [
            ("regularizers", "regularizers: [mine]", "interval = None\n    def generator(self, turn): ...", "a regularizer's `interval` should be a whole number"),
            ("regularizers", "regularizers: [mine]", "interval = 1", "Mine is not a regularizer: it lacks both `generator` and `discriminator`"),
            ("regularizers", "regularizers: [mine]", "interval = 0\n    def generator(self, turn): ...", "it is 0"),
            ("callbacks", "callbacks: [mine]", "def on_step(self, run): ...", "callback 'mine': unknown method 'on_step'"),
            ("latents", "latent: mine", "def __init__(self, dim): ...", "Mine is not a latent: it lacks `sample`"),
            ("games", "train: {steps: 1, game: mine}", "pass", "Mine is not a gankit.Game: make it a subclass with step(self)"),
            ("datasets", "dataset: mine", "pass", "Mine is not a dataset: it lacks `__len__` and `__getitem__`"),
            ("augmentations", "augmentations: [mine]", "def __init__(self, image): ...", "returns a Mine, which is not a torch.nn.Module"),
            ("augmentations", "augmentations: [mine]", "def __new__(cls, image): return torch.nn.AvgPool2d(2)", "returns [2, 3, 8, 8] for images [2, 3, 16, 16]; it must keep the shape"),
            ("generators", "generator: mine", "def __init__(self, image, latent_dim): ...", "returns a Mine, which is not a torch.nn.Module"),
            ("discriminators", "discriminator: mine", "def __new__(cls, image): return type('M', (torch.nn.Module,), {'forward': lambda self, images, labels: images.flatten()})()", "returns [1536] for two images; expected logits [2 ...]"),
        ],
    )  # fmt: skip
    def test_invalid_components_of_other_kinds(
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


def test_a_stray_image_is_named_where_classes_are_needed(cli, tiny_recipe, tiny_plugin_file, tmp_path):
    for name in ("ant/0.png", "bee/0.png", "logo.png"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(tmp_path / "d" / name)
    dataset = {"name": "image_folder", "path": str(tmp_path / "d")}
    recipe = tiny_recipe(tmp_path, dataset=dataset, conditional=True)
    said = cli("run", recipe, "--plugin", tiny_plugin_file)
    assert said.code == 2
    assert "no labels (3 images, no classes because 'logo.png' lies next to the folders 'ant', 'bee'" in said.err
    (tmp_path / "d" / "logo.png").unlink()
    said = cli("run", recipe, "loader.batch_size=2", "--plugin", tiny_plugin_file)
    assert said.code == 0, said.err
    assert "data: 2 images, classes: ant 1, bee 1\n" in said.out
