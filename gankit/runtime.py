"""The runtime: plugins, the registries that they fill, and trainers assembled from recipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .assembly.assemble import assemble_setup
from .assembly.check import check_components
from .assembly.continuation import continue_recipe
from .assembly.initial_weights import require_initial_weights
from .assembly.load_generator import UnknownComponentError, build_trained_generator
from .assembly.resume_checks import (
    events_for_changes,
    explain_misfit,
    open_newest_checkpoint,
    require_continuation,
    require_saved_recipe,
    require_working_optimizers,
)
from .assembly.selection import select_all, with_defaults
from .conversion.import_weights import ImportedWeights, import_weights
from .conversion.recognition import GivenFile
from .device.find_device import find_device
from .device.out_of_memory import is_out_of_memory, out_of_memory_message
from .errors import CheckpointError, GankitError, Problem, RecipeError
from .events import Event
from .game.game import Adversarial
from .interfaces import Report, no_report
from .plugin_loader import PluginLoader
from .plugin_records import plugin_record, plugins_not_loaded
from .recipe.checked_recipe import CheckedRecipe
from .recipe.inheritance import read_named_document
from .recipe.located_document import Document
from .recipe.model import Recipe, in_order
from .runs.checkpoint import Checkpoint, find_checkpoint
from .runs.file_names import RECIPE
from .runs.resolve_source import resolve_source
from .runs.run_directory import read_record, require_no_outside_links, require_unused, require_writable
from .runs.run_lock import require_not_training
from .runs.weights import MisfitError
from .sampling.trained_generator import TrainedGenerator
from .training.trainer import Trainer


class Runtime:
    """Registries filled by plugins. Runtimes in one process are independent of each other.

    Args:
        plugins: modules or objects with hooks, paths of ``.py`` files, or names of modules; one path or name may be
            given without a list.
        discover: load installed plugins as well.

    Attributes:
        registries: the components, by kind and name.
        plugins: the loaded plugins.
        broken: the installed plugins that could not be loaded, with the reason.

    Raises:
        PluginError: one of ``plugins`` cannot be loaded. (Installed plugins that cannot be loaded are in ``broken``.)
    """

    def __init__(self, plugins: Iterable[Any] | Path = (), *, discover: bool = True) -> None:
        self._loader = loader = PluginLoader()
        self.registries, self.plugins, self.broken = loader.registries, loader.loaded, loader.broken
        self.registries.games.add("adversarial", Adversarial)
        if discover:
            loader.discover()
        for plugin in [plugins] if isinstance(plugins, (str, Path)) else plugins:
            self.load_plugin(plugin)

    def load_plugin(self, plugin: Any) -> None:
        """Load one more plugin: a module or object with hooks, the path of a ``.py`` file, or a module's name.

        Raises:
            PluginError: it cannot be loaded.
        """
        self._loader.load(plugin)

    def load(self, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a recipe with ``KEY=VALUE`` overrides and check it.

        Raises:
            RecipeError: with every problem of its structure and components.
        """
        recipe = self._read(path, overrides)
        self.check(recipe)
        return recipe

    def load_checked(self, path: str | Path, overrides: Sequence[str] = ()) -> CheckedRecipe:
        """The same as `load`, with the result of the check, which `assemble` takes without checking again."""
        return self.check(self._read(path, overrides))

    def check(self, recipe: Recipe) -> CheckedRecipe:
        """Check a recipe against the registries, without data or device. Raises: RecipeError with every problem."""
        checked = before = self._check(recipe)
        for segment in recipe.segments:
            after = self._check(recipe.at(segment.step))
            require_continuation(before, after)
            before = after
        return checked

    def _check(self, recipe: Recipe) -> CheckedRecipe:
        components, problems = self._select(recipe.model_dump(), recipe.document)
        if problems:
            raise RecipeError(problems)
        return check_components(with_defaults(recipe, components), self.registries)

    def assemble(
        self, recipe: Recipe | CheckedRecipe, run_dir: str | Path | None = None, *, report: Report = no_report
    ) -> Trainer:
        """A trainer with prepared data and initialized networks.

        Args:
            recipe: a `Recipe` is checked first.
            run_dir: the run directory, which must not exist or must be empty; None uses the next free one under
                ``results/``. It is created when the run starts.
            report: called with the progress of preparing the data.

        Raises:
            RecipeError: the recipe cannot run.
            DataError: its dataset is missing, damaged or too small.
            GankitError: this machine lacks the device, or ``run_dir`` is in use or cannot be written.
        """
        directory = None if run_dir is None else Path(run_dir)
        if directory is not None:
            require_unused(directory)  # before any download
        require_writable(directory)
        checked = recipe if isinstance(recipe, CheckedRecipe) else self.check(recipe)
        require_initial_weights(checked)
        return self._assemble(checked, directory, None, report)

    def resume(
        self,
        run_dir: str | Path,
        overrides: Sequence[str] = (),
        *,
        accept_changes: bool = False,
        restart: bool = False,
        report: Report = no_report,
    ) -> Trainer:
        """The trainer of a run at its newest checkpoint, or at the start if the run has not completed a step.

        Args:
            run_dir: the run directory.
            overrides: ``KEY=VALUE`` settings that differ from now on.
            accept_changes: continue although the data or the code of third-party plugins have changed since the
                checkpoint. This is recorded in ``events.jsonl``.
            restart: train from the start a run that has completed steps, but has no checkpoint. Its records are
                overwritten.
            report: called with the progress of preparing the data.

        Raises:
            CheckpointError: ``run_dir`` is not a run, its newest checkpoint is missing, damaged or does not fit the
                recipe, or the run has other data or code now.
            RecipeError: the recipe or an override is invalid, or the data has other classes now.
            GankitError: as for `assemble`.
        """
        directory = Path(run_dir)
        require_saved_recipe(directory)
        require_not_training(directory)
        with self._naming_missing_plugins(directory):
            saved = self._read(directory / RECIPE, ())
        require_no_outside_links(directory)
        checkpoint = open_newest_checkpoint(directory, restart)
        with self._naming_missing_plugins(directory):
            step = 0 if checkpoint is None else checkpoint.step
            continuation = continue_recipe(saved, overrides, step, self._recipe_from)
            checked = self.check(continuation.recipe)
        try:
            trainer = self._assemble(checked, directory, checkpoint, report)
            events: list[Event] = [continuation.event] if checkpoint and continuation.event else []
            if checkpoint is not None:
                before, now = saved.at(max(step - 1, 0)).dataset, saved.at(step).dataset
                planned = before != now == continuation.recipe.dataset  # a segment that begins here changes the data
                events += events_for_changes(checkpoint, trainer.setup, accept_changes, accept_data=planned)
            trainer.restore(checkpoint, events, continuation.saved if continuation.changed else None)
        except MisfitError as error:
            raise explain_misfit(error, checked, continuation.changed) from None
        require_working_optimizers(checked, trainer.setup, continuation.changed)
        return trainer

    def load_generator(
        self, path: str | Path | Checkpoint, device: str | torch.device = "cpu", ema: bool = True
    ) -> TrainedGenerator:
        """The generator of a run's newest checkpoint, or of one checkpoint.

        Args:
            path: a run directory, a checkpoint, which may be open already, ``hub:owner/name`` or ``builtin:NAME``, see
                `gankit.sources`.
            device: of the generator: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
            ema: use the EMA's weights if there are any, otherwise those of G itself.

        Raises:
            CheckpointError: ``path`` has no checkpoint, or one that is damaged, altered or of an unknown architecture.
            GankitError: this machine lacks the device.
        """
        found = find_device(device, "device")
        if isinstance(path, Checkpoint):
            checkpoint = path
        else:
            checkpoint = Checkpoint.open(find_checkpoint(resolve_source(path).path))
        try:
            return build_trained_generator(checkpoint, self.registries, found, ema)
        except UnknownComponentError as error:
            missing = ", ".join(plugins_not_loaded(checkpoint.manifest, self.plugins))
            hint = f"; it was trained with plugin {missing}" if missing else ""
            raise CheckpointError(f"{error}{hint}") from None

    def import_weights(
        self,
        files: Iterable[str | Path],
        path: str | Path,
        *,
        format_name: str | None = None,
        classes: Sequence[str] | None = None,
    ) -> ImportedWeights:
        """Convert weight files of another project to a checkpoint, without executing any code in them.

        Args:
            files: of one model. A name of a network and ``=`` before a path say what the file holds, as in
                ``generator_ema=G_ema.pth``.
            path: the folder of the checkpoint, which must not exist.
            format_name: the registered format of the files; None recognizes it.
            classes: the names of the classes, in the order of the labels; None numbers them.

        Raises:
            GankitError: ``path`` exists or cannot be written; the files cannot be read, are not of a known format, or
                do not fit gankit's networks. Nothing is written then.
        """
        folder = Path(path)
        if folder.exists():
            raise GankitError(f"{folder}: exists; give a new folder for the checkpoint")
        imported = import_weights([*map(GivenFile.parse, files)], self.registries, format_name, classes)
        used = (part.entry.plugin for part in imported.components.values())
        imported.save(folder, plugin_record(self.plugins, used))
        return imported

    def _read(self, path: str | Path, overrides: Sequence[str]) -> Recipe:
        return self._recipe_from(read_named_document(path, overrides))

    def _recipe_from(self, document: Document) -> Recipe:
        """Raises: RecipeError: with every problem of its structure and components."""
        recipe, problems = Recipe.attempt(document)
        if recipe is None or problems:
            raise RecipeError(in_order(problems + self._select(document.data, document)[1]))
        return recipe

    @contextmanager
    def _naming_missing_plugins(self, directory: Path) -> Iterator[None]:
        """A block whose `RecipeError` names the plugins of the run that are not loaded."""
        try:
            yield
        except RecipeError as error:
            missing = plugins_not_loaded(read_record(directory), self.plugins)
            hints = [Problem("", "", f"the run used plugin {plugin}") for plugin in missing]
            raise RecipeError([*error.problems, *hints]) from None

    def _select(self, data: Any, document: Document) -> tuple[dict[Any, Any], list[Problem]]:
        components, problems = select_all(data, document, self.registries)
        if self.broken and any("is called" in problem.message for problem in problems):
            names = ", ".join(f"'{plugin.name}'" for plugin in self.broken)
            problems.append(Problem("", "", f"not loaded, and may contain it: {names} (see: gankit plugins)"))
        return components, problems

    def _assemble(
        self, checked: CheckedRecipe, run_dir: Path | None, resumed: Checkpoint | None, report: Report
    ) -> Trainer:
        recipe = checked.recipe
        callbacks = self._loader.run_callbacks(recipe)
        try:
            setup = assemble_setup(checked, callbacks, self._about(checked), self.registries, resumed, report)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            device, precision = recipe.train.device, recipe.train.precision
            message = out_of_memory_message(error, recipe, device, precision, "assembling the run")
            raise GankitError(message) from error
        return Trainer(setup, run_dir)

    def _about(self, checked: CheckedRecipe) -> dict[str, Any]:
        """Versions, and the plugins whose components the run uses."""
        parts = (part for whole in checked.components.values() for _, part in whole.with_nested())
        return plugin_record(self.plugins, (part.entry.plugin for part in parts))


def load_generator(
    path: str | Path, *, plugins: Iterable[Any] = (), device: str | torch.device = "cpu"
) -> TrainedGenerator:
    """The generator of a run's newest checkpoint, or of one checkpoint: the EMA's if there is one.

    Args:
        path: a run directory, a checkpoint, ``hub:owner/name`` or ``builtin:NAME``, see `gankit.sources`.
        plugins: as for `gankit.Runtime`; needed if the architecture was loaded by ``--plugin``.
        device: of the generator: ``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``, or a `torch.device`.

    Raises:
        CheckpointError: ``path`` has no checkpoint, or one that is damaged, altered or of an unknown architecture.
        GankitError: this machine lacks the device.
    """
    return Runtime(plugins).load_generator(path, device)
