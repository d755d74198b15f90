"""DCGAN in one plain script, written in the usual way. gankit is measured against it.

    python benchmarks/plain_dcgan.py FOLDER --steps 100

torchvision and PIL read image files, one folder per class, in two worker processes. Everything is fp32, both networks
use plain Adam, D ends in a sigmoid, and the losses are printed at each step. The script is neither slowed down nor
optimized.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision.transforms as T
from torch import nn, optim
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.utils import save_image

IMAGE_SIZE = 64
LATENT_DIM = 100
GENERATOR_WIDTH = 64
DISCRIMINATOR_WIDTH = 64
REAL, FAKE = 1.0, 0.0


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        w = GENERATOR_WIDTH
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(LATENT_DIM, 8 * w, 4, 1, 0, bias=False),
            nn.BatchNorm2d(8 * w),
            nn.ReLU(True),
            nn.ConvTranspose2d(8 * w, 4 * w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(4 * w),
            nn.ReLU(True),
            nn.ConvTranspose2d(4 * w, 2 * w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * w),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * w, w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(w),
            nn.ReLU(True),
            nn.ConvTranspose2d(w, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.layers(z)


class Discriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        w = DISCRIMINATOR_WIDTH
        self.layers = nn.Sequential(
            nn.Conv2d(3, w, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(w, 2 * w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(2 * w),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * w, 4 * w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(4 * w),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(4 * w, 8 * w, 4, 2, 1, bias=False),
            nn.BatchNorm2d(8 * w),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(8 * w, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images).flatten()


def initialize(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def train(folder: Path, out: Path, device: str = "cpu", batch_size: int = 64, workers: int = 2) -> Iterator[int]:
    """Train without end, and yield the number of steps after each step."""
    transform = T.Compose(
        [T.Resize(IMAGE_SIZE), T.CenterCrop(IMAGE_SIZE), T.ToTensor(), T.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
    )
    dataset = ImageFolder(str(folder), transform=transform)
    loader = DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=workers)

    netG = Generator().to(device)
    netG.apply(initialize)
    netD = Discriminator().to(device)
    netD.apply(initialize)
    optimizerG = optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))
    optimizerD = optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
    criterion = nn.BCELoss()
    fixed_noise = torch.randn(batch_size, LATENT_DIM, 1, 1, device=device)

    step, epoch = 0, 0
    while True:
        for images, _ in loader:
            real = images.to(device)
            n = real.size(0)

            # train D on real images
            netD.zero_grad()
            label = torch.full((n,), REAL, device=device)
            output = netD(real)
            loss_real = criterion(output, label)
            loss_real.backward()
            on_real = output.mean().item()

            # train D on fakes
            fake = netG(torch.randn(n, LATENT_DIM, 1, 1, device=device))
            label.fill_(FAKE)
            output = netD(fake.detach())
            loss_fake = criterion(output, label)
            loss_fake.backward()
            on_fake_before = output.mean().item()
            loss_d = loss_real + loss_fake
            optimizerD.step()

            # train G
            netG.zero_grad()
            label.fill_(REAL)
            output = netD(fake)
            loss_g = criterion(output, label)
            loss_g.backward()
            on_fake_after = output.mean().item()
            optimizerG.step()

            print(
                f"epoch {epoch} step {step} loss D {loss_d.item():.4f} G {loss_g.item():.4f} "
                f"D(x) {on_real:.4f} D(G(z)) {on_fake_before:.4f} / {on_fake_after:.4f}",
                flush=True,
            )
            if step % 100 == 0:
                save_image(real, out / "real_samples.png", normalize=True)
                with torch.no_grad():
                    samples = netG(fixed_noise)
                save_image(samples, out / f"fake_samples_epoch_{epoch:03d}.png", normalize=True)
            step += 1
            yield step
        epoch += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a DCGAN on a folder of images and print the speed.")
    parser.add_argument("folder", type=Path, help="a folder with one folder of image files per class")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path(), help="folder for images (default: current folder)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    for step in train(arguments.folder, arguments.out, arguments.device):
        if step >= arguments.steps:
            break
    print(f"{64 * arguments.steps / (time.perf_counter() - began):.1f} images/s")


if __name__ == "__main__":
    main()
