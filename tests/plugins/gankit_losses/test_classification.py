"""Heads that tell classes apart, against their formulas written with loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gankit
import gankit_losses
from gankit.testing import make_turn
from gankit_losses.classification import AuxiliaryClassifier, Contrastive, DataToData

RECIPES = Path(__file__).parents[3] / "recipes"
N, K, F = 7, 3, 5
LABELS = torch.tensor([0, 1, 2, 0, 1, 0, 0])


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


class Heads(nn.Module):
    """A discriminator with every head that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 1 + K + F).double()
        self.label = nn.Embedding(K, F).double()
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(random(*parameter.shape))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits, classes, embedding = self.linear(images.flatten(1)).split([1, K, F], 1)
        return {
            "logits": logits[:, 0],
            "class_logits": classes,
            "embedding": embedding,
            "label_embedding": self.label(labels),
        }


REAL, FAKE = random(N, 3, 2, 2).tanh(), random(N + 1, 3, 2, 2)[:N].tanh()


def turn_of(player: Any, discriminator: nn.Module | None = None, labels: Tensor | None = LABELS) -> Any:
    network = discriminator or Heads()
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    return make_turn(player, lambda z, y: FAKE * scale, network, REAL, labels=labels)


def cross_entropy(output: dict[str, Tensor]) -> float:
    logits = output["class_logits"].detach().numpy()
    return float(np.mean([np.log(np.exp(row).sum()) - row[y] for row, y in zip(logits, LABELS, strict=True)]))


def cosines(output: dict[str, Tensor]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = (output[key].detach().numpy() for key in ("embedding", "label_embedding"))
    images, labels = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (images, labels))
    return np.array([a @ b for a, b in zip(images, labels, strict=True)]), images @ images.T


def two_c(output: dict[str, Tensor], t: float) -> float:
    own, others = cosines(output)
    terms = []
    for i in range(N):
        attracting = np.exp(own[i] / t)
        everything = np.exp(own[i] / t)
        for k in range(N):
            if k != i:
                everything += np.exp(others[i, k] / t)
                attracting += np.exp(others[i, k] / t) * (LABELS[i] == LABELS[k]).item()
        terms.append(-np.log(attracting / everything))
    return float(np.mean(terms))


def data_to_data(output: dict[str, Tensor], t: float, m_p: float, m_n: float) -> float:
    own, others = cosines(output)
    terms = []
    for i in range(N):
        positive = np.exp(min(own[i] - m_p, 0) / t)
        negative = sum(np.exp(max(others[i, j] - m_n, 0) / t) for j in range(N) if LABELS[j] != LABELS[i])
        terms.append(-np.log(positive / (positive + negative)))
    return float(np.mean(terms))


CASES: list[Any] = [
    (AuxiliaryClassifier(weight=0.7, generator_weight=0.3), cross_entropy),
    (Contrastive(weight=0.7, generator_weight=0.3, temperature=0.4), lambda o: two_c(o, 0.4)),
    (
        DataToData(weight=0.7, generator_weight=0.3, temperature=0.4, positive_margin=0.3, negative_margin=0.1),
        lambda o: data_to_data(o, 0.4, 0.3, 0.1),
    ),
]
IDS = ["auxiliary_classifier", "contrastive", "d2d_ce"]


@pytest.mark.parametrize(("regularizer", "formula"), CASES, ids=IDS)
def test_both_players_have_the_formulas_term(regularizer: Any, formula: Any) -> None:
    network = Heads()
    value = regularizer.discriminator(turn_of("discriminator", network))
    assert value.item() == pytest.approx(0.7 * formula(network(REAL, LABELS)), rel=1e-9)
    assert value.shape == ()
    value = regularizer.generator(turn_of("generator", network))
    assert value.item() == pytest.approx(0.3 * formula(network(FAKE, LABELS)), rel=1e-9)


def test_the_classifier_may_learn_from_fakes() -> None:
    network = Heads()
    value = AuxiliaryClassifier(weight=2, fake_weight=0.5).discriminator(turn_of("discriminator", network))
    expected = 2 * cross_entropy(network(REAL, LABELS)) + 0.5 * cross_entropy(network(FAKE, LABELS))
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_without_a_weight_the_fakes_are_left_alone() -> None:
    turn = turn_of("discriminator")
    for regularizer, _ in CASES:
        regularizer.discriminator(turn)
    assert not turn.has_output("fake")


@pytest.mark.parametrize(("regularizer", "formula"), CASES, ids=IDS)
def test_derivatives_are_finite_differences(regularizer: Any, formula: Any) -> None:
    network = Heads()
    parameters = [network.linear.weight, network.label.weight]

    def value(*_: Tensor) -> Tensor:
        return regularizer.discriminator(turn_of("discriminator", network))  # type: ignore[no-any-return]

    used = parameters if not isinstance(regularizer, AuxiliaryClassifier) else parameters[:1]
    assert torch.autograd.gradcheck(value, tuple(used))


@pytest.mark.parametrize("kind", [Contrastive, DataToData])
def test_one_class_alone_or_one_image_alone(kind: Any) -> None:
    """No image to push away, or none at all besides."""
    network = Heads()
    for count in (1, 4):
        labels = torch.zeros(count, dtype=torch.int64)
        turn = make_turn("discriminator", lambda z, y, n=count: FAKE[:n], network, REAL[:count], labels=labels)
        value = kind().discriminator(turn)
        assert value.item() == pytest.approx(0, abs=1e-9)
        gradients = torch.autograd.grad(value, list(network.parameters()), allow_unused=True)
        assert all(gradient is None or bool(gradient.isfinite().all()) for gradient in gradients)


@pytest.mark.parametrize(
    ("name", "key"),
    [("auxiliary_classifier", "class_logits"), ("contrastive", "embedding"), ("d2d_ce", "embedding")],
)
def test_missing_outputs_of_d_are_named(name: str, key: str) -> None:
    registries = gankit.Registries()
    gankit_losses.register(registries)
    entry = registries.regularizers.get(name)
    regularizer = entry.build(entry.schema())
    assert regularizer.interval == 1
    plain: Any = nn.Sequential(nn.Flatten(), nn.Linear(12, 1).double())
    with pytest.raises(
        gankit.GankitError,
        match=f"'{name}' needs '{key}' in the output of the discriminator, which returns only logits",
    ):
        regularizer.discriminator(turn_of("discriminator", lambda x, y: plain(x)))  # type: ignore[arg-type]
    others: Any = lambda x, y: {"logits": x.sum((1, 2, 3)), "features": x}  # noqa: E731
    with pytest.raises(gankit.GankitError, match=f"'{key}' .* returns 'logits', 'features'; choose a discriminator"):
        regularizer.generator(turn_of("generator", others))
    unlabelled: Any = lambda x: Heads()(x, LABELS)  # noqa: E731
    turn = make_turn("discriminator", lambda z: FAKE, unlabelled, REAL)
    with pytest.raises(gankit.GankitError, match=f"'{name}' needs labels: set conditional: true"):
        regularizer.discriminator(turn)


@pytest.mark.parametrize(
    ("name", "key"),
    [("auxiliary_classifier", "class_logits"), ("contrastive", "embedding"), ("d2d_ce", "embedding")],
)
def test_checking_a_recipe_reports_missing_outputs(name: str, key: str) -> None:
    runtime = gankit.Runtime()
    for recipe, lack in (
        ("dcgan_cifar10_conditional", f"'{key}' in the output of the discriminator"),
        ("dcgan_cifar10", "labels"),
    ):
        with pytest.raises(gankit.RecipeError, match=f"regularizers.0: regularizer '{name}' needs {lack}") as error:
            runtime.load(RECIPES / f"{recipe}.yaml", [f"regularizers=[{name}]"])
        assert len(error.value.problems) == 1


def test_the_published_settings_are_the_defaults() -> None:
    assert vars(DataToData()) == {
        "weight": 1,
        "generator_weight": 1,
        "temperature": 0.5,  # of arXiv 2111.01118 for CIFAR-10, as the margins are
        "positive_margin": 0.98,
        "negative_margin": 0.02,
        "interval": 1,
    }
    assert vars(Contrastive()) == {"weight": 1, "generator_weight": 1, "temperature": 1, "interval": 1}
