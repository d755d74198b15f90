"""The settings of CUDA libraries during and after a step. They exist without a CUDA device."""

from __future__ import annotations

import pytest
import torch
from torch.backends import cuda, cudnn

from gankit.device.cuda_settings import cuda_settings
from gankit.device.engine import Engine

PROGRAM_SETTINGS = {
    "untouched": lambda: None,
    "allow_tf32": lambda: setattr(cuda.matmul, "allow_tf32", True),
    "fp32_precision": lambda: setattr(cuda.matmul, "fp32_precision", "tf32"),
    "ieee": lambda: setattr(cuda.matmul, "fp32_precision", "ieee"),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "cudnn off": lambda: setattr(cudnn, "allow_tf32", False),
    "cudnn.conv": lambda: setattr(cudnn.conv, "fp32_precision", "ieee"),
    "all ieee": lambda: setattr(torch.backends, "fp32_precision", "ieee"),
    "all tf32": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "cudnn ieee": lambda: setattr(cudnn, "fp32_precision", "ieee"),
    "cudnn tf32": lambda: setattr(cudnn, "fp32_precision", "tf32"),
    "benchmark": lambda: setattr(cudnn, "benchmark", True),
}


@pytest.fixture(autouse=True)
def restored():
    before = cudnn.benchmark
    yield
    cudnn.benchmark = before
    torch.backends.fp32_precision = cudnn.fp32_precision = "none"
    cudnn.allow_tf32 = True
    torch.set_float32_matmul_precision("highest")
    cuda.matmul.fp32_precision = torch.backends.mkldnn.matmul.fp32_precision = "none"


def settings():
    def read(setting):
        try:
            return setting()
        except RuntimeError:
            return "torch refuses to read it"

    return [
        cudnn.benchmark,
        cuda.matmul.fp32_precision,
        cudnn.conv.fp32_precision,
        cudnn.rnn.fp32_precision,
        read(lambda: cuda.matmul.allow_tf32),
        read(lambda: cudnn.allow_tf32),
        read(torch.get_float32_matmul_precision),
    ]


@pytest.mark.parametrize("program", PROGRAM_SETTINGS)
@pytest.mark.parametrize("tf32", [True, False])
def test_settings_change_inside_the_block_only(program, tf32):
    if (program, tf32) == ("fp32_precision", False):
        pytest.skip("the old and new settings are consistent afterwards, and were not before")
    PROGRAM_SETTINGS[program]()
    before = settings()
    with cuda_settings(tf32=tf32, benchmark=not before[0]):
        assert cudnn.benchmark is not before[0]
        assert [setting == "tf32" for setting in settings()[1:4]] == [tf32] * 3
    assert settings() == before


def test_restored_after_a_failure():
    before = settings()
    with pytest.raises(KeyError), cuda_settings(tf32=True, benchmark=True):
        raise KeyError
    assert settings() == before


def test_steps_on_the_cpu_change_nothing():
    engine = Engine(torch.device("cpu"))
    before = settings()
    with engine.step_scope(0, 0):
        assert settings() == before


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("deterministic", "tf32"), [(False, True), (True, False)])
def test_steps_on_cuda(deterministic, tf32, monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    engine = Engine(torch.device("cuda"), tf32=tf32, deterministic=deterministic)
    before = settings()
    with engine.step_scope(0, 0):
        assert cudnn.benchmark is not deterministic
        assert (cuda.matmul.fp32_precision == "tf32") is tf32
    assert settings() == before
