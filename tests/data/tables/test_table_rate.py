"""Rate and time left, from when tables were published."""

import pytest

from datascaler.data.tables.table_rate import Published, Rate, table_rate


def tables(*modified: float, rows: int = 100, seconds: float = 10.0) -> list[Published]:
    return [Published(at, rows, seconds) for at in modified]


def test_tables_at_even_times() -> None:
    assert table_rate(tables(1000, 1010, 1020), now=1021) == Rate(10.0, working=True)
    assert table_rate(tables(1020, 1000, 1010), now=1021) == Rate(10.0, working=True)


def test_several_workers_add_up() -> None:
    assert table_rate(tables(1000, 1000, 1010, 1010, 1020, 1020), now=1025).samples_per_second == pytest.approx(25)


@pytest.mark.parametrize("modified", [(), (1000.0,), (1000.0, 1000.0)])
def test_too_few_tables_have_no_rate(modified: tuple[float, ...]) -> None:
    rate = table_rate(tables(*modified), now=1001)
    assert rate == Rate(None, working=bool(modified))


def test_a_night_without_workers_is_not_counted() -> None:
    before, after = tables(0, 1, 2), tables(40_000, 40_010, 40_020)
    assert table_rate([*before, *after], now=40_025) == Rate(10.0, working=True)
    assert table_rate([*before, *tables(40_000)], now=40_001) == Rate(None, working=True)


def test_nobody_works_when_no_table_came_for_longer_than_shards_take() -> None:
    recent = tables(1000, 1010, seconds=10.0)
    assert table_rate(recent, now=1010 + 80).working
    assert not table_rate(recent, now=1010 + 81).working
    # Slow shards: silence is normal.
    assert table_rate(tables(1000, 1010, seconds=3600), now=1010 + 7000).working
