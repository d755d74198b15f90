"""The runtime: plugins, the registries that they fill, and trainers assembled from recipes."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .assembly.assemble import assemble_setup
from .assembly.check import check_components
from .assembly.initial_weights import require_initial_weights
from .assembly.load_generator import UnknownComponentError, build_trained_generator
from .assembly.selection import select_all, with_defaults
from .device.out_of_memory import is_out_of_memory, out_of_memory_message
from .errors import CheckpointError, GankitError, Problem, RecipeError
from .game.adversarial import Adversarial
from .interfaces import Report, no_report
from .plugin_loader import PluginLoader
from .recipe.checked_recipe import CheckedRecipe
from .recipe.inheritance import read_document
from .recipe.located_document import Document
from .recipe.model import Recipe, in_order
from .runs.checkpoint import Checkpoint, find_checkpoint
from .runs.file_names import RECIPE, checkpoints
from .runs.run_directory import read_record, require_no_outside_links, require_unused, require_writable
from .sampling.trained_generator import TrainedGenerator
from .training.trainer import Trainer


class Runtime:
    """Registries filled by plugins. Runtimes in one process are independent of each other.

    Args:
        plugins: modules or objects with hooks, paths of ``.py`` files, or names of modules.
        discover: load installed plugins as well.

    Attributes:
        registries: the components, by kind and name.
        plugins: the loaded plugins.
        broken: the installed plugins that could not be loaded, with the reason.
        report: called with the progress while the data of a run is prepared.

    Raises:
        PluginError: one of ``plugins`` cannot be loaded. (Installed plugins that cannot be loaded are in ``broken``.)
    """

    def __init__(self, plugins: Iterable[Any] = (), *, discover: bool = True) -> None:
        self._loader = loader = PluginLoader()
        self.registries, self.plugins, self.broken = loader.registries, loader.loaded, loader.broken
        self.registries.games.add("adversarial", Adversarial)
        self.report: Report = no_report
        if discover:
            loader.discover()
        for plugin in plugins:
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
        components, problems = self._select(recipe, recipe.document)
        if problems:
            raise RecipeError(problems)
        checked = with_defaults(recipe, components)
        problems, not_tried = check_components(checked)
        if problems:
            raise RecipeError(problems)
        return CheckedRecipe(checked.recipe, components, not_tried)

    def assemble(self, recipe: Recipe | CheckedRecipe, run_dir: str | Path | None = None) -> Trainer:
        """A trainer with prepared data and initialized networks.

        Args:
            recipe: a `Recipe` is checked first.
            run_dir: the run directory, which must not exist or must be empty; None uses the next free one under
                ``results/``. It is created when the run starts.

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
        return self._assemble(checked, directory)

    def resume(self, run_dir: str | Path, overrides: Sequence[str] = ()) -> Trainer:
        """The trainer of a run at its newest checkpoint, or at the start if it has none.

        Raises:
            CheckpointError: there is no such run, or its newest checkpoint is damaged or does not fit the recipe.
            GankitError: as for `assemble`.
        """
        directory = Path(run_dir)
        if not (directory / RECIPE).is_file():
            raise CheckpointError(f"{directory}: is not a run directory: it lacks {RECIPE}")
        if not (directory / RECIPE).stat().st_size:
            raise CheckpointError(
                f"{directory}: this run was killed before it started: delete it, and run its recipe again"
            )
        try:
            checked = self.load_checked(directory / RECIPE, overrides)
        except RecipeError as error:
            missing = self.missing_plugins(read_record(directory).get("plugins", {}))
            hints = [Problem("", "", f"the run used plugin {plugin}; pass it with --plugin") for plugin in missing]
            raise RecipeError([*error.problems, *hints]) from None
        require_no_outside_links(directory)
        found = checkpoints(directory)
        try:
            checkpoint = Checkpoint.open(found[-1]) if found else None
        except CheckpointError as error:
            previous = f"from {found[-2].name}" if len(found) > 1 else "from the start"
            raise CheckpointError(f"{error}; to continue {previous}, delete {found[-1]} and resume again") from None
        trainer = self._assemble(checked, directory, checkpoint)
        trainer.restore(checkpoint)
        return trainer

    def load_generator(self, path: str | Path | Checkpoint, device: str = "cpu", ema: bool = True) -> TrainedGenerator:
        """The generator of a run's newest checkpoint, or of one checkpoint.

        Args:
            path: a run directory or a checkpoint, which may be open already.
            device: of the generator.
            ema: use the EMA's weights if there are any, otherwise those of G itself.

        Raises:
            CheckpointError: there is no checkpoint, it is damaged or altered, or its architecture is not registered.
        """
        checkpoint = path if isinstance(path, Checkpoint) else Checkpoint.open(find_checkpoint(Path(path)))
        try:
            return build_trained_generator(checkpoint, self.registries, device, ema)
        except UnknownComponentError as error:
            recorded = checkpoint.manifest.get("plugins")
            missing = ", ".join(self.missing_plugins(recorded)) if isinstance(recorded, dict) else ""
            hint = f"; it was trained with plugin {missing}: pass it (--plugin)" if missing else ""
            raise CheckpointError(f"{error}{hint}") from None

    def missing_plugins(self, recorded: Mapping[str, Any]) -> list[str]:
        """The plugins that a run or checkpoint recorded and this runtime lacks, with their source."""
        loaded = {plugin.name for plugin in self.plugins}
        return [f"'{name}' ({about.get('source')})" for name, about in recorded.items() if name not in loaded]

    def _read(self, path: str | Path, overrides: Sequence[str]) -> Recipe:
        document = read_document(path, overrides)
        recipe, problems = Recipe.attempt(document)
        if recipe is None or problems:
            raise RecipeError(in_order(problems + self._select(None, document)[1]))
        return recipe

    def _select(self, recipe: Recipe | None, document: Document) -> tuple[dict[Any, Any], list[Problem]]:
        data = document.data if recipe is None else recipe.model_dump()
        components, problems = select_all(data, document, self.registries)
        if self.broken and any("is called" in problem.message for problem in problems):
            names = ", ".join(f"'{plugin.name}'" for plugin in self.broken)
            problems.append(Problem("", "", f"not loaded, and may contain it: {names} (see: gankit plugins)"))
        return components, problems

    def _assemble(self, checked: CheckedRecipe, run_dir: Path | None, resumed: Checkpoint | None = None) -> Trainer:
        recipe = checked.recipe
        callbacks = self._loader.run_callbacks(recipe)
        try:
            setup = assemble_setup(checked, callbacks, self._about(checked), self.registries, resumed, self.report)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            device, precision = recipe.train.device, recipe.train.precision
            message = out_of_memory_message(error, recipe, device, precision, "assembling the run")
            raise GankitError(message) from error
        return Trainer(setup, run_dir)

    def _about(self, checked: CheckedRecipe) -> dict[str, Any]:
        """Versions, and the plugins whose components the run uses."""
        used = {selected.entry.plugin for selected in checked.components.values()}
        plugins = {p.name: {"source": p.source, "sha256": p.sha256()} for p in self.plugins if p.name in used}
        versions = {"gankit": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
        return {"versions": versions, "plugins": plugins}


def load_generator(path: str | Path, *, plugins: Iterable[Any] = (), device: str = "cpu") -> TrainedGenerator:
    """The generator of a run's newest checkpoint, or of one checkpoint: the EMA's if there is one.

    Args:
        path: a run directory or a checkpoint.
        plugins: as for `gankit.Runtime`; needed if the architecture was loaded by ``--plugin``.
        device: of the generator.

    Raises:
        CheckpointError: there is no checkpoint, it is damaged or altered, or its architecture is not registered.
    """
    return Runtime(plugins).load_generator(path, device)
