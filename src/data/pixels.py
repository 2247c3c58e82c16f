"""PIL images of any mode -> 8-bit grey or colour images, the only ones that timm's transforms and models take."""

from __future__ import annotations

import numpy as np
from PIL import Image


def is_grey(image: Image.Image) -> bool:
    """Whether an image has one channel by itself. LA, and palettes of greys, count as colour."""
    return image.mode in ("1", "L", "F") or image.mode.startswith("I")


def to_8_bit(image: Image.Image, grey: bool) -> Image.Image:
    """The image in mode L if `grey`, else RGB, decoded. What each mode of Pillow means:

    1                   black is 0 and white is 255
    L, RGB              as they are
    I;16 (and L, B, N)  the upper 8 of 16 bits, so that 0 to 65535 becomes 0 to 255
    I                   the same: Pillow opens 16-bit PGM files in this mode
    F                   values 0 to 255, cut to whole numbers; Pillow's scale for this mode
    P                   the colours of the palette
    LA, RGBA, P         with transparency: the colours alone, as in timm and torchvision
    CMYK, YCbCr, HSV    converted by Pillow's formulas, without colour profiles

    From grey to RGB, the three channels are equal; from RGB to grey, the channels have Pillow's weights (ITU-R 601-2).
    Raises ValueError for values outside the range of I and F, for values from 0 to 1 in F, and for modes that Pillow
    cannot convert (LAB).
    """
    image.load()
    if image.mode.startswith("I"):
        image = Image.fromarray((_checked(image, 0, 65535) >> 8).astype(np.uint8))
    elif image.mode == "F":
        values = _checked(image, 0, 255)
        if 0 < values.max() <= 1:
            raise ValueError("its values, of floating point, are between 0 and 1, and must be between 0 and 255")
        image = image.convert("L")
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # Pillow warns of a direct conversion to RGB
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _checked(image: Image.Image, low: int, high: int) -> np.ndarray:
    values = np.asarray(image)
    if not (values.min() >= low and values.max() <= high):  # false with NaN
        raise ValueError(
            f"it has values from {values.min()} to {values.max()} in Pillow's mode {image.mode}, whose range is "
            f"{low} to {high}; scale them to this range"
        )
    return values
