"""`tiny/...`: small convolutional networks for images of at least 8x8, with any number of channels.

They are the networks published for CIFAR, in their usual form, adapted only for small or oblong images. No feature map
is smaller than 2x2, so that batch norm can train on a last batch of one sample.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from src.config import Config


def build(
    name: str, input_shape: tuple[int, ...], output_dim: int, config: Config, class_names: list[str] | None
) -> nn.Module:
    """`name` is lenet, resnet_<depth>, vgg_<depth> or wrn_<depth>_<width>[_<dropout>]; src/families.py lists the depths.

    Raises ValueError if input_shape is not (channels, height >= 8, width >= 8).
    """
    if len(input_shape) != 3 or min(input_shape[1:]) < 8:
        raise ValueError(
            f"model 'tiny/{name}' takes images (channels, height, width) of at least 8x8, and the samples have "
            f"shape {input_shape}; model_input_shape, such as [1, 28, 28], views flat data as an image"
        )
    kind, *numbers = name.split("_")
    builders: dict[str, Callable[..., nn.Module]] = {"lenet": lenet, "resnet": resnet, "vgg": vgg, "wrn": wide_resnet}
    return builders[kind](
        input_shape, output_dim, *(float(number) if "." in number else int(number) for number in numbers)
    )


def lenet(input_shape: tuple[int, ...], output_dim: int) -> nn.Module:
    """Two convolutions and two linear layers, after LeNet-5 (LeCun et al. 1998), with ReLU; 85,000 parameters at 8x8."""
    channels, height, width = input_shape
    first = 2 if min(height, width) >= 16 else 1  # an 8x8 image can be halved only once, and later is better
    # The result has 4 to 7 rows and columns. Adaptive pooling has a gradient that is not deterministic on a GPU.
    last = (height // first // 4, width // first // 4)
    rows, columns = height // first // last[0], width // first // last[1]
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(first),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(last),
        nn.Flatten(),
        nn.Linear(64 * rows * columns, 64),
        nn.ReLU(),
        nn.Linear(64, output_dim),
    )


def vgg(input_shape: tuple[int, ...], output_dim: int, depth: int) -> nn.Module:
    """VGG with batch norm (Simonyan and Zisserman 2015) and one linear layer, the usual form for CIFAR."""
    blocks = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
    channels, smaller_side = input_shape[0], min(input_shape[1:])
    layers: list[nn.Module] = []
    for width, repeats in zip((64, 128, 256, 512, 512), blocks[depth], strict=True):
        for _ in range(repeats):
            layers += [_conv3x3(channels, width), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        if smaller_side >= 4:
            layers.append(nn.MaxPool2d(2))
            smaller_side //= 2
    return _he_init(nn.Sequential(*layers, *_average_and_classify(512, output_dim)))


def resnet(input_shape: tuple[int, ...], output_dim: int, depth: int) -> nn.Module:
    """ResNet for CIFAR (He et al. 2016a, section 4.2): three stages of n blocks, depth 6n+2.

    With 18, 34, 50, 101 and 152 layers it is the ResNet for ImageNet (section 4.1) without the stem's stride and pooling,
    the usual form for small images.
    """
    if depth in _IMAGENET_STAGES:
        return _imagenet_resnet(input_shape, output_dim, depth)
    n = (depth - 2) // 6
    layers: list[nn.Module] = [_conv3x3(input_shape[0], 16), nn.BatchNorm2d(16), nn.ReLU()]
    layers += _stages(ResNetBlock, 16, (16, 32, 64), (n, n, n))
    return _he_init(nn.Sequential(*layers, *_average_and_classify(64, output_dim)))


_IMAGENET_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def _imagenet_resnet(input_shape: tuple[int, ...], output_dim: int, depth: int) -> nn.Module:
    block, expansion = (ResNetBlock, 1) if depth < 50 else (BottleneckBlock, 4)
    smaller_side, strides = min(input_shape[1:]), [1]
    for _ in range(3):
        strides.append(2 if smaller_side > 2 else 1)
        smaller_side = -(-smaller_side // strides[-1])
    layers: list[nn.Module] = [_conv3x3(input_shape[0], 64), nn.BatchNorm2d(64), nn.ReLU()]
    widths = tuple(expansion * width for width in (64, 128, 256, 512))
    layers += _stages(block, 64, widths, _IMAGENET_STAGES[depth], strides)
    return _he_init(nn.Sequential(*layers, *_average_and_classify(widths[-1], output_dim)))


def wide_resnet(input_shape: tuple[int, ...], output_dim: int, depth: int, width: int, dropout: float = 0) -> nn.Module:
    """WRN-depth-width (Zagoruyko and Komodakis 2016): three stages of n blocks, depth 6n+4.

    `dropout` is the probability with which the values between the two convolutions of a block are set to zero.
    """
    n = (depth - 4) // 6
    layers: list[nn.Module] = [_conv3x3(input_shape[0], 16)]
    block = functools.partial(WideResNetBlock, dropout=dropout)
    layers += _stages(block, 16, (16 * width, 32 * width, 64 * width), (n, n, n))
    layers += [nn.BatchNorm2d(64 * width), nn.ReLU()]
    return _he_init(nn.Sequential(*layers, *_average_and_classify(64 * width, output_dim)))


class ResNetBlock(nn.Module):
    """Two convolutions and a shortcut, which is a 1x1 convolution if the shape changes."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(channels, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))


class BottleneckBlock(nn.Module):
    """A ResNetBlock with a 3x3 convolution between two 1x1 ones, on a quarter of the channels."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        inner = width // 4
        self.residual = nn.Sequential(
            nn.Conv2d(channels, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            _conv3x3(inner, inner, stride),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, width, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.shortcut = _shortcut(channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class WideResNetBlock(nn.Module):
    """A ResNetBlock with batch norm and ReLU before each convolution (He et al. 2016b)."""

    def __init__(self, channels: int, width: int, stride: int, dropout: float = 0) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = _conv3x3(channels, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.conv2 = _conv3x3(width, width)
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Conv2d(channels, width, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        residual = self.conv2(self.dropout(F.relu(self.bn2(self.conv1(activated)))))
        return residual + (x if self.shortcut is None else self.shortcut(activated))


def _stages(
    block: Callable[[int, int, int], nn.Module],
    channels: int,
    widths: Sequence[int],
    repeats: Sequence[int],
    strides: Sequence[int] = (1, 2, 2),
) -> list[nn.Module]:
    """A stage for each of `widths`, of so many blocks; the first of them has the stride."""
    layers = []
    for width, n, stride in zip(widths, repeats, strides, strict=True):
        for i in range(n):
            layers.append(block(channels, width, stride if i == 0 else 1))
            channels = width
    return layers


def _shortcut(channels: int, width: int, stride: int) -> nn.Module:
    if stride == 1 and channels == width:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(channels, width, 1, stride=stride, bias=False), nn.BatchNorm2d(width))


def _conv3x3(channels: int, width: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=False)  # batch norm has the bias


def _average_and_classify(width: int, output_dim: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, output_dim)]


def _he_init(model: nn.Module) -> nn.Module:
    """Normal weights with variance 2 / fan-out in every convolution (He et al. 2015)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
