"""``gankit list``, ``gankit show`` and ``gankit plugins``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import gankit
from gankit.recipe.model import attribute_texts, sections

ROOT = Path(__file__).parents[2]
DCGAN = ROOT / "recipes" / "dcgan_cifar10.yaml"


class TestList:
    def test_one_line_per_component_in_a_pipe(self, cli):
        said = cli("list")
        assert said.code == 0
        registries = gankit.Runtime().registries
        lines = said.out.splitlines()
        assert lines[0].split()[:3] == ["kind", "name", "plugin"]
        found = [tuple(line.split()[:3]) for line in lines[1:]]
        assert found == [(r.kind, entry.name, entry.plugin) for r in registries for entry in r]
        assert all(registry_line.split(maxsplit=3)[3] for registry_line in lines[1:])

    @pytest.mark.parametrize("kind", ["losses", "loss"])
    def test_one_kind_in_the_plural_or_singular(self, cli, kind):
        lines = cli("list", kind).out.splitlines()[1:]
        assert {line.split()[0] for line in lines} == {"losses"}

    def test_a_kind_without_components(self, cli, monkeypatch):
        monkeypatch.setattr("gankit.cli.list.make_runtime", lambda plugins: gankit.Runtime(discover=False))
        assert cli("list", "metrics") == (0, "no registered metrics\n", "")

    def test_an_unknown_kind(self, cli):
        assert cli("list", "lossess") == (2, "", "error: unknown kind 'lossess'; did you mean 'losses'?\n")

    def test_a_plugin_file(self, cli, tiny_plugin_file):
        assert "TinyGenerator" not in cli("list").out
        assert " tiny " in cli("list", "generators", "--plugin", tiny_plugin_file).out

    @pytest.mark.usefixtures("narrow")
    def test_a_narrow_terminal_does_not_truncate_names(self, cli, plain):
        said = cli("list", "losses")
        lines = plain(said.out).splitlines()
        assert max(map(len, lines)) <= 50
        for entry in gankit.Runtime().registries.losses:
            assert any(f" {entry.name} " in line for line in lines)
        assert "…" not in said.out


class TestShow:
    def test_description_and_parameters(self, cli):
        said = cli("show", "generators", "dcgan")
        assert said.code == 0
        assert "dcgan  (generators, plugin gankit_dcgan)" in said.out
        assert "arXiv 1511.06434" in said.out
        assert re.search(r"^ *width +integer > 0 +64 *$", said.out, re.MULTILINE)

    def test_types_and_defaults_are_written_as_in_recipes(self, cli):
        out = cli("show", "optimizer", "adam").out
        assert re.search(r"^ *lr +number or \{start:, end:, over_images:, after_images:, shape:\} +0.0002 *$", out, re.MULTILINE)
        assert re.search(
            r"^ *betas +\[number or .*\] +\[0.5, 0.999\] *$|^ *betas .*\[0.9, 0.999\] *$", out, re.MULTILINE
        )
        out = cli("show", "datasets", "cifar10").out
        assert re.search(r"^ *root +string or null +null *$", out, re.MULTILINE)
        assert re.search(r'^ *split +train \| test +"train" *$', out, re.MULTILINE)
        assert re.search(r"^ *download +boolean +true *$", out, re.MULTILINE)

    def test_no_parameters(self, cli):
        assert "It has no parameters." in cli("show", "losses", "hinge").out

    def test_sampling_options(self, cli, tmp_path):
        shown = cli("show", "generators", "biggan").out.partition("Options of gankit sample:")[2]
        assert re.search(r"^ *truncation +number > 0 or null +null *$", shown, re.MULTILINE)
        plugin = ROOT / "tests" / "own_games" / "plugins" / "flow_matching.py"
        shown = cli("show", "games", "flow_matching", "--plugin", plugin).out.partition("Options of gankit sample:")[2]
        assert re.search(r"^ *steps +integer > 0 +50 *$", shown, re.MULTILINE)
        assert "Options" not in cli("show", "games", "apa").out + cli("show", "generators", "dcgan").out

    def test_required_parameters(self, cli):
        assert re.search(r"^ *path +string +required *$", cli("show", "datasets", "image_folder").out, re.MULTILINE)

    def test_bounds(self, cli, tiny_plugin_file):
        out = cli("show", "datasets", "tiny", "--plugin", tiny_plugin_file).out
        assert re.search(r"^ *count +integer >= 0 +32 *$", out, re.MULTILINE)
        assert re.search(r"^ *side +integer > 0 +16 *$", out, re.MULTILINE)

    def test_every_component_can_be_shown(self, cli):
        for registry in gankit.Runtime().registries:
            for entry in registry:
                said = cli("show", registry.kind, entry.name)
                assert said.code == 0
                assert all(f" {field} " in said.out for field in entry.schema.model_fields)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["generators", "dcgam"], "error: no generator is called 'dcgam'; did you mean 'dcgan'?\n"),
            (["generater", "dcgan"], "error: unknown kind 'generater'; did you mean 'generators'?\n"),
            (["metrics", "fid"], "error: no metric is called 'fid'; did you mean 'fd'?\n"),
        ],
    )
    def test_unknown_names(self, cli, words, message):
        assert cli("show", *words) == (2, "", message)

    @pytest.mark.usefixtures("narrow")
    def test_a_narrow_terminal(self, cli, plain):
        said = cli("show", "optimizers", "adam")
        assert said.code == 0
        assert max(map(len, plain(said.out).splitlines())) <= 50
        assert "weight_decay" in said.out


class TestPlugins:
    def test_sources_and_components(self, cli, tiny_plugin_file):
        said = cli("plugins", "--plugin", tiny_plugin_file)
        assert said.code == 0
        assert re.search(
            r"^ *gankit_dcgan +gankit \S+ +generators: dcgan; discriminators: dcgan; weight_formats: pytorch_dcgan *$",
            said.out,
            re.MULTILINE,
        )
        assert re.search(rf"^ *tiny_plugin +{re.escape(str(tiny_plugin_file))} +generators: ", said.out, re.MULTILINE)

    def test_a_broken_plugin_is_a_warning_of_every_command(self, cli, tmp_path, monkeypatch):
        info = tmp_path / "site" / "bad-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[gankit]\nworse_plugin = worse_plugin\n")
        (tmp_path / "site" / "worse_plugin.py").write_text("raise RuntimeError('with [brackets]')\n")
        monkeypatch.syspath_prepend(tmp_path / "site")
        said = cli("plugins")
        assert said.code == 0
        assert "bad 1.0" in said.out
        assert "did not load: plugin 'worse_plugin' (bad 1.0): RuntimeError: with [brackets]" in said.out
        said = cli("list", "losses")
        assert said.code == 0
        assert said.err.startswith("warning: plugin 'worse_plugin' (bad 1.0): RuntimeError: with [brackets]")
        assert said.err.endswith("; continuing without this plugin\n")
        assert cli("check", DCGAN).code == 0
        said = cli("check", DCGAN, "loss=theirs")
        assert said.code == 2
        assert "'worse_plugin'" in said.err
        assert "worse_plugin" not in sys.modules


class TestShowRecipe:
    def test_every_key_has_a_description(self):
        for model in (gankit.Recipe, *sections().values()):
            assert {*attribute_texts(model)} == {field.alias or name for name, field in model.model_fields.items()}

    def test_all_sections(self, cli):
        said = cli("show", "recipe")
        assert said.code == 0
        titles = re.findall(r"^(\w+): ", said.out, re.MULTILINE)
        assert titles == ["recipe", "image", "latent", "loader", "optimizers", "train", "ema", "initialize", "segments"]
        assert re.search(r"^ *dataset +component +required +the real images\. *$", said.out, re.MULTILINE)
        assert re.search(r"^ *loss +component or null +bce +the loss of both networks\. *$", said.out, re.MULTILINE)

    @pytest.mark.parametrize("words", [["train"], ["recipe", "train"]])
    def test_a_section(self, cli, words):
        said = cli("show", *words)
        assert said.code == 0
        assert re.search(r"^ *steps +integer > 0 or null +null +training steps\. *$", said.out, re.MULTILINE)
        assert re.search(r'^ *kernels +auto \| torch +"auto" +auto uses faster', said.out, re.MULTILINE)
        assert "batch_size" not in said.out

    def test_a_kind(self, cli):
        assert cli("show", "losses") == cli("list", "losses")
        both = cli("show", "optimizers").out  # a section and a kind
        assert re.search(r"^ *generator +component ", both, re.MULTILINE)
        assert both.endswith(cli("list", "optimizers").out)

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["recipe", "tran"], "error: recipe: unknown section 'tran'; did you mean 'train'?\n"),
            (["tran"], "error: unknown kind 'tran'; "),
            (["recipe", "seed"], "error: recipe: 'seed' is a single key"),
        ],
    )
    def test_unknown_sections(self, cli, words, message):
        said = cli("show", *words)
        assert said.code == 2
        assert said.err.startswith(message)
