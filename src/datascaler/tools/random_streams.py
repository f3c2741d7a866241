"""Random numbers by seed and purpose. Two draws that must be independent never share a stream: their sum would be too
wide, or too narrow.
"""

from zlib import crc32

import numpy as np


def random_stream(seed: int, purpose: str) -> np.random.Generator:
    """The generator of a purpose; always the same for a seed."""
    return np.random.default_rng([seed, crc32(purpose.encode())])
