"""Reads what stands beside an exported network, and refuses what was not written so."""

import json
import re
from numbers import Integral, Real
from typing import Any

import numpy as np

from keras_mtl.data.tables.raw_values import FORMS
from keras_mtl.funnels import check_funnels
from keras_mtl.names import check_task_name
from keras_mtl.serving.manifest import (
    ALLOCATION,
    FORMAT_VERSION,
    MANIFEST,
    content_hash,
    fingerprint,
)
from keras_mtl.tasks import Task

_REQUIRED = {"format", "format_version", "keras_mtl", "tasks", "files"}
_LATER = {"states", "sha256", "columns"}  # exports of the first days have none
_PART = re.compile(r"(?!\.{1,2}$)[^/\\:\0]+")  # of a path, that leads nowhere else
_TASK_REQUIRED = {"name", "kind", "size"}
_TASK_LATER = {"per_step", "vocabularies", "given"}


def read_manifest(folder: Any) -> dict[str, Any]:
    """Returns what `write_manifest` wrote into `folder`, with all entries.

    Raises:
        ValueError: It is damaged, of another format version, or was not written so.
    """
    file = folder / MANIFEST
    content = _read_json(file)
    version = _entry(content, "format_version", file)
    if version != FORMAT_VERSION or not isinstance(version, Integral):
        raise ValueError(
            f"{file} is of format version {version!r}, but this keras_mtl reads version "
            f"{FORMAT_VERSION}. Install the keras_mtl that wrote it: {content.get('keras_mtl')}."
        )
    if "sha256" in content and content["sha256"] != content_hash(content):
        raise damaged(file, "its content has another sha256 than it says")
    _check_names("entries", content, _REQUIRED, _LATER, file)
    if content["format"] != "tf_saved_model":
        raise damaged(file, f"its format must be 'tf_saved_model', but is {content['format']!r}")
    states = content.get("states", [])
    _check_strings("states", states, file)
    tasks = content["tasks"]
    if not isinstance(tasks, list) or not tasks:
        raise damaged(file, f"tasks must be a list of at least one task, but is {tasks!r}")
    for task in tasks:
        _check_task(task, file)
    try:
        check_funnels({task["name"]: _as_task(task) for task in tasks})
    except ValueError as error:
        raise damaged(file, error) from error
    _check_strings("names of tasks", [task["name"] for task in tasks], file)
    _check_listed(content["files"], folder, file)
    columns = content.get("columns", {})
    if not isinstance(columns, dict) or not set(columns.values()) <= set(FORMS):
        raise damaged(file, f"columns must be of {', '.join(FORMS)}, but are {columns!r}")
    return {**content, "states": states, "columns": columns}


def check_files(manifest: Any, export: Any) -> None:
    """Raises a `ValueError` that names the first file that is not as it was written."""
    for name, written in manifest["files"].items():
        file = export / name
        try:
            found = fingerprint(file) if file.is_file() else None
        except OSError as error:
            raise ValueError(f"{file} cannot be read: {error}. May this user read it?") from error
        if found is None:
            raise ValueError(f"{file} is missing. Copy the whole folder, or export again.")
        if found["size"] != written["size"]:
            problem = f"it has {found['size']} bytes where {written['size']} were written"
        elif found["sha256"] != written["sha256"]:
            problem = "its sha256 is not that of the manifest"
        else:
            continue
        raise ValueError(f"{file} is damaged: {problem}. Copy it anew, or export again.")


def read_allocation(folder: Any, tasks: Any) -> list[Any]:
    """Returns the matrices of `write_allocation`, one per layer, tasks in their order.

    Raises:
        ValueError: It is damaged, of other tasks, or was not written so.
    """
    file = folder / ALLOCATION
    content = _read_json(file)
    _check_names("entries", content, {"tasks"}, {"layers"}, file)
    if content["tasks"] != tasks:
        raise damaged(
            file, f"it is of the tasks {content['tasks']!r}, but the manifest lists {tasks}"
        )
    layers = content.get("layers", {})
    if not isinstance(layers, dict):
        raise damaged(file, f"layers must be a dict, but is {layers!r}")
    for layer, rows in layers.items():
        _check_names(f"rows of layer {layer!r}", rows, set(tasks), set(), file)
        for task, row in rows.items():
            _check_row(row, f"the row of task {task!r} in layer {layer!r}", file)
        widths = {task: len(row) for task, row in rows.items()}
        if len(set(widths.values())) > 1:
            raise damaged(file, f"the rows of layer {layer!r} differ in length: {widths}")
    return [np.array([rows[task] for task in tasks], dtype="float32") for rows in layers.values()]


def damaged(file: Any, problem: Any) -> Any:
    """Returns the `ValueError` of a file whose content cannot be right."""
    return ValueError(f"{file} is damaged ({problem}). Export the model again.")


def _read_json(file: Any) -> Any:
    try:
        return json.loads(
            file.read_bytes().decode("utf-8"), object_pairs_hook=_dict, parse_constant=_constant
        )
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error}. May this user read it?") from error
    except (ValueError, RecursionError) as error:
        raise damaged(file, error) from error


def _dict(pairs: Any) -> Any:
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{sorted(twice)[0]!r} stands there twice")
    return dict(pairs)


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _entry(content: Any, name: str, file: Any) -> Any:
    if not isinstance(content, dict) or name not in content:
        raise damaged(file, f"it has no {name!r}")
    return content[name]


def _check_names(what: str, content: Any, required: Any, allowed: Any, file: Any) -> None:
    if not isinstance(content, dict):
        raise damaged(file, f"{what} must be a dict, but are {content!r}")
    if missing := sorted(required - set(content)):
        raise damaged(file, f"{what}: {missing} are missing")
    if unknown := sorted(set(content) - required - allowed):
        raise damaged(file, f"{what}: {unknown} are unknown")


def _check_strings(what: str, values: Any, file: Any) -> None:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise damaged(file, f"{what} must be a list of strings, but are {values!r}")
    if len(set(values)) < len(values):
        raise damaged(file, f"{what} stand there twice: {values}")


def _check_task(task: Any, file: Any) -> None:
    _check_names("entries of a task", task, _TASK_REQUIRED, _TASK_LATER, file)
    try:
        check_task_name(task["name"])
        _as_task(task)
    except ValueError as error:
        raise damaged(file, error) from error
    sizes = task.get("vocabularies", {})
    if not isinstance(sizes, dict) or not all(_is_count(size) for size in sizes.values()):
        raise damaged(file, f"vocabularies must be numbers of ids by input, but are {sizes!r}")


def _as_task(task: Any) -> Task:
    per_step, given = task.get("per_step", False), task.get("given")
    return Task(task["kind"], task["size"], per_step=per_step, given=given)


def _check_listed(files: Any, folder: Any, file: Any) -> None:
    wanted = {"saved_model.pb", "variables/variables.index", f"{folder.name}/{ALLOCATION}"}
    _check_names("files", files, wanted, set(files) if isinstance(files, dict) else set(), file)
    for name, written in files.items():
        if not all(_PART.fullmatch(part) for part in name.split("/")):
            raise damaged(file, f"{name!r} is no file inside the folder of the export")
        _check_names(f"entries of {name!r}", written, {"sha256", "size"}, set(), file)


def _check_row(row: Any, what: str, file: Any) -> None:
    if not isinstance(row, list) or not row:
        raise damaged(file, f"{what} must be a list of numbers, but is {row!r}")
    for value in row:
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not number or not 0 <= value <= 1:
            raise damaged(file, f"{what} must hold numbers from 0 to 1, but holds {value!r}")


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0
