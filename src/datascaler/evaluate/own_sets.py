"""Evaluation sets that are on no list: each brings its own row of one, as `pool make-evalset` writes it."""

from dataclasses import replace

from datascaler import storage
from datascaler.evaluate.hub.stored_set import STORED_FOLDERS
from datascaler.evaluate.tasks import TASKLIST, Task, folder_names, load_tasks


def tasks_of(task_dir: str | None, data_dir: str) -> tuple[list[Task], str]:
    """The tasks of a list, and the folder that their sets lie in.

    Without `task_dir` they are those of the sets in `data_dir` that bring their own row, and DataComp's 40, which are
    left out where there is none of their sets. `data_dir` may be such a set itself.
    """
    if task_dir is not None:
        return load_tasks(task_dir), data_dir
    if storage.exists(storage.join(data_dir, TASKLIST)) and storage.exists(storage.join(data_dir, "test/nshards.txt")):
        return _own_tasks(data_dir), storage.parent(data_dir)
    listed = load_tasks()
    known = {name.partition("/")[0] for task in listed for name in folder_names(task)} | STORED_FOLDERS
    folders = {storage.basename(folder): folder for folder in storage.list_folders(data_dir)}
    own = [
        task
        for name, folder in folders.items()
        if name not in known and storage.exists(storage.join(folder, TASKLIST))
        for task in _own_tasks(folder)
    ]
    return own + (listed if not own or not known.isdisjoint(folders) else []), data_dir


def _own_tasks(folder: str) -> list[Task]:
    """The row of a set, under the name that its folder has now: it may have been moved."""
    return [replace(task, key=storage.basename(folder)) for task in load_tasks(folder)[:1]]
