"""Small folders of DataComp's metadata, with all that real files have been seen to hold."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datascaler import storage
from tests.data.made_tables import uids_of

CAPTIONS = (
    "a photo of a dog on the beach",
    "the cat is sleeping on the chair",
    "ein Hund am Strand im Schnee",
    "une femme avec un parapluie sous la pluie",
    "two dogs are walking in the park",
    "a red car in front of the house with a very long description of the scene",
    "a  b",
    "dog",
    "",
    "line one\nand the second line of the text",
    "the old man and the sea - a book, he said",
    "un perro rojo en la playa",
)
"""In English, German, French and Spanish, long and short."""


def metadata_rows(rows: int, seed: int = 0) -> dict[str, Any]:
    """Columns of so many good rows."""
    generator = np.random.default_rng(seed)
    width, height = generator.integers(100, 900, (2, rows))
    return {
        "uid": uids_of(rows, seed),
        "url": [f"https://example.org/{row}.jpg" for row in range(rows)],
        "text": [CAPTIONS[at] for at in generator.integers(0, len(CAPTIONS), rows)],
        "original_width": pa.array(width, pa.int64()),
        "original_height": pa.array(height, pa.int64()),
        # Two decimals: ties at every threshold.
        "clip_b32_similarity_score": pa.array(generator.normal(0.25, 0.06, rows).round(2), pa.float32()),
        "clip_l14_similarity_score": pa.array(generator.normal(0.2, 0.06, rows).round(2), pa.float32()),
    }


def write_metadata(url: str, columns: dict[str, Any]) -> pa.Table:
    table = pa.table(columns)
    with storage.publish(url) as file:
        pq.write_table(table, file)
    return table


def make_metadata(folder: str, sizes: Sequence[int] = (200, 150)) -> pa.Table:
    """`part_0/...` and so on, as DataComp nests its largest pools; all rows together, in the order of the files."""
    tables = [
        write_metadata(f"{folder}/part_{number}/{number:032x}.parquet", metadata_rows(rows, seed=number))
        for number, rows in enumerate(sizes)
    ]
    return pa.concat_tables(tables)
