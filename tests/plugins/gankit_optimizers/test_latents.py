import math

import pytest
import torch

import gankit
import gankit_optimizers
from gankit_optimizers.latents import NormalLatent, UniformLatent


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("latent", [NormalLatent, UniformLatent])
def test_latents_depend_on_the_generator_alone(latent: type[NormalLatent] | type[UniformLatent]) -> None:
    state = torch.get_rng_state()
    z = latent(7).sample(5, None, seeded(3))
    assert z.shape == (5, 7)
    assert z.dtype == torch.float32
    assert torch.equal(z, latent(7).sample(5, torch.arange(5), seeded(3)))
    assert not torch.equal(z, latent(7).sample(5, None, seeded(4)))
    assert torch.equal(state, torch.get_rng_state())


def test_latents_stay_float32_under_another_default() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert NormalLatent(2).sample(2, None, seeded(0)).dtype == torch.float32
        assert UniformLatent(2).sample(2, None, seeded(0)).dtype == torch.float32
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.gpu
@pytest.mark.parametrize("latent", [NormalLatent, UniformLatent])
def test_latents_are_made_on_the_generators_device(latent: type[NormalLatent] | type[UniformLatent]) -> None:
    assert latent(3).sample(2, None, torch.Generator("cuda")).device.type == "cuda"


def test_normal_latents_are_standard_normal() -> None:
    z = NormalLatent(100).sample(2000, None, seeded(0)).flatten().double()
    assert abs(z.mean()) < 0.01
    assert abs(z.var() - 1) < 0.02
    assert abs((z.abs() < 1).double().mean() - math.erf(1 / math.sqrt(2))) < 0.005


def test_uniform_latents_fill_the_range() -> None:
    z = UniformLatent(100).sample(2000, None, seeded(0)).flatten().double()
    assert -1 <= z.min() < -0.999
    assert 0.999 < z.max() < 1
    share, _ = torch.histogram(z, bins=10, range=(-1, 1), density=True)
    torch.testing.assert_close(share, torch.full_like(share, 0.5), rtol=0.05, atol=0)


def test_registration() -> None:
    registries = gankit.Registries()
    gankit_optimizers.register(registries)
    assert [entry.name for entry in registries.latents] == ["normal", "uniform"]
    assert [entry.name for entry in registries.optimizers] == ["adam", "adamw", "rmsprop", "sgd"]


def test_between_uniform_latents_lie_uniform_latents() -> None:
    start, end = torch.tensor([[-1.0, 0.5]]), torch.tensor([[1.0, 1.0]])
    between = UniformLatent(2).between(start, end, 0.25)
    torch.testing.assert_close(between, torch.tensor([[-0.5, 0.625]]))
