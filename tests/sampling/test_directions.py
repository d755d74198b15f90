"""Directions against their definitions in the papers, computed from the weights by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gankit
from gankit.sampling.directions import Directions, closed_form_directions, principal_directions
from gankit.sampling.samples import Sampling
from gankit.sampling.trained_generator import TrainedGenerator


class Normal:
    def sample(self, n, labels, generator):
        return torch.randn(n, 6, generator=generator) * torch.tensor([1.0, 2, 3, 1, 1, 1])


class Network(torch.nn.Module):
    """Reads parts of the latent in two layers, one of which also reads the label, and goes on from there."""

    def __init__(self):
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.label = torch.nn.Embedding(3, 2)
        self.first = torch.nn.Sequential(torch.nn.Linear(4 + 2, 16), torch.nn.ReLU())
        self.second = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(2, 5, 1))
        self.last = torch.nn.Linear(16 + 5, 48)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=random)

    def forward(self, z, labels):
        hidden = self.first(torch.cat([z[:, :4], self.label(labels)], dim=1))
        style = self.second(z[:, 4:, None, None]).flatten(1)
        return self.last(torch.cat([hidden, style], dim=1)).view(-1, 3, 4, 4).tanh()


def generator_of(network, latent):
    return TrainedGenerator(network.eval(), Sampling(latent, gankit.ImageSpec(4, 4, 3, classes=3)), ("a", "b", "c"), "x", False)


def cosines(found, expected):
    """Of the angles between directions [k d] and others, in their order."""
    found, expected = (np.asarray(vectors, dtype=float) for vectors in (found, expected))
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
    return np.abs((found * expected).sum(axis=1) / lengths)


class TestLatents:
    def test_closed_form(self):
        network = Network()
        found = closed_form_directions(generator_of(network, Normal()), 3)
        weights = np.zeros((16 + 5, 6))
        weights[:16, :4] = network.first[0].weight.detach()[:, :4]
        weights[16:, 4:] = network.second.weight.detach().flatten(1)
        _, _, expected = np.linalg.svd(weights)
        assert list(found.vectors) == ["0", "1", "2"]
        vectors = torch.stack([*found.vectors.values()])
        assert cosines(vectors, expected[:3]).min() > 1 - 1e-5
        # an amount of 1 is a standard deviation of the latents along the direction
        deviations = np.sqrt((expected[:3] ** 2 * np.array([1, 4, 9, 1, 1, 1])).sum(axis=1))
        assert vectors.norm(dim=1).numpy() == pytest.approx(deviations, rel=0.05)

    def test_principal_components(self):
        network = Network()
        generator = generator_of(network, Normal())
        found = principal_directions(generator, 2)
        inputs = generator.draw(4096, 0, [0] * 4096)
        # the first layer reads 4 of 6 values; its features are their linear map, and so are their components
        weights = network.first[0].weight.detach()[:, :4].double().numpy()
        z = inputs.z.double().numpy()
        covariance = np.cov(z[:, :4].T)
        _, vectors = np.linalg.eigh(weights @ covariance @ weights.T)
        components = vectors[:, ::-1][:, :2]
        coordinates = (z[:, :4] - z[:, :4].mean(axis=0)) @ weights.T @ components
        expected, *_ = np.linalg.lstsq(coordinates / coordinates.std(axis=0), z - z.mean(axis=0), rcond=None)
        given = torch.stack([*found.vectors.values()]).numpy()
        assert np.abs(np.abs(given) - np.abs(expected)).max() < 1e-3
        assert cosines(given, expected).min() > 1 - 1e-5

    def test_moving(self):
        generator = generator_of(Network(), Normal())
        found = closed_form_directions(generator, 2)
        inputs = generator.draw(3)
        moved = found.move(generator, inputs, {"0": 2.0, "1": -1}, {})
        assert torch.allclose(moved.z, inputs.z + 2 * found.vectors["0"] - found.vectors["1"])
        assert torch.equal(moved.labels, inputs.labels)
        table = found.table(generator, inputs, [{"0": 2.0, "1": -1}, {}], {})
        assert table.shape == (2, 3, 3, 4, 4)
        assert torch.equal(table[0], generator.images(moved))
        assert torch.equal(table[1], generator.images(inputs))


class TestStyles:
    @pytest.fixture
    def generator(self):
        from gankit_stylegan2.generator import StyleGAN2Generator

        torch.manual_seed(0)
        image = gankit.ImageSpec(16, 16, 3)
        network = StyleGAN2Generator(image, 6, width=4, max_width=8, style_dim=5)
        return TrainedGenerator(network.eval(), Sampling(Normal(), image), None, "x", False)

    @pytest.mark.parametrize("layers", [None, range(1, 3)])
    def test_closed_form(self, generator, layers):
        found = closed_form_directions(generator, 5, layers)
        synthesis = generator.module.synthesis
        convs = [synthesis.first.conv]
        for block in synthesis.blocks:
            convs += [block.up.conv, block.conv.conv]
        by_layer = [[conv] for conv in convs] + [[]]
        for index, to_image in enumerate(synthesis.to_image):
            by_layer[2 * index + 1].append(to_image.conv)
        chosen = [conv.affine for convs in (by_layer if layers is None else by_layer[1:3]) for conv in convs]
        weights = np.concatenate([affine(torch.eye(5)).sub(affine(torch.zeros(1, 5))).t().detach() for affine in chosen])
        _, _, expected = np.linalg.svd(weights)
        vectors = torch.stack([*found.vectors.values()])
        inside = layers or range(6)
        assert cosines(vectors[:, inside.start], expected).min() > 1 - 1e-4
        outside = [layer for layer in range(6) if layer not in inside]
        assert not vectors[:, outside].any()
        assert torch.equal(vectors[:, inside.start], vectors[:, inside.stop - 1])

    def test_principal_components(self, generator):
        found = principal_directions(generator, 2)
        styles = generator.with_styles(generator.draw(4096)).styles[:, 0].double().numpy()
        values, vectors = np.linalg.eigh(np.cov(styles.T))
        given = torch.stack([*found.vectors.values()])[:, 0]
        assert cosines(given, vectors[:, ::-1].T[:2]).min() > 1 - 1e-5
        assert given.norm(dim=1).numpy() == pytest.approx(np.sqrt(values[::-1][:2]), rel=1e-3)

    def test_layers_that_do_not_exist(self, generator):
        with pytest.raises(ValueError, match="this generator has the layers 0-5"):
            closed_form_directions(generator, 2, range(4, 7))


class TestFiles:
    def test_names_and_vectors(self, tmp_path):
        directions = Directions({"b": torch.arange(3.0), "a": torch.ones(3), "ä": torch.zeros(3)}, {"method": "sefa"})
        directions.save(tmp_path / "d.safetensors")
        loaded = Directions.load(tmp_path / "d.safetensors")
        assert list(loaded.vectors) == ["b", "a", "ä"]
        assert all(torch.equal(loaded.vectors[name], vector) for name, vector in directions.vectors.items())
        assert (loaded.about, loaded.sha256()) == ({"method": "sefa"}, directions.sha256())
        renamed = loaded.renamed("a", "new")
        assert list(renamed.vectors) == ["b", "new", "ä"]
        assert renamed.sha256() != loaded.sha256()
        with pytest.raises(ValueError, match="a direction is called 'b' already"):
            loaded.renamed("a", "b")

    def test_other_files(self, tmp_path):
        with pytest.raises(gankit.GankitError, match="does not exist; find directions with gankit directions"):
            Directions.load(tmp_path / "none.safetensors")
        (tmp_path / "text.safetensors").write_text("text")
        with pytest.raises(gankit.GankitError, match="is not a file of directions"):
            Directions.load(tmp_path / "text.safetensors")


def test_generators_without_directions():
    class Noise(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, z, labels):
            return self.weight * torch.randn(len(z), 3, 4, 4)

    class Product(Noise):
        def forward(self, z, labels):
            return (self.weight * z.square().sum(dim=1))[:, None, None, None].expand(-1, 3, 4, 4)

    with pytest.raises(ValueError, match="draws random numbers for each image in addition to its latents"):
        closed_form_directions(generator_of(Noise(), Normal()), 2)
    with pytest.raises(ValueError, match="no linear layer or convolution of this generator has its latents as input"):
        closed_form_directions(generator_of(Product(), Normal()), 2)
