"""Every command and example in the README and in docs/ runs here, with fewer steps, smaller networks and less data."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from urllib.request import urlopen

import pytest
import timm
import yaml
from PIL import Image
from safetensors.torch import save_file

import gankit
from gankit.cli.main import main
from gankit.search import parse_space
from gankit.search.check_space import check_space
from gankit_callbacks import curve_plot

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "benchmarks/README.md",
    ROOT / ".github/CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PLUGINS = (ROOT / "docs/plugins.md").read_text(encoding="utf-8")
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
SETTINGS = ["train.steps=2", "loader.batch_size=4", "generator.width=4", "discriminator.width=4"]
DATASET = "{name: shapes, count: 16, size: 16}"
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q -e "
EVALUATE = "{name: evaluate, metrics: [kid], features: pixels, params: {kid: {subset_size: 4}}, samples: 8}"
SMALL_SEARCH = ["train.steps=2", "dataset={name: shapes, count: 128, size: 16}", "image.size=16", f"callbacks=[{EVALUATE}]"]
MADE_BEFORE = {"dataset.path=pictures64.zip": "gankit data pack", "loader.encodings=encodings": "gankit data encode"}
RUNS = ("quickstart", "dcgan_cifar10", "dcgan_cifar10_conditional", "stylegan2_cifar10", "stylegan2_cifar10_conditional")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.S | re.M)


def lines_of(document: Path) -> list[str]:
    text = document.read_text(encoding="utf-8")
    return [line for block in blocks(text, "sh") for line in block.splitlines()]


PAGES = [path for path in DOCUMENTS if path.name != "plugin_guide.md"]  # has a test of its own: its steps need each other
COMMANDS = sorted(
    {re.sub(r"  +#.*", "", line) for path in PAGES for line in lines_of(path) if line.startswith("gankit ")}
)


def require_trackers(example: str) -> None:
    """Skip an example with a tracker that is not installed."""
    for name in ("tensorboard", "wandb", "mlflow"):
        if re.search(rf"callbacks.*\b{name}\b", example):
            pytest.importorskip(name, reason=f"the extra '{name}' is not installed")


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", words)
    # take most of the time, and have their own tests
    monkeypatch.setattr(curve_plot, "draw_curves", lambda *given: None)
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SECONDS", 0.01)
    monkeypatch.setattr("gankit.profiling.flops.MATRIX_SIDES", {"cpu": (64,)})
    # would wait for Ctrl-C
    monkeypatch.setattr("gankit.cli.explore.wait_until_interrupted", lambda address: urlopen(address).close())
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory):
    """A folder like the checkout, with the runs, plugins and images that commands in the documents refer to."""
    folder = tmp_path_factory.mktemp("finished_runs")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / "my_gan.py").write_text(blocks(README, "python")[0])
    (folder / "my_loss.py").write_text(blocks(TUTORIAL, "python")[1])
    (folder / "wide.yaml").write_text(blocks(TUTORIAL, "yaml")[0])
    (folder / "pictures").mkdir()
    shapes = gankit.Runtime().registries.datasets.get("shapes").factory(count=16, size=16)
    shapes.prepare()
    for index in range(16):
        gankit.save_grid(shapes[index][0][None], folder / f"pictures/{index}.png", 1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for recipe in RUNS:
            words = ["gankit", "run", f"recipes/{recipe}.yaml", "--out", f"results/{recipe}"]
            smaller = ["generator.style_dim=16", "latent.dim=16"] if "stylegan2" in recipe else []
            assert run([*words, *SETTINGS, *smaller, f"dataset={DATASET}"], monkeypatch) == 0
        _colorize(folder, monkeypatch)
        _translate(folder, monkeypatch)
    shutil.copytree(folder / "results/dcgan_cifar10", folder / "results/dcgan_cifar10-2")
    shutil.copytree(folder / "results/quickstart", folder / "results/wide")
    return folder


def _colorize(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run of docs/data.md, whose images have partners."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (source,) = (block for block in blocks(text, "python") if "class Colorize" in block)
    (recipe,) = (block for block in blocks(text, "yaml") if "colorize" in block)
    (folder / "my_pairs.py").write_text(source)
    (folder / "colorize.yaml").write_text(recipe)
    for name in ("data/pictures", "data/test_pictures"):
        shutil.copytree(folder / "pictures", folder / name)
    small = ["train.steps=2", "loader.batch_size=4", "image.size=16", "generator.width=4"]
    words = ["gankit", "run", "colorize.yaml", "--out", "results/colorize", "--plugin", "my_pairs.py"]
    assert run([*words, *small], monkeypatch) == 0


def _translate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of docs/translation.md, its plugin, and gray photos to translate."""
    text = (ROOT / "docs/translation.md").read_text(encoding="utf-8")
    (source,) = (block for block in blocks(text, "python") if "class Unchanged" in block)
    (folder / "my_baseline.py").write_text(source)
    (folder / "photos").mkdir()
    for name in ("horses", "zebras"):
        shutil.copytree(folder / "pictures", folder / name)
    for index in range(2):
        Image.open(folder / f"pictures/{index}.png").convert("L").resize((50, 40)).save(folder / f"photos/{index}.jpg")
    for command in lines_of(ROOT / "docs/translation.md"):
        if "colorize.yaml" in command or "my_baseline.py generator=" in command:
            assert run(shortened(command), monkeypatch) == 0


@pytest.fixture(scope="session")
def searched_runs(finished_runs, tmp_path_factory):
    """A copy of that folder, with the latents and directions that the commands of docs/sampling.md find."""
    folder = tmp_path_factory.mktemp("searched_runs")
    shutil.copytree(finished_runs, folder, dirs_exist_ok=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for command in lines_of(ROOT / "docs/sampling.md"):
            if command.split()[1] in ("project", "directions"):
                assert run(shortened(command), monkeypatch) == 0
    return folder


@pytest.fixture
def checkout(finished_runs, tmp_path, monkeypatch):
    """A copy of that folder, as the working directory: no test sees what another one wrote."""
    folder = tmp_path / "checkout"
    shutil.copytree(finished_runs, folder)
    monkeypatch.chdir(folder)
    return folder


def shortened(command: str) -> list[str]:
    """The command with fewer steps, small networks and generated data. A plugin's own generator stays."""
    words = [word for word in shlex.split(command) if not word.startswith(("loader.batch_size=", "train.images="))]
    given = [word.partition("=")[0] for word in words]
    verb = words[1]
    if verb == "eval":
        if "--real" in words and "gray" not in command:
            words[words.index("--real") + 1] = DATASET
        words += ["--samples", "11", *(["memorization.k=5"] if "memorization" in command else [])]  # the last one counts
        return [*words, "kid.subset_size=8"] if {"fd,kid,prdc", "kid,prdc"} & {*words} else words
    if verb == "resume":
        return [re.sub(r"^train\.(epochs|steps)=.*", "train.steps=3", word) for word in words]
    if verb == "sample":
        return [word.replace("cat,dog", "0,1").replace("50000", "20") for word in words]
    if verb == "project":
        return [*words, "--steps", "2"]
    if verb == "search":
        return [*words, "--trials", "2", "--jobs", "0", *SMALL_SEARCH]
    if verb == "data":
        return [*words, f"dataset={DATASET}"] if words[2] == "encode" or "recipes/" in command else words
    if verb == "explore":
        return [*words, "--port", "0", "--no-open"]
    if verb == "bench":
        return [*words, "--steps", "2", *SETTINGS[1:], f"dataset={DATASET}"]
    if verb not in ("run", "check"):
        return words
    words = [re.sub(r"^train\.steps=.*", "train.steps=2", word) for word in words]
    words = [re.sub(r"^train\.epochs=.*", "train.epochs=1", word) for word in words]
    extra = [word for word in SETTINGS if word.partition("=")[0] not in given]
    if "--plugin" in words:
        extra.remove("generator.width=4")
    if {"train.epochs", "train.steps"} & set(given):  # an epoch of the generated data is short
        extra = [word for word in extra if word != "train.steps=2"]
    if "cut_folders" in command:
        data = ["image.size=64", "regularizers.patch_nce.channels=[3, 8, 16, 16, 16]"]
    elif re.search("pix2pix_cifar10|srgan_cifar10", command):
        data = [f"dataset.dataset={DATASET}", f"dataset.held_out={DATASET}"]
    elif "dataset.path=pictures64.zip" in words:
        data = []
    elif "image_folder" in command:
        data = [f"dataset.path={ROOT / 'docs/images'}", "loader.batch_size=1"]
    elif "FakeData" in command:
        data = []
    else:
        data = [f"dataset={DATASET}"]
    return [*words, *extra, *data]


def is_slow(command: str) -> bool:
    """Whether it takes more than about five seconds; tests/search and tests/export have faster tests of the same."""
    return "export results/" in command or command.startswith("gankit search")


@pytest.mark.parametrize(
    "command", [pytest.param(text, marks=pytest.mark.slow if is_slow(text) else ()) for text in COMMANDS]
)
def test_commands(command, checkout, monkeypatch, capsys, request):
    require_trackers(command)
    words = shlex.split(command)
    if words[1] == "push" or "hub:" in command:
        request.getfixturevalue("hub")
        monkeypatch.chdir(checkout)
        if words[1] != "push":
            assert run(["gankit", "push", "results/dcgan_cifar10", "owner/name"], monkeypatch) == 0
    if words[1] == "explore":
        pytest.importorskip("gradio")
    if words[1] == "search":
        pytest.importorskip("optuna")
        for name, block in zip(("my_recipe", "space"), blocks((ROOT / "docs/hyperparameter_search.md").read_text(), "yaml"), strict=True):
            Path(f"{name}.yaml").write_text(block)
    if "--latents" in words or any(word.startswith("direction.") for word in words):
        shutil.copytree(request.getfixturevalue("searched_runs"), checkout, dirs_exist_ok=True)
    if "latent.yaml" in words:
        _write_codec()
    for word, command_before in MADE_BEFORE.items():
        if word in words:
            (before,) = (line for line in lines_of(ROOT / "docs/data.md") if line.startswith(command_before))
            assert run(shortened(before), monkeypatch) == 0
    if words[1] == "directions" and "--rename" in words:
        assert run(["gankit", "directions", words[2]], monkeypatch) == 0
    if words[1] == "run" and "--out" in words:  # made before, for other commands
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    small = _random_transformer(words[words.index("--features") + 1], monkeypatch) if "--features" in words else []
    assert run([*shortened(command), *small], monkeypatch) == 0, capsys.readouterr().err
    if words[1] in ("sample", "export", "compare") and "--out" in words:
        out = Path(words[words.index("--out") + 1])
        assert all(file.stat().st_size > 100 for file in (sorted(out.iterdir()) if out.is_dir() else [out]))


def _write_codec() -> None:
    """Write the codec of docs/data.md, its weights, and the recipe that uses it."""
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    (source,) = (block for block in blocks(text, "python") if "class Autoencoder" in block)
    (recipe,) = (block for block in blocks(text, "yaml") if "name: latent\n" in block)
    Path("my_codec.py").write_text(source)
    Path("latent.yaml").write_text(recipe)
    codec = gankit.Runtime(plugins=["my_codec.py"]).registries.codecs.get("my_autoencoder").factory
    save_file(codec(gankit.ImageSpec(32, 32, 3), weights=Path()).state_dict(), "autoencoder.safetensors")


def _random_transformer(features: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Overrides for a small network with random weights, because the pretrained ones are downloads."""
    model = {"clip": "vit_base_patch32_clip_quickgelu_224.openai", "dinov2": "vit_small_patch14_dinov2.lvd142m"}.get(features)
    if model is None:
        return []
    monkeypatch.setattr(timm, "create_model", partial(timm.create_model, depth=2))
    save_file(timm.create_model(model).state_dict(), "model.safetensors")
    return [f"{features}.model={model}", f"{features}.weights=model.safetensors"]


def test_ci_runs_the_two_set_up_commands():
    commands = [command for command in lines_of(ROOT / "README.md") if not command.startswith("gankit ")]
    assert commands == [
        f"{SET_UP}. && .venv/bin/gankit run recipes/quickstart.yaml",
        f'{SET_UP}".[dev]" && .venv/bin/python -m pytest -n 2',
    ]
    check = (ROOT / ".ci/run").read_text(encoding="utf-8")
    run_command, test_command = (command.replace(".venv", ".ci/venv") for command in commands)
    assert {f"{run_command} --out .ci/results/quickstart", test_command} <= {*check.splitlines()}


def test_ci_leaves_the_environment_and_the_results_of_the_developer_alone():
    check = (ROOT / ".ci/run").read_text(encoding="utf-8")
    code = [line for line in check.splitlines() if not line.startswith("#")]
    removed = [word for line in code if line.startswith("rm ") for word in line.split()[2:]]
    assert {".ci/venv", ".ci/results"} == {*removed}
    assert not re.findall(r"(?<!\.ci/)(?<!\w)(?:\.venv|results)/", "\n".join(code))
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/.ci/venv/", "/.ci/results/"} <= {*ignored}


def test_readme_is_short():
    assert len(README.splitlines()) <= 180


def test_library_example(checkout, capsys):
    example = blocks(README, "python")[1]
    for part, shorter in (('"train.steps=200"', str(["train.steps=4", *SETTINGS[1:]])[1:-1]), ("% 100", "% 4")):
        assert part in example
        example = example.replace(part, shorter)
    exec(example, {})
    assert capsys.readouterr().out.startswith("4 ")
    assert Path("sixteen.png").is_file()
    assert Path("results/mine/checkpoints/step-00000004").is_dir()


def test_tutorial_program(checkout):
    """The other example in Python is the plugin of the commands."""
    program, _ = blocks(TUTORIAL, "python")
    names = {}
    exec(program, names)
    assert names["images"].shape == (16, 3, 32, 32)
    assert Path("sixteen.png").is_file()


def test_tutorial_error_message(checkout, monkeypatch, capsys):
    command, message = re.search(r"^```\n\$ (gankit .*)\n(.*)\n```", TUTORIAL, flags=re.M).groups()
    assert run(shlex.split(command), monkeypatch) == 2
    assert capsys.readouterr().err == f"{message}\n"


def test_example_error_message(tmp_path):
    text = (
        (ROOT / "recipes/dcgan_cifar10.yaml")
        .read_text()
        .replace("generator: {name: dcgan, width", "generator: {name: dcgan, widht")
    )
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(gankit.RecipeError) as caught:
        gankit.Runtime().load(tmp_path / "x.yaml")
    example = re.search(r"`recipes/x.yaml:\d+:\d+: (.*?)`", README)
    assert example is not None
    assert str(caught.value).endswith(example[1])


YAML_BLOCKS = [
    pytest.param(path, yaml.safe_load(block), id=f"{path.name}-{number}")
    for path in DOCUMENTS
    for number, block in enumerate(blocks(path.read_text(encoding="utf-8"), "yaml"))
]


def plugins_in(page):
    """The plugins among the examples in Python on a page."""
    for number, block in enumerate(blocks(page.read_text(encoding="utf-8"), "python")):
        if "@gankit.hookimpl" in block:
            plugin = ModuleType(f"{page.stem}_{number}")
            exec(block, vars(plugin))
            yield plugin


@pytest.mark.parametrize(("page", "example"), YAML_BLOCKS)
def test_yaml_examples(page, example, tmp_path):
    """Each example is a whole recipe, or keys that fit into one. It may use the plugins on its page."""
    require_trackers(str(example))
    runtime = gankit.Runtime(plugins_in(page) if page.name in ("data.md", "games.md") else ())
    if "extends" in example:
        (tmp_path / "recipes").symlink_to(ROOT / "recipes")
        (tmp_path / "example.yaml").write_text(yaml.safe_dump(example))
        runtime.load(tmp_path / "example.yaml")
        return
    if page.name == "hyperparameter_search.md":  # a search space
        recipe = runtime.load(ROOT / "recipes/dcgan_cifar10.yaml")
        check_space(parse_space(yaml.safe_dump(example), page.name), recipe.document, runtime.registries)
        return
    if "name" in example:
        runtime.check(gankit.Recipe.parse(example))
        return
    places = {"lr": "optimizers.generator.lr"}
    overrides = [
        f"{places.get(key, key)}={yaml.safe_dump(value, default_flow_style=True)}" for key, value in example.items()
    ]
    runtime.load(ROOT / "recipes/quickstart.yaml", overrides)


def test_component_table_is_complete():
    """To update the table: python -c "from tests.test_readme import table; print(table())"."""
    shown = re.search(r"<!-- built-in -->\n(.*?)<!-- /built-in -->", README, flags=re.S)
    assert shown is not None
    assert shown[1] == table()


def table() -> str:
    runtime = gankit.Runtime()
    built_in = {plugin.name for plugin in runtime.plugins if plugin.name.startswith("gankit_")} | {"gankit"}
    lines = ["| kind | names |", "|---|---|"]
    for registry in runtime.registries:
        if names := [f"`{entry.name}`" for entry in registry if entry.plugin in built_in]:
            lines.append(f"| {registry.kind} | {', '.join(names)} |")
    return "\n".join(lines) + "\n"


def test_recipe_keys_are_documented():
    text = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
    documented = {
        name for row in re.findall(r"^\| (`.*?) \|", text, flags=re.M) for name in re.findall(r"`(\w+)`", row)
    }
    fields = gankit.Recipe.model_fields
    keys = set(fields) | {key for name in ("loader", "train") for key in fields[name].annotation.model_fields}
    assert documented == keys | {"extends"}


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), flags=re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document):
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_recipe_is_listed():
    links = re.findall(r"\]\(\.\./(recipes/[^)#]+)\)", (ROOT / "docs/recipes.md").read_text(encoding="utf-8"))
    assert set(links) == {f"recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")}


def test_every_page_is_in_the_index():
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs/index.md").read_text(encoding="utf-8"))
    assert {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"} <= set(links)


def test_plugin_examples(tmp_path, monkeypatch, capsys):
    """The documented plugin trains, passes the documented checks, and is scored by the documented metric."""
    source, checks, turn, scores = (
        next(block for block in blocks(PLUGINS, "python") if part in block)
        for part in ("class LeastSquares", "check_dataset(", "import make_turn", "class MeanColor")
    )
    (tmp_path / "my_gan.py").write_text(source)
    runtime = gankit.Runtime(plugins=[tmp_path / "my_gan.py"])
    overrides = [
        "image.size=16",
        "dataset=stripes",
        "loss=least_squares",
        "regularizers=[{name: zero_centered, interval: 2}]",
        "callbacks=[{name: stop_after, steps: 3}, {name: checkpoint, every: 3}]",
        "generator.width=4",
        "discriminator.width=4",
    ]
    trainer = runtime.assemble(runtime.load_checked(ROOT / "recipes/quickstart.yaml", overrides), tmp_path / "run")
    trainer.fit()
    assert (trainer.state.step, trainer.ending) == (3, "step limit")
    (loaded,) = (plugin.module for plugin in runtime.plugins if plugin.name == "my_gan")
    monkeypatch.setitem(sys.modules, "my_gan", loaded)  # only for this test: other documents have plugins of this name
    exec(checks, {})
    exec(turn, {})
    (tmp_path / "my_scores.py").write_text(scores)
    plugins = ["--plugin", str(tmp_path / "my_gan.py"), "--plugin", str(tmp_path / "my_scores.py")]
    words = ["--metrics", "gap", "--features", "mean_color", "--samples", "6", *plugins]
    monkeypatch.setenv("GANKIT_DATA_DIR", str(tmp_path / "data"))
    assert run(["gankit", "eval", str(tmp_path / "run"), *words], monkeypatch) == 0, capsys.readouterr().err
    assert " gap_mean_color " in capsys.readouterr().out
