"""What a task may be called."""

import re
from typing import Any

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_LOG_AND_INPUT_NAMES = {"mean", "loss", "inputs", "task_id", "heads", "serving_default"}
_TF_SERVING_NAMES = {
    "serve",
    "signatures",
    "variables",
    "trainable_variables",
    "non_trainable_variables",
}


def check_task_name(name: str, taken: Any = ()) -> None:
    """Raises a `ValueError` when `name` cannot name a task.

    `taken` are further names in use, such as a builder's layers.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"Task name {name!r} cannot be used: a name starts with a letter and holds "
            "letters, digits and underscores only, because it becomes a signature name."
        )
    if name in _LOG_AND_INPUT_NAMES or name in _TF_SERVING_NAMES:
        raise ValueError(
            f"Task name {name!r} is reserved "
            f"({'by TF Serving' if name in _TF_SERVING_NAMES else 'for inputs and logs'}). "
            "Choose another name."
        )
    if name in taken:
        raise ValueError(f"Task name {name!r} is also the name of a layer. Choose another name.")
