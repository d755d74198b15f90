"""ONNX files: writing a program, and running it with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..errors import GankitError
from ..messages import one_line, truncate
from ..optional_imports import import_optional
from .decompositions import decompose
from .program import Program, quiet

OPSET = 18  # the one that torch's exporter implements; it converts to others
MAX_BYTES = 2**31 - 2**24  # of weights in one file, which protobuf limits to 2 GiB; the rest is for the graph
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_packages() -> None:
    """Raises: GankitError: a package that writes, checks or runs ONNX files is missing."""
    for package in PACKAGES:
        import_optional(package, package, "--format onnx", "export")


def write_onnx(program: Program, metadata: Mapping[str, str], path: Path) -> None:
    """Write and check the file.

    Raises:
        GankitError: torch's exporter does not support an operation of the program, or the weights are too large.
    """
    onnx = import_optional("onnx", "onnx", "--format onnx", "export")
    size = sum(tensor.nbytes for tensor in program.traced.state_dict.values())
    if size > MAX_BYTES:
        raise GankitError(
            f"--format onnx: the weights have {size:,} bytes, but an ONNX file is limited to 2 GiB; use torch-export"
        )
    dynamic = {name: {0: "n"} if tensor.dim() else {} for name, tensor in program.example.items()}
    try:
        with quiet():
            exported = torch.onnx.export(
                decompose(program.traced),
                dynamo=True,
                opset_version=OPSET,
                input_names=[*program.example],
                output_names=["images"],
                dynamic_shapes=dynamic,
                external_data=False,
                verbose=False,
            )
            assert exported is not None
            model = exported.model_proto
            onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # of many kinds, from the exporter and the checker
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise GankitError(
            f"--format onnx: torch's exporter cannot write this program: {type(cause).__name__}: "
            f"{truncate(one_line(cause), 400)}; use torch-export"
        ) from error
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


class OnnxProgram:
    """A program in a file, run by ONNX Runtime on the CPU."""

    def __init__(self, path: Path) -> None:
        runtime = import_optional("onnxruntime", "onnxruntime", "--format onnx", "export")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # errors are raised, and need not be printed too
        try:
            self.session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # of classes of its own, for an operation that it does not implement
            raise GankitError(
                f"--format onnx: ONNX Runtime cannot run this program: {truncate(one_line(error), 400)}; "
                "use torch-export"
            ) from error

    def __call__(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The images of inputs by name."""
        (images,) = self.session.run(["images"], {name: tensor.numpy() for name, tensor in inputs.items()})
        return torch.from_numpy(images)
