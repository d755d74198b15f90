"""Run each network once before the first step, and choose the fastest way of computing in which it works."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..device.compute_mode import FASTEST, ComputeMode
from ..device.engine import Engine
from ..device.out_of_memory import is_out_of_memory
from ..distributed.processes import Processes
from ..errors import CheckpointError
from ..events import Notice
from ..game.game import Game, has_own_generate
from ..game.outputs import images_of, total_of_logits, total_of_tensors
from ..game.step_context import network_arguments
from ..injection import forward_names
from ..interfaces import DataSpec, Player
from ..messages import failing_line, one_line
from ..recipe.checked_recipe import CheckedRecipe
from ..runs.checkpoint import Checkpoint
from ..training.network_copies import BuildNetwork, copy_network
from .dry_run import batch_of_two, inputs_of_two, require_images, require_logits
from .networks import use_mode
from .sampled_items import sampling_fields

COMPUTE = "compute"  # the entry of the manifest and of run.json
TORCH = str(Path(torch.__file__).parent)

Modes = dict[Player, ComputeMode]


class NetworkTrials:
    """Runs copies of G and D forward and backward, in training mode, on two inputs.

    Nothing remains of a trial: the random generators are restored, and only the copy's buffers change.

    Args:
        checked: the recipe.
        data: as the networks see it.
        engine: of the run.
        game: generates images with G.
        processes: which choose together. BatchNorm must not be synchronized yet.

    Attributes:
        modes: the way that each network computes in.
        notices: an event for each network that does not work in the fastest way that was open to it.
    """

    def __init__(
        self, checked: CheckedRecipe, data: DataSpec, engine: Engine, game: Game, processes: Processes
    ) -> None:
        self.modes: Modes = {}
        self.notices: list[Notice] = []
        self._checked, self._data, self._engine, self._processes = checked, data, engine, processes
        self._game = game
        batch = batch_of_two(data, engine.device, engine.dtype)
        with engine.build_scope(checked.recipe.seed):
            self._latents = torch.randn(2, checked.recipe.latent.dim, device=engine.device, dtype=engine.dtype)
            images = torch.rand_like(batch.images).mul_(2).sub_(1)
        self._real = images.contiguous(memory_format=torch.channels_last)  # as the loader's
        self._fake = self._real
        self._batch = replace(batch, images=self._real)

    def choose(self, player: Player, network: nn.Module, build: BuildNetwork, known: ComputeMode = FASTEST) -> None:
        """Choose how the network computes and prepare its weights. G comes first, because D runs on its images.

        Args:
            player: G or D.
            network: on its device.
            build: builds another one, in case Python cannot copy it.
            known: what the run was recorded with; no faster way is tried.

        Raises:
            RecipeError: the network fails in every mode.
        """
        recipe = self._checked.recipe
        try:
            start = known.merged_with(ComputeMode.declared_by(network))
        except ValueError as fault:
            raise recipe.document.error((player,), str(fault)) from None
        first: Exception | None = None
        for mode in start.fallbacks(self._engine.precision):
            error = self._error_of(player, network, build, mode)
            if not any(self._processes.all_gather_object(error is not None)):
                break
            first = first or error
        else:
            message = f"fails on two inputs: {_describe(error)}"
            raise recipe.document.error((player,), message) from error
        if mode != start:
            self.notices.append(_notice(player, mode, first))
        self.modes[player] = mode
        use_mode(network, mode, recipe, self._engine)

    def record(self) -> dict[str, Any]:
        """The entry for the manifest and ``run.json``; empty if both networks compute in the fastest way."""
        modes = {player: mode.record() for player, mode in self.modes.items() if mode != FASTEST}
        return {COMPUTE: modes} if modes else {}

    def _error_of(self, player: Player, network: nn.Module, build: BuildNetwork, mode: ComputeMode) -> Exception | None:
        """The error that the network raises in this mode, if any. Running out of memory is raised, not returned."""
        try:
            with self._engine.build_scope(self._checked.recipe.seed):
                twin = copy_network(network, build).train()
                use_mode(twin, mode, self._checked.recipe, self._engine)
                run = self._run_generator if player == "generator" else self._run_discriminator
                run(twin, mode)
        except Exception as error:  # a plugin's network may raise anything
            if is_out_of_memory(error):
                raise
            return error
        return None

    def _run_generator(self, generator: nn.Module, mode: ComputeMode) -> None:
        if has_own_generate(self._game) and (call := self._first_call(generator)) is not None:
            arguments, options = call
            with self._engine.autocast(mode):
                _backward(total_of_tensors(generator(*arguments, **options)))
            return
        with self._engine.autocast(mode):
            output = generator(*map(mode.in_layout, self._arguments("generator", generator, z=self._latents)))
        images = images_of(output)
        require_images(images, self._data.image)
        _backward(images.float().square().mean())
        self._fake = images.detach().to(self._engine.dtype)

    def _first_call(self, generator: nn.Module) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The arguments of the game's first call of G when it generates images, which is then not run.

        None if it calls parts of G only.
        """

        def stop(module: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
            raise _FirstCall(arguments, options)

        hook = generator.register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                fields = sampling_fields(generator, self._data, self._game)
                inputs = inputs_of_two(self._data, self._latents.shape[1], fields, self._latents)
                self._game.generate(generator, inputs)
        except _FirstCall as call:
            return call.args
        finally:
            hook.remove()
        return None

    def _run_discriminator(self, discriminator: nn.Module, mode: ComputeMode) -> None:
        fake = self._fake.clone().requires_grad_()
        totals = []
        for images in (self._real, fake):
            with self._engine.autocast(mode):
                arguments = self._arguments("discriminator", discriminator, images=images)
                output = discriminator(*map(mode.in_layout, arguments))
            require_logits(output)
            totals.append(total_of_logits(output))
        _backward(sum(totals, start=torch.zeros((), device=self._engine.device)))

    def _arguments(self, player: Player, network: nn.Module, **inputs: Tensor) -> list[Any]:
        return network_arguments(forward_names(player, network, [*self._data.fields]), self._batch, **inputs)


def recorded_modes(checkpoint: Checkpoint | None) -> Mapping[str, ComputeMode]:
    """How the networks of a checkpoint were trained. Raises: CheckpointError: its manifest describes no such modes."""
    if checkpoint is None:
        return {}
    try:
        record = dict(checkpoint.manifest.get(COMPUTE, {}))
        return {player: ComputeMode.from_record(mode) for player, mode in record.items()}
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint.path}: its entry '{COMPUTE}': {error}") from None


class _FirstCall(Exception):  # noqa: N818  # no error
    """Ends the generation of images at the first call of G; its arguments are those of the call."""


def _backward(total: Tensor) -> None:
    if total.requires_grad:
        total.backward()


def _describe(error: Exception | None) -> str:
    """The error's type, message and place in the file of the network."""
    if error is None:
        return "an error in another process"
    message = "" if not str(error) else f": {one_line(error).rstrip('.')}"
    return f"{type(error).__name__}{message}{failing_line(error, TORCH, show_code=True)}"


def _notice(player: Player, mode: ComputeMode, error: Exception | None) -> Notice:
    record = mode.record()
    slower = " and ".join(f"{name.replace('_', ' ')} {value}" for name, value in record.items())
    attributes = " and ".join(f"{name} = {value!r}" for name, value in record.items())
    message = (
        f"the {player} trains with {slower}, because the faster way fails: {_describe(error)}. "
        f"To declare this, set {attributes} in its class"
    )
    return Notice("slower_network", message, {"network": player, **record})
