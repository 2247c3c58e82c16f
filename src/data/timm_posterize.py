"""Makes timm's posterize work beside Pillow 13.

Several policies of timm posterize to 0 bits: v0 always, the increasing ones of RandAugment at magnitude 10. Up to
Pillow 12 the result was a black image. Pillow 13 rejects 0 bits, and timm 1.0.31 does not know of it.
"""

from __future__ import annotations

from typing import Any

from PIL import Image


def patch_posterize() -> None:
    """Replace the operation in timm's table, from which policies that are made later take it."""
    from timm.data import auto_augment

    for name in ("Posterize", "PosterizeIncreasing", "PosterizeOriginal"):
        auto_augment.NAME_TO_OP[name] = _posterize


def _posterize(image: Image.Image, bits_to_keep: int, **kwargs: Any) -> Image.Image:
    from timm.data import auto_augment

    if bits_to_keep <= 0:
        return Image.new(image.mode, image.size)  # black
    return auto_augment.posterize(image, bits_to_keep, **kwargs)
