"""The number forms of flags, exact where floats are not."""

from fractions import Fraction

import pytest

from datascaler.errors import ConfigError
from datascaler.spec.numbers import format_fraction, parse_bool, parse_bytes, parse_count, parse_fraction
from tests.limits import within


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("128000000", 128_000_000),
        ("128_000_000", 128_000_000),
        ("128M", 128_000_000),
        ("128m", 128_000_000),
        ("12.8M", 12_800_000),
        ("12.8B", 12_800_000_000),
        ("1.28b", 1_280_000_000),
        ("4k", 4000),
        ("2T", 2 * 10**12),
        ("0.001K", 1),
        (" 7 ", 7),
        ("3/2M", 1_500_000),
        ("1e6", 1_000_000),
        ("0", 0),
        ("-1", -1),
        ("12345678901234567890", 12345678901234567890),
        (5, 5),
    ],
)
def test_counts(text: str | int, value: int) -> None:
    assert parse_count(text) == value
    assert type(parse_count(text)) is int


@pytest.mark.parametrize(
    "text", ["", "M", "many", "1,000", "0x10", "1.5", "0.0001K", "nan", "inf", "1/0", "12 8", "1MM"]
)
def test_what_is_no_count(text: str) -> None:
    with pytest.raises(ConfigError, match="not a whole number"):
        parse_count(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("50G", 50 * 10**9),
        ("50GB", 50 * 10**9),
        ("50Gi", 50 * 2**30),
        ("50gib", 50 * 2**30),
        ("1.5 K", 1500),
        ("0.5Ki", 512),
        ("2T", 2 * 10**12),
        ("8_000M", 8 * 10**9),
        ("12B", 12),
        ("7", 7),
        (7, 7),
    ],
)
def test_sizes(text: str | int, value: int) -> None:
    assert parse_bytes(text) == value
    assert type(parse_bytes(text)) is int


@pytest.mark.parametrize("text", ["", "G", "-1G", "1P", "1e9", "1 G B", "1.2.3K", "0.5", "0.3Ki", "1/2G", "."])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match=r"not a size: .*write 50G, 50Gi or a number of bytes"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.3", Fraction(3, 10)),
        (0.3, Fraction(3, 10)),
        ("3/16", Fraction(3, 16)),
        ("0.1875", Fraction(3, 16)),
        (" 1 ", Fraction(1)),
        ("1e-4", Fraction(1, 10_000)),
        (".5", Fraction(1, 2)),
        (1, Fraction(1)),
        (Fraction(1, 3), Fraction(1, 3)),
        ("0.30000000000000000001", Fraction(30000000000000000001, 10**20)),
    ],
)
def test_fractions_are_exact(text: str | float | Fraction, value: Fraction) -> None:
    assert parse_fraction(text) == value


@pytest.mark.parametrize("text", ["", "x", "30%", "1/0", "nan", "inf", "0,3", "1/2/3"])
def test_what_is_no_fraction(text: str) -> None:
    with pytest.raises(ConfigError, match=r"not a number: .* \(write 0\.1875 or 3/16\)"):
        parse_fraction(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(3, 10), "0.3"),
        (Fraction(3, 16), "0.1875"),
        (Fraction(1), "1.0"),
        (Fraction(12), "12.0"),
        (Fraction(0), "0.0"),
        (Fraction(100), "100.0"),
        (Fraction(1, 3), "1-3"),
        (Fraction(7, 96), "7-96"),
        (Fraction(1, 100_000), "0.00001"),
        (Fraction(123456789012345, 10**14), "1.23456789012345"),
        (Fraction(10**15 + 1, 2), "500000000000000.5"),
        (Fraction(-5, 4), "-1.25"),
        (Fraction(3, 2), "1.5"),
    ],
)
def test_names_of_fractions(value: Fraction, text: str) -> None:
    assert format_fraction(value) == text


def test_every_fraction_has_a_name_of_its_own_that_reads_back() -> None:
    values = {Fraction(a, b) for a in range(1, 60) for b in (1, 2, 3, 7, 10, 64, 125, 10**6, 10**13, 10**13 + 1)}
    assert len({format_fraction(value) for value in values}) == len(values)
    assert all(parse_fraction(format_fraction(value).replace("-", "/")) == value for value in values)


@pytest.mark.parametrize("text", ["true", "True", " YES ", "on", "1", True])
def test_true(text: str | bool) -> None:
    assert parse_bool(text) is True


@pytest.mark.parametrize("text", ["false", "No", "off", "0", False])
def test_false(text: str | bool) -> None:
    assert parse_bool(text) is False


@pytest.mark.parametrize("text", ["", "maybe", "2", "y"])
def test_what_is_no_truth(text: str) -> None:
    with pytest.raises(ConfigError, match="not a truth value"):
        parse_bool(text)


@pytest.mark.parametrize("text", ["1e999999999", "1e-999999999", "1e9_9_9", "1E+0000000999999999", "9" * 100_000])
def test_a_number_of_a_billion_digits_is_refused_at_once(text: str) -> None:
    with within(), pytest.raises(ConfigError, match="not a whole number"):
        parse_count(text)
    with within(), pytest.raises(ConfigError, match="not a number"):
        parse_fraction(text)
