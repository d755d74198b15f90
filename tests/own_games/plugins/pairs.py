"""Super-resolution: paired images, with a source of a quarter of the size."""

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit


class Reduced:
    """Random blobs, and the same at a quarter of the size."""

    spec = gankit.DataSpec(image=gankit.ImageSpec.any_size(3), source=gankit.ImageSpec.any_size(3, scale=1 / 4))

    def __init__(self, *, count: PositiveInt = 64) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        blobs = torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(index)) * 255
        image = F.interpolate(blobs, (16, 16), mode="bicubic").clamp(0, 255)[0]
        return {"image": image.byte(), "source": F.avg_pool2d(image, 4).byte()}


class Enlarge(nn.Module):
    """Asks for the source, and not for latents."""

    def __init__(self, data: gankit.DataSpec, *, width: PositiveInt = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(data["source"].channels, 16 * width, 3, padding=1)
        self.last = nn.Conv2d(width, data.image.channels, 3, padding=1)

    def forward(self, source: Tensor) -> Tensor:
        return self.last(F.silu(F.pixel_shuffle(self.first(source), 4))).tanh()


class Beside(nn.Module):
    """Judges an image beside its source."""

    def __init__(self, image: gankit.ImageSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(2 * image.channels, 8, 4, 2, 1), nn.SiLU(), nn.Conv2d(8, 1, 4, 2, 1))

    def forward(self, images: Tensor, source: Tensor) -> Tensor:
        return self.layers(torch.cat([images, F.interpolate(source, scale_factor=4)], 1))


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.datasets.add("reduced", Reduced)
    registries.generators.add("super_resolution", Enlarge)
    registries.discriminators.add("beside", Beside)
