"""The sampling options of an exported program: those that are fixed, and those that are inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import GankitError
from ..recipe.validation import validate
from ..sampling.trained_generator import TrainedGenerator

INPUT = "input"  # OPTION=input makes an option an input
NUMBERS = (0.7, 1.5, 0.2, 2.5, -0.7)  # of which most options that take numbers accept some
SHARES = (0.5, 0.9, 1.1, 2.0)  # of the default, which are tried as well


@dataclass(frozen=True)
class InputOption:
    """A sampling option that is an input of a program.

    Attributes:
        default: its value without the user's choice; None if that is not a number.
        numbers: other valid values, with which the program is compared.
        requested: whether the user asked for the input. If not, it becomes fixed if the program cannot be made with it.
    """

    default: float | None
    numbers: tuple[float, ...]
    requested: bool

    @property
    def values(self) -> tuple[float, ...]:
        """The default and the other values."""
        return self.numbers if self.default is None else (self.default, *self.numbers)


@dataclass(frozen=True)
class ProgramOptions:
    """The sampling options of a program by name: values of the fixed ones, and those that are inputs."""

    fixed: Mapping[str, Any]
    inputs: Mapping[str, InputOption]

    def with_requested_inputs(self) -> ProgramOptions:
        """The same options with only those inputs that the user asked for."""
        kept = {name: option for name, option in self.inputs.items() if option.requested}
        defaults = {name: option.default for name, option in self.inputs.items() if name not in kept}
        return ProgramOptions({**self.fixed, **defaults}, kept)


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
    declared = generator.deterministic_options
    params, problems = validate(generator.options, {**declared, **values})
    if params is None:
        faults = "; ".join(f"sampling option '{problem.path}': {problem.message}" for problem in problems)
        raise GankitError(f"{generator.checkpoint}: {faults}")
    fixed = params.at(0)
    inputs = {}
    for name, value in fixed.items():
        default = float(value) if isinstance(value, (int, float)) else None
        by_default = default is not None and name not in values and name not in declared
        if name not in requested and not by_default:
            continue
        if numbers := _accepted_numbers(generator, name, default):
            inputs[name] = InputOption(default, numbers, name in requested)
        elif name in requested:
            raise GankitError(
                f"{generator.checkpoint}: sampling option '{name}' cannot be an input of the program, because it does "
                f"not take fractional numbers such as {_candidates(default)[0]:g}; give its value"
            )
    return ProgramOptions({name: value for name, value in fixed.items() if name not in inputs}, inputs)


def _accepted_numbers(generator: TrainedGenerator, name: str, default: float | None) -> tuple[float, ...]:
    """At most as many valid values of an option as there are `NUMBERS`, other than its default."""
    valid = [number for number in _candidates(default) if not validate(generator.options, {name: number})[1]]
    return tuple(valid[: len(NUMBERS)])


def _candidates(default: float | None) -> tuple[float, ...]:
    """Numbers that an option may take, none of them whole, so that they are refused where only whole ones are valid."""
    near = [] if default is None else [share * default for share in SHARES]
    return (*NUMBERS, *(number for number in near if number != int(number)))
