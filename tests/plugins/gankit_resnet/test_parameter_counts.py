"""Parameter counts of the networks against the tables of arXiv 1802.05957."""


import gankit
from gankit.assembly.dry_run import meta_device
from gankit_resnet.discriminator import ResNetDiscriminator
from gankit_resnet.generator import ResNetGenerator

CIFAR = gankit.ImageSpec(32, 32, 3)
CIFAR_CLASSES = gankit.ImageSpec(32, 32, 3, classes=10)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def conv(inputs, outputs, kernel=3, bias=True):
    return inputs * outputs * kernel * kernel + outputs * bias


def up_block(inputs, outputs, classes=0):
    norms = 2 * (inputs + outputs) * (classes or 1)
    return norms + conv(inputs, outputs) + conv(outputs, outputs) + conv(inputs, outputs, 1)


def down_block(inputs, outputs, shortcut=True):
    return conv(inputs, outputs) + conv(outputs, outputs) + shortcut * conv(inputs, outputs, 1)


def attention(channels):
    narrow, half = channels // 8, channels // 2
    return 2 * conv(channels, narrow, 1, False) + 2 * conv(channels, half, 1, False) + 1


def test_parameters_of_the_networks_for_cifar10():
    """Layer by layer, as arXiv 1802.05957, appendix B.4, has them for CIFAR-10; the scale and shift of 10 classes at six BatchNorms."""
    for image, classes in ((CIFAR, 0), (CIFAR_CLASSES, 10)):
        linear = 128 * 4 * 4 * 256 + 4 * 4 * 256
        expected = linear + 3 * up_block(256, 256, classes) + 2 * 256 + conv(256, 3)
        assert count(ResNetGenerator(image, 128)) == expected == {0: 4_276_739, 10: 4_304_387}[classes]
        expected = down_block(3, 128) + down_block(128, 128) + 2 * down_block(128, 128, shortcut=False) + 128 + 1
        expected += classes * 128
        assert count(ResNetDiscriminator(image)) == expected == {0: 1_053_825, 10: 1_055_105}[classes]


def test_parameters_of_the_networks_for_imagenet():
    """As arXiv 1802.05957, appendix B.4, has them for ImageNet, with 1000 classes."""
    image = gankit.ImageSpec(128, 128, 3, classes=1000)
    widths = [1024, 1024, 512, 256, 128, 64]
    with meta_device():
        generator = ResNetGenerator(image, 128, width=1024)
        discriminator = ResNetDiscriminator(image, width=1024)
    expected = (128 + 1) * 4 * 4 * 1024 + 2 * 64 + conv(64, 3)
    expected += sum(up_block(a, b, 1000) for a, b in zip(widths, widths[1:], strict=False))
    assert count(generator) == expected
    channels = [3, *reversed(widths)]
    expected = sum(
        down_block(a, b, shortcut=number < 6 or a != b)
        for number, (a, b) in enumerate(zip(channels, channels[1:], strict=False), start=1)
    )
    assert count(discriminator) == expected + 1024 + 1 + 1000 * 1024


def test_parameters_of_self_attention():
    plain = count(ResNetGenerator(CIFAR, 128))
    assert count(ResNetGenerator(CIFAR, 128, attention=(16,), spectral_norm=True)) == plain + attention(256)
    plain = count(ResNetDiscriminator(CIFAR))
    assert count(ResNetDiscriminator(CIFAR, attention=(16, 8))) == plain + 2 * attention(128)
