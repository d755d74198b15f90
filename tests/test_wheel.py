"""What is installed is what is here: the wheel, away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

THIRD_PARTY = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "third-party-gan"
version = "1.0"
[project.entry-points.gankit]
third_party_gan = "third_party_gan"
[tool.hatch.build.targets.wheel]
packages = ["third_party_gan"]
""",
    "third_party_gan/__init__.py": """
import sys

import torch
from torch import nn
import gankit

class Linear(nn.Module):
    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.image, self.scale = image, scale
        self.linear = nn.Linear(latent_dim, image.channels * image.height * image.width)

    def forward(self, z, labels=None):
        shape = (-1, self.image.channels, self.image.height, self.image.width)
        return (self.linear(z) * self.scale).view(shape).tanh()

class Gap:
    def discriminator(self, turn):
        return (turn.fake_logits - turn.real_logits).mean()

    def generator(self, turn):
        return -turn.fake_logits.mean()

class Ramp:
    split, classes = "train", None
    spec = gankit.ImageSpec(16, 16, 1)

    def __init__(self, *, count: int = 20) -> None:
        self.count = count

    def prepare(self): ...

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.full((1, 16, 16), index * 10, dtype=torch.uint8), 0

class Shout:
    def on_run_end(self, run):
        print("SHOUT", run.state.step, gankit.__file__, sys.modules["gankit_dcgan"].__file__)

@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.generators.add("third_linear", Linear)
    registries.losses.add("third_gap", Gap)
    registries.datasets.add("third_ramp", Ramp)
    registries.callbacks.add("third_shout", Shout)
""",
}


COMMANDS = """
import contextlib, io, json, sys
from gankit.cli.main import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["gankit", *words]
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            main()
        except SystemExit as end:
            assert not end.code, end.code
    print(json.dumps(out.getvalue()))
"""


def build(project: Path, target: Path) -> Path:
    line = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(project)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Our wheel and a third party's in a folder of their own, which stands before everything else on the path."""
    base = tmp_path_factory.mktemp("wheels")
    for name, text in THIRD_PARTY.items():
        (base / "third" / name).parent.mkdir(parents=True, exist_ok=True)
        (base / "third" / name).write_text(text)
    wheels = [build(ROOT, base / "ours"), build(base / "third", base / "theirs")]
    line = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        str(base / "site"),
        *map(str, wheels),
    ]
    subprocess.run(line, check=True)
    (base / "elsewhere").mkdir()

    def gankit(*commands: list[str]) -> list[str]:
        """What the commands print, in one process."""
        env = {**os.environ, "PYTHONPATH": str(base / "site"), "COLUMNS": "200", "PYTHONSAFEPATH": "1"}
        line = [sys.executable, "-c", COMMANDS, json.dumps(commands)]
        done = subprocess.run(line, cwd=base / "elsewhere", env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return [json.loads(out) for out in done.stdout.splitlines()]

    return base, wheels[0], gankit


def test_the_wheel_holds_the_core_and_every_plugin_and_nothing_else_at_the_top(installed):
    _, wheel, _ = installed
    names = zipfile.ZipFile(wheel).namelist()
    plugins = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file()}
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gankit", *plugins}
    assert {"gankit/py.typed", "gankit/models/cifar10/manifest.json"} <= {*names}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    declared = zipfile.ZipFile(wheel).read(entry_points).decode()
    assert all(f"{plugin} = {plugin}" in declared for plugin in plugins)


def test_both_wheels_work_away_from_the_checkout(installed):
    base, _, gankit = installed
    (base / "elsewhere/recipe.yaml").write_text("""
name: third
image: {size: 16}
dataset: third_ramp
loader: {batch_size: 4}
generator: {name: third_linear, scale: 0.5}
discriminator: {name: dcgan, width: 4}
loss: third_gap
optimizers: {generator: adam, discriminator: adam}
train: {steps: 2}
callbacks: [third_shout, checkpoint]
""")
    listed, ran, sampled = gankit(["list"], ["run", "recipe.yaml"], ["sample", "results/third", "--count", "4"])
    rows = {tuple(line.split()[:3]) for line in listed.splitlines()[1:]}
    assert ("generators", "dcgan", "gankit_dcgan") in rows
    assert ("datasets", "cifar10", "gankit_cifar10") in rows
    assert ("generators", "third_linear", "third_party_gan") in rows
    (said,) = (line for line in ran.splitlines() if line.startswith("SHOUT "))
    _, steps, *files = said.split()
    assert steps == "2"
    assert len(files) == 2
    assert all(Path(path).is_relative_to(base / "site") for path in files)
    assert "grid.png" in sampled


def test_the_version_is_one():
    import gankit

    assert metadata.version("gankit") == gankit.__version__
