"""CUT against an independent reference, in steps and in the positions that it compares, and what its regularizer needs."""

from __future__ import annotations

import copy

import pytest
import torch

import gankit
from gankit_translation import PatchNCE, ResnetTranslator

CHANNELS = [3, 8, 8, 8]
RECIPE = {
    "name": "cut",
    "image": {"size": 8},
    "dataset": "unpaired_noise",
    "loader": {"batch_size": 3},
    "generator": {"name": "resnet_translator", "width": 4, "blocks": 3, "halvings": 1},
    "discriminator": {"name": "patchgan", "width": 4, "layers": 0, "norm": "instance"},
    "loss": "lsgan",
    "regularizers": [{"name": "patch_nce", "weight": 2.0, "identity": 0.5, "channels": CHANNELS, "width": 16}],
    "optimizers": {"generator": {"name": "sgd", "lr": 0.01}, "discriminator": {"name": "sgd", "lr": 0.01}},
    "train": {"steps": 4, "device": "cpu", "precision": "fp64"},
}


class Noise:
    """Images and sources of noise, which do not belong together."""

    def __init__(self, *, channels: int = 3) -> None:
        image, source = gankit.ImageSpec(8, 8, 3), gankit.ImageSpec(8, 8, channels)
        self.spec = gankit.DataSpec(image=image, source=source, independent=["source"])

    def __len__(self):
        return 10

    def __getitem__(self, index):
        noise = torch.randint(0, 256, (6, 8, 8), generator=torch.Generator().manual_seed(index)).byte()
        return {"image": noise[:3], "source": noise[3:][: self.spec["source"].channels]}


class OneMap(ResnetTranslator):
    """Its encoder returns the last feature map alone."""

    def __init__(self, data):
        super().__init__(data, width=4, blocks=3, halvings=1)
        self.encoder.register_forward_hook(lambda encoder, given, maps: maps[-1])

    def forward(self, source):
        return self.decoder(self.encoder(source))


class WithImage(OneMap):
    """It also takes the real image."""

    def forward(self, source, image):
        return super().forward(source)


class Plugin:
    @gankit.hookimpl
    def register(self, registries):
        registries.datasets.add("unpaired_noise", Noise)
        registries.generators.add("one_map", OneMap)
        registries.generators.add("with_image", WithImage)


@pytest.fixture
def runtime():
    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    return runtime


def contrast(g, projections, translation, source, temperature, positions=None):
    """Equation 4 of the paper, one query at a time: of all positions if none are given, as lists for each feature map."""
    total = 0
    for layer, project in enumerate(projections):
        ours, theirs = (g.encoder(images)[layer].flatten(2) for images in (translation, source))
        errors = []
        for image in range(len(ours)):
            chosen = range(ours.shape[2]) if positions is None else positions[layer][image]
            keys = [project(theirs[image, :, place]).detach() for place in chosen]
            keys = [key / key.square().sum().sqrt() for key in keys]
            for index, place in enumerate(chosen):
                query = project(ours[image, :, place])
                query = query / query.square().sum().sqrt()
                similarities = torch.stack([query @ key for key in keys]) / temperature
                errors.append(similarities.exp().sum().log() - similarities[index])
        total = total + torch.stack(errors).mean() / len(projections)
    return total


def test_steps_are_those_of_the_paper(runtime, tmp_path):
    """G and the projections are updated together. All 64 positions of the largest feature map are drawn."""
    trainer = runtime.assemble(gankit.Recipe.parse(RECIPE), tmp_path / "run")
    regularizer = trainer.setup.components["regularizers.patch_nce"]
    ours = trainer.state.generator, regularizer.projections, trainer.state.discriminator
    g, projections, d = copy.deepcopy(ours)
    players = [*g.parameters(), *projections.parameters()], [*d.parameters()]
    optimizers = [torch.optim.SGD(parameters, lr=0.01) for parameters in players]
    for step in range(4):
        batch = trainer.setup.loader.at(step * 3, 3)
        real, source = batch.images, batch["source"]
        fake = g(source)
        d_loss = ((d(real) - 1).square().mean() + d(fake.detach()).square().mean()) / 2
        optimizers[1].zero_grad()
        d_loss.backward()
        optimizers[1].step()
        g_loss = (d(fake) - 1).square().mean() / 2
        term = 2 * contrast(g, projections, fake, source, 0.07) + 0.5 * contrast(g, projections, g(real), real, 0.07)
        optimizers[0].zero_grad()
        (g_loss + term).backward()
        optimizers[0].step()
        scalars = trainer.step()
        assert scalars["generator_loss"] == pytest.approx(g_loss.item(), rel=1e-9)
        assert scalars["patch_nce"] == pytest.approx(term.item(), rel=1e-9)
    for one, other in zip(ours, (g, projections, d), strict=True):
        for trained, expected in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(trained, expected, rtol=0, atol=1e-9)


def test_the_drawn_positions_of_an_image_are_distinct_and_those_of_its_source(randomized):
    data = gankit.DataSpec(image=gankit.ImageSpec(8, 8, 3), source=gankit.ImageSpec(8, 8, 3))
    g = randomized(ResnetTranslator(data, width=4, blocks=3, halvings=1))
    regularizer = PatchNCE(weight=1.0, identity=0.0, channels=CHANNELS, patches=5, width=16).double()
    drawn, random = [], torch.Generator().manual_seed(0)

    class Turn:
        generator = g
        fake, real, source = (torch.randn(2, 3, 8, 8, generator=random, dtype=torch.float64) for _ in range(3))

        def uniform(self, count):
            drawn.append(torch.rand(2, count, generator=random, dtype=torch.float64))
            return drawn[-1]

        def __getitem__(self, name):
            return {"source": self.source}[name]

        def run(self, network, images):
            return network(images)

    turn = Turn()
    term = regularizer.generator(turn)
    assert [numbers.shape[1] for numbers in drawn] == [64, 16, 16, 16]
    positions = [[numbers.topk(5, largest=False).indices.tolist() for numbers in of_layer] for of_layer in drawn]
    assert all(len({*chosen}) == 5 for of_layer in positions for chosen in of_layer)
    expected = contrast(g, regularizer.projections, turn.fake, turn.source, 0.07, positions)
    torch.testing.assert_close(term, expected, rtol=1e-12, atol=0)


def test_microbatches_compute_the_same_step(runtime, tmp_path):
    states = []
    for microbatch in (None, 1):
        recipe = RECIPE | {"train": RECIPE["train"] | {"microbatch": microbatch, "fresh_fakes": True}}
        recipe["regularizers"] = [RECIPE["regularizers"][0] | {"patches": 7}]
        trainer = runtime.assemble(gankit.Recipe.parse(recipe), tmp_path / f"run{microbatch}")
        trainer.fit()
        states.append([*trainer.state.generator.parameters(), *trainer.state.discriminator.parameters()])
    for one, other in zip(*states, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def test_a_resumed_run_equals_an_uninterrupted_one(runtime, tmp_path):
    whole, stopped = (
        runtime.assemble(gankit.Recipe.parse(RECIPE | {"train": RECIPE["train"] | {"steps": steps}}), tmp_path / str(steps))
        for steps in (4, 2)
    )
    whole.fit()
    stopped.fit()
    resumed = runtime.resume(tmp_path / "2", ["train.steps=4"])
    resumed.fit()
    for one, other in zip(whole.state.modules().values(), resumed.state.modules().values(), strict=True):
        for trained, expected in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(trained, expected)


@pytest.mark.parametrize(("sections", "message"), [
    ({"regularizers": ["patch_nce"]}, r"regularizers\.0: .*the feature maps of ResnetTranslator\.encoder have 3, 8, 8, 8 channels, not 3, 128, 256, 256, 256; set channels: \[3, 8, 8, 8\]"),
    ({"generator": {"name": "unet", "width": 4}}, r"regularizers\.0: .*needs a generator with a network `encoder` that returns feature maps and lists their `channels`, such as resnet_translator; UNet has none"),
    ({"dataset": {"name": "shapes", "size": 8}}, "resnet_translator needs source images, but the data has no field 'source'"),
    ({"dataset": {"name": "unpaired_noise", "channels": 1}, "regularizers": [RECIPE["regularizers"][0] | {"channels": [1, 8, 8, 8]}]},
     r"patch_nce needs images and sources of the same shape; these are \[3, 8, 8\] and \[1, 8, 8\]"),
    ({"generator": RECIPE["generator"] | {"norm": "batch"}}, "patch_nce runs the generator on images of both domains.*set generator.norm: instance"),
    ({"generator": "one_map"}, r"patch_nce: OneMap\.encoder returned Tensor; expected a list of feature maps \[n c h w\] with 3, 8, 8, 8 channels"),
    ({"generator": "with_image"}, "needs a generator that takes `source` alone; WithImage takes more"),
    ({"regularizers": [RECIPE["regularizers"][0] | {"patches": 1}]}, "patches: .*greater than or equal to 2"),
])  # fmt: skip
def test_what_a_check_finds(runtime, sections, message):
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.check(gankit.Recipe.parse(RECIPE | sections))
