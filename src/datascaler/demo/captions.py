"""Captions of the demo's pool: true ones in many wordings, and the junk that the web puts in their place."""

import numpy as np

from datascaler.demo.draw import Attributes

TEMPLATES = ("{c}", "one {c}", "picture of one {c}", "{c} on grey", "{c} on white", "large {c}", "small {c}")
"""The eval set's prompts; {c} is the class name."""

# Most say only what the picture shows, as a network this small learns first whatever tells captions apart.
_WORDINGS = (
    "{a} {thing}",
    "{thing}",
    "one {thing}",
    "picture of {a} {thing}",
    "this is {a} {thing}",
    "drawing: {a} {thing}",
    "{thing} clip art",
    "{a} {thing} on {backdrop}",
    "{thing} on {backdrop}",
    "{thing}, {pattern} background",
)

_ADS = (
    "buy now",
    "free shipping",
    "click to enlarge",
    "best price online",
    "sign up today",
    "limited offer",
    "add to cart",
)
_STOCK = ("stock photo", "untitled", "thumbnail", "banner", "header image", "logo final", "placeholder")
_CAMERAS = ("IMG", "DSC", "PICT", "scan", "image")
_SUFFIXES = ("jpg", "JPG", "jpeg", "png")


def caption_of(attributes: Attributes, rng: np.random.Generator) -> str:
    """A true caption: always the colour and the shape, in one of many wordings, with or without the rest."""
    words = [attributes.size if rng.random() < 0.3 else "", attributes.colour, attributes.shape]
    thing = " ".join(word for word in words if word)
    return _pick(_WORDINGS, rng).format(
        a="an" if thing[0] in "aeiou" else "a",
        thing=thing,
        backdrop=attributes.backdrop,
        pattern=attributes.pattern,
    )


def junk_caption(rng: np.random.Generator) -> str:
    """File names, ad words, hashes and dates: nothing that a picture could show."""
    number = int(rng.integers(10_000))
    match int(rng.integers(5)):
        case 0:
            return f"{_pick(_CAMERAS, rng)}_{number:04d}.{_pick(_SUFFIXES, rng)}"
        case 1:
            return f"{_pick(_ADS, rng)} - {int(rng.integers(5, 95))}% off, {_pick(_ADS, rng)}!"
        case 2:
            return rng.bytes(5).hex()
        case 3:
            year, month, day = rng.integers([2003, 1, 1], [2024, 13, 29])
            return f"{year}-{month:02d}-{day:02d} {int(rng.integers(24)):02d}:{int(rng.integers(60)):02d}"
        case _:
            return f"{_pick(_STOCK, rng)} {number}"


def _pick(options: tuple[str, ...], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
