"""Components tried on stand-ins: what is found, at what cost, and that nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit import ImageSpec
from gankit.assembly.build_limits import build_within
from gankit.assembly.dry_run import try_augmentation, try_discriminator, try_generator, try_optimizer

# their networks are small enough to be tried on the CPU; on the meta device, torch takes its compiler along
SMALL = ("quickstart", "dcgan_*", "wgan_gp_*", "sngan_*", "r3gan_*_cpu", "stylegan2_*_cpu", "cifar10_cpu")
FOLDER = Path(__file__).parent.parent / "recipes"
RECIPES = sorted(path for name in SMALL for path in FOLDER.glob(f"{name}.yaml"))
SLOW_TO_IMPORT = ("torch._dynamo", "torch._inductor", "sympy", "kornia", "torchvision", "matplotlib", "accelerate")
IMAGE = ImageSpec(8, 8, 3)


class Generator(nn.Module):
    """A linear layer and, on the side, whatever ``make`` makes; ``devices`` tells where it ran."""

    def __init__(self, devices: list[str], make: Any = None, size: int = 8) -> None:
        super().__init__()
        self.devices, self.size = devices, size
        self.made = make() if make else None
        self.linear = nn.Linear(4, 3 * size * size)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        self.devices.append(z.device.type)
        return self.linear(z).view(-1, 3, self.size, self.size)


def python(script: str, *words: object) -> list[str]:
    """The lines that a process of its own prints."""
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_checking_a_recipe_of_small_networks_imports_nothing_slow():
    """What a check costs beyond ``import torch``, as far as it can be told without measuring time."""
    script = """
    import sys, gankit
    runtime = gankit.Runtime()
    for path in sys.argv[2:]:
        runtime.resolve(runtime.load(path))
        print(path, *[module for module in sys.argv[1].split() if module in sys.modules])
    """
    assert python(script, " ".join(SLOW_TO_IMPORT), *RECIPES) == [str(path) for path in RECIPES]


class TestWhereItRuns:
    """What is small runs on the CPU, the rest on the meta device."""

    def test_a_small_network(self):
        devices: list[str] = []
        try_generator(lambda: Generator(devices), IMAGE, 4)
        assert devices == ["cpu"]

    @pytest.mark.parametrize(
        "make",
        [
            lambda: nn.Linear(2**14, 2**14),
            lambda: torch.randn(2**14, 2**14),
            lambda: torch.ones(size=(2**28,)),
            lambda: torch.full((2**28,), 2.0),
            lambda: torch.empty(1).new_ones(2**28),
            lambda: torch.ones(2**14).repeat(2**14, 1),
            lambda: [torch.ones(2**23) for _ in range(2**5)],
        ],
        ids=["linear", "randn", "ones", "full", "new_ones", "repeat", "many"],
    )
    def test_a_large_network(self, make):
        devices: list[str] = []
        try_generator(lambda: Generator(devices, make), IMAGE, 4)
        assert devices == ["meta"]

    def test_a_large_image(self):
        devices: list[str] = []

        class Seen(nn.Module):
            def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
                devices.append(images.device.type)
                return images.sum(dim=(1, 2, 3))

        try_discriminator(Seen, ImageSpec(2**14, 2**14, 3))
        assert devices == ["meta"]

    def test_what_is_large_is_never_allocated(self):
        script = """
        import resource, sys, torch
        from torch import nn
        from gankit import ImageSpec
        from gankit.assembly.dry_run import try_discriminator

        class Large(nn.Module):
            def __init__(self):
                super().__init__()
                self.large = nn.Parameter(torch.randn(2**15, 2**15))  # 4 GiB
            def forward(self, images, labels):
                return images.flatten(1)[:, 0]

        def peak():  # bytes on macOS, KiB elsewhere
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

        before = peak()
        try_discriminator(Large, ImageSpec(8, 8, 3))
        print(peak() - before < 2**30)
        """
        assert python(script) == ["True"]

    @pytest.mark.parametrize("width", [1, 2**10])
    def test_layers_without_end_are_refused(self, width):
        def endless() -> nn.Module:
            return nn.Sequential(*(nn.Linear(width, width) for _ in range(10**9)))

        with pytest.raises(ValueError, match="more than 20,000 operations"):
            try_generator(endless, IMAGE, 4)
        with pytest.raises(ValueError, match="more than 20,000 operations"):
            build_within(endless, 10**6)

    def test_what_the_cpu_cannot_run_may_be_right_elsewhere(self):
        class Elsewhere(nn.Module):
            def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
                if images.device.type == "cpu":
                    raise RuntimeError("not implemented on the CPU")
                return images.sum(dim=(1, 2, 3))

        try_discriminator(Elsewhere, IMAGE)

    @pytest.mark.parametrize("make", [None, lambda: nn.Linear(2**14, 2**14)], ids=["small", "large"])
    def test_the_same_is_found_either_way(self, make):
        with pytest.raises(ValueError, match=r"makes \[2, 3, 4, 4\] of two latents; .* are \[2, 3, 8, 8\]"):
            try_generator(lambda: Generator([], make, size=4), IMAGE, 4)
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            try_generator(lambda: Generator([], make), IMAGE, 5)
        with pytest.raises(ValueError, match="makes a list, which is no torch.nn.Module"):
            try_augmentation(lambda: [make() if make else None], IMAGE)


@pytest.mark.parametrize("fault", [False, True])
def test_nothing_of_a_trial_stays(fault):
    class Random(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if fault:
                raise ValueError("no")
            return images + torch.randn_like(images).to(images)

    before = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    try:
        try_augmentation(Random, IMAGE)
    except ValueError:
        assert fault
    after = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert torch.zeros(1).device.type == "cpu"
    assert torch.empty(2**28).numel() == 2**28


class TestOptimizers:
    @pytest.mark.parametrize(
        ("build", "message"),
        [
            (lambda p: torch.optim.SGD(p, nesterov=True), "Nesterov momentum requires a momentum"),
            (lambda p: torch.optim.Adam(p, betas=(0.5, 1.0)), "Invalid beta parameter at index 1: 1.0"),
            (
                lambda p: torch.optim.Adam(p, fused=True, foreach=True),
                "`fused` and `foreach` cannot be `True` together",
            ),
            (lambda p: torch.optim.SGD([{"params": p}, {"params": p}]), "some parameters appear in more than one"),
            (lambda p: torch.optim.SGD([]), "empty parameter list"),
            (lambda p: p, "makes a list, which is no torch.optim.Optimizer"),
        ],
    )
    def test_what_torch_refuses_is_found(self, build, message):
        with pytest.raises((ValueError, RuntimeError), match=message):
            try_optimizer(build)

    def test_a_method_that_is_not_wrapped(self, monkeypatch):
        """As in a torch that hides it from the compiler in another way, or not at all."""
        monkeypatch.setattr(torch.optim.Optimizer, "add_param_group", lambda self, group: built.append(group))
        built: list[Any] = []
        try_optimizer(torch.optim.SGD)
        assert len(built) == 1

    def test_nothing_of_torch_stays_changed(self):
        """In a process that has not imported the compiler, after one that can be built and one that cannot."""
        script = """
        import sys, torch
        from gankit.assembly.dry_run import try_optimizer

        method = torch.optim.Optimizer.add_param_group
        def state():
            return method is torch.optim.Optimizer.add_param_group, dict(vars(method)), dict(vars(method.__wrapped__))

        before = state()
        try_optimizer(torch.optim.SGD)
        assert state() == before
        try:
            try_optimizer(lambda p: torch.optim.SGD([*p, *p, 3]))
        except TypeError:
            print(state() == before, "torch._dynamo" in sys.modules)
        weight = torch.nn.Parameter(torch.ones(1))
        optimizer = torch.optim.SGD([weight], lr=0.5)
        weight.grad = torch.ones(1)
        optimizer.step()
        print(weight.item(), "torch._dynamo" in sys.modules)
        """
        assert python(script) == ["True False", "0.5 True"]


class TestAgain:
    """A runtime tries once what did not change."""

    @pytest.fixture
    def built(self, tiny_plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        built: list[int] = []
        initialize = tiny_plugin.TinyDiscriminator.__init__

        def counted(self: Any, image: ImageSpec, *, width: int = 4) -> None:
            built.append(width)
            initialize(self, image, width=width)

        monkeypatch.setattr(tiny_plugin.TinyDiscriminator, "__init__", counted)
        return built

    def test_a_recipe_that_fits_is_tried_once(self, built, tiny_runtime, tiny_recipe, tmp_path):
        recipe = tiny_runtime.load(tiny_recipe(tmp_path))
        tiny_runtime.resolve(recipe)
        tiny_runtime.check(gankit.Recipe.load(tmp_path / "tiny.yaml"))
        assert built == [4]
        tiny_runtime.load(tmp_path / "tiny.yaml", ["discriminator.width=5"])
        tiny_runtime.load(tmp_path / "tiny.yaml", ["image.size=8"])
        tiny_runtime.check(recipe)
        assert built == [4, 5, 4, 4]

    def test_one_that_does_not_is_refused_every_time(self, tiny_runtime, tiny_recipe, tmp_path):
        path = tiny_recipe(tmp_path, generator="three_channels", dataset={"name": "tiny", "channels": 1})
        recipe = gankit.Recipe.load(path)
        for _ in range(2):
            with pytest.raises(gankit.RecipeError, match=r"makes \[2, 3, 16, 16\] of two latents"):
                tiny_runtime.check(recipe)
