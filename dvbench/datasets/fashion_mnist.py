"""Fashion-MNIST, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.hub import read_images
from dvbench.problems.source import Source


def fashion_mnist() -> Source:
    """Clothing in grayscale images of 28 × 28 pixels; 60,000 + 10,000 rows, 784 features, 10 classes.

    Hub id zalando-datasets/fashion_mnist, MIT licence. Points have shape (1, 28, 28) and values in [0, 1]; the hidden
    test set is drawn from the official test split.

    References
    ----------
    H. Xiao, K. Rasul and R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", 2017, https://arxiv.org/abs/1708.07747.
    """
    return read_images("zalando-datasets/fashion_mnist", image="image", label="label")
