"""Where the weights of ``initialize`` come from: for each network or module of the run, one of the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Collection

from ..errors import RecipeError
from ..messages import quote
from ..recipe.located_document import Document, KeyPath
from ..recipe.weight_selection import NETWORKS, Initialize
from ..runs.file_names import weights_name
from .weight_names import closest, modules

EMA = "generator_ema"
SECTION = "initialize"


def choose_sources(
    settings: Initialize,
    running: Collection[str],
    saved: Collection[str],
    names: Callable[[str], Collection[str]],
    document: Document,
) -> dict[str, str]:
    """The source of each target, both as paths such as ``generator`` or ``discriminator.fake_score``.

    Args:
        settings: what to load.
        running: the networks of the run.
        saved: the networks in the checkpoint.
        names: gives the names of the weights of a saved network, which begin with that of the network.
        document: locates problems.

    Raises:
        RecipeError: the run has no such network, or the checkpoint no such source.
    """
    whole: dict[str, KeyPath]
    if settings.networks == "all":
        whole = dict.fromkeys((name for name in running if name in saved or name != EMA), (SECTION,))
    else:
        whole = {name: (SECTION, "networks", index) for index, name in enumerate(settings.networks)}
    sources = {name: name for name in whole} | settings.copies
    problems = [] if sources else [document.problem((SECTION, "networks"), "selects nothing to load; name a network")]
    for target, source in sources.items():
        copied = target in settings.copies
        path = (SECTION, "copy", target) if copied else whole[target]
        if message := _fault_of_target(target, running):
            problems.append(document.problem(path, message, of_key=copied))
        if message := _fault_of_source(source, saved, names):
            problems.append(document.problem(path, message))
    if problems:
        raise RecipeError(problems)
    return sources


def require_targets(settings: Initialize, names: Collection[str], document: Document) -> None:
    """Check that the run has the modules that ``copy`` fills.

    Args:
        settings: what to load.
        names: of all weights of the run, which begin with those of their networks.
        document: locates problems.

    Raises:
        RecipeError: it lacks some.
    """
    known = modules(names)
    problems = [
        document.problem((SECTION, "copy", target), f"this run has no such module{closest(target, known)}", of_key=True)
        for target in settings.copies
        if target not in known
    ]
    if problems:
        raise RecipeError(problems)


def _fault_of_target(target: str, running: Collection[str]) -> str | None:
    network = target.partition(".")[0]
    if network in running:
        return None
    if network == EMA:
        return "this run has no generator_ema, because the recipe has no `ema`"
    return f"this run has no network {quote(network)}{closest(network, running)}"


def _fault_of_source(source: str, saved: Collection[str], names: Callable[[str], Collection[str]]) -> str | None:
    network = source.partition(".")[0]
    if network not in saved:
        lacks = f"lacks {weights_name(network)}" if network in NETWORKS else f"has no network {quote(network)}"
        return f"the checkpoint {lacks}; it has {', '.join(saved) or 'no networks'}"
    known = modules(names(network))
    return None if source in known else f"the checkpoint has no module {quote(source)}{closest(source, known)}"
