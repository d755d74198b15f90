"""Networks receive the fields that they ask for, in each way of training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision

import gankit


def require_equal(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=0, atol=tolerance, msg=name)


def test_networks_receive_what_they_ask_for(assemble):
    trainer = assemble()
    seen = {"generator": [], "discriminator": []}
    trainer.state.generator.register_forward_pre_hook(lambda _, args: seen["generator"].append(args))
    trainer.state.discriminator.register_forward_pre_hook(lambda _, args: seen["discriminator"].append(args))
    batch = trainer.setup.loader.at(0, 8)
    trainer.step()
    assert [tuple(value.shape) for value in seen["generator"][0]] == [(8, 3, 4, 4), (8, 2)]
    assert torch.equal(seen["generator"][0][0], batch["source"])
    assert torch.equal(seen["generator"][0][1], batch["place"])
    assert [tuple(value.shape) for value in seen["discriminator"][0]] == [(8, 3, 8, 8), (8, 3, 4, 4)]
    assert torch.equal(seen["discriminator"][0][1], batch["source"])


def test_a_generator_learns_from_its_source(assemble, train):
    trainer = assemble(train=train | {"steps": 150}, regularizers=["l1"], optimizers={"generator": {"lr": 0.02}})
    first = float(trainer.step()["l1"])
    trainer.fit()
    assert float(trainer.scalars["l1"]) < first / 3


@pytest.mark.parametrize("sections", [{}, {"loader": {"batch_size": 8, "cache": "none", "workers": 1}}])
def test_a_resumed_run_equals_an_uninterrupted_one(assemble, runtime, train, weights, tmp_path, sections):
    whole = assemble("whole", **sections)
    whole.fit()
    assemble("cut", **sections, train=train | {"steps": 2}).fit()
    resumed = runtime.resume(tmp_path / "cut", ["train.steps=4"])
    resumed.fit()
    require_equal(weights(whole), weights(resumed))


def test_microbatches_get_their_rows(assemble, train, weights):
    whole, parts = assemble("whole"), assemble("parts", train=train | {"microbatch": 3})
    for _ in range(4):
        whole.step()
        parts.step()
    require_equal(weights(whole), weights(parts), 1e-12)


def test_compiled_networks_receive_the_same(assemble, train, weights, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    eager, compiled = assemble("eager"), assemble("compiled", train=train | {"compile": True})
    for _ in range(3):
        eager.step()
        compiled.step()
    require_equal(weights(eager), weights(compiled), 1e-12)


def test_labels_that_are_vectors(assemble, runtime, tmp_path):
    sections = {"generator": "from_vector", "discriminator": "flat", "regularizers": [], "conditional": True}
    trainer = assemble(dataset={"name": "pairs", "labels": "vectors"}, **sections)
    seen = []
    trainer.state.generator.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    trainer.fit()
    assert torch.equal(seen[0], trainer.setup.loader.at(0, 8).labels)
    generator = runtime.load_generator(tmp_path / "run")
    assert generator.sample(3).shape == (3, 3, 8, 8)
    assert generator.sampling.draw(3, 0).labels.shape == (3, 3)
    wrong = r"labels must be finite floats \[1 3\], one row per image; got "
    for labels in ([0], torch.zeros(1, 2), torch.full((1, 3), torch.nan), torch.zeros(3)):
        with pytest.raises(ValueError, match=wrong):
            generator.sample(1, labels=labels)
    vectors = torch.rand(70, 3)
    chosen = generator.draw(70, 1, vectors)
    assert torch.equal(chosen.labels, vectors)
    assert torch.equal(chosen.z, generator.draw(70, 1).z)
    assert torch.equal(generator.sample(70, 1, vectors.numpy()), generator.images(chosen))
    drawn = generator.sampling.draw(70, 0)
    again = generator.draw_from({"z": drawn.z, "labels": drawn.labels})
    assert torch.equal(generator.images(drawn), generator.images(again))


def test_latents_of_files_with_vectors_as_labels(assemble, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sections = {"generator": "from_vector", "discriminator": "flat", "regularizers": [], "conditional": True}
    assemble(dataset={"name": "pairs", "labels": "vectors"}, **sections).fit()
    plugin = ("--plugin", Path(__file__).parents[2] / "paired_plugin.py")
    for words in (["--out", "files"], ["--out", "one.png"], ["--latents", "files/latents-000000.safetensors", "--out", "two.png"]):
        count = [] if "--latents" in words else ["--count", 5]
        said = cli("sample", "run", *plugin, *words, *count)
        assert said.code == 0, said.err
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()


@pytest.mark.parametrize("conditional", [False, True])
def test_a_dataset_of_torchvision_as_it_is(assemble, runtime, conditional):
    class Targets(torchvision.datasets.FakeData):
        targets = tuple(index % 3 for index in range(20))

        def __getitem__(self, index):
            return super().__getitem__(index)[0], self.targets[index]

    def fake_data(*, size: int = 20):
        return (Targets if conditional else torchvision.datasets.FakeData)(size, (3, 12, 10))

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.datasets.add("fake_data", fake_data)

    runtime.load_plugin(Plugin())
    sections = {"generator": {"name": "dcgan", "width": 4}, "discriminator": "flat", "image": {"size": 16}}
    trainer = assemble(dataset="fake_data", regularizers=[], conditional=conditional, **sections)
    trainer.fit()
    assert trainer.setup.classes == (("0", "1", "2") if conditional else None)
    assert trainer.setup.loader.at(0, 4).images.shape == (4, 3, 16, 16)
