"""What DataComp's download leaves of Flickr, MSCOCO and WinoGAViL, and what the hub has of them, is read as it is."""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from datascaler import storage
from datascaler.errors import BadInputError, ConfigError
from datascaler.evaluate.evalset import EvalSet, open_evalset
from datascaler.evaluate.evaluate_tasks import evaluate_tasks
from datascaler.evaluate.own_sets import tasks_of
from datascaler.evaluate.tasks import folder_of
from tests.evaluate.sets import picture, task_of, write_set
from tests.tiny_clip import tiny_loaded_clip

FLICKR, WINOGAVIL = "retrieval/flickr_1k_test_image_text_retrieval", "misc/winogavil"
NAME = "flickr_1k_test_image_text_retrieval"
CACHE = f"hf_cache/nlphuji___{NAME}/TEST/1.1.0/0123abcd"
EXTRACTED = "downloads/extracted/4567cdef"
CAPTIONS = [["a red thing", 'one, "red"'], ["two"], ["three", "", "drei Öl"]]
PUZZLES = [("Loud", ["a", "b", "c", "d", "e"], ["b", "e"]), ("owl", ["c", "a", "f", "e", "d", "b"], ["f"])]
LETTERS = "abcdef"


def write_arrow(path: Path, columns: dict[str, Any], parts: int = 1, rows: int | None = None) -> None:
    """As the library caches it; what it records beside it is that there are `rows`."""
    path.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    name = path.parts[path.parts.index("hf_cache") + 1].partition("___")[2]
    for part in range(parts):
        file = f"{name}-test{f'-{part:05}-of-{parts:05}' if parts > 1 else ''}.arrow"
        first, last = part * table.num_rows // parts, (part + 1) * table.num_rows // parts
        with pa.ipc.new_stream(str(path / file), table.schema) as out:
            out.write_table(table.slice(first, last - first), max_chunksize=2)
    record = {"splits": {"test": {"num_examples": table.num_rows if rows is None else rows}}}
    (path / "dataset_info.json").write_text(json.dumps(record))


def write_zip(path: Path, folder: str, names: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/" + folder + "/._0.jpg", b"junk")
        for number, name in enumerate(names):
            archive.writestr(f"{folder}/{name}", picture(number, "jpg"))


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = io.StringIO()
    table = csv.DictWriter(lines, list(rows[0]))
    table.writeheader()
    table.writerows(rows)
    path.write_text(lines.getvalue())


def write_flickr(data_dir: Path, form: str) -> None:
    names = [f"{number}.jpg" for number in range(3)]
    files = data_dir / (NAME if form in ("zip", "unpacked") else "elsewhere")
    write_zip(files / "images_flickr_1k_test.zip", "images_flickr_1k_test", names)
    rows = [{"raw": json.dumps(each), "filename": name} for each, name in zip(CAPTIONS, names, strict=True)]
    write_csv(files / "test_1k_flickr.csv", rows)
    if form == "unpacked":
        zipfile.ZipFile(files / "images_flickr_1k_test.zip").extractall(files)
        (files / "images_flickr_1k_test.zip").unlink()
    if form == "downloads":
        for file in list(files.iterdir()):
            target = data_dir / "hf_cache/downloads" / f"{hash(file.name):x}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
            url = f"https://huggingface.co/datasets/x/{NAME}/resolve/main/{file.name}"
            target.with_name(f"{target.name}.json").write_text(json.dumps({"url": url, "etag": None}))
    if form.startswith("arrow"):
        images: list[dict[str, Any]] = [{"bytes": picture(number, "jpg"), "path": None} for number in range(3)]
        if form == "arrow of paths":
            # The cache was moved since: the paths are those of another machine.
            place = data_dir / "hf_cache" / EXTRACTED / "images_flickr_1k_test"
            place.mkdir(parents=True)
            images = []
            for number, name in enumerate(names):
                (place / name).write_bytes(picture(number, "jpg"))
                images.append({"bytes": None, "path": f"/gone/hf_cache/{EXTRACTED}/images_flickr_1k_test/{name}"})
        write_arrow(data_dir / CACHE, {"image": images, "caption": CAPTIONS}, parts=2 if form == "arrow parts" else 1)


def write_winogavil(data_dir: Path, form: str) -> None:
    lists = [(cue, json.dumps(candidates), json.dumps(right)) for cue, candidates, right in PUZZLES]
    if form == "zip":
        folder = data_dir / "winogavil"
        write_zip(folder / "winogavil_images.zip", "winogavil_images", [f"{letter}.jpg" for letter in LETTERS])
        write_csv(
            folder / "winogavil_dataset.csv",
            [{"cue": cue, "candidates": one, "associations": other} for cue, one, other in lists],
        )
        return
    images = [[{"bytes": picture(LETTERS.index(name), "jpg"), "path": None} for name in each] for _, each, _ in PUZZLES]
    columns = {"cue": [cue for cue, _, _ in PUZZLES], "candidates": [each for _, each, _ in PUZZLES]}
    columns |= {"associations": [each for _, _, each in PUZZLES], "candidate_images": images}
    write_arrow(data_dir / "hf_cache/nlphuji___winogavil/TEST/1.1.0/0123", columns)


def opened(data_dir: str, key: str) -> EvalSet:
    folder = folder_of(data_dir, task_of(key, 3))
    assert folder is not None
    return open_evalset(folder, key=key)


FLICKR_FORMS = ["arrow", "arrow of paths", "arrow parts", "zip", "unpacked", "downloads"]


@pytest.mark.parametrize("form", FLICKR_FORMS)
def test_every_form_of_a_retrieval_set_is_the_same(form: str, tmp_path: Path) -> None:
    write_flickr(tmp_path, form)
    assert [task.key for task in tasks_of(None, str(tmp_path))[0]].count(FLICKR) == 1
    samples = list(opened(str(tmp_path), FLICKR).samples())
    assert [sample.key for sample in samples] == ["s0000000", "s0000001", "s0000002"]
    assert [sample.captions for sample in samples] == [tuple(each) for each in CAPTIONS]
    assert [sample.image for sample in samples] == [picture(number, "jpg") for number in range(3)]


@pytest.mark.parametrize("form", ["arrow", "zip"])
def test_every_form_of_winogavil_is_the_same(form: str, tmp_path: Path) -> None:
    write_winogavil(tmp_path, form)
    puzzles = list(opened(str(tmp_path), WINOGAVIL).puzzles())
    assert [(puzzle.key, puzzle.cue) for puzzle in puzzles] == [("s0000000", "Loud"), ("s0000001", "owl")]
    assert [puzzle.goes for puzzle in puzzles] == [
        tuple(name in right for name in candidates) for _, candidates, right in PUZZLES
    ]
    for puzzle, (_, candidates, _) in zip(puzzles, PUZZLES, strict=True):
        assert puzzle.images == tuple(picture(LETTERS.index(name), "jpg") for name in candidates)


def test_they_are_evaluated_as_the_same_samples_in_datacomps_layout(tmp_path: Path, s3_url: str) -> None:
    """On S3 too; and a set in the layout goes before what else is there."""
    tasks = [task_of(FLICKR, 3, main_metric="mean_recall@1"), task_of(WINOGAVIL, 2, main_metric="avg_jaccard_score")]
    write_flickr(tmp_path / "hub", "zip")
    write_winogavil(tmp_path / "hub", "arrow")
    for info in storage.list_files(str(tmp_path / "hub"), recursive=True):
        storage.publish_bytes(
            storage.join(s3_url, storage.relative_to(info.url, str(tmp_path / "hub"))), storage.read_bytes(info.url)
        )
    layout = tmp_path / "layout"
    captioned = [
        {"jpg": picture(number, "jpg"), "txt": "\n".join(each).encode()} for number, each in enumerate(CAPTIONS)
    ]
    write_set(str(layout / f"wds_{NAME}_test"), captioned, dataset_type="retrieval")
    puzzles = []
    for cue, candidates, right in PUZZLES:
        sample = {f"{place}.jpg": picture(LETTERS.index(name), "jpg") for place, name in enumerate(candidates)}
        record = {"cue": cue, "candidates": candidates, "associations": right}
        puzzles.append({**sample, "json": json.dumps(record).encode()})
    write_set(str(layout / "wds_winogavil_test"), puzzles, dataset_type="association")
    write_flickr(layout, "arrow of paths")
    found: dict[str, str] = {}
    for place in (str(layout), s3_url):
        output_dir = str(tmp_path / f"out{len(found)}")
        summary = evaluate_tasks(tiny_loaded_clip(0), data_dir=place, output_dir=output_dir, tasks=tasks)
        assert (summary.failed, summary.warnings, summary.pending) == ({}, {}, [])
        found[place] = storage.read_text(f"{output_dir}/eval_results.jsonl")
        # What is done is done, whatever the form.
        assert evaluate_tasks(tiny_loaded_clip(0), data_dir=place, output_dir=output_dir, tasks=tasks) == summary
    assert len(set(found.values())) == 1


def _harm(data_dir: Path, harm: str) -> str:
    """Break a set; the task that it is of."""
    files = data_dir / NAME
    if harm in ("no zip", "zip cut", "image gone", "no list", "cut table", "other table", "damaged image"):
        write_flickr(data_dir, "zip")
        archive = files / "images_flickr_1k_test.zip"
        table = files / "test_1k_flickr.csv"
        if harm == "no zip":
            archive.unlink()
        elif harm == "zip cut":
            archive.write_bytes(archive.read_bytes()[:-200])
        elif harm == "image gone":
            write_zip(archive, "images_flickr_1k_test", ["0.jpg", "2.jpg"])
        elif harm == "damaged image":
            content = bytearray(archive.read_bytes())
            content[len(content) // 2] ^= 255
            archive.write_bytes(content)
        elif harm == "no list":
            table.write_text("raw,filename\nplain text,0.jpg\n")
        elif harm == "cut table":
            table.write_text('raw,filename\n"[""a""]"\n')
        else:
            table.write_text("caption,file\na,0.jpg\n")
        return FLICKR
    write_flickr(data_dir, "arrow of paths" if harm == "no images" else "arrow")
    file = data_dir / CACHE / f"{NAME}-test.arrow"
    if harm == "cut":
        file.write_bytes(file.read_bytes()[:-3000])
    elif harm == "rows lost":
        write_arrow(data_dir / CACHE, {"image": [{"bytes": b"", "path": None}], "caption": [["a"]]}, rows=3)
    elif harm == "no images":
        next((data_dir / "hf_cache" / EXTRACTED).rglob("1.jpg")).unlink()
    elif harm == "texts":
        write_arrow(data_dir / CACHE, {"image": [{"bytes": b"", "path": None}], "caption": ["a"]})
    elif harm == "a path out of the cache":
        image = {"bytes": None, "path": "/x/downloads/../../etc/passwd"}
        write_arrow(data_dir / CACHE, {"image": [image], "caption": [["a"]]})
    elif harm == "two versions":
        write_arrow(data_dir / CACHE.replace("0123", "4567"), {"image": [{"bytes": b"", "path": None}]})
    elif harm == "a part lost":
        file.rename(file.with_name(f"{NAME}-test-00000-of-00002.arrow"))
    return FLICKR


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("no zip", r"its image .*/images_flickr_1k_test/0\.jpg is not there, nor .*\.zip"),
        ("zip cut", r"images_flickr_1k_test\.zip: no zip that can be read"),
        ("image gone", r"row 1: its image '1\.jpg' is not in .*\.zip"),
        ("damaged image", r"\.zip: .* can't be read .*download it again"),
        ("no list", r"row 0: its raw must be a list of texts, got 'plain text'"),
        ("cut table", r"line 2: it is cut off; download it again"),
        ("other table", r"has no column filename, raw: it is not the table of this set"),
        ("cut", r"-test\.arrow: no Arrow file that can be read whole"),
        ("rows lost", r"-test\.arrow holds 1 of 3 rows: download it again"),
        ("no images", r"row 1: its image .*1\.jpg is not there: copy the cache whole"),
        ("texts", r"row 0: its captions must be a list of texts, got 'a'"),
        ("a path out of the cache", r"is neither in the file nor in the cache's downloads"),
        ("two versions", r"in several versions .*: remove all but one"),
        ("a part lost", r"holds 1 of 2 parts of .*: download it again"),
    ],
)
def test_what_is_wrong_with_one_is_named(harm: str, reason: str, tmp_path: Path) -> None:
    key = _harm(tmp_path, harm)
    with pytest.raises((BadInputError, ConfigError), match=reason):
        list(opened(str(tmp_path), key).samples())
