"""What belongs to an export: its tasks, its allocation and a fingerprint of every file."""

import hashlib
import importlib.metadata
import json

import numpy as np

from keras_mtl.analysis.allocation import allocation_layers

MANIFEST = "manifest.json"
ALLOCATION = "allocation.json"
FORMAT_VERSION = 1


def write_allocation(model, folder):
    """Writes which components each task uses, layer by layer, as rows by task name."""
    tasks = list(model.tasks)
    content = {"tasks": tasks}
    layers = allocation_layers(model)
    if layers:
        content["layers"] = {layer.name: _rows(tasks, layer.matrix()) for layer in layers}
    _write_json(folder / ALLOCATION, content)


def _rows(tasks, matrix):
    if np.all(matrix == matrix.astype(int)):
        matrix = matrix.astype(int)
    return dict(zip(tasks, matrix.tolist(), strict=True))


def read_allocation(folder):
    """Returns the matrices of `write_allocation`, one per layer, tasks in their order."""
    content = json.loads((folder / ALLOCATION).read_text("utf-8"))
    return [
        np.array([rows[task] for task in content["tasks"]], "float32")
        for rows in content.get("layers", {}).values()
    ]


def write_manifest(model, format, export, folder, states=()):
    """Writes `manifest.json` into `folder`, a folder of the export, as its last file.

    Args:
        model: The model that is exported.
        format: Name of the format.
        export: Path of the whole export.
        folder: Path of the folder in it that gets the file.
        states: Names of the states of its streaming signature, if it has one. Defaults to
            `()`.
    """
    tasks = [
        {"name": name, "kind": task.kind, "size": task.size, "per_step": task.per_step}
        for name, task in model.tasks.items()
    ]
    content = {
        "format": format,
        "format_version": FORMAT_VERSION,
        "keras_mtl": _version(),
        "tasks": tasks,
        "states": list(states),
        "files": {
            file.relative_to(export).as_posix(): _fingerprint(file)
            for file in sorted(export.rglob("*"))
            if file.is_file()
        },
    }
    _write_json(folder / MANIFEST, content)


def read_manifest(folder):
    """Returns what `write_manifest` wrote into `folder`."""
    file = folder / MANIFEST
    try:
        content = json.loads(file.read_text("utf-8"))
        version = content["format_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is damaged ({error}). Export the model again.") from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{file} is of format version {version}, but this keras_mtl reads version "
            f"{FORMAT_VERSION}. Install the keras_mtl that wrote it: {content.get('keras_mtl')}."
        )
    return content


def check_files(manifest, export):
    """Raises a `ValueError` that names the first file that is not as it was written."""
    for name, written in manifest["files"].items():
        file = export / name
        if not file.is_file():
            raise ValueError(f"{file} is missing. Copy the whole folder, or export again.")
        found = _fingerprint(file)
        if found["size"] != written["size"]:
            problem = f"it has {found['size']} bytes where {written['size']} were written"
        elif found["sha256"] != written["sha256"]:
            problem = "its sha256 is not that of the manifest"
        else:
            continue
        raise ValueError(f"{file} is damaged: {problem}. Copy it anew, or export again.")


def _fingerprint(file):
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "size": file.stat().st_size}


def _version():
    try:
        return importlib.metadata.version("keras_mtl")
    except importlib.metadata.PackageNotFoundError:
        return "source tree"  # used without being installed


def _write_json(file, content):
    file.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
