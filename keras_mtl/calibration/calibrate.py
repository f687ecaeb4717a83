"""`calibrate`: a network whose probabilities are those of held-out data."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_mtl import checks
from keras_mtl.analysis.task_answers import asked_tasks
from keras_mtl.calibration.copies import check_has_heads, head_of, rescaled_copy
from keras_mtl.calibration.fits import platt, temperature
from keras_mtl.calibration.held_out import known_labels, known_logits
from keras_mtl.kinds import KINDS
from keras_mtl.training import MultiTaskModel

_METHODS = {
    "temperature": "one factor of a task's logits",
    "platt": "a scale and a shift of each logit of a yes",
}


def calibrate(
    model: keras.Model,
    x: Any,
    y: Any,
    method: str = "temperature",
    *,
    tasks: Sequence[str] | None = None,
    batch_size: int = 1024,
) -> MultiTaskModel:
    """Returns a copy of a network whose probabilities are calibrated on held-out data.

    Each task has a factor of its logits, and with `method="platt"` a shift, of the largest
    likelihood on the data. They become part of the head's own weights, so that `predict`, `freeze`
    and every export answer alike, and training may go on from there. The order of a task's
    examples, and with it the AUC, stays, except for several classes.

    A task that is given another is calibrated by its conditional probability, on the examples whose
    parent is 1; its answer, the probability of both, then has the parent's calibrated one in it.
    Numbers and counts are left as they are. Scores of ordinal tasks and their thresholds are
    divided by one temperature.

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017,
    https://arxiv.org/abs/1706.04599, section 4.2; Platt, "Probabilistic Outputs for Support Vector
    Machines", 1999, whose targets are `(yes + 1) / (yes + 2)` and `1 / (no + 2)`, for yes and no
    labels of each kind, instead of 1 and 0.

    Args:
        model: A model made by a builder of this package, trained. It stays as it is.
        x: Inputs of examples on which it was not trained; with separate data a dict, name of a
            task -> its own.
        y: Dict, name of a task -> labels, of the tasks to calibrate and those that they are given.
            Labels may be missing: NaN, of classes and tags also -1.
        method: `"temperature"`, one number above 0 that divides all logits of a task, or
            `"platt"`, for `"binary"` and `"multilabel"`: a scale above 0 and a shift for each
            label, which also corrects how frequent it is. Defaults to `"temperature"`.
        tasks: List of the tasks to calibrate, or `None` for all that answer with probabilities.
            Defaults to `None`.
        batch_size: Examples that are predicted at once. Defaults to 1024.

    Returns:
        An uncompiled model of its own with the same tasks.

    Raises:
        ValueError: A frozen model; a task that is none, has no probabilities, no labelled example
            or labels of one class only, or does not go with the method; a network that is right
            about all examples, or no better than a guess.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(1000, 1)).astype("float32")
    >>> y = {"click": rng.random(1000) < 1 / (1 + np.exp(-x[:, 0]))}
    >>> line = lambda: keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
    >>> model = keras_mtl.build_shared_bottom(keras.Input((1,)), {"click": "binary"}, [line])
    >>> model.get_layer("click").set_weights([np.array([[2.5]]), np.zeros(1)])
    >>> calibrated = keras_mtl.calibrate(model, x, y)
    >>> factor = calibrated.get_layer("click").get_weights()[0].item()
    >>> bool(0.8 < factor < 1.2)  # a logit is x again
    True
    """
    check_has_heads("calibrate", model)
    checks.word("method", method, _METHODS)
    checks.count("batch_size", batch_size)
    names = _fitting_tasks(model, method, tasks)
    labels = known_labels(model, names, y)
    fit = platt if method == "platt" else temperature
    changes = {}
    for name, (logits, own) in known_logits(model, x, labels, batch_size).items():
        _, _, *gaps = head_of(model, name).numbers_of(name)
        changes[name] = fit(name, model.tasks[name], logits, gaps[0] if gaps else None, own)
    return rescaled_copy(model, changes)


def _fitting_tasks(model: keras.Model, method: str, tasks: Any) -> list[str]:
    """Returns which tasks are calibrated, in the order of the model."""
    names = asked_tasks(model, tasks)
    kinds = {name: KINDS[model.tasks[name].kind] for name in names}
    for name, kind in kinds.items():
        if tasks is not None and kind.slope is None:
            raise ValueError(
                f"Task {name!r} of kind {model.tasks[name].kind!r} {kind.form}, which are no "
                "probabilities that could be calibrated. Leave it out of tasks."
            )
    found = [name for name, kind in kinds.items() if kind.slope is not None]
    if not found:
        raise ValueError(
            "No task of this model answers with probabilities, so there is nothing to calibrate. "
            f"Tasks: {', '.join(model.tasks)}"
        )
    for name in found:
        if method == "platt" and not kinds[name].shifts:
            raise ValueError(
                f'method="platt" is of tasks with labels 0 and 1, but task {name!r} of kind '
                f"{model.tasks[name].kind!r} {kinds[name].form}. Name the tasks that it fits, "
                'tasks=[...], or use method="temperature".'
            )
    return found
