"""Loads the weights that ``initialize`` selects from a checkpoint.

The names of weights begin with those of their networks here, as in ``discriminator.blocks.0.weight``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from ..errors import CheckpointError, RecipeError
from ..events import Initialized
from ..recipe.located_document import KeyPath
from ..recipe.model import Recipe
from ..recipe.weight_selection import NETWORKS, Initialize
from ..runs.checkpoint import Checkpoint, find_checkpoint
from ..runs.resolve_source import resolve_source
from ..runs.weights import MisfitError, set_weights
from .weight_names import is_inside, matches, misfits, no_match
from .weight_sources import EMA, SECTION, choose_sources, require_targets


class InitialWeights:
    """The weights that a run starts from.

    Args:
        recipe: that has ``initialize``.

    Attributes:
        settings: of ``initialize``.
        checkpoint: that the weights come from.

    Raises:
        RecipeError: the checkpoint does not exist, or lacks what is to be loaded.
    """

    def __init__(self, recipe: Recipe) -> None:
        assert recipe.initialize is not None
        self.settings = Initialize.parse(recipe.initialize)
        self._document = recipe.document
        self._saved: dict[str, dict[str, Tensor]] = {}  # the checkpoint's weights by network
        self._loaded: dict[str, int] = {}  # the number of tensors by target
        self._skipped: set[str] = set()
        with self.locating_errors():
            source = resolve_source(self.settings.source)
            self.checkpoint = Checkpoint.open(find_checkpoint(source.path))
            self._origin = source.origin
            running = [name for name in NETWORKS if name != EMA or recipe.ema is not None]
            saved = [name for name in NETWORKS if self.checkpoint.bytes_of(name)]
            self._sources = choose_sources(self.settings, running, saved, self._weights, self._document)

    @contextmanager
    def locating_errors(self) -> Iterator[None]:
        """A block whose `CheckpointError` becomes a problem of the recipe."""
        path: KeyPath = (SECTION, "from") if (SECTION, "from") in self._document.values else (SECTION,)
        try:
            yield
        except CheckpointError as error:
            raise self._document.error(path, str(error)) from None

    def require_matches(self, names: Mapping[str, Collection[str]]) -> None:
        """Check that the run has every module of ``copy``, and that every pattern of ``skip`` matches some weight.

        Args:
            names: of the weights of each network of the run, as in its state dict.

        Raises:
            RecipeError: with all that do not.
        """
        own = {f"{network}.{name}" for network in names for name in names[network]}
        require_targets(self.settings, own, self._document)
        concerned = {name for name in own if self._target(name)}.union(*map(self._weights_for, self._sources))
        problems = []
        for index, pattern in enumerate(self.settings.skip):
            if not any(_skips([pattern], name) for name in concerned):
                in_networks = pattern.partition(".")[0] in NETWORKS
                known = concerned if in_networks else {name.partition(".")[2] for name in concerned}
                message = no_match(pattern, known, "weight that is loaded")
                problems.append(self._document.problem((SECTION, "skip", index), message))
        if problems:
            raise RecipeError(problems)

    def load(self, networks: Mapping[str, nn.Module]) -> int:
        """Load the selected weights into those of these networks that get any. Returns: the number of tensors.

        Raises:
            RecipeError: the weights do not fit.
        """
        chosen = [name for name in networks if any(is_inside(target, name) for target in self._sources)]
        with self.locating_errors():
            return sum(self._fill(name, networks[name]) for name in chosen)

    def event(self) -> Initialized:
        """The event that records the loaded weights."""
        copies = self.settings.copies
        return Initialized(
            checkpoint=str(self.checkpoint.path),
            origin=self._origin,
            imported=self.checkpoint.manifest.get("imported"),
            loaded={target: count for target, count in self._loaded.items() if target not in copies},
            copied={target: copies[target] for target in self._loaded if target in copies},
            skipped=sorted(self._skipped),
            sha256={name: self.checkpoint.sha256_of(name) for name in self._saved},
        )

    def _fill(self, name: str, network: nn.Module) -> int:
        """Load everything that goes into a network. Returns: the number of tensors.

        Raises:
            MisfitError: the weights do not fit.
        """
        own = {f"{name}.{key}": value for key, value in network.state_dict(keep_vars=True).items()}
        names = defaultdict(list)  # of each tensor, since a network may use one in several places
        for key, value in own.items():
            names[id(value)].append(key)
        skipped = {
            key for key in own if self._target(key) and any(_skips(self.settings.skip, k) for k in names[id(own[key])])
        }
        merged = {key: value for key, value in own.items() if key in skipped or not self._target(key)}
        targets = [target for target in self._sources if is_inside(target, name)]
        for target in targets:
            weights = self._weights_for(target)
            skipped |= {key for key in weights if _skips(self.settings.skip, key)}
            merged |= (given := {key: value for key, value in weights.items() if key not in skipped})
            self._loaded[target] = len(given)
        try:
            set_weights(
                network,
                {key.removeprefix(f"{name}."): value for key, value in merged.items()},
                f"{self.checkpoint.path}: {name}",
            )
        except MisfitError as error:
            if not (difference := misfits(own, merged)):
                raise
            raise MisfitError(
                f"{self.checkpoint.path}: does not fit the {name}: {difference}. To keep the initial values of such "
                "weights, add them to initialize.skip"
            ) from error
        self._skipped |= skipped
        return sum(self._loaded[target] for target in targets)

    def _weights_for(self, target: str) -> dict[str, Tensor]:
        """The weights of the checkpoint for a target, under the names that they get in the run."""
        source = self._sources[target]
        named = {target + key.removeprefix(source): value for key, value in self._weights(source).items()}
        return {key: value for key, value in named.items() if self._target(key) == target}

    def _weights(self, source: str) -> dict[str, Tensor]:
        """The weights of a network or module of the checkpoint."""
        network = source.partition(".")[0]
        if network not in self._saved:
            read = self.checkpoint.read_network(network)
            self._saved[network] = {f"{network}.{key}": value for key, value in read.items()}
        return {key: value for key, value in self._saved[network].items() if is_inside(key, source)}

    def _target(self, name: str) -> str | None:
        """The innermost target that a weight of the run is in; None if it is in none."""
        return max((target for target in self._sources if is_inside(name, target)), key=len, default=None)


def _skips(patterns: Collection[str], name: str) -> bool:
    """Whether any pattern matches the weight's name in its network, or with the network's name in front."""
    return matches(patterns, name) or matches(patterns, name.partition(".")[2])
