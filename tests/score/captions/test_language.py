"""A language model that was made to do harm is refused, and ends no process of ours."""

import random
from pathlib import Path

import pytest

from datascaler.errors import ConfigError
from datascaler.score.captions.language import load_detector
from tests.score.captions.files import LANGUAGE_MODEL


# Of 60 mutations: what they would do to the process that loads them.
@pytest.mark.parametrize("seed", [14, 22])
def test_a_model_that_crashes_its_library_is_refused(seed: int, tmp_path: Path) -> None:
    generator = random.Random(seed)
    raw = bytearray(Path(LANGUAGE_MODEL).read_bytes())
    for _ in range(3):
        raw[generator.randrange(8, 200)] = generator.getrandbits(8)
    (tmp_path / "lid.bin").write_bytes(raw)
    with pytest.raises(ConfigError, match=r"lid\.bin is not a fastText model, as lid\.176\.bin is \(.*crashes"):
        load_detector(f"{tmp_path}/lid.bin")


def test_a_sound_model_is_loaded() -> None:
    assert load_detector(LANGUAGE_MODEL).detector_id.startswith("fasttext-")
