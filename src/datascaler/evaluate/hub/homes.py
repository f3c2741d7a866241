"""Where DataComp's evaluation sets are public: two owners on the Hugging Face hub, and two forms.

Most are in DataComp's layout. Flickr, MSCOCO and WinoGAViL are a table and a zip of images, with a script that current
versions of the hub's library refuse to run; they are read as they are (`stored_set.py`).
"""

from dataclasses import dataclass
from typing import Literal

_OWNER_OF_LAYOUT, _OWNER_OF_TABLES = "djghosh", "nlphuji"


@dataclass(frozen=True, slots=True)
class TableSet:
    """A set that is a table, with a row an item, and a zip of its images."""

    kind: Literal["retrieval", "association"]
    name: str
    """The name of its repository and of its folder."""
    table: str
    images: str
    """The zip; its images lie in a folder of the same name, which may have been unpacked."""


TABLE_SETS = {
    "retrieval/flickr_1k_test_image_text_retrieval": TableSet(
        "retrieval", "flickr_1k_test_image_text_retrieval", "test_1k_flickr.csv", "images_flickr_1k_test.zip"
    ),
    "retrieval/mscoco_2014_5k_test_image_text_retrieval": TableSet(
        "retrieval",
        "mscoco_2014_5k_test_image_text_retrieval",
        "test_5k_mscoco_2014.csv",
        "images_mscoco_2014_5k_test.zip",
    ),
    "misc/winogavil": TableSet("association", "winogavil", "winogavil_dataset.csv", "winogavil_images.zip"),
}
"""The tables of sets that are no tars, under the keys of their tasks."""


@dataclass(frozen=True, slots=True)
class SetHome:
    """A set's public home, and the folder that it is fetched into."""

    task: str
    repository: str
    folder: str
    """Below the folder of all sets."""
    files: tuple[str, ...] = ()
    """Those that it consists of; none are those of DataComp's layout."""


def home_of(task: str, folder: str) -> SetHome:
    """The public home of a task of DataComp's; `folder` is its set's name in DataComp's layout."""
    tables = TABLE_SETS.get(task)
    if tables:
        return SetHome(task, f"{_OWNER_OF_TABLES}/{tables.name}", tables.name, (tables.images, tables.table))
    return SetHome(task, f"{_OWNER_OF_LAYOUT}/{folder}", folder)
