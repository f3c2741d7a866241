"""What a foreign error says, inside one of ours."""

import pytest

from datascaler.errors import first_line


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("no such file", "no such file"),
        ("no such file\nat line 3", "no such file"),
        ("\n  the reason  \nmore", "the reason"),
        ('Error(s) in loading state_dict for CLIP:\n\tMissing key(s): "a".\n\tUnexpected key(s): "b".',
         'Error(s) in loading state_dict for CLIP: Missing key(s): "a".'),
        ("a:\nb:\nc\nd", "a: b: c"),
        ("ends:", "ends:"),
        ("", "ValueError"),
        ("\n \n", "ValueError"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
    ],
)  # fmt: skip
def test_its_first_line_or_the_reason_behind_its_colon(said: str, expected: str) -> None:
    assert first_line(ValueError(said)) == expected
