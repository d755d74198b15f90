"""Every command and example in the README and in docs/ runs here, with fewer steps, smaller networks and less data."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from types import ModuleType
from urllib.request import urlopen

import pytest
import yaml
from PIL import Image

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
SETTINGS = ["train.steps=2", "loader.batch_size=4", "generator.width=4", "discriminator.width=4"]
DATASET = "{name: shapes, count: 16, size: 16}"
SET_UP = "python3 -m venv .venv && .venv/bin/pip install -q -e "
EVALUATE = "{name: evaluate, metrics: [kid], features: pixels, params: {kid: {subset_size: 4}}, samples: 8}"
SMALL_SEARCH = ["train.steps=2", "dataset={name: shapes, count: 128, size: 16}", "image.size=16", f"callbacks=[{EVALUATE}]"]
RUNS = ("dcgan_cifar10", "dcgan_cifar10_conditional", "stylegan2_cifar10", "stylegan2_cifar10_conditional")


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
    (folder / "pictures").mkdir()
    shapes = gankit.Runtime().registries.datasets.get("shapes").factory(count=16, size=16)
    shapes.prepare()
    for index in range(16):
        gankit.save_grid(shapes[index][0][None], folder / f"pictures/{index}.png", 1)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.chdir(folder)
        for recipe in RUNS:
            words = ["gankit", "run", f"recipes/{recipe}.yaml", "--out", f"results/{recipe}"]
            assert run([*words, *SETTINGS, f"dataset={DATASET}"], monkeypatch) == 0
        _colorize(folder, monkeypatch)
        _translate(folder, monkeypatch)
    shutil.copytree(folder / "results/dcgan_cifar10", folder / "results/dcgan_cifar10-2")
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
        words += ["--samples", "11"]  # the last one counts
        return [*words, "kid.subset_size=8"] if "fd,kid,prdc" in words else words
    if verb == "resume":
        return [word.replace("train.epochs=50", "train.steps=3") for word in words]
    if verb == "sample":
        return [word.replace("cat,dog", "0,1").replace("50000", "20") for word in words]
    if verb == "project":
        return [*words, "--steps", "2"]
    if verb == "search":
        return [*words, "--trials", "2", "--jobs", "0", *SMALL_SEARCH]
    if verb == "explore":
        return [*words, "--port", "0", "--no-open"]
    if verb == "bench":
        return [*words, "--steps", "2", *SETTINGS[1:], f"dataset={DATASET}"]
    if verb not in ("run", "check"):
        return words
    extra = [word for word in SETTINGS if word.partition("=")[0] not in given]
    if "--plugin" in words:
        extra.remove("generator.width=4")
    if {"train.epochs", "train.steps"} & set(given):  # an epoch of the generated data is short
        extra = [word for word in extra if word != "train.steps=2"]
    if "cut_folders" in command:
        data = ["image.size=64", "regularizers.patch_nce.channels=[3, 8, 16, 16, 16]"]
    elif re.search("pix2pix_cifar10|srgan_cifar10", command):
        data = [f"dataset.dataset={DATASET}", f"dataset.held_out={DATASET}"]
    elif "image_folder" in command:
        data = [f"dataset.path={ROOT / 'docs/images'}", "loader.batch_size=1"]
    else:
        data = [f"dataset={DATASET}"]
    return [*words, *extra, *data]


@pytest.mark.parametrize("command", COMMANDS)
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
        for name, block in zip(("my_recipe", "space"), blocks((ROOT / "docs/search.md").read_text(), "yaml"), strict=True):
            Path(f"{name}.yaml").write_text(block)
    if "--latents" in words or any(word.startswith("direction.") for word in words):
        _search(checkout, monkeypatch)
    if words[1] == "directions" and "--rename" in words:
        assert run(["gankit", "directions", words[2]], monkeypatch) == 0
    if words[1] == "run" and "--out" in words:  # made before, for other commands
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    assert run(shortened(command), monkeypatch) == 0, capsys.readouterr().err
    if words[1] in ("sample", "export", "compare") and "--out" in words:
        out = Path(words[words.index("--out") + 1])
        assert all(file.stat().st_size > 100 for file in (sorted(out.iterdir()) if out.is_dir() else [out]))


def _search(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of docs/sampling.md that find latents and directions, for the commands that use these."""
    for command in lines_of(ROOT / "docs/sampling.md"):
        if command.split()[1] in ("project", "directions"):
            assert run(shortened(command), monkeypatch) == 0


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
    if page.name == "search.md":  # a search space
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
