"""Which worker this is: each part of a work is done by exactly one of the workers, or all refuse by name."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from datascaler.errors import ConfigError
from datascaler.tools.work_share import WorkShare, work_share
from tests.cli.test_indexes import part


def array(first: int, last: int, step: int = 1, **more: str) -> list[dict[str, str]]:
    """What Slurm gives the tasks of `--array=FIRST-LAST:STEP`."""
    tasks = range(first, last + 1, step)
    ends = {"MIN": str(first), "MAX": str(tasks[-1]), "STEP": str(step), "COUNT": str(len(tasks))}
    common = {f"SLURM_ARRAY_TASK_{name}": value for name, value in ends.items()} | more
    return [common | {"SLURM_ARRAY_TASK_ID": str(task)} for task in tasks]


def step(tasks: int) -> list[dict[str, str]]:
    """What `srun -n TASKS` gives them."""
    return [{"SLURM_STEP_NUM_TASKS": str(tasks), "SLURM_PROCID": str(each)} for each in range(tasks)]


def pods(completions: int) -> list[dict[str, str]]:
    return [{"JOB_COMPLETION_INDEX": str(each)} for each in range(completions)]


def spread_array(tasks: int) -> list[dict[str, str]]:
    return array(5, 5 + 3 * (tasks - 1), 3)


@pytest.mark.parametrize("start", [spread_array, step, pods])
def test_random_numbers_of_workers_share_all_work(start: Callable[[int], list[dict[str, str]]]) -> None:
    draw = random.Random(0)
    for _ in range(100):
        count = draw.randint(2, 40)
        given = count if start is pods or draw.random() < 0.5 else None
        shares = [(place, work_share(place, count=given)) for place in start(count)]
        assert [(share.index, share.count) for _, share in shares] == [(each, count) for each in range(count)]
        assert all(share.taken_from in place for place, share in shares)
        again = sorted(draw.sample(range(count), draw.randint(2, count)))
        assert [work_share(place, count=count, indexes=again).index for place in start(len(again))] == again


def test_random_mixtures_do_each_part_once_or_refuse_by_name() -> None:
    draw = random.Random(1)
    outcomes: Counter[str] = Counter()
    for _ in range(1000):
        workers = draw.randint(2, 8)
        places: list[dict[str, str]] = [{} for _ in range(workers)]
        for some in (array(first := draw.randint(0, 3), first + workers - 1), step(workers), pods(workers)):
            if draw.random() < 0.4:
                dropped = draw.choice([*some[0], "", "", ""])
                for place, more in zip(places, some, strict=True):
                    place.update({name: value for name, value in more.items() if name != dropped})
        count = draw.choice([None, workers, draw.randint(1, 9)])
        shares: list[WorkShare] = []
        messages: list[str] = []
        for place in places:
            try:
                shares.append(work_share(place, count=count))
            except ConfigError as error:
                messages.append(str(error))
                assert "--count" in messages[-1]
        if shares and not any(share.taken_from for share in shares):
            assert count in (None, 1)  # everyone does all, as they were told
            outcomes["whole"] += 1
            continue
        assert len({share.index for share in shares}) == len(shares)
        assert {share.count for share in shares} <= {workers, count or 1}
        outcomes["shared" if not messages else "refused"] += 1
    assert min(outcomes.values()) > 50, outcomes


@pytest.mark.parametrize(
    ("environ", "flags", "message"),
    [
        ({}, {"count": 4}, "--count is 4, and nothing says which worker this is: give --index, from 0 to 3"),
        ({}, {"count": 9, "indexes": [3, 7]}, "the length of --indexes is 2, and nothing says which worker this is"),
        (
            array(3, 7, 4)[0] | {"SLURM_ARRAY_TASK_STEP": "1"},
            {},
            "SLURM_ARRAY_TASK_ID is 3 of 2 between 3 and 7, a list",
        ),
        (array(2, 2)[0], {"count": 4}, "SLURM_ARRAY_TASK_COUNT is 1, but --count is 4: give both --index and --count"),
        (array(0, 3)[2], {"index": 1}, "SLURM_ARRAY_TASK_ID says 2, but --index is 1"),
        (array(0, 3)[2] | step(2)[1], {"count": 4}, "SLURM_ARRAY_TASK_ID and SLURM_PROCID both number the workers"),
        ({"SLURM_ARRAY_TASK_ID": "1"}, {"count": 4}, "SLURM_ARRAY_TASK_MIN is not set, so this worker can't tell"),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "x"}, {"count": 4}, "SLURM_PROCID is 'x', so this worker"),
        ({"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "4"}, {}, "SLURM_PROCID is 4 of SLURM_STEP_NUM_TASKS 4"),
        ({"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}, {}, "SLURM_STEP_NUM_TASKS is not set, so this worker can't tell"),
        ({"SLURM_STEP_NUM_TASKS": "0", "SLURM_PROCID": "2"}, {}, "SLURM_PROCID is 2 of SLURM_STEP_NUM_TASKS 0"),
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "2"}, {}, "SLURM_PROCID is 2 of SLURM_STEP_NUM_TASKS 1"),
        ({"JOB_COMPLETION_INDEX": "9" * 5000}, {"count": 4}, "JOB_COMPLETION_INDEX is '9999"),
        ({}, {"index": 0, "count": 0}, "--count is 0: it must be at least 1"),
        (
            {"PBS_ARRAY_INDEX": "2"},
            {"count": 4},
            "--count is 4, and nothing says which worker this is: give --index, from 0 to 3; PBS_ARRAY_INDEX is '2', ",
        ),
        (pods(4)[3], {}, "JOB_COMPLETION_INDEX is 3, but --count is 1: indexes go from 0 to 0"),
        (pods(1)[0], {"index": 4, "count": 4}, "--index is 4, but --count is 4: indexes go from 0 to 3"),
    ],
)
def test_what_stays_open_is_refused(environ: dict[str, str], flags: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        work_share(environ, **flags)  # type: ignore[arg-type]
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 200


def test_both_flags_decide_and_one_task_is_no_share() -> None:
    assert work_share(array(2, 2)[0], 2, 4) == WorkShare(2, 4)
    assert work_share(step(8)[3], 0, 1) == WorkShare(0, 1)
    assert work_share({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) == WorkShare(0, 1)


def test_what_was_taken_is_printed() -> None:
    done = CliRunner().invoke(part, [], env=array(5, 8)[2])
    assert (done.stdout, done.stderr) == ("2 of 4\n", "this is worker 2 of 0 to 3, by SLURM_ARRAY_TASK_ID\n")


@pytest.mark.parametrize("name", ["PBS_ARRAY_INDEX", "SGE_TASK_ID", "LSB_JOBINDEX", "OMPI_COMM_WORLD_RANK"])
def test_a_number_that_nobody_explains_is_said(name: str) -> None:
    """Its first may be 0 or 1, and the others are not counted, so the whole is done, but not in silence."""
    done = CliRunner().invoke(part, [], env={name: "3"})
    assert done.stdout == "0 of 1\n"
    assert done.stderr == (
        f"{name} is '3', and this worker does all of the work: to share it, give --index and --count\n"
    )
    for flags in (["--index=1", "--count=4"], ["--count=1"]):
        assert CliRunner().invoke(part, flags, env={name: "3"}).stderr == ""
    assert CliRunner().invoke(part, [], env={name: "undefined"}).stderr == ""
