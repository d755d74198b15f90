"""The layers against direct implementations of the same mathematics, in fp64."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gankit_resnet.attention import SelfAttention
from gankit_resnet.discriminator import DownBlock
from gankit_resnet.generator import UpBlock
from gankit_resnet.layers import BatchNorm, initialized


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def same(first, second, *inputs):
    """Assert that two functions agree in values and gradients."""
    values = [function(*inputs) for function in (first, second)]
    torch.testing.assert_close(*values, rtol=1e-10, atol=1e-11)
    weight = torch.randn_like(values[0])
    gradients = [torch.autograd.grad((value * weight).sum(), inputs) for value in values]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-10)


def upsampled(x):
    return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def pooled(x):
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def conv(layer, x):
    return F.conv2d(x, layer.weight, layer.bias, padding=layer.weight.shape[2] // 2)


def randomized(module):
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module.double()


@pytest.mark.parametrize("classes", [0, 3])
def test_a_block_of_the_generator_is_the_papers(classes):
    """Upsampling and convolution are two operations here, and the shortcut has the paper's order."""
    block = randomized(UpBlock(4, 6, classes, spectral=False, attention=False))
    labels = torch.tensor([2, 0, 2]) if classes else None

    def norm(layer, x):
        deviation = (x.var(dim=(0, 2, 3), keepdim=True, correction=0) + layer.eps).sqrt()
        x = (x - x.mean(dim=(0, 2, 3), keepdim=True)) / deviation
        if labels is None:
            return x * layer.weight[:, None, None] + layer.bias[:, None, None]
        images = zip(x, labels, strict=True)
        return torch.stack(
            [i * layer.scale.weight[k, :, None, None] + layer.shift.weight[k, :, None, None] for i, k in images]
        )

    def plain(x):
        h = conv(block.conv1, upsampled(norm(block.norm1, x).clamp(min=0)))
        h = conv(block.conv2, norm(block.norm2, h).clamp(min=0))
        return h + conv(block.shortcut, upsampled(x))

    same(lambda x: block(x, labels), plain, torch.randn(3, 4, 5, 3, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize(
    ("inputs", "first", "halve"), [(4, True, True), (4, False, True), (4, False, False), (6, False, False)]
)
def test_a_block_of_the_discriminator_is_the_papers(inputs, first, halve):
    block = randomized(DownBlock(inputs, 6, first=first, halve=halve, spectral=False, attention=False))

    def plain(x):
        h = conv(block.conv2, conv(block.conv1, x if first else x.clamp(min=0)).clamp(min=0))
        x = x if inputs == 6 else conv(block.shortcut, x)
        return pooled(h) + pooled(x) if halve else h + x

    same(block, plain, torch.randn(3, inputs, 6, 4, dtype=torch.float64, requires_grad=True))


def test_attention_is_the_papers():
    attention = randomized(SelfAttention(16, spectral=False))

    def plain(x):
        def at(layer, pixels):
            return torch.einsum("oc,nchw->nohw", layer.weight[:, :, 0, 0], pixels)

        query = at(attention.query, x)
        key, value = (
            at(layer, x).unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5)) for layer in (attention.key, attention.value)
        )
        scores = torch.einsum("nchw,ncij->nhwij", query, key).exp()
        seen = torch.einsum("nhwij,ncij->nchw", scores / scores.sum(dim=(3, 4), keepdim=True), value)
        return x + attention.gamma * at(attention.output, seen)

    same(attention, plain, (torch.randn(2, 16, 4, 6, dtype=torch.float64) / 8).requires_grad_())


def test_attention_starts_as_the_identity():
    attention = SelfAttention(16, spectral=True)
    x = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(attention(x), x, rtol=0, atol=0)
    attention(x).sum().backward()
    reached = {name for name, parameter in attention.named_parameters() if parameter.grad.any()}
    assert reached == {"gamma"}


@pytest.mark.parametrize("make", [lambda: nn.Conv2d(6, 9, 3), lambda: nn.Linear(6, 9), lambda: nn.Embedding(9, 6)])
def test_spectral_norm_keeps_the_largest_singular_value_at_one(make):
    layer = initialized(make(), spectral=True, gain=5.0)
    for _ in range(30):  # one power iteration each
        weight = layer.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)
    plain = initialized(make(), spectral=False, gain=5.0)
    assert torch.linalg.matrix_norm(plain.weight.flatten(1), 2).item() > 2


def test_spectral_norm_iterates_once_per_forward_in_training_mode_only():
    layer = initialized(nn.Linear(6, 9), spectral=True)
    nn.init.normal_(layer.parametrizations.weight.original)
    name = "parametrizations.weight.0._u"
    for training in (True, False):
        before = layer.state_dict()[name].clone()
        layer.train(training)(torch.randn(2, 6))
        assert torch.equal(layer.state_dict()[name], before) is not training


def test_initial_weights_are_glorot_uniform_and_biases_zero():
    block = DownBlock(40, 60, first=False, halve=True, spectral=False, attention=False)
    for layer, gain in ((block.conv1, 2**0.5), (block.conv2, 2**0.5), (block.shortcut, 1.0)):
        outputs, inputs, height, width = layer.weight.shape
        bound = gain * (6 / ((inputs + outputs) * height * width)) ** 0.5
        weight = layer.weight.detach()
        assert 0.99 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)  # of a uniform distribution
        assert not layer.bias.any()


def test_conditional_batch_norm_starts_as_plain_batch_norm_with_running_statistics():
    x, labels = torch.randn(8, 5, 3, 3) * 3 + 1, torch.arange(8) % 4
    conditional, plain = BatchNorm(5, 4), nn.BatchNorm2d(5)
    torch.testing.assert_close(conditional(x, labels), plain(x))
    torch.testing.assert_close(conditional.running_var, plain.running_var)
    conditional.shift.weight.data[2] += 7
    changed = (conditional(x, labels) - plain(x)).flatten(1).mean(1)
    torch.testing.assert_close(changed, torch.where(labels == 2, 7.0, 0.0))
