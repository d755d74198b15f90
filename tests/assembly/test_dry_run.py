"""Dry runs: what they find on the meta device, and that they leave nothing behind."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import gankit
from gankit import ImageSpec
from gankit.assembly.build_limits import build_within
from gankit.assembly.dry_run import NotTriedError, try_augmentation, try_discriminator, try_generator

IMAGE = ImageSpec(8, 8, 3)
DATA = gankit.DataSpec(image=IMAGE)


class Generator(nn.Module):
    """A linear layer; ``devices`` records where it ran."""

    def __init__(self, devices: list[str], size: int = 8) -> None:
        super().__init__()
        self.devices, self.size = devices, size
        self.linear = nn.Linear(4, 3 * size * size)

    def forward(self, z: Tensor, labels: Tensor | None) -> Tensor:
        self.devices.append(z.device.type)
        return self.linear(z).view(-1, 3, self.size, self.size)


class ReadsValues(nn.Module):
    """A discriminator that reads the value of a tensor, which the meta device does not have."""

    def __init__(self, image: ImageSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(image.channels * image.height * image.width, 1)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        scale = float(images.detach().abs().mean()) + 1.0
        return self.linear(images.flatten(1)).flatten() * scale


class ReadsValuesAndFails(ReadsValues):
    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(images[:, :1], labels)


def test_networks_run_on_the_meta_device():
    devices: list[str] = []
    network = try_generator(lambda: Generator(devices), DATA, 4)
    assert devices == ["meta"]
    assert {p.device.type for p in network.parameters()} == {"meta"}


def test_large_networks_and_images_are_never_allocated(within):
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.large = nn.Parameter(torch.randn(2**15, 2**15))  # 4 GiB

        def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
            return images.flatten(1)[:, 0]

    with within(8, 1024):
        try_discriminator(Large, gankit.DataSpec(image=ImageSpec(2**14, 2**14, 3)))


@pytest.mark.parametrize(("side", "accepted"), [(316_227, True), (316_228, False)])
def test_more_than_100_billion_parameters_are_refused(side, accepted):
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(side, side))

        def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
            return images.flatten(1)[:, 0]

    if accepted:
        assert try_discriminator(Large, DATA)[1].shape == (2,)
    else:
        with pytest.raises(ValueError, match="has 100,000,147,984 parameters; the limit is 100,000,000,000"):
            try_discriminator(Large, DATA)


def test_faults_of_a_network():
    with pytest.raises(ValueError, match=r"returns \[2, 3, 4, 4\] for two latents; .* are \[2, 3, 8, 8\]"):
        try_generator(lambda: Generator([], size=4), DATA, 4)
    with pytest.raises(RuntimeError, match="reduction dim"):
        try_generator(lambda: Generator([]), DATA, 5)
    with pytest.raises(ValueError, match="returns a list, which is not a torch.nn.Module"):
        try_augmentation(lambda: [None], IMAGE)
    with pytest.raises(ValueError, match=r"returns \[2, 1, 8, 8\] for images \[2, 3, 8, 8\]; it must keep the shape"):
        try_augmentation(lambda: nn.Conv2d(3, 1, 1), IMAGE)
    with pytest.raises(ValueError, match=r"returns \[3, 8, 8\] for two images; expected logits \[2 ...\]"):
        try_discriminator(Indexed, DATA)


class Indexed(nn.Module):
    def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
        return images[0]


class TestNotTried:
    """A network that the meta device cannot run is reported by a check and tried before the first step."""

    def test_it_is_told_apart_from_a_fault(self):
        with pytest.raises(NotTriedError, match="meta"):
            try_discriminator(lambda: ReadsValues(IMAGE), DATA)

    @pytest.fixture
    def recipe(self, tiny_runtime, tiny_recipe, add_components, tmp_path):
        add_components(tiny_runtime, discriminators={"reads_values": ReadsValues, "fails": ReadsValuesAndFails})
        return lambda name: tiny_runtime.load_checked(tiny_recipe(tmp_path, discriminator={"name": name}))

    def test_it_trains(self, tiny_runtime, recipe, tmp_path):
        checked = recipe("reads_values")
        assert list(checked.not_tried) == [("discriminator",)]
        trainer = tiny_runtime.assemble(checked, tmp_path / "run")
        trainer.fit()
        assert trainer.state.step == 3

    def test_a_fault_is_found_before_the_first_step(self, tiny_runtime, recipe, tmp_path):
        checked = recipe("fails")
        with pytest.raises(gankit.RecipeError, match=r"discriminator: fails on two inputs: RuntimeError: .*multiplied"):
            tiny_runtime.assemble(checked, tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_the_command_line_says_so(self, with_discriminator):
        source = """
            class D(nn.Module):
                def __init__(self, image: gankit.ImageSpec) -> None:
                    super().__init__()
                    self.scale = nn.Parameter(ones(1))
                def forward(self, images, labels=None):
                    return self.scale * float(images.mean()) + images.flatten(1).sum(1)
        """
        said = with_discriminator("check", source)
        assert said.code == 0, said.err
        assert "discriminator: not tried without data" in said.err
        assert "it will be tried when training starts" in said.err


@pytest.mark.parametrize("fault", [False, True])
def test_a_dry_run_leaves_nothing_behind(fault):
    class Random(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            if fault:
                raise ValueError("no")
            return images + torch.randn_like(images)

    before = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    try:
        try_augmentation(Random, IMAGE)
    except ValueError:
        assert fault
    after = torch.get_rng_state(), torch.get_num_threads(), torch.is_grad_enabled()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert torch.zeros(1).device.type == "cpu"


def test_spectral_norm_keeps_the_shapes_and_the_parametrization():
    def build() -> nn.Module:
        layers = nn.Linear(192, 5), nn.Linear(5, 1)
        return nn.Sequential(nn.Flatten(), *(nn.utils.parametrizations.spectral_norm(layer) for layer in layers))

    class Labelled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = build()

        def forward(self, images: Tensor, labels: Tensor | None) -> Tensor:
            return self.layers(images)

    assert try_discriminator(Labelled, DATA)[1].shape == (2, 1)


class TestLimitsOnStoredNetworks:
    """A checkpoint's description may come from a stranger: the size of the network must fit its stored weights."""

    @pytest.mark.parametrize("width", [1, 2**10])
    def test_endless_layers_are_refused(self, width):
        def endless() -> nn.Module:
            return nn.Sequential(*(nn.Linear(width, width) for _ in range(10**9)))

        with pytest.raises((ValueError, MemoryError), match=r"more than 20,000 calls|weights are described"):
            build_within(endless, 10**6)

    def test_weights_without_a_file_are_refused(self):
        with pytest.raises(MemoryError, match=r"268,451,840 weights are described, and 1,000 bytes stored"):
            build_within(lambda: nn.Linear(2**14, 2**14), 1000)

    def test_weights_that_are_stored_are_built(self):
        torch.manual_seed(0)
        expected = nn.Linear(2**10, 2**10).weight
        torch.manual_seed(0)
        assert torch.equal(build_within(lambda: nn.Linear(2**10, 2**10), 4 * 2**20).weight, expected)


class ReadsItsTable:
    """A regularizer whose constructor reads the values of a tensor, which the meta device lacks."""

    def __init__(self) -> None:
        self.weights = torch.linspace(0, 1, 4).tolist()

    def generator(self, turn: gankit.Turn) -> torch.Tensor:
        return self.weights[1] * turn.fake.mean()


def test_a_regularizer_that_cannot_be_built_on_the_meta_device() -> None:
    class Plugin:
        @gankit.hookimpl
        def register(self, registries: gankit.Registries) -> None:
            registries.regularizers.add("reads_its_table", ReadsItsTable)

    runtime = gankit.Runtime()
    runtime.load_plugin(Plugin())
    recipe = {"name": "r", "image": {"size": 8}, "dataset": {"name": "shapes", "count": 8, "size": 8}, "generator": "dcgan", "discriminator": "dcgan", "loss": "bce", "regularizers": ["reads_its_table"], "train": {"steps": 1}}  # fmt: skip
    assert runtime.check(gankit.Recipe.parse(recipe)) is not None
