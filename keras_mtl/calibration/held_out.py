"""Held-out data as calibration reads it: logits and labels of each task."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.task_answers import task_answers, task_labels
from keras_mtl.calibration.copies import head_of
from keras_mtl.calibration.fits import check_both
from keras_mtl.layers.heads.funnel_head import features_of


def known_labels(model: keras.Model, names: Sequence[str], y: Any) -> dict[str, Any]:
    """Returns labels of tasks as arrays, of which something can be learned.

    Of a task that is given another those examples are labelled whose parent is 1.

    Raises:
        ValueError: What `task_labels` refuses, labels of fewer than two kinds.
    """
    labels = task_labels(model, names, y)
    found = {name: _own_labels(model, name, labels) for name in names}
    for name, own in found.items():
        missing = own < 0 if model.tasks[name].has_classes else np.isnan(own)
        given = model.tasks[name].given
        where = f", where {given!r} is 1," if given else ""
        check_both(f"Task {name!r}{where}", own[~missing])
    return found


def _own_labels(model: keras.Model, name: str, labels: Mapping[str, Any]) -> Any:
    parent = model.tasks[name].given
    if parent is None:
        return labels[name]
    return np.where(labels[parent] == 1, labels[name], np.nan)


def known_logits(
    model: keras.Model, x: Any, labels: Mapping[str, Any], batch_size: int
) -> dict[str, Any]:
    """Returns a dict, task -> `(logits, y)` of its examples, or steps: `(n, columns)` and labels.

    Of labels 0 and 1 there are as many as columns, NaN where one is missing; of class indices
    those that are known.
    """
    network = _logits_network(model, list(labels))
    found = {}
    for name, answers in task_answers(model, network, x, list(labels), batch_size):
        logits = answers[name].astype("float64")
        y = labels[name]
        if y.shape[: logits.ndim - 1] != logits.shape[:-1]:
            raise ValueError(
                f"Task {name!r} is predicted for x in the shape {logits.shape[:-1]}, and needs as "
                f"many labels. Received labels of shape {y.shape}."
            )
        if not np.all(np.isfinite(logits)):
            raise ValueError(
                f"Task {name!r}: the network answers NaN or infinity on x. Look for such values in "
                "x, or train with a lower learning rate."
            )
        if model.tasks[name].has_classes:
            found[name] = logits[y >= 0], y[y >= 0]
        else:
            found[name] = logits.reshape(-1, logits.shape[-1]), y.reshape(-1, logits.shape[-1])
    return found


def _logits_network(model: keras.Model, names: Sequence[str]) -> keras.Model:
    """Returns a network that answers a task's head before its activation, by name."""
    outputs = {}
    for name in names:
        head = head_of(model, name)
        kernel, bias = head.numbers_of(name)[:2]
        features = head.input[0] if model.task_data == "separate" else features_of(head)
        dense = keras.layers.Dense(len(bias), dtype="float32")
        outputs[name] = dense(features)
        dense.set_weights([kernel, bias])
    return keras.Model(model.input, outputs)
