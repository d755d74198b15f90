"""Faults in recipes: exit code 2, and one message with the place of the fault."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DCGAN = ROOT / "recipes" / "dcgan_cifar10.yaml"
BOMB = "name: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"k{n}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 10)}]\n" for n in range(12)
)


def dcgan(*changes: tuple[str, str]) -> None:
    text = DCGAN.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    Path("r.yaml").write_text(text)


class TestRecipes:
    """A recipe with one fault; ``check`` and ``run`` print the same message."""

    @pytest.mark.parametrize("verb", ["check", "run"])
    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (("seed:", "sead:"), "r.yaml:4:1: sead: unknown key; did you mean 'seed'?"),
            (("{size: 64}", "{size: 64, scale: 2}"), "r.yaml:5:19: image.scale: unknown key; known: size"),
            (("generator: {name: dcgan, width: 64}", "generator: {name: dcgan, widht: 64}"), "r.yaml:10:26: generator.widht: unknown parameter; did you mean 'width'?"),
            (("lr: 2.0e-4", "lr: {start: 1, end: 0, over_images: 9, shap: cosine}"), "r.yaml:16:66: optimizers.generator.lr.shap: unknown parameter; did you mean 'shape'?"),
            (("every: 100}", "evry: 100}"), "r.yaml:21:27: callbacks.0.evry: unknown parameter; did you mean 'every'?"),
            (("{name: cifar10}", "{name: cifar100}"), "r.yaml:8:17: dataset.name: no dataset is called 'cifar100'; did you mean 'cifar10'?"),
            (("loss: bce", "loss: 3"), "r.yaml:12:7: loss: should be the name of a component, or a mapping with its 'name'; got 3"),
            (("width: 64", "width: wide"), "r.yaml:10:33: generator.width: should be a whole number; got 'wide'"),
            (("width: 64", "width: true"), "r.yaml:10:33: generator.width: should be a whole number; got true"),
            (("conditional: false", "conditional: 3"), "r.yaml:6:14: conditional: should be true or false; got 3"),
            (("epochs: 25", "epochs: 25, steps: 3"), "r.yaml:18:21: train.steps: give exactly one of epochs, steps, images; got epochs and steps"),
            (("loader: {", "loader: ["), "r.yaml:9:50: invalid YAML: "),
            (("name: dcgan_cifar10", BOMB), "has more than 20,000 values; check its aliases"),
            (("seed: 0", "seed: !!python/object/apply:os.system [touch owned]"), "r.yaml:4:7: seed: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed; use plain data"),
            (("seed: 0", "seed: 0\nseed: 1"), "r.yaml:5:1: seed: given twice, first at r.yaml:4:1"),
            (("seed: 0", "extends: r.yaml"), "r.yaml:4:10: extends: is circular: r.yaml -> r.yaml"),
            (("seed: 0", "extends: base.yaml"), "r.yaml:4:10: extends: base.yaml: no such file"),
            (("{size: 64}", "{size: 50}"), "r.yaml:10:12: generator: dcgan cannot make images of 50x50 (height x width)"),
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
            ("image.size=50", "r.yaml:10:12: generator: dcgan cannot make images of 50x50"),
            ("seed", "command line: seed: an override is KEY=VALUE, such as train.epochs=1"),
            ("seed=[", "command line: seed=[: invalid YAML"),
            ("initialize=nowhere", "command line: initialize=nowhere: initialize: nowhere: no such run or checkpoint"),
        ],
    )
    def test_a_fault_on_the_command_line(self, refused, word, message):
        dcgan()
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
            (b'"\\e[31mred\\e[0m": 1', "r.yaml:1:1: \\x1b[31mred\\x1b[0m: unknown key"),  # escaped for the terminal
        ],
    )
    def test_a_file_that_is_not_a_recipe(self, refused, content, message):
        if content is not None:
            Path("r.yaml").write_bytes(content)
        assert message in refused("check", "r.yaml")

    def test_a_folder(self, refused):
        assert refused("run", ".") == ".: is a folder; give the recipe file in it\n"
