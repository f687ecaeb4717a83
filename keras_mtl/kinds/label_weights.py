"""How much each label counts in the loss of a task, as its users say it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mtl import checks


def checked_class_weight(kind: Any, size: int, class_weight: Any) -> Any:
    """Returns weights of labels as nested tuples of floats, `None` where all count alike.

    Args:
        kind: A `Kind`.
        size: The task's size.
        class_weight: Dict, label -> weight, where labels that are not named weigh 1; or a list with
            the weight of every label. Of several yes-or-no labels one for all, or a list of them.

    Returns:
        `(size,)` of classes; `(2,)`, of 0 and 1, or `(size, 2)` of yes-or-no labels.

    Raises:
        ValueError: Labels that the kind has not, weights that are negative, infinite or all 0.
    """
    if class_weight is None:
        return None
    if kind.smoothed is None and not kind.has_classes:
        raise ValueError(
            "class_weight weighs classes, or the answers yes and no, and a task of this kind "
            f"{kind.form}. Use sample_weight. Received: class_weight={class_weight!r}"
        )
    num_labels = size if kind.has_classes else 2
    wanted = f"a dict, label -> weight, or a list of {num_labels} weights"
    several = not kind.has_classes and size > 1
    if several and isinstance(class_weight, list | tuple) and len(class_weight) == size:
        if all(isinstance(entry, Mapping | list | tuple) for entry in class_weight):
            return tuple(_weights(entry, num_labels, wanted) for entry in class_weight)
    if several:
        wanted += f", or a list of these for each of {size} labels"
    return _weights(class_weight, num_labels, wanted)


def _weights(given: Any, num_labels: int, wanted: str) -> tuple[float, ...]:
    if isinstance(given, Mapping):
        unknown = [label for label in given if label not in range(num_labels)]
        if unknown:
            raise ValueError(
                f"class_weight names label {unknown[0]!r}, but labels are whole numbers from 0 to "
                f"{num_labels - 1}. Received: class_weight={dict(given)!r}"
            )
        given = [given.get(label, 1.0) for label in range(num_labels)]
    weights = checks.array("class_weight", given, wanted)
    if weights.shape != (num_labels,):
        raise ValueError(f"class_weight must be {wanted}. Received: {given!r}")
    if not np.all((weights >= 0) & (weights < np.inf)) or not weights.any():
        raise ValueError(
            "class_weight must hold finite numbers of at least 0, one of them above 0. "
            f"Received: {given!r}"
        )
    return tuple(map(float, weights))


def checked_smoothing(kind: Any, smoothing: Any, loss: Any, class_weight: Any) -> float:
    """Returns `label_smoothing` as a number, after a check of what a loss of one's own leaves."""
    smoothing = checks.number("label_smoothing", smoothing, least=0, below=1)
    if smoothing and kind.smoothed is None:
        raise ValueError(
            f"label_smoothing is of classes and of yes-or-no labels, and a task of this kind "
            f"{kind.form}. Received: label_smoothing={smoothing}"
        )
    if smoothing and loss is not None:
        raise ValueError(
            "label_smoothing belongs to the loss of the kind. Give it to your loss instead, such "
            f"as keras.losses.BinaryCrossentropy(label_smoothing={smoothing}). Received: {loss!r}"
        )
    if class_weight is not None and loss is not None and kind.kind_of_several is None:
        if not kind.has_classes:
            raise ValueError(
                "class_weight weighs each of several labels, but a loss of one's own judges them "
                "together. Leave one of the two out."
            )
    return smoothing
