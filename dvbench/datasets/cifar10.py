"""CIFAR-10, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.hub import read_images
from dvbench.problems.image_encoder import encode_images
from dvbench.problems.source import Source, keep_classes


def cifar10(
    encoder: str | None = None,
    encoder_size: int | None = None,
    standardise: bool | None = None,
    encoder_components: int | None = None,
    classes: str | None = None,
) -> Source:
    """CIFAR-10: colour images of objects, 32 × 32 pixels; 50,000 + 10,000 rows, 3,072 features, 10 classes.

    Hub id uoft-cs/cifar10; its authors state no licence and ask for a citation. Points have shape (3, 32, 32) and
    values in [0, 1]; the hidden test set is drawn from the official test split. The images on the hub are PNG. A mirror
    may hold JPEG images, which are slightly lossy; results on these have another data hash.

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
    classes : str, optional
        Classes to keep, such as ``"cat,dog"``; by default all.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, University of Toronto,
    2009, https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf.
    """
    images = read_images("uoft-cs/cifar10", image="img", label="label")
    if classes is not None:
        images = keep_classes(images, classes.split(","))
    return encode_images(images, encoder, encoder_size, standardise, encoder_components)
