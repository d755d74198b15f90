"""A check of a game, which runs a few steps outside of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from ..assembly.sampled_items import sampling_fields
from ..device.engine import Engine
from ..distributed.processes import Processes
from ..game.game import Game, join_run, play_step
from ..game.outputs import images_of
from ..game.step_context import StepContext
from ..interfaces import Batch, DataSpec, ImageSpec, Loss, Player
from ..interfaces.data_spec import IMAGE, data_spec
from ..sampling.sample_inputs import DeviceInputs, SampleInputs
from ..training.train_state import TrainState
from .component_checks import build_network, random_batch
from .turn import require_argument

COUNT, STEPS = 6, 2


class _NonSaturating(Loss):
    """The loss of arXiv 1406.2661 with G's logits reversed."""

    def discriminator(self, turn: Any) -> Tensor:
        return F.softplus(-turn.real_logits).mean() + F.softplus(turn.fake_logits).mean()

    def generator(self, turn: Any) -> Tensor:
        return F.softplus(-turn.fake_logits).mean()


def check_game(
    factory: type[Game],
    image: ImageSpec | DataSpec,
    generator: Callable[..., nn.Module],
    discriminator: Callable[..., nn.Module] | None = None,
    *,
    latent_dim: int = 16,
    microbatches: bool = True,
    sampling: Mapping[str, Any] | None = None,
    **params: Any,
) -> None:
    """Check that a game trains every player, gives the same weights with microbatches, and generates images.

    Two steps are run on random data with SGD, in fp64 on the CPU.

    Args:
        factory: the game's class.
        image: the `ImageSpec` of the run, or a `DataSpec` if networks take fields of the data.
        generator: the class of G, or a function such as ``functools.partial(MyGenerator, width=8)``.
        discriminator: the same for D; None for a game of one player.
        latent_dim: dimensions of the latents.
        microbatches: whether training with microbatches should give the same weights as without; False for networks
            that draw random numbers. A game with ``whole_batch`` is never run with microbatches.
        sampling: sampling options by name.
        params: parameters of the game.
    """
    require_argument(isinstance(factory, type) and issubclass(factory, Game), f"{factory!r} is not a class of games")
    missing = "discriminator" in factory.players and discriminator is None
    require_argument(not missing, f"{factory.__name__} has a discriminator: pass its class")
    factories: dict[Player, Any] = {"generator": generator}
    if "discriminator" in factory.players:
        factories["discriminator"] = discriminator
    data = data_spec(image)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        batches = [_in_fp64(random_batch(data, COUNT)) for _ in range(4 * STEPS)]

        def play(microbatch: int | None) -> tuple[Game, TrainState, TrainState]:
            torch.manual_seed(1)
            before, state = (_state(factories, data, latent_dim) for _ in range(2))
            for player, network in state.players.items():
                before.players[player].load_state_dict(network.state_dict())
            game = factory(**params)
            join_run(game, _context(state, latent_dim, [*data.fields], game, microbatch), state)
            stream = cycle(batches)
            for step in range(STEPS):
                with game.context.step_scope(0, step):
                    if microbatch is not None:  # numbers of torch's global generator then differ from the whole batch's
                        torch.manual_seed(step)
                    scalars = play_step(game, stream)
                assert scalars, "step() returns no scalars"
                for name, value in scalars.items():
                    assert bool(torch.as_tensor(value).isfinite()), f"{name} is {float(value)} in step {step}"
                state.step += 1
            return game, before, state

        game, before, state = play(None)
        for player, network in state.players.items():
            trained = not _equal(network, before.players[player], 0.0)
            assert trained, f"step() does not train the {player}"
        # BatchNorm uses the statistics of each microbatch
        has_batch_norm = any(isinstance(m, _BatchNorm) for network in state.players.values() for m in network.modules())
        if microbatches and "train.microbatch" in game.honours and not game.whole_batch and not has_batch_norm:
            _, _, parts = play(COUNT // 2)
            for player, network in state.players.items():
                same = _equal(network, parts.players[player], 1e-6)
                assert same, (
                    f"microbatches lead to other weights of the {player} than the whole batch: draw numbers by "
                    "turn.normal or turn.uniform, and compare no images with each other (or set whole_batch)"
                )
        _check_samples(game, state.generator.eval(), batches[0], data, latent_dim, sampling or {})


def _equal(one: nn.Module, other: nn.Module, tolerance: float) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(first, second, rtol=tolerance, atol=tolerance) for first, second in pairs)


def _check_samples(
    game: Game, generator: nn.Module, batch: Batch, data: DataSpec, latent_dim: int, options: Mapping[str, Any]
) -> None:
    results, image = [], data.image
    values = {IMAGE: batch.images, **batch.fields}
    fields = {name: value for name, value in values.items() if name in sampling_fields(generator, data, game)}
    for _ in range(2):
        z = torch.zeros(COUNT, latent_dim)
        inputs = SampleInputs.of_images(z, batch.labels, fields, seed=0)
        torch.manual_seed(2)
        with torch.no_grad():
            results.append(images_of(game.generate(generator, DeviceInputs(inputs, image, batch.images), **options)))
    shape = (COUNT, image.channels, image.height, image.width)
    images = results[0]
    assert isinstance(images, Tensor), f"generate() returns {type(images).__name__}; expected images"
    assert tuple(images.shape) == shape, f"generate() returns images {list(images.shape)}; expected {list(shape)}"
    assert bool(images.isfinite().all()), "generate() returns NaN or infinity"
    assert torch.equal(*results), "generate() returns other images for the same inputs"


def _state(factories: dict[Player, Any], data: DataSpec, latent_dim: int) -> TrainState:
    more: dict[Player, dict[str, int]] = {"generator": {"latent_dim": latent_dim}}
    networks = {p: build_network(f, {}, data, **more.get(p, {}))[0].double().train() for p, f in factories.items()}
    return TrainState(networks, {p: torch.optim.SGD(network.parameters(), 0.01) for p, network in networks.items()})


def _context(state: TrainState, latent_dim: int, fields: list[str], game: Game, microbatch: int | None) -> StepContext:
    latent: Any = SimpleNamespace(sample=lambda n, labels, generator: torch.randn(n, latent_dim, generator=generator))
    return StepContext(
        players=state.players,
        latent=latent,
        loss=_NonSaturating() if "discriminator" in state.players else None,
        regularizers={},
        augmentations=[],
        engine=Engine(torch.device("cpu"), "fp64"),
        random=torch.Generator(),
        processes=Processes(),
        fresh_fakes=True,
        microbatch=microbatch,
        game=game,
        fields=fields,
    )


def _in_fp64(batch: Batch) -> Batch:
    labels = batch.labels
    labels = labels.double() if labels is not None and labels.is_floating_point() else labels
    return Batch(batch.images.double(), labels, {name: tensor.double() for name, tensor in batch.fields.items()})
