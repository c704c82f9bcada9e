"""ResNet-18 for small images."""

from __future__ import annotations

from torch import nn

from dvbench.training.images import require_images


def resnet18(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """ResNet-18 of torchvision with the stem for 32 x 32 images: a 3x3 convolution and no pooling.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of one image, at least 9 x 9.
    outputs : int
        Number of classes, or 1.

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
    K. He, X. Zhang, S. Ren, J. Sun. Deep residual learning for image recognition. CVPR 2016.
    """
    from torchvision.models import resnet18 as torchvision_resnet18

    require_images("resnet18", shape, smallest=9)
    network: nn.Module = torchvision_resnet18(num_classes=outputs)
    network.conv1 = nn.Conv2d(shape[0], 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network
