"""Pillow image of any mode -> 8-bit RGB on white."""

import numpy as np
from PIL import Image

_WHITE = (255, 255, 255)


def flatten(image: Image.Image) -> Image.Image:
    """A decoded image as RGB, by the rules of img2dataset, which made DataComp's pools: alpha is laid on white.

    16-bit grey keeps its high byte, as 16-bit colour does in Pillow (img2dataset lets it overflow to white). Floats are
    taken as 0-255 and rounded; what is not a number is black.
    """
    if image.mode.startswith("I"):
        # Mode I holds 32 bits, but what Pillow opens as one is grey of 16 bits: a PGM.
        high_bytes = np.clip(np.asarray(image), 0, 0xFFFF) >> 8
        return Image.fromarray(high_bytes.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        levels = np.rint(np.clip(np.nan_to_num(np.asarray(image)), 0, 255))
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, _WHITE)
        flat.paste(rgba, mask=rgba.getchannel("A"))
        return flat
    return image.convert("RGB")
