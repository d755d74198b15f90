"""Our step against DCGAN training written by hand, from the same weights, noise and images."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def hand_written_generator(latent_dim: int, width: int) -> nn.Sequential:
    """The published layers for 64x64, one after the other."""
    layers: list[nn.Module] = []
    sizes = [latent_dim, width * 8, width * 4, width * 2, width]
    for index, (before, after) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        stride, padding = (1, 0) if index == 0 else (2, 1)
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(True),
        ]
    return nn.Sequential(*layers, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def hand_written_discriminator(width: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
    for factor in (1, 2, 4):
        layers.append(nn.Conv2d(width * factor, width * factor * 2, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(width * factor * 2), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(width * 8, 1, 4, 1, 0, bias=False), nn.Flatten(0))


def take_weights(mine: nn.Module, theirs: nn.Module) -> None:
    """Copy weights by their order, which is the order of the layers in both."""
    values = list(theirs.state_dict().values())
    mine.load_state_dict(dict(zip(mine.state_dict(), values, strict=True)))


class HandWritten:
    """The training loop of the published example, on given batches and noise."""

    def __init__(self, generator: nn.Module, discriminator: nn.Module, dtype: torch.dtype) -> None:
        self.g = hand_written_generator(100, 8).to(dtype)
        self.d = hand_written_discriminator(8).to(dtype)
        take_weights(self.g, generator)
        take_weights(self.d, discriminator)
        self.adam_g = torch.optim.Adam(self.g.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=False)
        self.adam_d = torch.optim.Adam(self.d.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=False)

    def step(self, real: Tensor, noise: Tensor) -> None:
        self.d.zero_grad()
        on_real = self.d(real)
        F.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real)).backward()
        fake = self.g(noise[:, :, None, None])
        on_fake = self.d(fake.detach())
        F.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake)).backward()
        self.gradients_d = [p.grad.clone() for p in self.d.parameters()]
        self.adam_d.step()
        self.g.zero_grad()
        again = self.d(fake)
        F.binary_cross_entropy_with_logits(again, torch.ones_like(again)).backward()
        self.gradients_g = [p.grad.clone() for p in self.g.parameters()]
        self.adam_g.step()


@pytest.fixture
def make(runtime, recipe):
    def trainer(precision: str):
        return runtime.assemble(
            recipe(
                image={"size": 64},
                latent={"name": "remembered", "dim": 100},
                dataset={"name": "pictures", "side": 32},
                train={"precision": precision, "steps": 3},
            )
        )

    return trainer


def test_fp64_weights_after_adam_agree_to_1e9(make):
    trainer = make("fp64")
    hand = HandWritten(trainer.state.generator, trainer.state.discriminator, torch.float64)
    for step in range(3):
        trainer.step()
        real = trainer.setup.loader.at(step * 8, 8).images
        hand.step(real, trainer.context.latent.drawn[step].double())
    for mine, theirs in ((trainer.state.generator, hand.g), (trainer.state.discriminator, hand.d)):
        for (name, value), expected in zip(mine.state_dict().items(), theirs.state_dict().values(), strict=True):
            assert torch.allclose(value, expected, rtol=0, atol=1e-9), name
    assert len(trainer.context.latent.drawn) == 3, "one draw of fakes a step serves both players"


def test_fp32_gradients_agree_to_1e5(make):
    trainer = make("fp32")
    hand = HandWritten(trainer.state.generator, trainer.state.discriminator, torch.float32)
    trainer.step()
    hand.step(trainer.setup.loader.at(0, 8).images, trainer.context.latent.drawn[0])
    for network, expected in (("generator", hand.gradients_g), ("discriminator", hand.gradients_d)):
        for p, gradient in zip(getattr(trainer.state, network).parameters(), expected, strict=True):
            assert float((p.grad - gradient).norm() / gradient.norm()) < 1e-5


def test_the_weights_did_move(make):
    trainer = make("fp64")
    before = [p.detach().clone() for p in trainer.state.generator.parameters()]
    trainer.step()
    moved = [
        float((p.detach() - old).abs().max())
        for p, old in zip(trainer.state.generator.parameters(), before, strict=True)
    ]
    assert min(moved) > 1e-5
