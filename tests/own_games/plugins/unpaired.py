"""Unpaired translation (CycleGAN, arXiv 1703.10593): each player holds two networks."""

import torch
from torch import nn
from torch.nn import functional as F

import gankit


class TwoDomains:
    """Bright images and dark sources, which do not belong together."""

    image = gankit.ImageSpec(8, 8, 3)
    spec = gankit.DataSpec(image=image, source=image, independent=["source"])

    def __len__(self):
        return 32

    def __getitem__(self, index):
        noise = torch.randint(0, 100, (2, 3, 8, 8), generator=torch.Generator().manual_seed(index)).byte()
        return {"image": noise[0] + 150, "source": noise[1]}


class Translators(nn.Module):
    def __init__(self, image):
        super().__init__()
        self.to_image, self.to_source = (nn.Conv2d(image.channels, image.channels, 3, 1, 1) for _ in range(2))

    def forward(self, source, image):
        images, sources = self.to_image(source).tanh(), self.to_source(image).tanh()
        back = {"image": self.to_image(sources).tanh(), "source": self.to_source(images).tanh()}
        return {"images": images, "sources": sources, **back}


class Judges(nn.Module):
    def __init__(self, image):
        super().__init__()
        self.of_images, self.of_sources = (nn.Conv2d(image.channels, 1, 4, 2, 1) for _ in range(2))

    def forward(self, images):
        return self.of_images(images)


class Cycle(gankit.Game):
    honours = ("train.microbatch", "train.clip_gradient")

    def step(self):
        batch = self.next_batch()
        return self.update("discriminator", batch) | self.update("generator", batch)

    def terms(self, turn):
        made, of_sources = turn.generated, turn.discriminator.of_sources
        fake = [turn.fake_logits, turn.run(of_sources, made["sources"])]
        if turn.player == "generator":
            cycle = F.l1_loss(made["image"], turn.real) + F.l1_loss(made["source"], turn["source"])
            return {"translators": sum((logits - 1).square().mean() for logits in fake), "cycle": 10 * cycle}
        real = [turn.real_logits, turn.run(of_sources, turn["source"])]
        return {"judges": sum((logits - 1).square().mean() for logits in real) + sum(f.square().mean() for f in fake)}


@gankit.hookimpl
def register(registries):
    registries.datasets.add("two_domains", TwoDomains)
    registries.generators.add("translators", Translators)
    registries.discriminators.add("judges", Judges)
    registries.games.add("cycle", Cycle)
