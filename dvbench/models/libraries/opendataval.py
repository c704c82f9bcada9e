"""The networks of OpenDataVal, which dvbench trains.

OpenDataVal's classes end in a softmax or a sigmoid and are trained with a cross entropy that applies another softmax.
Here the networks return logits, as all models of dvbench do, and are trained together like these.
"""

from __future__ import annotations

import math

from torch import nn

from dvbench.errors import UserError


def logistic_regression(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """OpenDataVal's LogisticRegression, without its sigmoid: one linear layer on the flattened features.

    Parameters
    ----------
    shape : tuple of int
        Shape of one point's features.
    outputs : int
        Number of classes, or 1.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to logits (n, outputs).
    """
    from opendataval.model import LogisticRegression

    return nn.Sequential(nn.Flatten(), LogisticRegression(math.prod(shape), outputs).linear)


def classifier_mlp(shape: tuple[int, ...], outputs: int, layers: int = 5, hidden_dim: int = 25) -> nn.Module:
    """OpenDataVal's ClassifierMLP, without its softmax: by default five linear layers of width 25, with ReLU.

    Parameters
    ----------
    shape : tuple of int
        Shape of one point's features.
    outputs : int
        Number of classes.
    layers : int
        Number of linear layers, at least 3: OpenDataVal fails with fewer.
    hidden_dim : int
        Width of the hidden layers.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to logits (n, outputs).
    """
    from opendataval.model import ClassifierMLP

    if layers < 3:
        raise UserError(f"OpenDataVal's ClassifierMLP has at least 3 layers, not {layers!r}")
    return nn.Sequential(
        nn.Flatten(), *ClassifierMLP(math.prod(shape), outputs, layers=layers, hidden_dim=hidden_dim).mlp[:-1]
    )


def regression_mlp(shape: tuple[int, ...], outputs: int, layers: int = 5, hidden_dim: int = 25) -> nn.Module:
    """OpenDataVal's RegressionMLP: by default five linear layers of width 25, with ReLU.

    Parameters
    ----------
    shape : tuple of int
        Shape of one point's features.
    outputs : int
        Number of targets.
    layers : int
        Number of linear layers, at least 2.
    hidden_dim : int
        Width of the hidden layers.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to predicted targets (n, outputs).
    """
    from opendataval.model import RegressionMLP

    if layers < 2:
        raise UserError(f"OpenDataVal's RegressionMLP has at least 2 layers, not {layers!r}")
    return nn.Sequential(
        nn.Flatten(), *RegressionMLP(math.prod(shape), outputs, layers=layers, hidden_dim=hidden_dim).mlp
    )


def lenet(shape: tuple[int, ...], outputs: int) -> nn.Module:
    """OpenDataVal's LeNet, without its softmax: two convolutions with batch normalisation and three linear layers.

    Parameters
    ----------
    shape : tuple of int
        Shape of one image, (1 or 3, height, width).
    outputs : int
        Number of classes.

    Returns
    -------
    torch.nn.Module
        Maps (n, *shape) to logits (n, outputs).
    """
    import torch
    from opendataval.model import LeNet

    from dvbench.training.heads import logits_network

    if len(shape) != 3 or shape[0] not in (1, 3):
        raise UserError(f"lenet needs images of 1 or 3 channels, not points of shape {tuple(shape)}")
    network, image = LeNet(outputs, gray_scale=shape[0] == 1).eval(), torch.zeros(1, *shape)
    network(image)  # makes the weights of its first linear layer, whose size depends on the image
    return logits_network(network, image).train()
