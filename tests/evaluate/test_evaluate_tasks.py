"""Whole evaluations: sharing, resuming, refusing, counting."""

import dataclasses
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError
from datascaler.evaluate import data_identity
from datascaler.evaluate import evaluate_tasks as run
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.evaluate.tasks import Task
from tests.evaluate.sets import CLASSES, captioned, labelled, tar_of, task_of, vector_of, write_set
from tests.tiny_clip import tiny_loaded_clip

TASKS = [
    task_of("imagenet1k", 9, group="ImageNet"),
    task_of("vtab/pets", 8, main_metric="mean_per_class_recall", group="VTAB"),
    task_of("wilds/fmow", 6, main_metric="acc_worst_region", group="WILDS"),
    task_of("retrieval/flickr", 7, main_metric="mean_recall@1", group="Retrieval"),
    task_of("cifar10", 5),
]


def _write_data(data_dir: str) -> None:
    for seed, (name, task) in enumerate(zip(("imagenet1k", "vtab-pets", "wilds-fmow"), TASKS, strict=False)):
        samples = labelled(task.size, seed=seed)
        if name == "wilds-fmow":
            samples = [{**sample, "npy": vector_of(number % 2, 3)} for number, sample in enumerate(samples)]
        write_set(storage.join(data_dir, f"wds_{name}_test"), samples)
    write_set(storage.join(data_dir, "wds_flickr_test"), captioned(7), dataset_type="retrieval")
    write_set(storage.join(data_dir, "cifar10"), labelled(5, seed=9))


@pytest.fixture
def data_dir(tmp_path: Path) -> str:
    _write_data(str(tmp_path / "data"))
    return str(tmp_path / "data")


def _lines(output_dir: str) -> list[dict[str, Any]]:
    """Strict JSON: a bare NaN is an error."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = storage.read_text(storage.join(output_dir, "eval_results.jsonl"))
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def _record(output_dir: str, slug: str) -> Any:
    return storage.read_json(storage.join(output_dir, f"eval_results/{slug}.json"))


def _summary(output_dir: str) -> Any:
    return storage.read_json(storage.join(output_dir, "eval_summary.json"))


def _count_work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []
    original = run._evaluate_task

    def counted(model: Any, job: Any, *rest: Any) -> Any:
        done.append(job.task.key)
        return original(model, job, *rest)

    monkeypatch.setattr(run, "_evaluate_task", counted)
    return done


def test_all_files_of_a_run_on_s3(s3_url: str) -> None:
    data_dir, output_dir = storage.join(s3_url, "data"), storage.join(s3_url, "out")
    _write_data(data_dir)
    model = tiny_loaded_clip(0)
    summary = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS, batch_size=4, num_workers=2)
    lines = _lines(output_dir)
    assert [list(line) for line in lines] == [["key", "dataset", "metrics"]] * 5
    assert [line["key"] for line in lines] == [task.key for task in TASKS]
    assert [line["dataset"] for line in lines] == [task.name for task in TASKS]
    metrics = {line["key"]: line["metrics"] for line in lines}
    assert metrics["vtab/pets"]["main_metric"] == metrics["vtab/pets"]["mean_per_class_recall"]
    assert metrics["imagenet1k"]["main_metric"] == metrics["imagenet1k"]["acc1"]
    assert metrics["retrieval/flickr"]["main_metric"] == metrics["retrieval/flickr"]["mean_recall@1"]
    assert metrics["wilds/fmow"]["main_metric"] == metrics["wilds/fmow"]["acc_worst_region"]
    assert metrics["wilds/fmow"]["acc1"] is not None
    assert (summary.notes, summary.warnings, summary.missing, summary.pending) == ({}, {}, [], [])

    scores = [line["metrics"]["main_metric"] for line in lines]
    assert summary.average == pytest.approx(sum(scores) / 5)
    assert (summary.scored, summary.tasks, summary.evaluated, summary.average_38) == (5, 5, 5, None)
    assert summary.groups["VTAB"].average == metrics["vtab/pets"]["main_metric"]
    assert (summary.groups["IN shifts"].average, summary.groups["IN shifts"].tasks) == (None, 6)
    stored = storage.read_json(storage.join(output_dir, "eval_summary.json"))
    assert stored == json.loads(json.dumps(summary.to_json()))
    assert "average_38" not in stored

    with storage.open_read(storage.join(output_dir, "eval_samples/vtab-pets.parquet")) as file:
        table = pq.read_table(file)
    assert table.column_names == ["key", "label", "prediction", "correct", "rank", "log_probability", "margin"]
    assert table.num_rows == 8
    assert table.schema.metadata[b"weights_hash"].decode() == model.weights_hash


def test_workers_share_the_tasks_and_the_last_one_assembles(tmp_path: Path, data_dir: str) -> None:
    model = tiny_loaded_clip(0)
    alone, shared = str(tmp_path / "alone"), str(tmp_path / "shared")
    evaluate_tasks(model, data_dir=data_dir, output_dir=alone, tasks=TASKS)
    for index in (2, 0, 1):
        summary = evaluate_tasks(model, data_dir=data_dir, output_dir=shared, tasks=TASKS, index=index, count=3)
        done = {path.stem for path in (tmp_path / "shared/eval_results").iterdir()}
        assert {task.slug for task in TASKS[index::3]} <= done
        assert len(summary.pending) == 5 - len(done)
        assert (tmp_path / "shared/eval_summary.json").exists() == (not summary.pending)
        assert (tmp_path / "shared/eval_results.jsonl").exists() == (not summary.pending)
    for name in ("eval_results.jsonl", "eval_summary.json", "eval_samples/retrieval-flickr.parquet"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "shared" / name).read_bytes()


def test_rerun_resumes(tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    first = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS)
    before = (tmp_path / "out/eval_results.jsonl").read_bytes()
    for lost in ("eval_results.jsonl", "eval_summary.json", "eval_results/cifar10.json"):
        (tmp_path / "out" / lost).unlink()
    done = _count_work(monkeypatch)
    assert evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS) == first
    assert done == ["cifar10"]
    assert (tmp_path / "out/eval_results.jsonl").read_bytes() == before


class Killed(BaseException):
    pass


def _killed_at(moment: int, patch: pytest.MonkeyPatch) -> None:
    """The process ends at that moment: before the first file is published, after it, before the second, ..."""
    passed = iter(range(moment))

    def pass_moment() -> None:
        if next(passed, None) is None:
            raise Killed

    def dying(publish: Any) -> Any:
        def publish_or_die(*arguments: Any) -> None:
            pass_moment()
            publish(*arguments)
            pass_moment()

        return publish_or_die

    whole_publish = storage.publish

    @contextmanager
    def publish(*arguments: Any) -> Iterator[Any]:
        pass_moment()
        with whole_publish(*arguments) as file:
            yield file
        pass_moment()

    for name in ("publish_json", "publish_text"):
        patch.setattr(storage, name, dying(getattr(storage, name)))
    patch.setattr(storage, "publish", publish)


def test_killed_at_any_moment_no_task_is_repeated_or_lost(
    tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tasks = tiny_loaded_clip(0), TASKS[3:]
    evaluate_tasks(model, data_dir=data_dir, output_dir=str(tmp_path / "whole"), tasks=tasks)
    moments = 2 * (2 * len(tasks) + 2)  # samples and record of each, then the lines and the summary
    for moment in range(moments + 1):
        output_dir = tmp_path / str(moment)
        with monkeypatch.context() as patch:
            _killed_at(moment, patch)
            with pytest.raises(Killed) if moment < moments else nullcontext():
                evaluate_tasks(model, data_dir=data_dir, output_dir=str(output_dir), tasks=tasks)
        there = {path.stem for path in (output_dir / "eval_results").glob("*.json")}
        with monkeypatch.context() as patch:
            done = _count_work(patch)
            evaluate_tasks(model, data_dir=data_dir, output_dir=str(output_dir), tasks=tasks)
        assert done == [task.key for task in tasks if task.slug not in there]
        for name in ("eval_results.jsonl", "eval_summary.json"):
            assert (output_dir / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_results_of_another_precision_are_refused(tmp_path: Path, data_dir: str) -> None:
    output_dir = str(tmp_path / "out")
    model = tiny_loaded_clip(0)
    evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:])
    rough = dataclasses.replace(model, chosen_precision="bfloat16")
    with pytest.raises(ConfigError, match="of a model with precision float32, this one has bfloat16"):
        evaluate_tasks(rough, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:])
    evaluate_tasks(rough, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:], overwrite=True)
    # A result of the time when it was not recorded is taken as it is.
    url = storage.join(output_dir, "eval_results/cifar10.json")
    record = storage.read_json(url)
    storage.publish_json(url, record | {"model": {k: v for k, v in record["model"].items() if k != "precision"}})
    assert evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:]).evaluated == 1


def test_a_done_task_needs_no_data(tmp_path: Path, data_dir: str) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    first = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS)
    assert evaluate_tasks(model, data_dir=str(tmp_path / "nowhere"), output_dir=output_dir, tasks=TASKS) == first


def test_other_selections_add_to_a_folder(tmp_path: Path, data_dir: str) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[:1])
    summary = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:])
    assert [line["key"] for line in _lines(output_dir)] == ["cifar10", "imagenet1k"]
    assert summary.evaluated == 2


def test_other_weights_are_refused_or_overwritten(
    tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_dir = str(tmp_path / "out")
    first, second = tiny_loaded_clip(0), tiny_loaded_clip(1)
    evaluate_tasks(first, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[:2])
    done = _count_work(monkeypatch)
    with pytest.raises(ConfigError, match=r"weights_hash .*overwrite the results or use a new --output-dir"):
        evaluate_tasks(second, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[:1])
    assert done == []
    summary = evaluate_tasks(second, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[:1], overwrite=True)
    assert done == ["imagenet1k"]
    # The other task's result is of the first model: it stays out of the common files.
    assert [line["key"] for line in _lines(output_dir)] == ["imagenet1k"]
    assert (summary.evaluated, summary.weights_hash) == (1, second.weights_hash)


@pytest.mark.parametrize("change", [{"size": 10}, {"main_metric": "acc5"}, {"group": "mine"}])
def test_another_task_definition_is_refused_or_overwritten(
    tmp_path: Path, data_dir: str, change: dict[str, Any]
) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[:1])
    changed: list[Task] = [dataclasses.replace(TASKS[0], **change)]
    (field,) = change
    with pytest.raises(ConfigError, match=f"{field} of task imagenet1k was"):
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=changed)
    evaluate_tasks(
        model, data_dir=data_dir, output_dir=output_dir, tasks=changed, overwrite=True, allow_partial_sets=True
    )
    assert _record(output_dir, "imagenet1k")["task"][field] == change[field]


def test_other_data_is_refused_or_overwritten(tmp_path: Path, data_dir: str) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:])
    write_set(storage.join(data_dir, "cifar10"), labelled(8, seed=9))
    with pytest.raises(ConfigError, match="data of task cifar10 was"):
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:])
    evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:], overwrite=True)
    assert _record(output_dir, "cifar10")["size_found"] == 8


@pytest.mark.parametrize("where", ["local", "s3"])
def test_changed_labels_of_equal_size_are_not_taken_for_the_old_ones(
    request: pytest.FixtureRequest, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(request.getfixturevalue("s3_url" if where == "s3" else "tmp_path"))
    data_dir, output_dir, model = f"{folder}/data", f"{folder}/out", tiny_loaded_clip(0)
    tasks = [task_of("a", 6), task_of("b", 6)]
    samples = labelled(6)
    for task in tasks:
        write_set(f"{data_dir}/wds_{task.key}_test", samples, shards=1)
    first = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=tasks)
    tar = f"{data_dir}/wds_a_test/test/0.tar"
    before = storage.stat(tar)
    others = [{**sample, "cls": b"%d" % ((int(sample["cls"]) + 1) % 6)} for sample in samples]
    storage.publish_bytes(tar, tar_of(others))
    if where == "local":
        # As on a file system whose times are coarse.
        os.utime(tar, (before.modified, before.modified))
    assert storage.stat(tar).size == before.size
    done = _count_work(monkeypatch)
    with pytest.raises(
        ConfigError, match=r"a\.json: data of task a was .*, for test/0\.tar in .* changed; overwrite"
    ) as caught:
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=tasks)
    assert done == []
    # The old number is in no table of this data.
    assert caught.value.finished.scores == {"b": first.scores["b"]}
    assert [line["key"] for line in _lines(output_dir)] == ["b"]
    again = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=tasks, overwrite=True)
    assert done == ["a"]
    assert again.scores != first.scores
    storage.publish_text(f"{data_dir}/wds_b_test/classnames.txt", "\n".join(CLASSES[::-1]))
    with pytest.raises(ConfigError, match=r"data of task b was .*, for classnames\.txt in"):
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=tasks)


def test_a_copy_of_a_set_is_that_set(tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large tars that look as they did are not read again; those that do not are read, and may be the same."""
    monkeypatch.setattr(data_identity, "_READ_ANYWAY_BYTES", 0)
    read: list[str] = []
    original = data_identity.HashedFile.hash_to_end

    def counted(file: data_identity.HashedFile) -> str:
        read.append(file._file.name)
        return original(file)

    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    first = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:])
    monkeypatch.setattr(data_identity.HashedFile, "hash_to_end", counted)
    assert evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS[4:]) == first
    assert read == []
    copied = str(tmp_path / "copy")
    shutil.copytree(data_dir, copied, copy_function=shutil.copyfile)
    assert evaluate_tasks(model, data_dir=copied, output_dir=output_dir, tasks=TASKS[4:]) == first
    assert read == [f"{copied}/cifar10/test/{number}.tar" for number in range(2)]


def test_missing_data_is_listed_or_refused(tmp_path: Path, data_dir: str) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    tasks = [task_of("vtab/absent", 3), *TASKS[4:]]
    with pytest.raises(ConfigError, match=r"for vtab/absent; a folder like wds_vtab-absent_test"):
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=tasks)
    summary = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=tasks, missing_ok=True)
    assert (summary.missing, summary.pending, summary.evaluated) == (["vtab/absent"], [], 1)
    assert [line["key"] for line in _lines(output_dir)] == ["cifar10"]
    with pytest.raises(ConfigError, match="no data below"):
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=tasks[:1], missing_ok=True)


def test_a_set_that_has_lost_samples_is_refused_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir, output_dir = str(tmp_path / "data"), str(tmp_path / "out")
    for name in ("a", "b"):
        write_set(storage.join(data_dir, f"wds_{name}_test"), labelled(6))
    tasks = [task_of("a", 7), task_of("b", 6)]
    reason = "^a: its set holds 6 of 7 samples: download it again, or take it as it is with --allow-partial-sets; "
    with pytest.raises(BadInputError, match=reason) as caught:
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks)
    summary = caught.value.finished
    assert (list(summary.scores), list(summary.failed)) == (["b"], ["a"])
    assert not (tmp_path / "out/eval_results/a.json").exists()
    # A result that was allowed once counts only where it is allowed again; either costs no second evaluation.
    evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks, allow_partial_sets=True)
    done = _count_work(monkeypatch)
    with pytest.raises(BadInputError, match=reason) as caught:
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks)
    assert (list(caught.value.finished.scores), done) == (["b"], [])
    assert [line["key"] for line in _lines(output_dir)] == ["b"]
    summary = evaluate_tasks(
        tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks, allow_partial_sets=True
    )
    assert (list(summary.scores), summary.failed, done) == (["a", "b"], {}, [])


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("a cut tar", r"0\.tar: truncated member at byte .*; download it again"),
        ("no class names", r"classnames\.txt: not found; the evaluation set is not complete: download it again"),
        ("a class too few", r"classnames\.txt has 5 classes, the task has 6"),
        ("a lost tar", r"1\.tar: not found; .*nshards\.txt announces 2 tars and 1 of them are absent"),
        ("a tar fewer", r"its set holds 3 of 6 samples: download it again"),
        ("no picture", r"1 of 6 images do not decode"),
    ],
)
def test_a_broken_set_is_named_the_others_go_on_and_the_exit_code_says_so(
    harm: str, reason: str, tmp_path: Path
) -> None:
    samples = labelled(6, classes=5)
    names = CLASSES[: 5 if harm == "a class too few" else 6]
    if harm == "no picture":
        samples[5] = {"png": samples[5]["webp"][:50], "cls": b"1"}
    folder = tmp_path / "data/wds_a_test"
    write_set(str(folder), samples, classnames=names)
    write_set(str(tmp_path / "data/wds_b_test"), labelled(6))
    if harm == "a cut tar":
        (folder / "test/0.tar").write_bytes((folder / "test/0.tar").read_bytes()[:3000])
    elif harm == "no class names":
        (folder / "classnames.txt").unlink()
    elif harm == "a lost tar":
        (folder / "test/1.tar").unlink()
    elif harm == "a tar fewer":
        (folder / "test/nshards.txt").write_text("1\n")
    tasks = [dataclasses.replace(task_of("a", 6), num_classes=6), task_of("b", 6)]
    with pytest.raises(BadInputError, match=f"^a: .*{reason}") as caught:
        evaluate_tasks(
            tiny_loaded_clip(0), data_dir=str(tmp_path / "data"), output_dir=str(tmp_path / "out"), tasks=tasks
        )
    assert caught.value.exit_code == 65
    assert caught.value.finished.scores["b"] is not None
    assert list(caught.value.finished.failed) == ([] if harm == "no picture" else ["a"])


def test_a_size_that_is_not_the_tasks_is_a_warning(tmp_path: Path) -> None:
    data_dir, output_dir = str(tmp_path / "data"), str(tmp_path / "out")
    write_set(storage.join(data_dir, "wds_a_test"), labelled(6))
    summary = evaluate_tasks(
        tiny_loaded_clip(0),
        data_dir=data_dir,
        output_dir=output_dir,
        tasks=[task_of("a", 7)],
        allow_partial_sets=True,
    )
    record = _record(output_dir, "a")
    assert (record["size_expected"], record["size_found"], record["bad_images"]) == (7, 6, 0)
    assert record["warning"] == summary.warnings["a"] == "6 images were evaluated, the task has 7"
    assert (summary.by_task["a"]["images"], summary.by_task["a"]["size"]) == (6, 7)


def test_an_unreadable_image_is_an_error_beside_its_tasks_score(tmp_path: Path) -> None:
    """In every start, for the result stays as it is; the other task is a success."""
    data_dir, output_dir = str(tmp_path / "data"), str(tmp_path / "out")
    samples = labelled(6)
    samples[3] = {"png": b"no picture", "cls": b"1"}
    tasks = [task_of("a", 6), task_of("b", 6)]
    write_set(storage.join(data_dir, "wds_a_test"), samples)
    write_set(storage.join(data_dir, "wds_b_test"), labelled(6, seed=1))
    for _ in range(2):
        with pytest.raises(
            BadInputError, match=r"^a: 1 of 6 images do not decode, and its score is over the others"
        ) as caught:
            evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks)
        summary = caught.value.finished
        assert (list(summary.scores), summary.failed) == (["a", "b"], {})
        for part in ("5 images were evaluated, the task has 6", "1 images do not decode"):
            assert part in summary.warnings["a"]
        assert _record(output_dir, "a")["bad_images"] == 1
    # The worker whose tasks are whole ends well.
    evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks, index=1, count=2)


def test_another_number_of_classes_is_another_task(tmp_path: Path) -> None:
    data_dir, output_dir = str(tmp_path / "data"), str(tmp_path / "out")
    tasks = [dataclasses.replace(task_of("a", 6), num_classes=5), task_of("b", 6)]
    for task in tasks:
        write_set(storage.join(data_dir, f"wds_{task.key}_test"), labelled(6), classnames=(*CLASSES[:5], ""))
    with pytest.raises(
        BadInputError, match=r"^a: .*classnames.txt has 6 classes, 1 of them blank, the task has 5"
    ) as caught:
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks)
    assert (list(caught.value.finished.scores), list(caught.value.finished.failed)) == (["b"], ["a"])


def test_a_main_metric_that_nobody_computes_is_named(tmp_path: Path) -> None:
    data_dir, output_dir = str(tmp_path / "data"), str(tmp_path / "out")
    write_set(storage.join(data_dir, "wds_a_test"), labelled(6))
    tasks = [task_of("a", 6, main_metric="accuracy")]
    with pytest.raises(
        BadInputError, match=r"^a: its main metric accuracy is none that is computed: acc1, acc5, mean_per"
    ):
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=tasks)


def test_a_set_without_a_good_image_is_null(tmp_path: Path) -> None:
    data_dir, output_dir = str(tmp_path / "data"), str(tmp_path / "out")
    write_set(storage.join(data_dir, "wds_a_test"), [{"png": b"x", "cls": b"1"}], shards=1)
    with pytest.raises(BadInputError, match=r"^a: 1 of 1 images do not decode") as caught:
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=[task_of("a", 1)])
    summary = caught.value.finished
    assert (summary.average, summary.scores, summary.notes) == (None, {"a": None}, {})
    assert _lines(output_dir)[0]["metrics"]["main_metric"] is None


def test_a_result_without_its_main_metric_is_made_anew(
    tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As versions left it that did not compute the metrics of metadata."""
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    first = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS)
    url = storage.join(output_dir, "eval_results/wilds-fmow.json")
    record = storage.read_json(url)
    record["metrics"] = {name: record["metrics"][name] for name in ("acc1", "acc5")} | {"main_metric": None}
    record |= {"note": "not computed yet: acc_worst_region", "data": {"contents": {}, "seen": {}}}
    storage.publish_json(url, record)
    done = _count_work(monkeypatch)
    assert evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS) == first
    assert done == ["wilds/fmow"]


def test_a_damaged_tar_stops_no_other_task(tmp_path: Path, data_dir: str) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    url = storage.join(data_dir, "wds_imagenet1k_test/test/0.tar")
    whole = storage.read_bytes(url)
    storage.publish_bytes(url, whole[:3000])
    with pytest.raises(BadInputError, match=r"imagenet1k: .*0\.tar: truncated") as caught:
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS)
    assert len(list((tmp_path / "out/eval_results").iterdir())) == 4
    # What is done is published, with the reason of what is not.
    assert [line["key"] for line in _lines(output_dir)] == [task.key for task in TASKS[1:]]
    summary = caught.value.finished
    assert (summary.evaluated, summary.pending, list(summary.failed)) == (4, [], ["imagenet1k"])
    assert "0.tar: truncated" in summary.failed["imagenet1k"]
    assert _summary(output_dir) == json.loads(json.dumps(summary.to_json()))
    storage.publish_bytes(url, whole)
    summary = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS)
    assert (summary.evaluated, summary.pending, summary.failed) == (5, [], {})
    assert list((tmp_path / "out/eval_failures").iterdir()) == []


def test_broken_sets_are_told_of_before_the_others_are_evaluated(
    tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is gone, one that can't be read, and a label beyond the classes, which only reading shows."""
    storage.remove(storage.join(data_dir, "cifar10/classnames.txt"))
    (tmp_path / "data/wds_flickr_test/test/nshards.txt").unlink()
    (tmp_path / "data/wds_flickr_test/test/nshards.txt").mkdir()
    write_set(storage.join(data_dir, "wds_vtab-pets_test"), labelled(8), classnames=CLASSES[:2])
    done, said = _count_work(monkeypatch), list[str]()
    output_dir = str(tmp_path / "out")
    with pytest.raises(BadInputError, match=r"cifar10/classnames\.txt: not found"):
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=output_dir, tasks=TASKS, say=said.append)
    assert done == ["imagenet1k", "vtab/pets", "wilds/fmow"]
    broken = [line for line in said if " can't be evaluated, the others go on: " in line]
    assert [line.split()[0] for line in broken] == ["retrieval/flickr", "cifar10", "vtab/pets"]
    assert said[:2] == broken[:2]
    for number, line in enumerate((line for line in said if line not in broken), 1):
        score = "" if done[number - 1] == "vtab/pets" else r": acc\w+ [01]\.\d{4}"
        to_go = "" if number == 3 else r", about \d:\d\d:\d\d to go"
        assert re.fullmatch(rf"{done[number - 1]}{score} \({number} of 3 tasks{to_go}\)", line)
    assert [line["key"] for line in _lines(output_dir)] == ["imagenet1k", "wilds/fmow"]
    failed = _summary(output_dir)["failed"]
    assert "label 5, but classnames.txt has 2 classes" in failed["vtab/pets"]


def test_whoever_finds_nothing_pending_publishes_whichever_worker_failed(tmp_path: Path, data_dir: str) -> None:
    model, output_dir = tiny_loaded_clip(0), str(tmp_path / "out")
    names = storage.join(data_dir, "wds_imagenet1k_test/classnames.txt")
    content = storage.read_bytes(names)
    storage.remove(names)
    with pytest.raises(BadInputError, match="imagenet1k"):
        evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS, index=0, count=2)
    assert not (tmp_path / "out/eval_summary.json").exists()
    summary = evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS, index=1, count=2)
    assert (summary.evaluated, summary.pending, list(summary.failed)) == (4, [], ["imagenet1k"])
    assert _summary(output_dir)["evaluated"] == 4
    storage.publish_bytes(names, content)
    assert evaluate_tasks(model, data_dir=data_dir, output_dir=output_dir, tasks=TASKS, index=0, count=2).failed == {}
    assert _summary(output_dir)["evaluated"] == 5


def test_where_every_set_is_broken_the_reasons_are_published(tmp_path: Path, data_dir: str) -> None:
    (tmp_path / "data/cifar10/test/nshards.txt").write_text("many")
    with pytest.raises(BadInputError, match="must hold the number of tars, got 'many'") as caught:
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=str(tmp_path / "out"), tasks=TASKS[4:])
    assert (caught.value.finished.evaluated, caught.value.finished.average) == (0, None)
    assert list(_summary(str(tmp_path / "out"))["failed"]) == ["cifar10"]


def test_what_is_wrong_with_the_machine_is_no_broken_set(
    tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(run, "_evaluate_task", no_memory)
    with pytest.raises(MemoryError):
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=str(tmp_path / "out"), tasks=TASKS)
    assert not (tmp_path / "out/eval_failures").exists()


def test_a_foreign_file_among_the_results_is_named(tmp_path: Path, data_dir: str) -> None:
    storage.publish_json(str(tmp_path / "out/eval_results/x.json"), {"key": "x"})
    with pytest.raises(ConfigError, match=r"x\.json: is not a result"):
        evaluate_tasks(tiny_loaded_clip(0), data_dir=data_dir, output_dir=str(tmp_path / "out"), tasks=TASKS)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": []}, "no tasks to evaluate"),
        ({"batch_size": 0}, "batch-size must be at least 1, got 0"),
        ({"num_workers": 0}, "num-workers must be at least 1, got 0"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"index": 2, "count": 2}, "index must be from 0 to count - 1 = 1, got 2"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    arguments = {"data_dir": str(tmp_path), "output_dir": str(tmp_path), "tasks": TASKS, **settings}
    with pytest.raises(ConfigError, match=message):
        evaluate_tasks(tiny_loaded_clip(0), **arguments)
