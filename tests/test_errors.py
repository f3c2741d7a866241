"""What a foreign error says, inside one of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from datascaler.errors import first_line
from datascaler.foreign_errors import what_it_means
from datascaler.storage import expect_local


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


def test_of_a_long_text_that_is_not_utf8_the_faulty_line_is_shown() -> None:
    names = [f"class {number}" for number in range(99)]
    with pytest.raises(UnicodeEncodeError) as encoded:
        "\n".join([*names, "caf\udce9 noir", "dog"]).encode()
    assert "not UTF-8 ('caf\\udce9 noir')" in str(what_it_means(encoded.value))
    with pytest.raises(UnicodeDecodeError) as decoded:
        (b"x" * 9999 + b"caf\xe9 noir").decode()
    assert "xcaf\\xe9 noir')" in str(what_it_means(decoded.value))
    assert len(str(what_it_means(decoded.value))) < 160


@pytest.mark.parametrize(
    ("error", "remedy"),
    [(ValueError("odd port"), "check the URL"), (SyntaxError("odd letter"), ""), (NameError("x"), "")],
)
def test_only_what_a_url_can_bring_about_is_told_as_one(tmp_path: Path, error: Exception, remedy: str) -> None:
    class Broken(list[tuple[int, int]]):
        def __iter__(self) -> Iterator[tuple[int, int]]:
            raise error

    (tmp_path / "file").touch()
    with pytest.raises(type(error)) as raised:
        expect_local(str(tmp_path / "file"), Broken())
    meaning = what_it_means(raised.value)
    assert remedy in str(meaning) if remedy else meaning is None
