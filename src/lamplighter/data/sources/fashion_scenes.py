"""Scenes to be taken apart: garments of Fashion-MNIST in front of photographs, with their outlines as masks."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import torch
from PIL import Image
from pydantic import Field
from scipy import ndimage

from lamplighter.core import seeding
from lamplighter.core.errors import DataError
from lamplighter.core.registry import FromData
from lamplighter.data.sources import fashion_mnist
from lamplighter.data.sources._images import Statistics, channel_statistics
from lamplighter.data.sources._masks import MaskRows, mask_preprocessing, mask_signature, pixels_of_classes
from lamplighter.data.split_rules import SplitKeys
from lamplighter.data.splits import Splits

LABELS = ("background", "top", "trousers", "dress", "shoe", "bag")
GROUPS = (1, 2, 1, 3, 1, 4, 1, 4, 5, 4)
"""Class of each of Fashion-MNIST's ten labels: T-shirts, pullovers, coats and shirts are tops."""
GARMENTS = (1, 3)
"""Garments in one scene: from, to."""
SCALES = (0.75, 1.25)
"""Size of a garment against its 28 x 28 pixels: from, to."""
DARK = 20
"""Around a garment is black with a little noise."""
TRAIN, TEST = 5000, 500
_SEED = 1
"""Of the scenes themselves, which are the same for everyone; a recipe's seed only divides them."""


class FashionScenes:
    """5,500 gray scenes: one to three garments before a photograph, each pixel being background or a kind of garment.

    How they are made, from real pictures only: a garment of Fashion-MNIST (Xiao et al. 2017), mirrored by chance,
    resized to 0.75 to 1.25 times, brightened or darkened, is put at a random place of a random cut out of one of
    scikit-learn's two sample photographs; later garments cover earlier ones. Its mask is its own outline: pixels that
    are not black, and what they enclose. Each garment is used once, so no split knows one of another's; the 500 test
    scenes are of the official test set's garments, and of other parts of the photographs.

    Args:
        size: height and width of a scene.
        val: share of the other 5,000 scenes; the default makes 500.
        download: whether the network may be used when Fashion-MNIST is nowhere on this machine.
        seed: of the split.
        splits: a persisted split to use again.

    Raises:
        DataError: Fashion-MNIST is not to be found, with the ways to get it.
    """

    def __init__(
        self,
        size: Annotated[int, Field(ge=32, le=128)] = 48,
        val: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        download: bool = True,
        seed: Annotated[int, FromData] = 0,
        splits: Annotated[Splits | None, FromData] = None,
    ) -> None:
        folder = fashion_mnist.find(download)
        parts = [
            compose(*fashion_mnist.part(folder, prefix), photographs(test), count, size, stream=prefix)
            for prefix, count, test in (("train", TRAIN, False), ("t10k", TEST, True))
        ]
        self._images, masks = (np.concatenate(arrays) for arrays in zip(*parts))
        self.signature = mask_signature(LABELS, (size, size), 1, 8, (size, size))
        self.preprocessing = mask_preprocessing((size, size), 1, 8)
        if splits is None:
            train, held_out = SplitKeys(TRAIN).cut((1 - val, val), seed, names=("train", "val"))
            splits = Splits(train, held_out, np.arange(TRAIN, TRAIN + TEST))
        self.splits = splits
        self.splits.check(len(masks))
        self._tensors = torch.from_numpy(self._images)[:, None], torch.from_numpy(masks)

    def split(self, name: str) -> MaskRows:
        """Rows of ``"train"``, ``"val"`` or ``"test"``."""
        return MaskRows(self._tensors, self.splits[name])

    def raw(self, name: str, indices: np.ndarray) -> list[Any]:
        """Arrays (height, width), uint8."""
        return list(self._images[self.splits[name][indices]])

    def resolved(self) -> dict[str, Any]:
        """Nothing is decided from the data."""
        return {}

    def statistics(self) -> Statistics:
        """Mean and deviation of the training pixels, in raw units."""
        return {"x": channel_statistics(self._tensors[0], self.splits.train)}

    def class_counts(self) -> tuple[int, ...]:
        """Pixels of each class in the training split."""
        masks = self._tensors[1].numpy()[self.splits.train]
        return tuple(int(count) for count in pixels_of_classes(masks, len(LABELS)))


def photographs(test: bool) -> list[np.ndarray]:
    """The upper two thirds of scikit-learn's two sample photographs in gray, or the lower third for test scenes."""
    from sklearn.datasets import load_sample_images

    grays = [np.asarray(Image.fromarray(image).convert("L")) for image in load_sample_images().images]
    cuts = [2 * len(gray) // 3 for gray in grays]
    return [gray[cut:] if test else gray[:cut] for gray, cut in zip(grays, cuts)]


def compose(
    garments: np.ndarray, labels: np.ndarray, backgrounds: list[np.ndarray], count: int, size: int, stream: str
) -> tuple[np.ndarray, np.ndarray]:
    """Scenes of garments, each of which is used at most once.

    Args:
        garments: uint8 (garments, 28, 28), black around them.
        labels: (garments,) of Fashion-MNIST.
        backgrounds: gray photographs larger than a scene.
        count: how many scenes.
        size: their height and width.
        stream: which of the random streams.

    Returns:
        uint8 (count, size, size), and int16 classes of the same shape.

    Raises:
        DataError: not enough garments, or a photograph that is too small.
    """
    if len(garments) < count * GARMENTS[1] or any(min(photo.shape) < size for photo in backgrounds):
        raise DataError(f"{len(garments)} garments and {len(backgrounds)} photographs do not make {count} such scenes")
    rng = seeding.generator(_SEED, f"fashion-scenes {stream}")
    order = iter(rng.permutation(len(garments)).tolist())
    images = np.empty((count, size, size), np.uint8)
    masks = np.zeros((count, size, size), np.int16)
    for image, mask in zip(images, masks):
        photo = backgrounds[rng.integers(len(backgrounds))]
        top, left = (int(rng.integers(length - size + 1)) for length in photo.shape)
        image[:] = photo[top : top + size, left : left + size]
        for _ in range(rng.integers(GARMENTS[0], GARMENTS[1] + 1)):
            position = next(order)
            _put(image, mask, garments[position], GROUPS[labels[position]], rng)
    return images, masks


def outline(garment: np.ndarray) -> np.ndarray:
    """Which pixels belong to the garment: those brighter than `DARK`, and what they enclose.

    >>> outline(np.array([[99, 99, 99], [99, 0, 99], [99, 99, 99]], np.uint8)).all()
    np.True_
    """
    filled: np.ndarray = ndimage.binary_fill_holes(garment > DARK)
    return filled


def _put(image: np.ndarray, mask: np.ndarray, garment: np.ndarray, code: int, rng: np.random.Generator) -> None:
    """Draw one garment into a scene and its class into the mask; parts of it may lie outside."""
    if rng.random() < 0.5:
        garment = garment[:, ::-1]
    side = round(28 * rng.uniform(*SCALES))
    shape = Image.fromarray(outline(garment).astype(np.uint8) * 255).resize((side, side), Image.Resampling.BILINEAR)
    inside = np.asarray(shape) >= 128
    enlarged = np.asarray(
        Image.fromarray(np.ascontiguousarray(garment)).resize((side, side), Image.Resampling.BILINEAR)
    )
    shade = np.clip(enlarged * rng.uniform(0.6, 1.0) + rng.uniform(0, 60), 0, 255).astype(np.uint8)
    # its middle lies within the scene
    top, left = (int(rng.integers(length)) - side // 2 for length in image.shape)
    down, across = (slice(max(at, 0), min(at + side, length)) for at, length in zip((top, left), image.shape))
    here = slice(down.start - top, down.stop - top), slice(across.start - left, across.stop - left)
    image[down, across][inside[here]] = shade[here][inside[here]]
    mask[down, across][inside[here]] = code
