"""Small convolutional network."""

from __future__ import annotations

from torch import nn

from dvbench.training.images import require_images


def cnn(shape: tuple[int, ...], outputs: int, channels: int = 16, batch_norm: bool = False) -> nn.Module:
    """Small convolutional network for images: two 3x3 convolutions with pooling and one hidden layer of 64.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of one image, at least 4 x 4.
    outputs : int
        Number of classes, or 1.
    channels : int
        Number of filters of the first convolution; the second has twice as many.
    batch_norm : bool
        Whether each convolution is followed by batch normalisation.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to logits (n, outputs).

    Raises
    ------
    UserError
        If the points are not images, or too small.
    """
    require_images("cnn", shape, smallest=4)
    depth, height, width = shape
    layers: list[nn.Module] = []
    for before, after in ((depth, channels), (channels, 2 * channels)):
        layers += [nn.Conv2d(before, after, kernel_size=3, padding=1)]
        layers += [nn.BatchNorm2d(after)] if batch_norm else []
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(2 * channels * (height // 4) * (width // 4), 64),
        nn.ReLU(),
        nn.Linear(64, outputs),
    )
