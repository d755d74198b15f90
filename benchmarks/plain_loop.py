"""A hand-written training step with the optimizations of gankit's step, and nothing around it.

It has the same numerics and layout: optional bf16 autocast, channels_last, uint8 images in memory that are resized on
use, one generator forward pass for both updates, frozen D weights in the update of G, fused Adam. It lacks seeds,
metrics, logs, callbacks and checks, so the difference to gankit's step is the overhead of these features.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate


class HandWritten:
    """Trains a DCGAN.

    Args:
        generator: latents [n 100] to images [n c h w] in [-1, 1].
        discriminator: images to logits [n].
        images: uint8 [n c h w], in memory.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        images: Tensor,
        size: int,
        batch_size: int,
        device: torch.device,
        bf16: bool,
    ) -> None:
        self.generator, self.discriminator = (
            network.to(device, memory_format=torch.channels_last).train() for network in (generator, discriminator)
        )
        self.images, self.size, self.batch_size, self.device, self.bf16 = images, size, batch_size, device, bf16
        self.optimizer_g, self.optimizer_d = (
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
            for network in (self.generator, self.discriminator)
        )
        self.order = torch.randperm(len(images))
        self.position = 0

    def step(self) -> tuple[Tensor, Tensor]:
        if self.position + self.batch_size > len(self.order):
            self.order, self.position = torch.randperm(len(self.images)), 0
        chosen = self.order[self.position : self.position + self.batch_size]
        self.position += self.batch_size
        return self.learn(self.batch(chosen), torch.randn(self.batch_size, 100, device=self.device))

    def batch(self, indices: Tensor) -> Tensor:
        images = self.images[indices].to(self.device)
        if images.shape[-1] != self.size:
            images = interpolate(images.float(), size=self.size, mode="bilinear", antialias=True, align_corners=False)
            images = images.round_().clamp_(0, 255)
        return images.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)

    def learn(self, real: Tensor, latents: Tensor) -> tuple[Tensor, Tensor]:
        ones, zeros = torch.ones(len(real), device=self.device), torch.zeros(len(real), device=self.device)

        with self.autocast():
            fake = self.generator(latents).float()
        with self.autocast():
            on_real = self.discriminator(real).float()
            on_fake = self.discriminator(fake.detach()).float()
        loss_d = binary_cross_entropy_with_logits(on_real, ones) + binary_cross_entropy_with_logits(on_fake, zeros)
        self.optimizer_d.zero_grad()
        loss_d.backward()
        self.optimizer_d.step()

        self.discriminator.requires_grad_(False)
        with self.autocast():
            on_fake = self.discriminator(fake).float()
        loss_g = binary_cross_entropy_with_logits(on_fake, ones)
        self.optimizer_g.zero_grad()
        loss_g.backward()
        self.optimizer_g.step()
        self.discriminator.requires_grad_(True)
        return loss_d.detach(), loss_g.detach()

    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()
