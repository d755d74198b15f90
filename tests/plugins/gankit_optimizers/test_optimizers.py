"""Each optimizer against its formula, or torch's plain form of it."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

import gankit
import gankit_optimizers
from gankit_optimizers.optimizers import adam, adamw, rmsprop, sgd

Factory = Callable[..., torch.optim.Optimizer]


def convolution(dtype: torch.dtype, memory_format: torch.memory_format) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(3, 8, 4).to(dtype=dtype, memory_format=memory_format)  # type: ignore[call-overload]


def train(layer: nn.Conv2d, optimizer: torch.optim.Optimizer, steps: int = 5) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(1)
    for _ in range(steps):
        images = torch.randn(2, 3, 6, 6, generator=noise).to(layer.weight.dtype)
        optimizer.zero_grad()
        layer(images).square().sum().backward()
        optimizer.step()
    return {name: value.detach().clone() for name, value in layer.state_dict().items()}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("ours", "plain", "params"),
    [
        (adam, torch.optim.Adam, {"lr": 0.01, "betas": (0.5, 0.99), "eps": 1e-6, "weight_decay": 0.1}),
        (adamw, torch.optim.AdamW, {"lr": 0.01, "betas": (0.0, 0.9), "eps": 1e-6, "weight_decay": 0.1}),
        (rmsprop, torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-6, "momentum": 0.5, "weight_decay": 0.1}),
        (sgd, torch.optim.SGD, {"lr": 1e-4, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ],
    ids=["adam", "adamw", "rmsprop", "sgd"],
)
def test_same_as_the_plain_optimizer(
    ours: Factory,
    plain: Factory,
    params: dict[str, Any],
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> None:
    layer, reference = convolution(dtype, memory_format), convolution(dtype, torch.contiguous_format)
    options = {} if plain is torch.optim.RMSprop else {"fused": False}
    expected = train(reference, plain(reference.parameters(), foreach=False, **options, **params))
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(
        train(layer, ours(layer.parameters(), **params)), expected, rtol=tolerance, atol=tolerance
    )
    assert layer.weight.is_contiguous(memory_format=memory_format)


def test_adam_follows_the_paper() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = adam([weight], lr=0.1, betas=(0.5, 0.9), eps=1e-3)
    m, v, expected = torch.zeros(2), torch.zeros(2), weight.detach().clone()
    for t, gradient in enumerate([torch.tensor([0.3, -1.0]), torch.tensor([-0.2, 0.0])], start=1):
        weight.grad = gradient.double()
        optimizer.step()
        m = 0.5 * m + 0.5 * weight.grad
        v = 0.9 * v + 0.1 * weight.grad**2
        expected -= 0.1 * (m / (1 - 0.5**t)) / ((v / (1 - 0.9**t)).sqrt() + 1e-3)
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("ours", [adam, adamw])
def test_gradients_of_another_layout_update_the_right_weights(ours: Factory) -> None:
    gradient = torch.arange(2 * 3 * 4 * 4, dtype=torch.float32).view(2, 3, 4, 4) - 40
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(torch.ones(2, 3, 4, 4).to(memory_format=memory_format))
        optimizer = ours([weight], lr=0.1, eps=10.0)
        for _ in range(2):
            weight.grad = gradient.clone()
            optimizer.step()
        results.append(weight.detach())
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("ours", [adam, adamw])
def test_restored_in_another_layout_it_goes_on_the_same(ours: Factory) -> None:
    first = convolution(torch.float64, torch.contiguous_format)
    optimizer = ours(first.parameters(), lr=0.01)
    train(first, optimizer)
    second = convolution(torch.float64, torch.channels_last)
    second.load_state_dict(first.state_dict())
    restored = ours(second.parameters(), lr=0.5)
    restored.load_state_dict(deepcopy(optimizer.state_dict()))
    torch.testing.assert_close(train(second, restored), train(first, optimizer), rtol=1e-12, atol=1e-12)


def test_parameter_groups_keep_their_own_settings() -> None:
    a, b = nn.Parameter(torch.ones(1)), nn.Parameter(torch.ones(1))
    optimizer = adam([{"params": [a], "lr": 0.5}, {"params": [b]}], lr=0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.1]


def schema(name: str) -> Callable[..., Any]:
    registries = gankit.Registries()
    gankit_optimizers.register(registries)
    return registries.optimizers.get(name).schema


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_rates_and_betas_take_schedules(name: str) -> None:
    params = schema(name)(
        lr={"start": 2e-4, "end": 0, "over_images": 100}, betas=[0, {"start": 0.9, "end": 0.99, "over_images": 100}]
    )
    assert params.scheduled == ("lr", "betas")
    at_half = params.at(50)
    assert at_half["lr"] == pytest.approx(1e-4)
    assert at_half["betas"] == (0, pytest.approx(0.945))
    weight = nn.Parameter(torch.ones(1))
    assert {"adam": adam, "adamw": adamw}[name]([weight], **at_half).defaults["betas"] == at_half["betas"]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("adam", {"lr": -1}, r"lr.*\n.*greater than or equal to 0"),
        ("adam", {"lr": {"start": 1, "end": -1, "over_images": 5}}, r"lr.*\n.*greater than or equal to 0"),
        ("adam", {"betas": [0.5, 1]}, r"betas\.1.*\n.*less than 1"),
        ("adam", {"betas": [0.5, {"start": 0.9, "end": 1.0, "over_images": 5}]}, r"betas\.1.*\n.*less than 1"),
        ("adam", {"betas": [0.5]}, "betas"),
        ("adam", {"eps": 0}, r"eps\n.*greater than 0"),
        ("adamw", {"weight_decay": -0.1}, r"weight_decay\n.*greater than or equal to 0"),
        ("rmsprop", {"alpha": 1}, r"alpha\n.*less than 1"),
        ("sgd", {"momentum": -1}, r"momentum\n.*greater than or equal to 0"),
        ("sgd", {"betas": [0, 0]}, r"betas\n.*not permitted"),
    ],
)
def test_bounds(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        schema(name)(**params)


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="nesterov: true needs a momentum above 0"):
        sgd([nn.Parameter(torch.ones(1))], nesterov=True)
