"""The manifest of an export: its tasks, its allocation and a fingerprint of every file."""

import hashlib
import importlib.metadata
import json
from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.allocated.allocation import allocation_layers

ASSETS = "assets.extra"  # TensorFlow leaves this folder of a SavedModel to others
STREAM = "stream"  # the signature that takes and returns states
MANIFEST = "manifest.json"
ALLOCATION = "allocation.json"
FORMAT_VERSION = 1


def write_allocation(model: keras.Model, folder: Any) -> None:
    """Writes which components each task uses, layer by layer, as rows by task name."""
    tasks = list(model.tasks)
    content: dict[str, Any] = {"tasks": tasks}
    layers = allocation_layers(model)
    if layers:
        content["layers"] = {layer.name: _rows(tasks, layer.matrix()) for layer in layers}
    _write_json(folder / ALLOCATION, content)


def _rows(tasks: Any, matrix: Any) -> Any:
    if np.all(matrix == matrix.astype(int)):
        matrix = matrix.astype(int)
    return dict(zip(tasks, matrix.tolist(), strict=True))


def write_manifest(
    model: keras.Model,
    format: str,
    export: Any,
    folder: Any,
    states: Any = (),
    vocabularies: Any = None,
    columns: Any = None,
) -> None:
    """Writes `manifest.json` into `folder`, a folder of the export, as its last file.

    Args:
        model: The model that is exported.
        format: Name of the format.
        export: Path of the whole export.
        folder: Path of the folder in it that gets the file.
        states: Names of the states of its streaming signature, if it has one. Defaults to
            `()`.
        vocabularies: What `task_vocabularies` says of the network, or `None`. Defaults to
            `None`.
        columns: Dict, column -> what its values are, of a table that the export encodes, or
            `None`. Defaults to `None`.
    """
    tasks = [
        {"name": name, "kind": task.kind, "size": task.size, "per_step": task.per_step}
        for name, task in model.tasks.items()
    ]
    for task in tasks:
        if given := model.tasks[task["name"]].given:
            task["given"] = given
        sizes = (vocabularies or {}).get(task["name"])
        if sizes:
            task["vocabularies"] = sizes
    content = {
        "format": format,
        "format_version": FORMAT_VERSION,
        "keras_mtl": _version(),
        "tasks": tasks,
        "states": list(states),
        "columns": dict(columns or {}),
        "files": {
            file.relative_to(export).as_posix(): fingerprint(file)
            for file in sorted(export.rglob("*"))
            if file.is_file()
        },
    }
    _write_json(folder / MANIFEST, {**content, "sha256": content_hash(content)})


def content_hash(content: Any) -> Any:
    """Returns the sha256 of a manifest, without the entry that holds it."""
    rest = {name: value for name, value in content.items() if name != "sha256"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def fingerprint(file: Any) -> dict[str, Any]:
    """Returns the size and the sha256 of a file."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "size": file.stat().st_size}


def _version() -> Any:
    try:
        return importlib.metadata.version("keras_mtl")
    except importlib.metadata.PackageNotFoundError:
        return "source tree"  # used without being installed


def _write_json(file: Any, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
