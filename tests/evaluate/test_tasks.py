"""The task list that is shipped, and lists that users bring."""

from pathlib import Path

import pytest

from datascaler import storage
from datascaler.errors import ConfigError
from datascaler.evaluate.tasks import Task, folder_names, folder_of, load_tasks, select_tasks


def _by_key() -> dict[str, Task]:
    return {task.key: task for task in load_tasks()}


def test_shipped_list_is_datacomps() -> None:
    tasks = load_tasks()
    assert len(tasks) == 40
    assert sum(task.main_metric is not None for task in tasks) == 38
    assert [task.key for task in tasks[:3]] == ["vtab/caltech101", "cifar10", "vtab/cifar100"]
    assert tasks[-1].key == "fairness/utkface"
    assert sum(task.size for task in tasks) == 732_026
    sizes = {
        group: sum(task.group == group for task in tasks) for group in ("ImageNet", "IN shifts", "VTAB", "Retrieval")
    }
    assert sizes == {"ImageNet": 1, "IN shifts": 6, "VTAB": 13, "Retrieval": 3}


def test_shipped_list_spot_values() -> None:
    tasks = _by_key()
    assert tasks["imagenet1k"] == Task("imagenet1k", "ImageNet 1k", 50_000, "acc1", 1000, 0.001, "ImageNet")
    assert tasks["vtab/flowers"].main_metric == "mean_per_class_recall"
    assert tasks["vtab/flowers"].other == {"tags": ["natural"]}
    assert tasks["sun397"].group == "VTAB"
    assert tasks["wilds/iwildcam"].main_metric == "F1-macro_all"
    assert tasks["misc/winogavil"].main_metric == "jaccard_score_10-12"
    assert tasks["fairness/fairface"].main_metric is None
    assert tasks["retrieval/flickr_1k_test_image_text_retrieval"].size == 1000
    assert tasks["renderedsst2"].random_score == 0.500001


def _load(tmp_path: Path, text: str) -> list[Task]:
    (tmp_path / "tasklist.yml").write_text(text)
    return load_tasks(str(tmp_path))


def test_task_dir_defaults_groups_and_unknown_columns(tmp_path: Path) -> None:
    mine, mnist, sketch = _load(
        tmp_path,
        "mine: {name: Mine, size: 7, colour: blue, time: 3.5}\n"
        "mnist: {name: MNIST, size: 10000, main_metric: null}\n"
        "imagenet_sketch: {name: Sketch, size: 50889, group: other}\n",
    )
    assert (mine.main_metric, mine.group, mine.num_classes) == ("acc1", None, None)
    assert mine.other == {"colour": "blue", "time": 3.5}
    assert mnist.main_metric is None
    assert sketch.group == "other"


def test_groups_of_a_list_without_group_column_are_datacomps(tmp_path: Path) -> None:
    (task,) = _load(tmp_path, "imagenet-a: {name: ImageNet-A, size: 7500}\n")
    assert task.group == "IN shifts"


OUTSIDE = ["..", ".", "../secret", "a/../../b", "/etc", "a//b", "..\\\\b"]
"""Keys that would be read elsewhere."""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{name: A, size: many}", "task a: size must be a positive integer, got 'many'"),
        ("{name: A, size: true}", "task a: size must be a positive integer, got True"),
        ("{name: A, size: 0}", "task a: size must be a positive integer, got 0"),
        ("{name: A}", "task a: size must be a positive integer, got None"),
        ("{size: 3}", "task a: name must be text, got None"),
        ("{name: A, size: 3, main_metric: [acc1]}", "task a: main_metric must be the name of a metric"),
        ("{name: A, size: 3, num_classes: 2.5}", "task a: num_classes must be a positive integer, got 2.5"),
        ("{name: A, size: 3, random_score: high}", "task a: random_score must be a number, got 'high'"),
        ("{name: A, size: 3, time: soon}", "task a: time must be a number of seconds, got 'soon'"),
        ("{name: A, size: 3, tags: [1]}", "task a: tags must be text or a list of texts"),
        ("[A, 3]", "task a: must be a mapping of columns"),
        *(
            (f"{{name: A, size: 3}}\n'{key}': {{name: B, size: 3}}", "must name a folder below --data-dir")
            for key in OUTSIDE
        ),
        ("{name: A, size: 3}\n1: {name: B, size: 3}", "task key 1 must be text"),
        ("{name: A, size: 3}\nb: {name: A, size: 3}", "two tasks have the same name: A"),
        ("{name: A, size: 3}\nx/y: {name: X, size: 3}\nx-y: {name: Y, size: 3}", "same key as a file name: x-y"),
        ("{name: A, size: 3", "not valid YAML"),
    ],
)
def test_wrong_columns_name_file_task_and_field(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, f"a: {row}\n")
    assert message in str(caught.value)
    assert str(tmp_path / "tasklist.yml") in str(caught.value)


def test_task_dir_without_list_or_with_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no tasklist"):
        load_tasks(str(tmp_path))
    with pytest.raises(ConfigError, match="must map task keys"):
        _load(tmp_path, "# nothing\n")
    (tmp_path / "tasklist.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_tasks(str(tmp_path))


def test_select_by_key_name_and_glob_in_list_order() -> None:
    tasks = load_tasks()
    assert [task.key for task in select_tasks(tasks, ["mnist", "ImageNet 1k", "cifar10"])] == [
        "cifar10",
        "imagenet1k",
        "mnist",
    ]
    assert len(select_tasks(tasks, ["vtab/*"])) == 12
    assert [task.name for task in select_tasks(tasks, ["imagenet-*"])] == ["ImageNet-A", "ImageNet-O", "ImageNet-R"]
    assert select_tasks(tasks, []) == tasks


def test_select_unknown_name_offers_close_ones() -> None:
    with pytest.raises(ConfigError, match=r"no task is called 'imagnet1k'; did you mean imagenet1k"):
        select_tasks(load_tasks(), ["mnist", "imagnet1k"])
    with pytest.raises(ConfigError, match="known: vtab/caltech101, cifar10"):
        select_tasks(load_tasks(), ["zzzzzz"])


@pytest.mark.parametrize(
    ("key", "folder"),
    [
        ("cifar10", "wds_cifar10_test"),
        ("vtab/cifar100", "wds_vtab-cifar100_test"),
        ("wilds/fmow", "wds_wilds-fmow_test"),
        ("fairness/geode", "wds_geode_test"),
        ("misc/winogavil", "wds_winogavil_test"),
        ("retrieval/flickr_1k_test_image_text_retrieval", "wds_flickr_1k_test_image_text_retrieval_test"),
    ],
)
def test_folder_names_are_datacomps(key: str, folder: str) -> None:
    assert folder_names(_by_key()[key])[0] == folder


def test_folder_of_finds_the_prefixed_name_and_the_key(tmp_path: Path, s3_url: str) -> None:
    geode, fmow, mnist = (_by_key()[key] for key in ("fairness/geode", "wilds/fmow", "mnist"))
    for data_dir in (str(tmp_path), s3_url):
        storage.publish_text(storage.join(data_dir, "wds_fairness-geode_test/x"), "")
        storage.publish_text(storage.join(data_dir, "wilds/fmow/x"), "")
        assert folder_of(data_dir, geode) == storage.join(data_dir, "wds_fairness-geode_test")
        assert folder_of(data_dir, fmow) == storage.join(data_dir, "wilds/fmow")
        assert folder_of(data_dir, mnist) is None
