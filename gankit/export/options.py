"""The sampling options of an exported program: those that are fixed, and those that are inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import GankitError
from ..game.game import has_own_generate
from ..recipe.validation import validate
from ..sampling.trained_generator import TrainedGenerator

INPUT = "input"  # OPTION=input makes an option an input
NUMBERS = (0.7, 1.5, 0.2, 2.5, -0.7)  # of which an option that takes numbers accepts some


@dataclass(frozen=True)
class ProgramOptions:
    """The sampling options of a program.

    Attributes:
        fixed: values by name.
        inputs: the values of each option that is an input, with which the program is checked; the first is its default.
        requested: the inputs that the user asked for. The others become fixed if the program cannot be made with them.
    """

    fixed: Mapping[str, Any]
    inputs: Mapping[str, tuple[float, ...]]
    requested: tuple[str, ...] = ()

    def without_inputs(self) -> ProgramOptions:
        """The same options with only those inputs that the user asked for."""
        kept = {name: self.inputs[name] for name in self.requested}
        defaults = {name: values[0] for name, values in self.inputs.items() if name not in kept}
        return ProgramOptions({**self.fixed, **defaults}, kept, self.requested)


def deterministic_options(generator: TrainedGenerator) -> Mapping[str, Any]:
    """The options with which the network declares to draw no random numbers."""
    if has_own_generate(generator.sampling.game):
        return {}
    declared: Mapping[str, Any] = getattr(generator.module, "deterministic_options", {})
    return declared


def choose_options(generator: TrainedGenerator, given: Mapping[str, Any]) -> ProgramOptions:
    """The options of a program: given values are fixed, and other options become inputs if their default is a number.

    Args:
        generator: has the options.
        given: values by name; ``input`` makes an option an input that is not one by default.

    Raises:
        GankitError: a value is invalid, or an option that should be an input does not take numbers.
    """
    requested = tuple(
        name for name, value in given.items() if value == INPUT and name in generator.options.model_fields
    )
    values = {name: value for name, value in given.items() if name not in requested}
    declared = deterministic_options(generator)
    params, problems = validate(generator.options, {**declared, **values})
    if params is None:
        faults = "; ".join(f"sampling option '{problem.path}': {problem.message}" for problem in problems)
        raise GankitError(f"{generator.checkpoint}: {faults}")
    fixed = params.at(0)
    inputs = {}
    for name, default in fixed.items():
        by_default = name not in values and name not in declared and isinstance(default, (int, float))
        if name in requested or by_default:
            numbers = _accepted_numbers(generator, name)
            if numbers:
                own = (float(default),) if isinstance(default, (int, float)) else ()
                inputs[name] = tuple(dict.fromkeys((*own, *numbers)))
            elif name in requested:
                raise GankitError(
                    f"{generator.checkpoint}: sampling option '{name}' cannot be an input of the program, because it "
                    f"does not take numbers such as {NUMBERS[0]}; give its value"
                )
    return ProgramOptions({name: value for name, value in fixed.items() if name not in inputs}, inputs, requested)


def _accepted_numbers(generator: TrainedGenerator, name: str) -> list[float]:
    """Those of `NUMBERS` that are valid for an option."""
    return [number for number in NUMBERS if not validate(generator.options, {name: number})[1]]
