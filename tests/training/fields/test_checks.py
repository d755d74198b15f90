"""What a check finds before training: fields that the data lacks or cannot have; and the tools for authors of plugins."""

from __future__ import annotations

import pytest
import torch

import gankit
from gankit.testing import check_discriminator, check_generator, make_turn


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"generator": "broken"}, "generator: Broken.forward(z, sauce) asks for 'sauce'; did you mean 'source'?"),
        (
            {"dataset": {"name": "shapes", "size": 8}, "generator": {"name": "dcgan"}, "image": {"size": 16}},
            "its parameter 'source' received 'labels', by position: it is none of images, labels, image",
        ),
        ({"image": {"size": 9}}, "dataset: images of 9 x 9 pixels times the scale 0.5 of the field 'source' are 4.5 x 4.5"),
        ({"dataset": "vectors_of_nothing"}, "no dataset is called 'vectors_of_nothing'"),
        ({"loader": {"crop": "random", "cache": "memory", "batch_size": 4}}, "crop: random crops each image anew"),
    ],
)
def test_what_a_check_finds(runtime, recipe, sections, message):
    class Broken(torch.nn.Module):
        def __init__(self, data):
            super().__init__()

        def forward(self, z, sauce):
            return sauce

    class Plugin:
        @gankit.hookimpl
        def register(self, registries):
            registries.generators.add("broken", Broken)

    runtime.load_plugin(Plugin())
    with pytest.raises(gankit.RecipeError) as caught:
        runtime.check(recipe(**sections))
    assert message in str(caught.value)


class OfField:
    """A regularizer of G that reads a field after everything that needs gradients, random numbers or several images."""

    def __init__(self, *, field: str) -> None:
        self.field = field

    def generator(self, turn):
        gradient = turn.gradient(turn.fake) + turn.normal(1)[..., None, None] + turn.uniform(3, 8, 8)
        judged = turn.discriminate(turn.generate(turn.draw_latents())).mean() + turn.fake_logits.sum()
        return gradient.square().mean() + judged + turn[self.field].mean()


class OfSource(gankit.Loss):
    def discriminator(self, turn):
        return turn.real_logits.mean() - turn.fake_logits.mean()

    def generator(self, turn):
        return (turn.fake_logits * turn["sorce"].mean()).mean()


class Replacing(gankit.Game):
    """Adds the field that the data lacks."""

    honours = ("loss", "regularizers", "train.microbatch")

    def step(self):
        batch = self.next_batch()
        batch = batch.replace(sorce=batch["source"])
        return self.update("discriminator", batch) | self.update("generator", batch)


class Terms:
    @gankit.hookimpl
    def register(self, registries):
        registries.regularizers.add("of_field", OfField)
        registries.losses.add("of_source", OfSource)
        registries.games.add("replacing", Replacing)


OF_SORCE = {"regularizers": [{"name": "of_field", "field": "place"}, {"name": "of_field", "field": "sorce"}]}


def test_a_check_finds_losses_and_regularizers_that_ask_for_an_unknown_field(assemble, runtime, recipe):
    runtime.load_plugin(Terms())
    with pytest.raises(gankit.RecipeError) as caught:
        runtime.check(recipe(**OF_SORCE, loss="of_source"))
    loss, regularizer = sorted(map(str, caught.value.problems))
    assert "loss: OfSource.generator: the batch has no field 'sorce'; did you mean 'source'? (" in loss
    assert "regularizers.1: OfField.generator: the batch has no field 'sorce'; did you mean 'source'? (" in regularizer
    with pytest.raises(gankit.RecipeError, match="the batch has no field 'sorce'"):
        assemble(**OF_SORCE)


def test_a_game_may_add_the_field_that_a_regularizer_asks_for(assemble, runtime):
    runtime.load_plugin(Terms())
    trainer = assemble(**OF_SORCE, loss="of_source", train={"steps": 1, "device": "cpu", "game": "replacing"})
    assert "of_field" in " ".join(trainer.step())


def test_the_tools_for_authors_know_fields(runtime):
    registries = runtime.registries
    spec = registries.datasets.get("pairs").factory().spec.at_size(8, 8)
    check_generator(registries.generators.get("enlarge").factory, spec)
    check_discriminator(registries.discriminators.get("compare").factory, spec)
    generator, discriminator = (
        registries.generators.get("enlarge").factory(spec).double(),
        registries.discriminators.get("compare").factory(spec.image).double(),
    )
    fields = {"source": torch.rand(2, 3, 4, 4).double(), "place": torch.rand(2, 2).double()}
    turn = make_turn("generator", generator, discriminator, torch.rand(2, 3, 8, 8).double(), fields=fields)
    assert torch.equal(turn.fake, generator(**fields))
    assert torch.equal(turn.real_logits, discriminator(turn.real, fields["source"]))
    assert turn["place"] is fields["place"]
