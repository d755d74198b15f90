"""The runtime: plugins and registries of its own, and from a recipe a trainer."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from . import __version__
from .assembly.assemble import assemble_setup
from .assembly.selection import Selections, choose, resolved
from .assembly.check import fit_together
from .recipe.located_document import Document
from .recipe.inheritance import read_document
from .errors import CheckpointError, GankitError, Problem, RecipeError
from .plugin_loader import BrokenPlugin, Plugin, PluginLoader
from .recipe.model import Recipe, in_order
from .registry import Registries
from .runs.checkpoint import Checkpoint, checkpoints
from .runs.run_directory import RECIPE, read_record, require_free, require_within
from .device.out_of_memory import is_out_of_memory, out_of_memory
from .game.adversarial import Adversarial
from .training.trainer import Trainer


class Runtime:
    """Registries filled by plugins. Two runtimes in one process know nothing of each other.

    Args:
        plugins: modules or objects with hooks, paths of ``.py`` files, or names of modules.
        discover: load installed plugins too.

    Raises:
        PluginError: one of ``plugins`` cannot be loaded. (An installed one that cannot is listed in ``broken``.)
    """

    def __init__(self, plugins: Iterable[Any] = (), *, discover: bool = True) -> None:
        self._plugins = PluginLoader()
        self._plugins.registries.games.add("adversarial", Adversarial)
        self._last_fit: tuple[Recipe, Selections] | None = None  # need not be tried again to be resolved or assembled
        if discover:
            self._plugins.discover()
        for plugin in plugins:
            self._plugins.load(plugin)

    @property
    def registries(self) -> Registries:
        """The components, by kind and name."""
        return self._plugins.registries

    @property
    def plugins(self) -> list[Plugin]:
        """The plugins that loaded."""
        return self._plugins.loaded

    @property
    def broken(self) -> list[BrokenPlugin]:
        """The installed plugins that did not load, and why."""
        return self._plugins.broken

    def load(self, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a recipe and check it. Raises: RecipeError with every fault, of the structure and of the components."""
        document = read_document(path, overrides)
        recipe, problems = Recipe.attempt(document)
        if recipe is None or problems:
            raise RecipeError(in_order(problems + self._choose(document.data, document)[1]))
        self.check(recipe)
        return recipe

    def check(self, recipe: Recipe) -> None:
        """Check a recipe against the registries, without data or device. Raises: RecipeError with every fault."""
        self._checked(recipe)

    def resolve(self, recipe: Recipe) -> Recipe:
        """The recipe with every default of its components filled in. Raises: RecipeError, as `check` does."""
        return resolved(recipe, self._checked(recipe))

    def assemble(self, recipe: Recipe, run_dir: str | Path | None = None) -> Trainer:
        """A trainer, its data prepared and its networks built.

        Args:
            recipe: checked first.
            run_dir: the run's directory, which must not exist or be empty; None takes the next free one under
                ``results/``. It is made when the run begins.

        Raises:
            RecipeError: the recipe cannot run.
            DataError: its data set is missing, damaged or too small.
            GankitError: this machine lacks the device, or ``run_dir`` is taken.
        """
        directory = None if run_dir is None else Path(run_dir)
        if directory is not None:
            require_free(directory)  # before any download
        return self._assemble(recipe, directory, fresh=True)

    def resume(self, run_dir: str | Path, overrides: Sequence[str] = ()) -> Trainer:
        """The trainer of a run, at its newest checkpoint, or at the start where it has none.

        Raises:
            CheckpointError: there is no such run, or its newest checkpoint is damaged or another recipe's.
            GankitError: as `assemble` does.
        """
        directory = Path(run_dir)
        if not (directory / RECIPE).is_file():
            raise CheckpointError(f"{directory}: is no run directory: it has no {RECIPE}")
        if not (directory / RECIPE).stat().st_size:
            raise CheckpointError(
                f"{directory}: this run was killed before it began: delete it, and run its recipe again"
            )
        try:
            recipe = self.load(directory / RECIPE, overrides)
        except RecipeError as error:
            raise RecipeError([*error.problems, *self._missing_plugins(directory)]) from None
        require_within(directory)
        found = checkpoints(directory)
        try:
            checkpoint = Checkpoint.open(found[-1]) if found else None
        except CheckpointError as error:
            before = f"from {found[-2].name}" if len(found) > 1 else "from the start"
            raise CheckpointError(f"{error}; to go on {before}, delete {found[-1]} and resume again") from None
        trainer = self._assemble(recipe, directory, fresh=checkpoint is None, checkpoint=checkpoint)
        trainer.restore(checkpoint)
        return trainer

    def missing_plugins(self, recorded: Mapping[str, Any]) -> list[str]:
        """Of the plugins that a run or a checkpoint recorded, those that this runtime lacks, and where they were."""
        here = {plugin.name for plugin in self.plugins}
        return [f"'{name}' ({about.get('source')})" for name, about in recorded.items() if name not in here]

    def _missing_plugins(self, directory: Path) -> list[Problem]:
        missing = self.missing_plugins(read_record(directory).get("plugins", {}))
        return [Problem("", "", f"the run used plugin {plugin}; pass it with --plugin") for plugin in missing]

    def _choose(self, data: Mapping[str, Any], document: Document) -> tuple[Selections, list[Problem]]:
        choices, problems = choose(data, document, self.registries)
        if self.broken and any("is called" in problem.message for problem in problems):
            names = ", ".join(f"'{plugin.name}'" for plugin in self.broken)
            problems.append(Problem("", "", f"did not load, and may hold it: {names} (see: gankit plugins)"))
        return choices, problems

    def _checked(self, recipe: Recipe) -> Selections:
        choices, problems = self._choose(recipe.model_dump(), recipe.document)
        if not problems and self._last_fit != (recipe, choices):
            problems = fit_together(recipe, choices)
        if problems:
            raise RecipeError(problems)
        self._last_fit = recipe, choices
        return choices

    def _assemble(
        self, recipe: Recipe, run_dir: Path | None, fresh: bool, checkpoint: Checkpoint | None = None
    ) -> Trainer:
        choices = self._checked(recipe)
        callbacks = self._plugins.run_callbacks(recipe)
        try:
            parts = assemble_setup(recipe, choices, callbacks, self._about(choices), self.registries, fresh, checkpoint)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            train = recipe.train
            said = out_of_memory(error, resolved(recipe, choices), train.device, train.precision, "assembling the run")
            raise GankitError(said) from error
        return Trainer(parts, run_dir)

    def _about(self, choices: Selections) -> dict[str, Any]:
        """Versions, and the plugins whose components take part."""
        used = {chosen.entry.plugin for chosen in choices.values()}
        plugins = {p.name: {"source": p.source, "sha256": p.sha256()} for p in self.plugins if p.name in used}
        versions = {"gankit": __version__, "torch": str(torch.__version__), "python": platform.python_version()}
        return {"versions": versions, "plugins": plugins}
