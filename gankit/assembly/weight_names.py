"""The names of weights: patterns of them, the modules that they are in, and how messages list them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ..messages import did_you_mean, listed, quote, truncate


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether any of the patterns matches the name; their ``*`` also matches dots."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def no_match(pattern: str, names: Collection[str], described: str) -> str:
    """The message about a pattern that matches none of these names, with the closest ones.

    Args:
        pattern: as the user gave it.
        names: with dots.
        described: what the names are of, such as "parameter of the discriminator".
    """
    return f"{quote(pattern)} matches no {described}{closest(pattern, {*names, *(f'{m}.*' for m in modules(names))})}"


def closest(word: str, known: Collection[str]) -> str:
    """``; did you mean 'blocks.0.*'?``, or the known names of the highest level."""
    if f"{word}.*" in known:
        return f"; did you mean '{truncate(word)}.*'?"
    guess = did_you_mean(word, known)
    if "did you mean" in guess:
        return guess
    return did_you_mean(word, [name for name in known if "." not in name.removesuffix(".*")] or known)


def is_inside(path: str, module: str) -> bool:
    """Whether a weight or module is the module itself or in it; all are given by their dotted paths."""
    return path == module or path.startswith(f"{module}.")


def modules(names: Iterable[str]) -> set[str]:
    """The modules that hold the weights of these names: ``a`` and ``a.b`` for ``a.b.weight``."""
    return {".".join(parts[:end]) for parts in (name.split(".") for name in names) for end in range(1, len(parts))}


def misfits(own: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """How the weights ``given`` differ from those of a network; empty if names and shapes are the same."""
    both = [name for name in own if name in given]
    shapes = {name: [getattr(weights[name], "shape", None) for weights in (given, own)] for name in both}
    groups = {
        "missing in the checkpoint": [name for name in own if name not in given],
        "not in this network": [name for name in given if name not in own],
        "of another shape": [
            f"{name} {[*theirs]} instead of {[*ours]}"
            for name, (theirs, ours) in shapes.items()
            if theirs is not None and ours is not None and theirs != ours
        ],
    }
    return "; ".join(f"{len(names):,} {kind}: {listed(names)}" for kind, names in groups.items() if names)
