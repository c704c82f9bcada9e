"""ResNet-9 for small images."""

from __future__ import annotations

from torch import Tensor, nn

from dvbench.training.images import require_images


def resnet9(shape: tuple[int, ...], outputs: int, channels: int = 64) -> nn.Module:
    """ResNet-9: eight convolutions with batch normalisation, four of them in two residual blocks, and a linear layer.

    The network that studies of data attribution retrain hundreds of times on CIFAR-10, because it learns in seconds.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of one image, at least 9 x 9.
    outputs : int
        Number of classes, or 1.
    channels : int, default 64
        Channels of the first convolution; later ones have two, four and eight times as many.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to logits (n, outputs).

    Raises
    ------
    UserError
        If the points are not images, or too small.

    References
    ----------
    C. Coleman et al. DAWNBench: an end-to-end deep learning benchmark and competition. ML Systems Workshop at NIPS
    2017. The network is D. Page's entry for CIFAR-10, with the largest value of each channel before the linear layer.
    """
    require_images("resnet9", shape, smallest=9)
    return nn.Sequential(
        _block(shape[0], channels),
        _block(channels, 2 * channels, pool=True),
        _Residual(2 * channels),
        _block(2 * channels, 4 * channels, pool=True),
        _block(4 * channels, 8 * channels, pool=True),
        _Residual(8 * channels),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
        nn.Linear(8 * channels, outputs),
    )


def _block(inputs: int, outputs: int, pool: bool = False) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False)
    layers = [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2)) if pool else nn.Sequential(*layers)


class _Residual(nn.Module):
    """Two blocks whose output is added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_block(channels, channels), _block(channels, channels))

    def forward(self, images: Tensor) -> Tensor:
        added: Tensor = images + self.blocks(images)
        return added
