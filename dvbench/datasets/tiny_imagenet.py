"""Tiny ImageNet, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.hub import read_images
from dvbench.problems.image_encoder import encode_images
from dvbench.problems.source import Source


def tiny_imagenet(
    encoder: str | None = None,
    encoder_size: int | None = None,
    standardise: bool | None = None,
    encoder_components: int | None = None,
) -> Source:
    """Tiny ImageNet: photographs of 64 × 64 pixels; 100,000 + 10,000 rows, 12,288 features, 200 classes.

    Hub id zh-plus/tiny-imagenet; ImageNet's terms: research and education only, not commercial. Points have shape
    (3, 64, 64) and values in [0, 1]; images in shades of grey are given three equal colours. Classes are named by their
    WordNet ids. The hidden test set is drawn from the official validation split, because the labels of the official
    test split are not published. A mirror may hold a smaller version: 100 of the classes (50,000 + 5,000 rows) in
    images of 32 × 32 pixels, JPEG compressed once more; results on it have another data hash. An encoder that was
    trained on ImageNet has seen the classes, and perhaps the photographs.

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
    Y. Le and X. Yang, "Tiny ImageNet Visual Recognition Challenge", CS 231N, Stanford University, 2015,
    http://cs231n.stanford.edu/reports/2015/pdfs/yle_project.pdf.
    """
    images = read_images("zh-plus/tiny-imagenet", image="image", label="label", splits=("train", "valid"), mode="RGB")
    return encode_images(images, encoder, encoder_size, standardise, encoder_components)
