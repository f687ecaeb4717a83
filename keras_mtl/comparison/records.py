"""Finished runs of a comparison, a file each: what is there is not run again."""

import json
import os
import pathlib
import re
import zlib
from typing import Any


class Records:
    """The runs that a folder holds.

    Args:
        folder: Path of a folder, which is made when the first run is kept.
    """

    def __init__(self, folder: Any) -> None:
        if not isinstance(folder, str | os.PathLike) or not os.fspath(folder):
            raise ValueError(f"folder must be the path of a folder. Received: {folder!r}")
        self.folder = pathlib.Path(folder)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"folder must be a folder, but {folder} is a file.")

    def found(self, method: str, seed: int, experiment: dict[str, str]) -> dict[str, Any] | None:
        """Returns a finished run, `None` where there is none.

        Raises:
            ValueError: The run that is there is of another experiment.
        """
        file = self._file(method, seed)
        if not file.exists():
            return None
        try:
            record = json.loads(file.read_text())
        except ValueError as error:
            raise ValueError(
                f"{file} is damaged: {error}. Delete it, and the run of {method!r} with seed "
                f"{seed} is made again."
            ) from error
        there = record["experiment"]
        other = [
            f"{name} ({there.get(name)} there, {experiment.get(name)} now)"
            for name in {**experiment, **there}
            if there.get(name) != experiment.get(name)
        ]
        if other:
            raise ValueError(
                f"{self.folder} holds a run of {method!r} with seed {seed} from another "
                f"comparison. It differs in: {'; '.join(other)}. Give another folder, or delete "
                "this one."
            )
        return record

    def search_folder(self, method: str) -> pathlib.Path:
        """Returns the folder of the trials of a method."""
        return self.folder / "search" / _file_name(method)

    def keep(self, record: dict[str, Any]) -> None:
        """Writes a run, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(record["method"], record["seed"])
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(record, indent=1))
        unfinished.replace(file)

    def _file(self, method: str, seed: int) -> pathlib.Path:
        return self.folder / f"{_file_name(method)}_seed_{seed}.json"


def _file_name(method: str) -> str:
    readable = re.sub(r"[^a-z0-9]+", "_", method.lower()).strip("_")
    return f"{readable}_{zlib.crc32(method.encode()):08x}"
