"""Orthogonal regularization against the paper's formula, written out filter by filter."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit.testing import make_turn
from gankit_biggan.networks import BigGANDiscriminator, BigGANGenerator
from gankit_biggan.orthogonal_regularization import Orthogonal, filters, off_diagonal

IMAGE = gankit.ImageSpec(8, 8, 3, classes=2)


def penalty(generator: nn.Module, labels: Tensor | None = None, **params: float) -> Tensor:
    real = torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1
    turn = make_turn("generator", generator, lambda x, *_: x.mean((1, 2, 3)), real, labels=labels)
    return Orthogonal(**params).generator(turn)


def naive(rows: list[Tensor]) -> float:
    return sum(
        (one * other).sum().item() ** 2 for i, one in enumerate(rows) for j, other in enumerate(rows) if i != j
    )


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (1, 4), (4, 1), (4, 4)])
def test_off_diagonal(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert off_diagonal(matrix).item() == pytest.approx(naive(list(matrix)), rel=1e-10, abs=1e-10)


def test_orthogonal_filters_of_any_length_cost_nothing_and_others_do() -> None:
    torch.manual_seed(0)
    matrix = torch.linalg.qr(torch.randn(6, 4, dtype=torch.float64))[0].t() * torch.tensor([[0.1], [1.0], [3.0], [7.0]])
    assert off_diagonal(matrix).item() == pytest.approx(0, abs=1e-12)
    assert off_diagonal(matrix + 1).item() > 1


class Mixed(nn.Module):
    """One layer of each kind that has filters, and some that have none."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 12)
        self.spread = nn.ConvTranspose2d(3, 5, 4)
        self.norm = nn.BatchNorm2d(5)
        self.conv = nn.utils.parametrizations.spectral_norm(nn.Conv2d(5, 3, 3, padding=1))
        self.embedding = nn.Embedding(2, 4)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.spread(self.linear(z).view(-1, 3, 2, 2))
        return nn.functional.interpolate(self.conv(self.norm(features)), size=8).tanh()


def test_it_sums_over_the_layers_of_the_generator() -> None:
    torch.manual_seed(0)
    generator = Mixed().double()
    conv = generator.conv.parametrizations.weight.original
    expected = (
        naive(list(generator.linear.weight))
        + naive([generator.spread.weight[:, i] for i in range(5)])
        + naive(list(conv))
    )
    assert penalty(generator).item() == pytest.approx(1e-4 * expected, rel=1e-9)
    assert penalty(generator, beta=0.5).item() == pytest.approx(0.5 * expected, rel=1e-9)
    penalty(generator).backward()
    for name, parameter in generator.named_parameters():
        reached = name in ("linear.weight", "spread.weight", "conv.parametrizations.weight.original")
        assert (parameter.grad is not None and bool(parameter.grad.any())) is reached, name


def test_a_biggan_descends_it() -> None:
    torch.manual_seed(0)
    generator = BigGANGenerator(IMAGE, 4, width=4).double()
    labels = torch.tensor([0, 1])
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.01)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        value = penalty(generator, labels, beta=1.0)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.8 * values[0]
    assert values[-1] > 0  # fewer inputs than filters: a linear layer cannot become orthogonal


@pytest.mark.parametrize(
    ("parametrize", "trained"),
    [
        (nn.utils.spectral_norm, "weight_orig"),
        (nn.utils.weight_norm, "weight_v"),
        (nn.utils.parametrizations.weight_norm, "parametrizations.weight.original1"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_other_parametrizations(parametrize: Callable[[nn.Module], nn.Module], trained: str) -> None:
    layer = parametrize(nn.Linear(3, 4))
    [matrix] = filters(nn.Sequential(nn.ReLU(), layer))
    assert matrix.data_ptr() == dict(layer.named_parameters())[trained].data_ptr()


def test_a_layer_without_a_weight_is_named() -> None:
    layer = nn.Linear(3, 4)
    del layer.weight
    with pytest.raises(gankit.GankitError, match="no trained weight in layer '1', a Linear, but bias; remove"):
        filters(nn.Sequential(nn.ReLU(), layer))


def test_without_filters_it_is_zero() -> None:
    class Still(nn.Module):
        def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            return z.mean(1).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)

    assert penalty(Still()).item() == 0


def test_it_concerns_the_generator_alone() -> None:
    assert not hasattr(Orthogonal(), "discriminator")
    assert Orthogonal(interval=4).interval == 4


def test_registration() -> None:
    import gankit_biggan

    registries = gankit.Registries()
    gankit_biggan.register(registries)
    assert registries.generators.get("biggan").factory is BigGANGenerator
    assert registries.discriminators.get("biggan").factory is BigGANDiscriminator
    assert registries.regularizers.get("orthogonal").schema().model_dump() == {"beta": 1e-4, "interval": 1}
    assert registries.generators.get("biggan").schema().model_dump() == {
        "width": 96,
        "multipliers": None,
        "attention": None,
        "embedding_dim": 128,
        "hierarchical": True,
        "spectral_norm": True,
    }
    with pytest.raises(ValueError, match="greater than 0"):
        registries.generators.get("biggan").schema(width=0)
