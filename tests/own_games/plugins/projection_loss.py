"""Contrastive unpaired translation (CUT, arXiv 2007.15651): a loss with a trainable projection."""

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import nn
from torch.nn import functional as F

import gankit


class TwoBrightnesses:
    """Bright images and dark sources, which do not belong together."""

    image = gankit.ImageSpec(8, 8, 3)
    spec = gankit.DataSpec(image=image, source=image, independent=["source"])

    def __len__(self):
        return 32

    def __getitem__(self, index):
        noise = torch.randint(0, 100, (2, 3, 8, 8), generator=torch.Generator().manual_seed(index)).byte()
        return {"image": noise[0] + 150, "source": noise[1]}


class Translator(nn.Module):
    """Returns the features of the source with the images, for the loss."""

    def __init__(self, image, *, width: PositiveInt = 8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(image.channels, width, 3, 1, 1), nn.SiLU(), nn.Conv2d(width, width, 3, 1, 1))
        self.last = nn.Conv2d(width, image.channels, 3, 1, 1)

    def forward(self, source):
        features = self.encoder(source)
        return {"images": self.last(F.silu(features)).tanh(), "features": features}


class PatchContrast(gankit.Loss, nn.Module):
    """Least squares, and a patch of a translation is closer to its source than other patches (equations 2 and 3)."""

    player = "generator"

    def __init__(self, *, width: PositiveInt = 8, patches: PositiveInt = 16, temperature: PositiveFloat = 0.07):
        super().__init__()
        self.patches, self.temperature = patches, temperature
        self.projection = nn.Sequential(nn.Linear(width, 16), nn.ReLU(), nn.Linear(16, 16))

    def discriminator(self, turn):
        return (turn.real_logits - 1).square().mean() + turn.fake_logits.square().mean()

    def generator(self, turn):
        fake, source = turn.run(turn.generator.encoder, turn.fake), turn.generated["features"]
        places = (turn.uniform(self.patches) * fake[0, 0].numel()).long()  # [n p]
        query, key = (F.normalize(self.projection(self.at(places, features)), dim=2) for features in (fake, source))
        similarities = query @ key.detach().transpose(1, 2) / self.temperature  # [n p p]
        own = torch.arange(self.patches, device=places.device).expand_as(places)
        return (turn.fake_logits - 1).square().mean() + F.cross_entropy(similarities.flatten(0, 1), own.flatten())

    def at(self, places, features):
        return features.flatten(2).transpose(1, 2).gather(1, places[:, :, None].expand(-1, -1, features.shape[1]))


@gankit.hookimpl
def register(registries):
    registries.datasets.add("two_brightnesses", TwoBrightnesses)
    registries.generators.add("translator", Translator)
    registries.losses.add("patch_contrast", PatchContrast)
