"""Lines of text files, against what Python makes of a file that it opens as text."""

import io
import random
from pathlib import Path

import pytest

from datascaler.data.pool.text_file import read_list, read_text_file, split_lines
from datascaler.errors import ConfigError


def test_lines_are_those_of_a_file_opened_as_text() -> None:
    generator = random.Random(0)
    pieces = ["a", " ", "\n", "\n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
    for _ in range(2000):
        text = "".join(generator.choices(pieces, k=generator.randint(0, 12)))
        expected = [line.removesuffix("\n") for line in io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8")]
        assert split_lines(text) == expected


@pytest.mark.parametrize(
    ("text", "lines"),
    [("", []), ("\n", [""]), ("a\n", ["a"]), ("a\n\n", ["a", ""]), ("a\n\nb", ["a", "", "b"]), ("\na\r\n", ["", "a"])],
)
def test_one_break_at_the_end_is_no_line(text: str, lines: list[str]) -> None:
    assert split_lines(text) == lines


def test_a_byte_order_mark_is_no_letter_and_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffDer Hund\u2028\n\n\tkläfft \r\n".encode())
    assert read_text_file(f"{tmp_path}/list.txt")[0].startswith("Der Hund")
    assert read_list(f"{tmp_path}/list.txt")[0] == ["Der Hund", "kläfft"]
    (tmp_path / "list.txt").write_bytes("\ufeffa".encode("utf-16-le"))
    with pytest.raises(ConfigError, match=r"list\.txt is not UTF-8"):
        read_list(f"{tmp_path}/list.txt")
