"""Augmentations, forward and backward, against plain implementations with tensors."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import gankit

IMAGE = gankit.ImageSpec(64, 64, 3)
BATCH = 64


def per_image(images, low, high):
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high)


def color(x):
    x = x + per_image(x, -0.5, 0.5)
    x = torch.lerp(x.mean(1, keepdim=True), x, per_image(x, 0, 2))
    return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, per_image(x, 0.5, 1.5))


def translation(x):
    n, _, h, w = x.shape
    shift_h, shift_w = h // 8, w // 8
    down = torch.randint(-shift_h, shift_h + 1, (n, 1, 1), device=x.device)
    right = torch.randint(-shift_w, shift_w + 1, (n, 1, 1), device=x.device)
    rows = torch.arange(h, device=x.device)[None, :, None] + down + shift_h
    columns = torch.arange(w, device=x.device)[None, None, :] + right + shift_w
    each = torch.arange(n, device=x.device)[:, None, None]
    padded = F.pad(x, (shift_w, shift_w, shift_h, shift_h)).permute(0, 2, 3, 1)
    return padded[each, rows, columns].permute(0, 3, 1, 2)


def cutout(x):
    n, _, h, w = x.shape
    top = torch.randint(-h // 4, h - h // 4 + 1, (n, 1, 1), device=x.device)
    left = torch.randint(-w // 4, w - w // 4 + 1, (n, 1, 1), device=x.device)
    rows = torch.arange(h, device=x.device)[None, :, None]
    columns = torch.arange(w, device=x.device)[None, None, :]
    inside = (rows >= top) & (rows < top + h // 2) & (columns >= left) & (columns < left + w // 2)
    return x.masked_fill(inside[:, None], 0.0)


def flip(x):
    return torch.where(per_image(x, 0, 1) < 0.5, x.flip(-1), x)


def affine(x):
    angle = per_image(x, -math.pi / 12, math.pi / 12).flatten()
    shift = torch.empty(len(x), 2, device=x.device).uniform_(-0.2, 0.2)
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack([cos, -sin, shift[:, 0], sin, cos, shift[:, 1]], 1).view(-1, 2, 3)
    return F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), align_corners=False)


def brightness_and_contrast(x):
    x = ((x + 1) / 2 * per_image(x, 0.8, 1.2)).clamp(0, 1)
    return (x * per_image(x, 0.8, 1.2)).clamp(0, 1) * 2 - 1


def erasing(x):
    n, _, h, w = x.shape
    side = (per_image(x, 0.02, 0.33).view(n, 1, 1) * h * w).sqrt()
    top, left = (torch.rand(n, 1, 1, device=x.device) * (length - side) for length in (h, w))
    rows = torch.arange(h, device=x.device)[None, :, None]
    columns = torch.arange(w, device=x.device)[None, None, :]
    inside = (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
    return x.masked_fill(inside[:, None], -1.0)


def noise(x):
    return x + 0.1 * torch.randn_like(x)


def grayscale(x):
    weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)
    return torch.where(per_image(x, 0, 1) < 0.5, (x * weights).sum(1, keepdim=True), x)


def all_policies(x):
    return cutout(translation(color(x)))


def kornia(name, **parameters):
    return {"name": "kornia", "transforms": [{"name": name, **parameters}]}


CASES = {
    "diffaugment-color": ({"name": "diffaugment", "policy": ["color"]}, color),
    "diffaugment-translation": ({"name": "diffaugment", "policy": ["translation"]}, translation),
    "diffaugment-cutout": ({"name": "diffaugment", "policy": ["cutout"]}, cutout),
    "diffaugment-all": ({"name": "diffaugment", "policy": ["color", "translation", "cutout"]}, all_policies),
    "kornia-RandomHorizontalFlip": (kornia("RandomHorizontalFlip"), flip),
    "kornia-RandomAffine": (kornia("RandomAffine", degrees=15, translate=[0.1, 0.1], p=1.0), affine),
    "kornia-ColorJiggle": (kornia("ColorJiggle", brightness=0.2, contrast=0.2, p=1.0), brightness_and_contrast),
    "kornia-RandomErasing": (kornia("RandomErasing", p=1.0), erasing),
    "kornia-RandomGaussianNoise": (kornia("RandomGaussianNoise", std=0.05, p=1.0), noise),
    "kornia-RandomGrayscale": (kornia("RandomGrayscale", p=0.5), grayscale),
}


@pytest.mark.parametrize("case", CASES)
def test_augmentation(case, runtime, compare, device):
    given, plain = CASES[case]
    parameters = {key: value for key, value in given.items() if key != "name"}
    entry = runtime.registries.augmentations.get(given["name"])
    augment = entry.factory(IMAGE, **entry.schema(**parameters).__dict__).to(device)
    images = torch.rand(BATCH, 3, 64, 64, device=device).mul_(2).sub_(1).contiguous(memory_format=torch.channels_last)

    def through(augmentation):
        def forward_and_backward():
            leaf = images.detach().requires_grad_()
            augmentation(leaf).square().sum().backward()
            return leaf.grad

        return forward_and_backward

    for work in (through(augment), through(plain)):
        gradient = work()
        assert gradient.shape == images.shape
        assert gradient.isfinite().all()
    compare(through(augment), through(plain), against="a plain tensor version", images=BATCH)
