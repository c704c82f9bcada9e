"""CIFAR-10, from the Hugging Face hub."""

from __future__ import annotations

from dvbench.problems.hub import read_images
from dvbench.problems.source import Source


def cifar10() -> Source:
    """Objects and animals in colour images of 32 × 32 pixels; 50,000 + 10,000 rows, 3,072 features, 10 classes.

    Hub id uoft-cs/cifar10; its authors state no licence and ask for a citation. Points have shape (3, 32, 32) and
    values in [0, 1]; the hidden test set is drawn from the official test split. The images on the hub are PNG. A mirror
    may hold JPEG images, which are slightly lossy; results on these have another data hash.

    References
    ----------
    A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", technical report, University of Toronto,
    2009, https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf.
    """
    return read_images("uoft-cs/cifar10", image="img", label="label")
