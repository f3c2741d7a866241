"""A language model that was made to do harm is refused, and ends no process of ours."""

import random
from pathlib import Path

from datascaler.errors import ConfigError
from datascaler.score.captions.language import load_detector
from tests.score.captions.files import LANGUAGE_MODEL


def test_models_that_crash_their_library_are_refused(tmp_path: Path) -> None:
    reasons = []
    # Of 60 mutations: what most of them do, wherever their library's memory lies, to the process that loads them.
    for seed in (14, 22, 32):
        generator = random.Random(seed)
        raw = bytearray(Path(LANGUAGE_MODEL).read_bytes())
        for _ in range(3):
            raw[generator.randrange(8, 200)] = generator.getrandbits(8)
        (tmp_path / "lid.bin").write_bytes(raw)
        try:
            load_detector(f"{tmp_path}/lid.bin")
        except ConfigError as error:
            reasons.append(str(error))
    assert any("lid.bin is not a fastText model" in reason and "crashes" in reason for reason in reasons)


def test_a_sound_model_is_loaded() -> None:
    assert load_detector(LANGUAGE_MODEL).detector_id.startswith("fasttext-")
