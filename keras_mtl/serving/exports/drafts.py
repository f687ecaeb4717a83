"""A folder that appears when it is complete, and what killed processes left of others."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from typing import Any

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def complete_or_nothing(folder: Any) -> Iterator[Any]:
    """Gives a folder to write into, beside `folder`, and renames it when all went well.

    A process holds a lock on what it writes, which ends with the process, however it ends. A
    draft of this folder whose lock is free is nobody's, and is removed; a file system without
    locks keeps such drafts.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    draft, lock = _new_draft(folder)
    try:
        yield draft
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _new_draft(folder: Any) -> tuple[Any, Any]:
    """Returns a new draft and what holds its lock, `None` where there are no locks."""
    while True:
        draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.draft")
        draft.mkdir()
        lock = _lock(draft, wait=True)
        if draft.exists():  # else another process found it before it had its lock
            return draft, lock
        if lock is not None:
            os.close(lock)


def _remove_abandoned(folder: Any) -> None:
    name = re.compile(re.escape(f".{folder.name}.") + r"[0-9a-f]{32}\.draft")
    for draft in folder.parent.glob(".*.draft"):
        lock = _lock(draft, wait=False) if name.fullmatch(draft.name) else None
        if lock is not None:
            shutil.rmtree(draft, ignore_errors=True)
            os.close(lock)


def _lock(draft: Any, wait: Any) -> Any:
    """Returns an open folder that is locked, `None` where another process holds the lock."""
    if fcntl is None:
        return None
    try:
        opened = os.open(draft, os.O_RDONLY)
    except OSError:  # gone meanwhile
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(opened)
        return None
    return opened
