"""The computation of images as a program of `torch.export`, with a dynamic number of images."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..errors import GankitError
from ..game.outputs import images_of
from ..messages import failing_line, one_line, truncate
from ..networks.frozen import frozen_networks
from ..sampling.sample_inputs import SampleInputs
from ..sampling.trained_generator import TrainedGenerator
from .options import ProgramOptions
from .program_inputs import ProgramInputs, ResizableField, draw_inputs, network_image, resizable_field

TORCH = str(Path(torch.__file__).parent)
MAX_FAULT = 400  # characters
BATCH = 2  # images of the traced example; torch.export takes sizes of 0 and 1 for constants


@dataclass(frozen=True)
class Program:
    """A traced program.

    Attributes:
        traced: takes the inputs by keyword and returns images fp32 [n c h w], in about [-1, 1], not clamped.
        example: its inputs with which it was traced, by name.
        shapes: those of the inputs and of ``images``, with letters for dynamic sizes.
        options: of the program.
        resizable: the input whose height and width are dynamic, if there is one.
    """

    traced: ExportedProgram
    example: Mapping[str, Tensor]
    shapes: Mapping[str, tuple[int | str, ...]]
    options: ProgramOptions
    resizable: ResizableField | None


class GeneratorProgram(nn.Module):
    """Generates and decodes images from inputs by name, as samples are.

    Args:
        generator: the trained generator.
        drawn: inputs of samples, for the names of the fields.
        names: of the inputs, options included.
        options: of the program.
    """

    def __init__(
        self, generator: TrainedGenerator, drawn: SampleInputs, names: list[str], options: ProgramOptions
    ) -> None:
        super().__init__()
        sampling, self.network = generator.sampling, generator.module
        codec = sampling.codec
        held = [] if codec is None or not isinstance(codec.codec, nn.Module) else [codec.codec]
        held += [frozen.module for frozen in frozen_networks({"generator": generator.module}).values()]
        self.held = nn.ModuleList(held)  # their weights are part of the program only as those of submodules

        def forward(**given: Tensor) -> Tensor:
            chosen = {**options.fixed, **{name: given[name] for name in options.inputs}}
            inputs = ProgramInputs(drawn, network_image(generator), given)
            images = images_of(sampling.game.generate(generator.module, inputs, **chosen))
            decoded: Tensor = images if codec is None else codec.decode(images)
            return decoded.float()

        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
        # torch.export names the inputs after the parameters
        forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        self.forward = forward


def program_inputs(
    generator: TrainedGenerator, drawn: SampleInputs, options: ProgramOptions, values: Mapping[str, float]
) -> dict[str, Tensor]:
    """The inputs of the program by name: what the game takes from the inputs of samples, and options as 0-d tensors.

    Args:
        generator: the trained generator.
        drawn: inputs of samples.
        options: of the program.
        values: of the options that are inputs.
    """
    inputs = ProgramInputs(drawn, network_image(generator))
    with torch.no_grad():
        generator.sampling.game.generate(generator.module, inputs, **options.fixed, **values)
    return {**inputs.taken, **{name: torch.tensor(value) for name, value in values.items()}}


def trace(generator: TrainedGenerator, options: ProgramOptions) -> Program:
    """Trace the program, with dynamic height and width if the network takes images of other sizes.

    Args:
        generator: the trained generator.
        options: of the program.

    Returns:
        The program. If the network cannot be traced with dynamic sizes, they are fixed; if it cannot be traced with
        options as inputs that the user did not ask for, these are fixed too.

    Raises:
        GankitError: the network cannot be traced, or draws random numbers.
    """
    resizable, fewer = resizable_field(generator), options.with_requested_inputs()
    attempts = [(options, resizable), (options, None), (fewer, None)]
    for number, attempt in enumerate(attempts):
        if attempt in attempts[:number]:
            continue
        try:
            program = _trace(generator, *attempt)
        except Exception as error:  # of many kinds, from torch and from the network
            fault = error
        else:
            _require_deterministic(generator, program.traced)
            return program
    raise GankitError(_fault(generator, fewer, fault)) from fault


def _trace(generator: TrainedGenerator, options: ProgramOptions, resizable: ResizableField | None) -> Program:
    values = {name: option.values[0] for name, option in options.inputs.items()}
    drawn = draw_inputs(generator, BATCH, 0, resizable)
    # of views, torch's ONNX exporter would take the sizes for constants
    example = {name: tensor.clone() for name, tensor in program_inputs(generator, drawn, options, values).items()}
    batch = Dim("n")
    dynamic: dict[str, dict[int, Any]] = {name: {0: batch} if tensor.dim() else {} for name, tensor in example.items()}
    shapes: dict[str, tuple[int | str, ...]] = {
        name: ("n", *tensor.shape[1:]) if tensor.dim() else () for name, tensor in example.items()
    }
    image = generator.image
    shapes["images"] = ("n", image.channels, image.height, image.width)
    if resizable is not None:
        dynamic[resizable.name] |= resizable.dimensions()
        shapes[resizable.name] = ("n", resizable.spec.channels, "h", "w")
        shapes["images"] = ("n", image.channels, *resizable.output_size(image))
    module = GeneratorProgram(generator, drawn, [*example], options).eval()
    with quiet(), torch.no_grad():
        traced = torch.export.export(module, (), dict(example), dynamic_shapes=dynamic)
    for node in _nodes(traced):
        node.meta.pop("stack_trace", None)  # the paths of source files
    return Program(traced, example, shapes, options, resizable)


def _nodes(traced: ExportedProgram) -> Iterator[torch.fx.Node]:
    """The nodes of all graphs of a program."""
    for module in traced.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            yield from module.graph.nodes


def _require_deterministic(generator: TrainedGenerator, traced: ExportedProgram) -> None:
    """Raises: GankitError: the program draws random numbers."""
    for node in _nodes(traced):
        is_inactive_dropout = "dropout" in str(node.target) and node.args[-1] is False
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and not is_inactive_dropout:
            declared = generator.deterministic_options
            remedy = "; set " + ", ".join(f"{name}={value}" for name, value in declared.items()) if declared else ""
            raise GankitError(
                f"{generator.checkpoint}: {type(generator.module).__name__} draws random numbers while it generates "
                f"images ({node.target}), which an exported program cannot repeat{remedy}"
            )


def _fault(generator: TrainedGenerator, options: ProgramOptions, error: Exception) -> str:
    reason = truncate(f"{type(error).__name__}: {one_line(error)}", MAX_FAULT)
    inputs = f" with {', '.join(options.inputs)} as an input" if options.inputs else ""
    return (
        f"{generator.checkpoint}: the computation of images cannot be exported{inputs}{failing_line(error, TORCH)}: "
        f"{reason}"
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Discard the warnings and log messages of torch's exporters inside the block: errors say what went wrong."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
