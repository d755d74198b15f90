"""Networks without batch statistics, for runs that must come to the same in one process and in several; and faults.

Shapes: ``n`` images, ``f`` features.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import gankit


class Up(nn.Module):
    """Two transposed convolutions, with BatchNorm between them where asked."""

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, batch_norm: bool = False) -> None:
        super().__init__()
        side = image.height // 4
        self.first = nn.Linear(latent_dim + image.classes, 6 * side * side)
        self.classes = image.classes
        self.layers = nn.Sequential(
            nn.Unflatten(1, (6, side, side)),
            nn.BatchNorm2d(6) if batch_norm else nn.Identity(),
            nn.SiLU(),
            nn.ConvTranspose2d(6, 5, 4, 2, 1),
            nn.SiLU(),
            nn.ConvTranspose2d(5, image.channels, 4, 2, 1),
            nn.Tanh(),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if labels is not None:
            z = torch.cat([z, nn.functional.one_hot(labels, self.classes).to(z.dtype)], 1)
        return self.layers(self.first(z))


class Fuse(nn.Module):
    """Passes on what it gets, but of an image whose first pixel is white it makes NaN."""

    def forward(self, images: Tensor) -> Tensor:
        return images.masked_fill(images[:, :1, :1, :1] > 0.999, torch.nan)


class Down(nn.Module):
    """Two convolutions and a linear layer, spectrally normalised where asked, after a fuse where asked."""

    def __init__(self, image: gankit.ImageSpec, *, spectral: bool = False, fuse: bool = False) -> None:
        super().__init__()
        self.fuse = Fuse() if fuse else nn.Identity()
        layers = (
            nn.Conv2d(image.channels, 6, 4, 2, 1),
            nn.Conv2d(6, 8, 4, 2, 1),
            nn.Linear(8 * (image.height // 4) * (image.width // 4), 1),
        )
        first, second, last = (spectral_norm(layer) if spectral else layer for layer in layers)
        self.layers = nn.Sequential(first, nn.SiLU(), second, nn.SiLU(), nn.Flatten(), last)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.layers(self.fuse(images)).flatten()


class Noise:
    """Noise pictures; writes down who has prepared and who has read what, where ``$SEEN`` names a folder."""

    split = "train"

    def __init__(
        self,
        *,
        count: NonNegativeInt = 48,
        side: PositiveInt = 8,
        broken_in: int | None = None,
        white: int | None = None,
    ) -> None:
        self.white = white  # this image's first pixel is, and no other's
        self.count, self.spec, self.classes = count, gankit.ImageSpec(side, side, 1), ("a", "b")
        self.broken_in = broken_in

    def prepare(self) -> None:
        note("prepared")
        if self.broken_in == rank():
            raise gankit.DataError("the archive is damaged")
        random = torch.Generator().manual_seed(1)
        shape = (self.count, 1, self.spec.height, self.spec.width)
        self.images = torch.randint(0, 256 if self.white is None else 200, shape, dtype=torch.uint8, generator=random)
        if self.white is not None:
            self.images[self.white, 0, 0, 0] = 255

    def fingerprint(self) -> str:
        return f"noise {len(self)} {self.spec} {self.white}"  # without it, gankit reads some of the images

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        note(f"read {index}")
        return self.images[index], index % 2


class Pixels:
    """Features [n f]: the pixels; writes down who looks at how many images, and fails in one process where asked."""

    hash, resizer = "0" * 64, "none"

    def __init__(self, *, broken_in: int | None = None) -> None:
        self.broken_in = broken_in

    def __call__(self, images: Tensor) -> Tensor:
        note(f"looked at {len(images)}")
        if self.broken_in == rank():
            raise ValueError("sees nothing")
        return images.flatten(1).float()


class Order:
    """A figure in which every bit of every feature counts, and their order."""

    uses: Literal["features", "logits"] = "features"

    def __init__(self) -> None:
        self.parts: list[Tensor] = []

    def update(self, values: Tensor, real: bool) -> None:
        if not real:
            self.parts.append(values.double())

    def compute(self) -> dict[str, float]:
        features = torch.cat(self.parts).flatten()
        return {"order": float((features * torch.arange(len(features)).sin()).sum())}


class OwnDirection:
    """A penalty in which some parameters take part in one process only: first D's bias, and nothing of its rest."""

    interval = 1

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        named = dict(turn.discriminator.named_parameters())
        chosen = named["layers.0.bias"] if rank() == 0 else named["layers.2.bias"]
        return chosen.square().sum() + chosen.sum()


class Alone(OwnDirection):
    """The same in a turn of its own."""

    interval = 2


class Overflowing:
    """A gradient that is infinite in the second process alone, in the first step."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        value = 1e-3 * next(turn.discriminator.parameters()).sum()
        if turn.images_seen == 0 and rank() == 1:
            value.register_hook(lambda gradient: gradient * torch.inf)
        return value * 1


class LogitsMean:
    """A loss with the mean over all reals in it, as relativistic average ones have."""

    def discriminator(self, turn: gankit.Turn) -> Tensor:
        centre = turn.mean(turn.real_logits.mean())
        return (turn.fake_logits - centre).square().mean() - centre.square()

    def generator(self, turn: gankit.Turn) -> Tensor:
        return -turn.fake_logits.mean()


class Normalised(nn.Module):
    """A regularizer with a trained layer, which begins otherwise in each process, and with BatchNorm."""

    player = "generator"

    def __init__(self) -> None:
        super().__init__()
        self.projection, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        nn.init.constant_(self.projection.weight, 1.0 + rank())

    def generator(self, turn: gankit.Turn) -> Tensor:
        return self.norm(self.projection(turn.fake.flatten(1)[:, :4])).square().mean() + self.projection.bias.sum()


class Queue(gankit.Game):
    """G's fakes keep away from the last means of D's fakes, which every process keeps in the same order."""

    def __init__(self, *, size: PositiveInt = 12) -> None:
        self.size, self.rows = size, torch.zeros(0, 8, dtype=torch.float64)

    def step(self) -> gankit.Scalars:
        batch = self.next_batch()
        return self.update("discriminator", batch) | self.update("generator", batch, self.distance)

    def distance(self, turn: gankit.Turn) -> dict[str, Tensor]:
        order = torch.arange(1.0, 1 + len(self.rows), dtype=torch.float64)  # so that the order of the rows counts
        distances = (turn.fake.mean((1, 2))[:, None] - self.rows).square().mean(2)  # [n q]
        return {**self.terms(turn), "distance": -(distances @ order).mean()}

    def after(self, turn: gankit.Turn) -> None:
        if turn.player == "discriminator":
            self.rows = torch.cat([self.rows, turn.gather(turn.fake.mean((1, 2)))])[-self.size :]

    def state_dict(self) -> dict[str, Tensor]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.rows = state["rows"]


class Doomed(torch.optim.SGD):
    """Plain gradient descent, until ``$DIE`` says that this process ends: ``rank:step:kill|error|TERM``; once.

    At step ``nan_at`` every process gets a weight that is NaN.
    """

    def __init__(
        self, parameters: list[nn.Parameter], *, lr: gankit.Scheduled = 0.05, nan_at: int | None = None
    ) -> None:
        super().__init__(parameters, lr=lr)
        self.steps, self.nan_at = 0, nan_at

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        super().step(closure)
        self.steps += 1
        if self.steps == self.nan_at:
            self.param_groups[0]["params"][0].data.flatten()[0] = float("nan")
        who, when, how = (os.environ.get("DIE") or "-1:0:none").split(":")
        if int(who) != rank() or int(when) != self.steps or os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0":
            return
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "TERM":
            os.kill(os.getpid(), signal.SIGTERM)
        if how == "error":
            raise RuntimeError("the device fell off the bus")


class Slow(torch.optim.SGD):
    """Takes its time, so that a signal finds it at work."""

    def __init__(self, parameters: list[nn.Parameter], *, lr: gankit.Scheduled = 0.05) -> None:
        super().__init__(parameters, lr=lr)

    def step(self, closure: None = None) -> None:  # type: ignore[override]
        super().step(closure)
        time.sleep(0.1)


class Tells:
    """Writes down in which process it is called; fails at a step where asked, and recovers from what is not finite."""

    def __init__(self, *, fail_at: int | None = None, go_on: bool = True) -> None:
        self.fail_at, self.go_on = fail_at, go_on

    def on_run_start(self, run: gankit.Run) -> None:
        self._note(run, "start")

    def on_step_end(self, run: gankit.Run) -> None:
        if run.state.step == self.fail_at:
            raise RuntimeError("no more pictures")
        if run.not_finite():
            run.recover(go_on=self.go_on)
        self._note(run, "step")

    def on_run_end(self, run: gankit.Run) -> None:
        self._note(run, "end")

    def _note(self, run: gankit.Run, what: str) -> None:
        with (run.directory / "calls.txt").open("a") as file:
            file.write(f"{rank()} {what} {run.state.step}\n")


def rank() -> int:
    return int(os.environ.get("RANK", "0"))


def note(what: str) -> None:
    """Into ``$SEEN/seen.txt``."""
    if folder := os.environ.get("SEEN"):
        with Path(folder, "seen.txt").open("a") as file:
            file.write(f"{rank()} {what}\n")


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    registries.generators.add("up", Up)
    registries.discriminators.add("down", Down)
    registries.datasets.add("noise", Noise)
    registries.losses.add("logits_mean", LogitsMean)
    registries.regularizers.add("own_direction", OwnDirection)
    registries.regularizers.add("own_direction_alone", Alone)
    registries.regularizers.add("normalised", Normalised)
    registries.regularizers.add("overflowing", Overflowing)
    registries.games.add("queue", Queue)
    registries.optimizers.add("doomed", Doomed)
    registries.optimizers.add("slow", Slow)
    registries.callbacks.add("tells", Tells)
    registries.features.add("watched_pixels", Pixels)
    registries.metrics.add("order", Order)
