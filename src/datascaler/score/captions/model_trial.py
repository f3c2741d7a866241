"""What a child process does to find out whether a model's file crashes fastText. It imports nothing else of ours."""

from contextlib import suppress
from typing import IO

_TEXT = "a photo of two cats, ein Foto von zwei Katzen 123"


def try_fasttext(path: str, output: IO[bytes]) -> None:
    """Load the model and use it once; what is wrong with it in other ways is said where it is loaded for good."""
    import fasttext

    with suppress(ValueError, RuntimeError):
        labels, _ = fasttext.load_model(path).predict(_TEXT, k=-1)
        output.write(b"%d" % len(labels))
