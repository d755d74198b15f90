"""gankit plugins check."""

from __future__ import annotations

import re

import pytest

BROKEN = '''
import torch
from torch import nn
import gankit


class NotSeeded:
    def __init__(self, dim): self.dim = dim
    def sample(self, n, labels, generator): return torch.randn(n, self.dim)

class Loud(nn.Module):
    def __init__(self, image, latent_dim):
        super().__init__()
        self.shape = (image.channels, image.height, image.width)
        self.layer = nn.Linear(latent_dim, image.channels * image.height * image.width)
    def forward(self, z): return 1000 * self.layer(z).view(-1, *self.shape)

class NoGradient:
    def discriminator(self, turn): return turn.real_logits.detach().mean()
    def generator(self, turn): return turn.fake_logits.mean()

class Infinite:
    def discriminator(self, turn): return turn.real_logits.mean() / 0

class Misspelt:
    def on_step_and(self, run): pass

class Photos:
    spec = gankit.ImageSpec(8, 8, 3)
    def __init__(self, *, path: str): self.path = path
    def __len__(self): return 3
    def __getitem__(self, index): return torch.zeros(3, 8, 8, dtype=torch.uint8), 0

class Fails:
    uses = "features"
    def update(self, values, real): pass
    def compute(self): return {}["missing"]

class Random:
    uses = "features"
    def update(self, values, real): pass
    def compute(self): return {"random": float(torch.rand(()))}

def still(parameters): return torch.optim.SGD(parameters, lr=0.0)

class Drifting:
    hash = resizer = "none"
    def __call__(self, images): return images.float().flatten(1) - images.float().mean()

class OnlyD(gankit.Game):
    def step(self): return self.update("discriminator", self.next_batch())


@gankit.hookimpl
def register(registries):
    registries.latents.add("not_seeded", NotSeeded)
    registries.generators.add("loud", Loud)
    registries.losses.add("no_gradient", NoGradient)
    registries.regularizers.add("infinite", Infinite)
    registries.callbacks.add("misspelt", Misspelt)
    registries.datasets.add("photos", Photos)
    registries.metrics.add("fails", Fails)
    registries.metrics.add("random", Random)
    registries.optimizers.add("still", still)
    registries.features.add("drifting", Drifting)
    registries.games.add("only_d", OnlyD)
'''


@pytest.fixture
def broken(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text(BROKEN)
    return file


def test_a_generator_that_ignores_the_channels(cli, tiny_plugin_file):
    said = cli("plugins", "check", tiny_plugin_file)
    assert (said.code, said.err) == (1, "")
    faults = [line for line in said.out.splitlines() if "change: " in line]
    assert faults
    assert all("images 1x64x64: images are [4, 3, 64, 64]; expected [4, 1, 64, 64]" in line for line in faults)


def test_a_plugin_without_faults(cli):
    said = cli("plugins", "check", "gankit_optimizers")  # tests/plugins/test_conformance.py checks all
    assert (said.code, said.err) == (0, "")
    count = re.search(r"^gankit_optimizers: (\d+) of \1 components without faults$", said.out, re.MULTILINE)
    assert count
    assert "passed: " in said.out


def test_every_fault_is_found(cli, broken):
    said = cli("plugins", "check", broken)
    assert (said.code, said.err) == (1, "")
    rows = " ".join(said.out.split())
    for name, message in {
        "not_seeded": "sample draws other latents with the same `generator`",
        "loud": r"images have values up to \S+; expected about \[-1, 1\]",
        "no_gradient": "NoGradient.discriminator has no gradient",
        "infinite": "discriminator returns (inf|-inf|nan); expected a finite number",
        "misspelt": "on_step_and",
        "fails": r"KeyError: 'missing' \(.*broken.py:\d+\)",
        "random": "the scores of the same images differ",
        "still": "step\\(\\) does not change every parameter",
        "drifting": "an image has other features when it is alone",
        "only_d": "step\\(\\) does not train the generator",
    }.items():
        assert re.search(rf" {name} change: [^:]+: ?.*?{message}", rows), name
    assert "photos not checked: datasets.photos.path: is missing; it is required" in rows
    assert rows.endswith("broken: 1 of 11 components without faults")


def test_parameters(cli, broken):
    said = cli("plugins", "check", broken, "datasets.photos.path=some")
    assert re.search(r"photos +passed: items", said.out)
    said = cli("plugins", "check", broken, "datasets.fotos.path=some")
    assert said.code == 2
    assert said.err.startswith("error: plugin 'broken' registers no datasets.fotos; known: ")


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("generators.dcgan.widht=3", "generators.dcgan.widht: unknown parameter; did you mean 'width'?"),
        ("generators.dcgan.width=x", "generators.dcgan.width: .*'x'"),
        ("width=3", "'width' does not name a parameter of a component; write KIND.NAME.PARAMETER=VALUE"),
        ("generators.width=3", "'generators' does not name a parameter of a component"),
    ],
)
def test_parameters_that_do_not_exist(cli, parameter, message):
    said = cli("plugins", "check", "gankit_dcgan", parameter)
    assert (said.code, said.out) == (2, "")
    assert re.match(f"error: {message}", said.err)


def test_a_folder_with_the_name_of_the_distribution(cli, tmp_path, monkeypatch):
    """As after `gankit new plugin gankit-losses`."""
    (tmp_path / "gankit-losses").mkdir()
    monkeypatch.chdir(tmp_path)
    said = cli("plugins", "check", "gankit-losses")
    assert said.err.startswith("error: no plugin, file or module is called 'gankit-losses'; did you mean 'gankit_losses'?")


def test_plugins_that_do_not_exist(cli, tmp_path):
    said = cli("plugins", "check", "gankit_los")
    assert said.code == 2
    assert said.err.startswith("error: no plugin, file or module is called 'gankit_los'; did you mean 'gankit_losses'?")
    said = cli("plugins", "check", tmp_path / "missing.py")
    assert said.code == 2
    assert "no such file" in said.err
