"""T-MARS as edits of pictures: one pass and two passes mask alike, and what is on file must fit."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from datascaler.data.pool.samples import BAD_IMAGE, OK, Sample
from datascaler.data.pool.shards import Shard
from datascaler.data.tables.score_table import Footer, publish_table, rows_table, table_url, tables_folder
from datascaler.errors import ConfigError
from datascaler.score.pipeline.image_edit import SCORE, ImageEdit
from datascaler.score.scorer import choose_edit
from datascaler.score.tmars.edit import NO_BOXES
from datascaler.spec.score import TextOptions

SHARD = Shard(url="pool/0.tar", name="0.tar", size=10240, etag="e")


def written() -> NDArray[np.uint8]:
    picture = Image.new("RGB", (320, 200), (240, 235, 220))
    ImageDraw.Draw(picture).text((40, 60), "Grand Hotel", fill=(30, 30, 60), font=ImageFont.load_default(28))
    return np.array(picture)


def blank() -> NDArray[np.uint8]:
    return np.full((200, 320, 3), 99, np.uint8)


def sample(row: int, status: str = OK) -> Sample:
    return Sample(row=row, key=str(row), offset=512 * row, length=512, uid=(7, row), status=status)


def edit_of(method: str, output_dir: object, **options: Any) -> ImageEdit:
    edit = choose_edit(method, str(output_dir), TextOptions(**options), "weights", "preprocessing")
    assert edit is not None
    again: ImageEdit = pickle.loads(pickle.dumps(edit))
    return again


def store_boxes(output_dir: object) -> None:
    """Tables `found`, with a written picture, a blank one and a bad row."""
    edit = edit_of("boxes", output_dir)
    values = [edit(sample(row), pixels, None)[1] for row, pixels in enumerate((written(), blank()))]
    rows = [sample(0), sample(1), sample(2, BAD_IMAGE)]
    table = rows_table(rows, [*(each[SCORE] for each in values), float("nan")])
    boxes = pa.array([*(each["boxes"] for each in values), None], edit.columns.field("boxes").type)
    folder = tables_folder(str(output_dir), "found")
    footer = Footer(
        shard=SHARD.name,
        size=SHARD.size,
        etag=SHARD.etag,
        score_id="found",
        method="boxes",
        settings=dict(edit.settings),
    )
    publish_table(table_url(folder, SHARD), footer, table.append_column("boxes", boxes))


def store_plain(output_dir: object, weights_hash: str = "weights") -> None:
    footer = Footer(
        shard=SHARD.name,
        size=SHARD.size,
        etag=SHARD.etag,
        score_id="plain",
        method="clip",
        weights_hash=weights_hash,
        preprocess_hash="preprocessing",
    )
    table = rows_table([sample(row) for row in range(3)], [0.5, 0.25, 0.125])
    publish_table(table_url(tables_folder(str(output_dir), "plain"), SHARD), footer, table)


def test_other_methods_change_nothing() -> None:
    assert choose_edit("clip", "out", TextOptions()) is None


def test_boxes_score_is_the_part_that_is_text(tmp_path: Path) -> None:
    edit = edit_of("boxes", tmp_path)
    picture, values = edit(sample(0), written(), None)
    assert picture is None
    assert 0.02 < values[SCORE] < 0.3
    assert [len(box) for box in values["boxes"]] == [9]
    assert edit(sample(1), blank(), None) == (None, {SCORE: 0.0, "boxes": []})


def test_two_passes_mask_as_one_does(tmp_path: Path) -> None:
    store_boxes(tmp_path)
    at_once, later = edit_of("tmars", tmp_path), edit_of("tmars", tmp_path, boxes="found")
    assert at_once.settings == {key: value for key, value in later.settings.items() if key != "boxes"}
    notes = later.notes(SHARD)
    assert notes is not None
    one, values = at_once(sample(0), written(), None)
    other, other_values = later(sample(0), written(), notes[0])
    assert one is not None
    assert other is not None
    assert np.array_equal(one, other)
    assert one.min() > 200
    assert values["masked_area"] == other_values["masked_area"] > 0
    assert values["unmasked_boxes"] == 0


def test_a_row_without_text_has_its_plain_score(tmp_path: Path) -> None:
    store_boxes(tmp_path)
    store_plain(tmp_path)
    expected = {SCORE: 0.25, "boxes": [], "masked_area": 0.0, "unmasked_boxes": 0}
    two_passes = edit_of("tmars", tmp_path, boxes="found", plain="plain")
    notes = two_passes.notes(SHARD)
    assert notes is not None
    assert two_passes.known(sample(0), notes[0]) is None
    assert two_passes.known(sample(1), notes[1]) == expected
    one_pass = edit_of("tmars", tmp_path, plain="plain")
    notes = one_pass.notes(SHARD)
    assert notes is not None
    assert one_pass.known(sample(1), notes[1]) is None
    assert one_pass(sample(1), blank(), notes[1]) == (None, expected)


def test_a_row_whose_text_was_not_looked_for_says_so(tmp_path: Path) -> None:
    store_boxes(tmp_path)
    edit = edit_of("tmars", tmp_path, boxes="found")
    notes = edit.notes(SHARD)
    assert notes is not None
    row = sample(2)
    assert edit.known(row, notes[2]) is None
    assert edit(row, blank(), notes[2]) == (None, {})
    assert row.status == NO_BOXES


def test_what_is_on_file_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no tables with boxes"):
        edit_of("tmars", tmp_path, boxes="found")
    store_boxes(tmp_path)
    store_plain(tmp_path, weights_hash="others")
    with pytest.raises(ConfigError, match="weights: 'others', not 'weights'"):
        edit_of("tmars", tmp_path, boxes="found", plain="plain").notes(SHARD)
    edit = edit_of("tmars", tmp_path, boxes="found")
    with pytest.raises(ConfigError, match=r"1\.parquet is not there: score it with --method boxes first"):
        edit.notes(Shard(url="pool/1.tar", name="1.tar", size=1, etag="e"))
    with pytest.raises(ConfigError, match="another version"):
        edit.notes(Shard(url="pool/0.tar", name="0.tar", size=1, etag="e"))
    notes = edit.notes(SHARD)
    assert notes is not None
    with pytest.raises(ConfigError, match="row 1 has the uid"):
        edit.known(sample(1), notes[0])
    with pytest.raises(ConfigError, match="not both"):
        TextOptions(boxes="found", detector="x.onnx")
    with pytest.raises(ConfigError, match=r"at most 1, got 1\.5"):
        TextOptions(max_masked_area=1.5)
