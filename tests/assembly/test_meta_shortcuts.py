"""Shortcuts on the meta device return what torch's own kernels return, or leave the call to torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from gankit.assembly.meta_shortcuts import MetaShortcuts

OPERATORS = (Tensor.add, Tensor.sub, Tensor.mul, Tensor.div)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64)


def meta(*shape: int, dtype: torch.dtype = torch.float32, layout: str = "contiguous") -> Tensor:
    tensor = torch.empty(shape, dtype=dtype, device="meta")
    if layout == "channels_last" and len(shape) == 4:
        return tensor.to(memory_format=torch.channels_last)
    return tensor.transpose(0, -1) if layout == "transposed" and len(shape) > 1 else tensor


def result(function: Any, *args: Any, **kwargs: Any) -> Any:
    """What a tensor looks like, or the exception that is raised."""
    try:
        tensor = function(*args, **kwargs)
    except Exception as error:
        return type(error), str(error)
    strides = [stride for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1]
    return tensor.shape, tensor.dtype, strides, tensor.requires_grad, any(tensor is given for given in args)


def assert_as_torch(function: Any, *args: Any, **kwargs: Any) -> None:
    """The result is that of torch's kernels for the meta device or the CPU, which differ in some strides."""
    expected = result(function, *args, **kwargs), result(function, *map(on_cpu, args), **kwargs)
    with MetaShortcuts():
        assert result(function, *args, **kwargs) in expected


def on_cpu(value: Any) -> Any:
    """Ones of the same strides as a tensor without overlaps."""
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype).fill_(1) if isinstance(value, Tensor) else value


tensors = st.builds(
    lambda shape, dtype, layout: meta(*shape, dtype=dtype, layout=layout),
    st.lists(st.sampled_from([1, 2, 3]), max_size=4),
    st.sampled_from(DTYPES),
    st.sampled_from(["contiguous", "channels_last", "transposed"]),
)


@given(
    function=st.sampled_from(OPERATORS), one=tensors, other=st.one_of(tensors, st.sampled_from([2, 0.5, True, "a"]))
)
@example(Tensor.mul, meta(2, 3, 4, 4), meta(2, 3, 1, 1))
@example(Tensor.mul, meta(3), meta(2))
@example(Tensor.add, meta(1, 2, 1, 1, layout="channels_last"), meta(2, 1))
@example(Tensor.div, meta(2, 3, dtype=torch.int64), 2)
@example(Tensor.add, meta(2, 3), torch.zeros(()))  # a number on the CPU
@example(Tensor.add, meta(2, 3), torch.zeros(2, 3))
@example(Tensor.mul, meta(2, 3), meta(2, 3, dtype=torch.float64))
@settings(deadline=None, max_examples=30)
def test_arithmetic(function: Any, one: Tensor, other: Any) -> None:
    assert_as_torch(function, one, other)


RECIPES = Path(__file__).parents[2] / "recipes"
CHECKED = ("biggan_cifar10_diffaugment", "cut_folders", "stylegan2_image_folder")
CALLS: list[Callable[[Tensor], Any]] = [
    lambda x: x.abs() + 1 / x - (2 - x) ** 2,
    lambda x: x.clamp(0, 1).rsqrt().exp(),
    lambda x: x.clamp(max=meta(6)),
    lambda x: x.div(2, rounding_mode="floor") % 2,
    lambda x: torch.where(x > 0, x, 0.0),
    lambda x: torch.where(x[:, :1] > 0, x, meta(4, 1, 1, dtype=torch.float64)),
    lambda x: ~((x >= 0) & (x < 1) | (x == 2)),
    lambda x: x.masked_fill(x > 0, 1),
    lambda x: x.add_(1).mul_(meta(6)),
    lambda x: x.mul_(meta(3, 2, 4, 6, 6)),
    lambda x: torch.lerp(x, x, 0.5),
    lambda x: torch.add(x, x, alpha=2, out=meta(*x.shape)),
    lambda x: F.gelu(F.softplus(F.elu(x))),
    lambda x: F.relu(x, True),
    lambda x: torch.cat([x, meta(2, 1, 6, 6)], 1),
    lambda x: torch.cat([x, meta(2, 1, 6, 5)], dim=1),
    lambda x: torch.stack((x, x), dim=-1),
    lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    lambda x: F.grid_sample(x, meta(2, 3, 3, 2), align_corners=False),
    lambda x: F.pad(x.contiguous(), (1, 1, 1, 1), mode="reflect"),
    lambda x: F.grid_sample(x, meta(2, 3, 3, 3), align_corners=False),
    lambda x: F.grid_sample(x, meta(2, 3, 3, 2), "cubic", align_corners=False),
    lambda x: F.prelu(x, meta(4)),
    lambda x: F.layer_norm(x, (6, 6)),
    F.instance_norm,
    lambda x: F.dropout(x, 0.5),
    lambda x: F.dropout(x, 2),
    lambda x: x.log_softmax(1).std((2, 3)),
    lambda x: F.cross_entropy(x[:, :, 0, 0], torch.zeros(2, dtype=torch.int64, device="meta")),
    lambda x: torch.linalg.vector_norm(x, dim=(1, 2)),
    lambda x: F.one_hot(torch.zeros(3, dtype=torch.int64, device="meta"), 5),
    lambda x: F.one_hot(x, 5),
    lambda x: F.interpolate(x, size=(200, 200), mode="bicubic"),
    lambda x: torch.diag_embed(x[..., 0]),
    lambda x: torch.outer(x[0, 0, 0], x[0, 0, 1]),
    lambda x: torch.eye(3, 4, dtype=x.dtype, device=x.device),
    lambda x: torch.arange(1, 8, 2, device=x.device),
    lambda x: torch.arange(0.5, 8, device=x.device),
    lambda x: F.linear(x, meta(3, 6), meta(3)),
    lambda x: F.batch_norm(x, None, None, None, None, True, 0.1, 1e-5),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "transposed"])
def test_other_operations(call: Callable[[Tensor], Any], layout: str) -> None:
    assert_as_torch(lambda: call(meta(2, 4, 6, 6, layout=layout)))


def test_operations_that_read_values_are_refused() -> None:
    reading = (Tensor.item, Tensor.tolist, Tensor.nonzero, bool, lambda x: x[x > 0], lambda x: F.one_hot(x.long()))
    for call in (*reading, lambda x: x.repeat_interleave(x.long())):
        with MetaShortcuts(), pytest.raises((RuntimeError, NotImplementedError), match="meta"):
            call(meta(1))


def test_the_check_of_recipes_does_not_import_the_compiler() -> None:
    recipes = [str(RECIPES / f"{name}.yaml") for name in CHECKED]
    script = "import sys, gankit; runtime = gankit.Runtime()\n"
    script += f"for path in {recipes}: runtime.check(gankit.Recipe.load(path))\n"
    script += "assert 'torch.fx' in sys.modules and 'torch._dynamo' not in sys.modules"
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)


@pytest.mark.parametrize("function", [torch.mean, Tensor.mean])
@pytest.mark.parametrize("options", [{}, {"dim": 1}, {"dim": (0, 2), "keepdim": True}, {"dim": 7}, {"dtype": torch.float64}])
def test_means(function: Any, options: dict[str, Any]) -> None:
    for dtype in DTYPES:
        for layout in ("contiguous", "transposed"):
            assert_as_torch(function, meta(2, 3, 4, dtype=dtype, layout=layout), **options)
    assert_as_torch(function, meta(2, 3, 4).requires_grad_(), **options)


@pytest.mark.parametrize("function", [F.leaky_relu, F.relu, F.hardtanh, F.silu, torch.tanh, Tensor.tanh, torch.sigmoid, Tensor.sigmoid, Tensor.square])  # fmt: skip
def test_activations(function: Any) -> None:
    for dtype in DTYPES:
        for layout in ("contiguous", "channels_last", "transposed"):
            assert_as_torch(function, meta(2, 3, 4, 4, dtype=dtype, layout=layout))
    for kwargs in ({"inplace": True}, {"negative_slope": 0.1}, {"negative_slope": "a"}, {"min_val": 0.0, "max_val": 6.0}):
        assert_as_torch(function, meta(2, 3), **kwargs)
    assert_as_torch(function, 1.0)


@pytest.mark.parametrize(
    ("images", "channels", "training"),
    [
        (meta(2, 3, 4, 4), 3, True),
        (meta(2, 3, 4, 4), 3, False),
        (meta(2, 3), 3, True),
        (meta(1, 3), 3, True),  # one value per channel
        (meta(1, 3), 3, False),
        (meta(2, 3, 4, 4), 5, True),
        (meta(2, 3, 4, 4, layout="channels_last"), 3, True),
        (meta(2, 3, 4, 4, dtype=torch.float64), 3, True),
        (meta(3), 3, True),
    ],
)
def test_batch_norm(images: Tensor, channels: int, training: bool) -> None:
    statistics = meta(channels), meta(channels)
    for affine in ({}, {"weight": meta(channels), "bias": meta(channels)}, {"weight": None, "bias": meta(channels)}):
        assert_as_torch(F.batch_norm, images, *statistics, training=training, **affine)
    if training:
        assert_as_torch(F.batch_norm, images, None, None, training=True)


@pytest.mark.parametrize("images", [meta(2, 6, 4, 4), meta(2, 6, 3), meta(2, 6), meta(2, 6, 1, 1), meta(2, 6, 4, 4, layout="channels_last"), meta(2, 6, 4, 4, dtype=torch.int64)])  # fmt: skip
def test_group_norm(images: Tensor) -> None:
    for groups in (1, 3, 4, 6):
        for affine in ({}, {"weight": meta(6), "bias": meta(6)}, {"weight": meta(5)}):
            assert_as_torch(F.group_norm, images, groups, **affine)


@pytest.mark.parametrize("images", [meta(4, 6), meta(2, 4, 6), meta(6), meta(4, 5), meta(6, 4, layout="transposed"), meta(4, 6, dtype=torch.float64)])  # fmt: skip
def test_linear(images: Tensor) -> None:
    for bias in ([], [None], [meta(3)], [meta(4)]):
        assert_as_torch(F.linear, images, meta(3, 6), *bias)
    assert_as_torch(F.linear, images, meta(6))
    with MetaShortcuts():
        assert F.linear(input=meta(4, 6), weight=meta(3, 6)).shape == (4, 3)


def test_products_of_vectors() -> None:
    for one, other in ((meta(3), meta(3)), (meta(3), meta(2)), (meta(3), meta(3, 1)), (meta(3), meta(3, dtype=torch.float64))):
        assert_as_torch(torch.vdot, one, other)
    assert_as_torch(torch.mv, meta(2, 3), meta(3))


@pytest.mark.parametrize(
    "settings", [{}, {"a": 5**0.5}, {"mode": "fan_out"}, {"mode": "x"}, {"nonlinearity": "relu"}, {"a": "x"}]
)
def test_initialization(settings: dict[str, Any]) -> None:
    assert_as_torch(nn.init.kaiming_uniform_, meta(2, 3), **settings)
    assert_as_torch(nn.init.kaiming_uniform_, meta(3), **settings)


def test_gradients_are_those_of_torch() -> None:
    weight = meta(2, 3).requires_grad_()
    for function, *others in ((Tensor.mul, 2.0), (F.relu,), (F.linear, meta(4, 3)), (Tensor.add, meta(2, 3))):
        with MetaShortcuts():
            assert function(weight, *others).grad_fn is not None
            assert function(weight.detach(), *others).grad_fn is None
        with torch.no_grad():
            assert_as_torch(function, weight, *others)


def test_tensors_with_values_keep_them() -> None:
    images = torch.linspace(-1, 1, 12).view(2, 3, 2)
    with MetaShortcuts():
        assert torch.equal(F.relu(images), images.clamp_min(0))
        assert torch.equal(images * 2, images + images)
        assert torch.vdot(images[0, 0], images[0, 1]) == images[0, 0] @ images[0, 1]
        assert bool(nn.init.kaiming_uniform_(torch.zeros(3, 3)).any())
