"""Fashion-MNIST, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.hub import read_images
from dvbench.problems.image_encoder import encode_images
from dvbench.problems.source import Source


def fashion_mnist(
    encoder: str | None = None,
    encoder_size: int | None = None,
    standardise: bool | None = None,
    encoder_components: int | None = None,
) -> Source:
    """Fashion-MNIST: clothing in grayscale images of 28 × 28 pixels; 60,000 + 10,000 rows, 784 features, 10 classes.

    Hub id zalando-datasets/fashion_mnist, MIT licence. Points have shape (1, 28, 28) and values in [0, 1]; the hidden
    test set is drawn from the official test split.

    Parameters
    ----------
    encoder : str, optional
        Hub id of a frozen encoder of timm, such as ``"timm/tf_efficientnet_lite0.in1k"``, whose features replace the
        pixels.
    encoder_size : int, optional
        Height and width that images are resized to before they are encoded; by default 96, or the only size that the
        encoder reads.
    standardise : bool, optional
        Whether columns are standardised with statistics of the training set; by default features of an encoder are, and
        pixels are not.
    encoder_components : int, optional
        Number of principal components of the training set that replace the encoder's features; by default all stay.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", 2017, https://arxiv.org/abs/1708.07747.
    """
    images = read_images("zalando-datasets/fashion_mnist", image="image", label="label")
    return encode_images(images, encoder, encoder_size, standardise, encoder_components)
