"""When scripts/slurm/run_or_requeue puts a job back into the queue, and when it must not."""

import pytest

from tests.slurm.client import Slurm

pytestmark = pytest.mark.slurm
_AGAIN = (75, 143)
_NEVER = (1, 2, 65, 78, 79, 104, 130, 137)


def script(task: str) -> str:
    """A batch script whose tasks run this in a shell."""
    return f"#SBATCH --requeue --open-mode=append\nexec scripts/slurm/run_or_requeue bash -c '{task}'"


def first_time(code: int) -> str:
    return f'[ -n "$SLURM_RESTART_COUNT" ] || exit {code}; echo went on'


def test_a_job_goes_back_for_75_and_143_alone(slurm: Slurm) -> None:
    again = {code: slurm.submit_text(script(first_time(code))) for code in _AGAIN}
    never = {code: slurm.submit_text(script(first_time(code))) for code in _NEVER}
    slurm.wait(*again.values(), *never.values())
    for job in again.values():
        assert (slurm.look(job)["JobState"], slurm.look(job)["Restarts"]) == ("COMPLETED", "1")
        assert slurm.log(job).count("went on") == 1
    for code, job in never.items():
        assert (slurm.look(job)["JobState"], slurm.look(job)["Restarts"]) == ("FAILED", "0")
        assert slurm.look(job)["ExitCode"] == f"{code}:0"


@pytest.mark.parametrize("peer", _AGAIN)
def test_what_a_peer_ends_with_hides_no_fault(slurm: Slurm, peer: int) -> None:
    """srun itself ends with the largest code of its tasks."""
    task = f"[ $SLURM_PROCID = 0 ] && exit 65; sleep 1; exit {peer}"
    job = slurm.submit_text(script(task), job=["--nodes=2", "--ntasks=2"])
    slurm.wait(job)
    assert (slurm.look(job)["JobState"], slurm.look(job)["Restarts"]) == ("FAILED", "0")
    assert slurm.look(job)["ExitCode"] == "65:0"


def test_one_task_of_an_array_goes_back_alone(slurm: Slurm) -> None:
    """The last task of an array has the array's id for a job id."""
    job = slurm.submit_text(
        script(f"[ $SLURM_ARRAY_TASK_ID = 0 ] || {{ {first_time(143)}; }}; echo task $SLURM_ARRAY_TASK_ID"),
        job=["--array=0-1"],
    )
    slurm.wait(job)
    assert set(slurm.tasks(job)) == {"COMPLETED"}
    assert [slurm.log(f"{job}_{task}").count("went on") for task in (0, 1)] == [0, 1]
    assert [slurm.log(f"{job}_{task}").count("task ") for task in (0, 1)] == [1, 2]


def test_a_job_that_its_owner_cancels_stays_cancelled(slurm: Slurm) -> None:
    stopped = 'trap "exit 143" TERM; echo ready; while :; do sleep 0.1; done'
    # A batch script with a trap lives long enough to see how its tasks ended.
    job = slurm.submit_text(script(stopped).replace("exec ", "trap : TERM\n. "))
    slurm.until(lambda: "ready" in slurm.log(job), "task")
    slurm.run("scancel", job)
    slurm.wait(job)
    assert (slurm.look(job)["JobState"], slurm.look(job)["Restarts"]) == ("CANCELLED", "0")


def test_the_usual_variables_reach_the_tasks(slurm: Slurm) -> None:
    job = slurm.submit_text(script("echo tasks $SLURM_STEP_NUM_TASKS cpus $SLURM_CPUS_PER_TASK"), job=["-c", "2"])
    slurm.wait(job)
    assert "tasks 1 cpus 2" in slurm.log(job)
