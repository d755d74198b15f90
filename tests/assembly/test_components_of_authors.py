"""What authors of components write that is easy to get wrong: changed parameters, hidden weights, schedules, states."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from torch import nn

import gankit


class Stack(nn.Module):
    """A generator that changes its parameter in place."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, widths: list[int]) -> None:
        super().__init__()
        self.image = image
        widths.append(image.channels * image.height * image.width)
        sizes = [latent_dim, *widths]
        self.layers = nn.Sequential(*(nn.Linear(*pair) for pair in zip(sizes, sizes[1:], strict=False)))

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layers(z).tanh().view(-1, self.image.channels, self.image.height, self.image.width)


def test_a_parameter_that_a_component_changes_is_a_copy(runtime, recipe, add_components, tmp_path):
    add_components(runtime, generators={"stack": Stack})
    trainer = runtime.assemble(recipe(generator={"name": "stack", "widths": [8]}), tmp_path / "run")
    assert [layer.out_features for layer in trainer.state.generator.layers] == [8, 3 * 16 * 16]
    trainer.fit()
    loaded = runtime.load_generator(tmp_path / "run")
    assert torch.equal(loaded.sample(4, seed=1), trainer.sample(4, seed=1))


class WithAny(Stack):
    def forward(self, z: torch.Tensor, **kwargs: Any) -> torch.Tensor:  # as in code from elsewhere
        return super().forward(z)


class WithoutAnnotation(Stack):
    def forward(self, z, *, psi=1.0):
        return super().forward(z * psi)


class WithKeywordLabels(Stack):
    def forward(self, z: torch.Tensor, *, labels: torch.Tensor | None = None) -> torch.Tensor:
        return super().forward(z)


def test_other_keyword_arguments_of_forward_are_no_sampling_options(runtime, recipe, add_components, tmp_path):
    add_components(runtime, generators={"mine": WithAny})
    runtime.assemble(recipe(generator={"name": "mine", "widths": [8]}), tmp_path / "run").fit()
    loaded = runtime.load_generator(tmp_path / "run")
    assert loaded.options.model_fields == {}
    assert loaded.sample(2).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (WithoutAnnotation, "generator: WithoutAnnotation.forward: parameter 'psi' needs a type annotation"),
        (WithKeywordLabels, r"generator: WithKeywordLabels.forward: gankit passes 'labels' by position; put it before"),
    ],
)
def test_invalid_sampling_options_are_found_by_the_check(runtime, recipe, add_components, network, message):
    add_components(runtime, generators={"mine": network})
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.check(recipe(generator={"name": "mine", "widths": [8]}))


class Penalty:
    """A regularizer with an attribute that the test chooses."""

    def __init__(self, *, weight: gankit.Scheduled = 1.0) -> None:
        self.net = nn.Linear(1, 1)
        self.kept = weight

    def generator(self, turn: gankit.Turn) -> torch.Tensor:
        return turn.fake.mean()


class Scaled(Penalty):
    def __init__(self, *, weight: gankit.Scheduled = 1.0) -> None:
        super().__init__(weight=weight)
        self.net.requires_grad_(False)


def test_parameters_that_nothing_would_train_are_refused(runtime, recipe, add_components):
    add_components(runtime, regularizers={"mine": Penalty, "frozen": Scaled})
    runtime.assemble(recipe(regularizers=["frozen"]))
    with pytest.raises(gankit.RecipeError, match="Penalty: its parameter 'net.weight' would neither be trained nor saved"):
        runtime.assemble(recipe(regularizers=["mine"]))


class Hoarder(gankit.Adversarial):
    def setup(self) -> None:
        self.encoder = nn.Linear(2, 2)


class ModuleHoarder(gankit.Adversarial, nn.Module):
    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.encoder = nn.Linear(2, 2)


class Stepper(Hoarder):
    def setup(self) -> None:
        super().setup()
        self.optimizer = torch.optim.SGD(self.encoder.parameters(), 0.1)


@pytest.mark.parametrize(("game", "noticed"), [(Hoarder, True), (ModuleHoarder, True), (Stepper, False)])
def test_a_game_whose_parameters_nothing_trains_is_noticed(runtime, recipe, add_components, tmp_path, game, noticed):
    add_components(runtime, games={"mine": game})
    trainer = runtime.assemble(recipe(train={"game": {"name": "mine"}}), tmp_path / "run")
    weights = trainer.context.game.encoder.weight.clone()
    trainer.fit()
    events = (tmp_path / "run" / "events.jsonl").read_text()
    assert (f"{game.__name__} holds the parameter 'encoder.weight', which no optimizer" in events) is noticed
    again = runtime.assemble(recipe(train={"game": {"name": "mine"}}))
    assert torch.equal(again.context.game.encoder.weight, weights)  # `setup` is seeded


def test_a_schedule_that_would_have_no_effect_is_refused(runtime, recipe, add_components):
    add_components(runtime, regularizers={"mine": Scaled})
    schedule = {"start": 1.0, "end": 0.0, "over_images": 100}
    with pytest.raises(gankit.RecipeError, match=r"regularizers.0: Scaled keeps 'weight' in no attribute of that name"):
        runtime.check(recipe(regularizers=[{"name": "mine", "weight": schedule}]))


class Inner(BaseModel):
    weight: gankit.Scheduled = 1.0


class Nested:
    def __init__(self, *, inner: Inner, more: dict[str, gankit.Scheduled] | None = None) -> None:
        self.inner, self.more, self.seen = inner, more, []

    def generator(self, turn: gankit.Turn) -> torch.Tensor:
        self.seen.append((self.inner.weight, (self.more or {}).get("a")))
        return turn.fake.mean() * self.inner.weight


def test_schedules_inside_models_and_mappings(runtime, recipe, add_components):
    add_components(runtime, regularizers={"mine": Nested})
    schedule = {"start": 1.0, "end": 0.0, "over_images": 16}
    trainer = runtime.assemble(recipe(regularizers=[{"name": "mine", "inner": {"weight": schedule}, "more": {"a": schedule}}]))
    for _ in range(3):
        trainer.step()
    assert trainer.context.regularizers["mine"].seen == [(1.0, 1.0), (0.5, 0.5), (0.0, 0.0)]


def test_unknown_keys_inside_models_are_refused(runtime, recipe, add_components):
    add_components(runtime, regularizers={"mine": Nested})
    with pytest.raises(gankit.RecipeError, match=r"regularizers.0.inner.wieght: unknown parameter; did you mean 'weight'"):
        runtime.check(recipe(regularizers=[{"name": "mine", "inner": {"wieght": 2}}]))


class Wide:
    """A latent distribution whose scale is scheduled."""

    def __init__(self, dim: int, *, scale: gankit.Scheduled = 1.0) -> None:
        self.dim, self.scale = dim, scale

    def sample(self, n: int, labels: torch.Tensor | None, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(n, self.dim, generator=generator, device=generator.device) * self.scale


def test_samples_after_training_use_the_scheduled_values_of_their_step(runtime, recipe, add_components, tmp_path):
    add_components(runtime, latents={"wide": Wide})
    schedule = {"start": 1.0, "end": 5.0, "over_images": 16}
    trainer = runtime.assemble(recipe(latent={"name": "wide", "dim": 8, "scale": schedule}, train={"steps": 2}), tmp_path / "run")
    trainer.fit()
    expected = trainer.sample(4, seed=1)
    assert trainer.context.latent.scale == 5
    assert torch.equal(runtime.load_generator(tmp_path / "run").sample(4, seed=1), expected)
    assert torch.equal(runtime.resume(tmp_path / "run").sample(4, seed=1), expected)


class Unsavable:
    def __init__(self, *, kind: str) -> None:
        self.kind = kind

    def generator(self, turn: gankit.Turn) -> torch.Tensor:
        return turn.fake.mean()

    def state_dict(self) -> Any:
        return {"set": {"value": {1}}, "path": {"value": Path("x")}, "none": None}[self.kind]

    def load_state_dict(self, state: Any) -> None: ...


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("set", "state.components.regularizers.mine.value: a set cannot be saved"),
        ("path", "a PosixPath cannot be saved|a WindowsPath cannot be saved"),
        ("none", "regularizers.mine: Unsavable.state_dict returns None .*; expected a mapping"),
    ],
)
def test_a_state_that_cannot_be_saved_ends_the_run_before_its_first_step(runtime, recipe, add_components, kind, message):
    add_components(runtime, regularizers={"mine": Unsavable})
    trainer = runtime.assemble(recipe(regularizers=[{"name": "mine", "kind": kind}]))
    with pytest.raises(gankit.GankitError, match=message):
        trainer.fit()
    assert trainer.state.step == 0


class Counter(Scaled):
    def after(self, turn: gankit.Turn) -> dict[str, torch.Tensor]:
        return {"step": torch.tensor(7.0)}


@pytest.mark.parametrize(
    ("name", "component", "message"),
    [
        ("generator_loss", Scaled, "a regularizer is reported as 'generator_loss', the name of the loss"),
        ("mine", Counter, "a scalar is called 'step', as a counter in metrics.jsonl; rename it"),
    ],
)
def test_names_of_scalars_that_are_taken_are_refused(runtime, recipe, add_components, name, component, message):
    add_components(runtime, regularizers={name: component})
    with pytest.raises(gankit.GankitError, match=message):
        runtime.assemble(recipe(regularizers=[name])).fit()


class Mirror(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flip(3)


@dataclasses.dataclass(kw_only=True)
class Weighted:
    weights: list[float] = dataclasses.field(default_factory=lambda: [1.0, 2.0])
    names: Iterable[str] = ("a", "b")

    def generator(self, turn: gankit.Turn) -> torch.Tensor:
        return turn.fake.mean() * sum(self.weights) * len([*self.names])


def test_modules_without_a_constructor_and_dataclasses_can_be_registered(runtime, recipe, add_components):
    add_components(runtime, augmentations={"mirror": Mirror}, regularizers={"weighted": Weighted})
    trainer = runtime.assemble(recipe(augmentations=["mirror"], regularizers=[{"name": "weighted", "names": ["x"]}]))
    part = trainer.context.regularizers["weighted"]
    assert (part.weights, [*part.names]) == ([1.0, 2.0], ["x"])
    with pytest.raises(gankit.RegistrationError, match="a Mirror is a built module; register its class"):
        gankit.Registries().augmentations.add("mirror", Mirror())


class NoStep(gankit.Game):
    pass


class WithArgument(gankit.Adversarial):
    def setup(self, x):
        pass


@pytest.mark.parametrize(
    ("game", "message"),
    [(NoStep, "NoStep is not a game: it lacks `step`"), (WithArgument, r"WithArgument.setup\(x\)|setup")],
)
def test_a_game_that_cannot_run_is_found_by_the_check(runtime, recipe, add_components, game, message):
    add_components(runtime, games={"mine": game})
    with pytest.raises(gankit.RecipeError, match=message):
        runtime.check(recipe(train={"game": {"name": "mine"}}))
