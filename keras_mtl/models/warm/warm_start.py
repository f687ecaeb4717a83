"""A new network begins with what an older one has learned: daily retraining, new values, tasks."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.layers import FixedAllocation, TaskGates
from keras_mtl.layers.places import head_columns
from keras_mtl.models.warm.copying import copy_numbers
from keras_mtl.models.warm.encoders import (
    checked_encoders,
    encoded_rows,
)
from keras_mtl.models.warm.numbers import numbers_of
from keras_mtl.models.warm.owners import dealt_lists
from keras_mtl.models.warm.report import WarmStart
from keras_mtl.training import MultiTaskModel

_STATISTICS = ("old", "new")


def warm_start(
    model: keras.Model, trained: keras.Model, preprocessing: Any = None, statistics: str = "old"
) -> WarmStart:
    """Copies what two networks have in common from a trained one to a new one.

    Layers correspond by name and place. What belongs to a task (heads, towers, experts, rows of
    allocations, gates and masks, weights between towers) corresponds by the task's name, so tasks
    may be added, removed and reordered, and each form of data may start from the other. Rows of an
    `Embedding` correspond by the value that they stand for, where `preprocessing` says it. What has
    no counterpart, or one of another shape, stays as it is in `model` and stands in the report as
    new; nothing else of a variable is copied in part than tasks and values.

    Counters of batches and epochs, and with them temperatures, penalties and what is frozen by
    time, go on where they were: structure that was learned stays learned, and new tasks begin at
    the temperature that there is. So do estimates of returns in routing networks, and the moving
    statistics of `BatchNormalization`, which belong to the weights around them. Optimizers,
    `balancing` and states of random generators are those of `model`; turns of
    `keras_mtl.alternating_optimizer` begin anew, so give it phases without a warm-up.

    A standardized task keeps the mean and standard deviation that it has learned with, whatever the
    new network says; a task that is standardized in one network alone has a new head.

    What is no weight is not copied: which components a task is given (`build_fixed_random`,
    `build_dynashare`) or has closed (`build_mmoeex`) stands in the configuration of `model`. The
    report names the tasks for which it differs.

    With equal tasks and values the answers are those of `trained`. With other tasks the answers of
    old ones stay too, but where tasks read each other: cross-stitch and sluice networks, PLE of
    several lists, `build_communicating` with a complete graph, and GIRNet's primary task.

    Args:
        model: A new network made by a builder of this package. It is changed in place.
        trained: The network to start from, of the same builder; other builders may have stem, heads
            or components in common.
        preprocessing: Pair of the encoders of `model` and of `trained`, in this order, such as
            `keras_mtl.data.TableEncoder` or `SentenceEncoder`. `None` copies the rows of an
            `Embedding` by their index, if there are equally many. A `TableEncoder` needs an
            `embedding_dim`: the default widens with the number of values. Defaults to `None`.
        statistics: Whose mean and variance `keras.layers.Normalization` has: `"old"`, those that
            copied weights have learned with, or `"new"`, those of `model`. Defaults to `"old"`.

    Returns:
        A `WarmStart` report of what was copied, grown and new. It prints as a table.

    Warns:
        UserWarning: Tasks are given other components than those they have learned with.

    Raises:
        ValueError: What is no network with tasks or was quantized, networks that have nothing in
            common, encoders that did not make the inputs of their network.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> build = partial(keras_mtl.build_shared_bottom, keras.Input((5,)),
    ...                 layers=[[partial(keras.layers.Dense, 8)] * 2])
    >>> yesterday, today = build({"a": 3, "b": "binary"}), build({"b": "binary", "c": 4})
    >>> report = keras_mtl.warm_start(today, yesterday)
    >>> report.tasks
    {'b': 'copied', 'c': 'new', 'a': 'left out'}
    >>> list(report.new)
    ['c/kernel', 'c/bias']
    """
    _check_networks(model, trained)
    checks.word("statistics", statistics, _STATISTICS)
    encoder, old_encoder = checked_encoders(preprocessing)
    encoded, old_encoded = {}, {}
    if encoder is not None:
        encoded = encoded_rows(model, encoder, "new")
        old_encoded = encoded_rows(trained, old_encoder, "trained")
    dealt = dealt_lists(model) & dealt_lists(trained)
    if len(model.tasks) == len(trained.tasks) == 1:
        dealt = set()
    report = WarmStart(
        tasks=_compared(model.tasks, trained.tasks),
        statistics=statistics,
        different=_different(model, trained, dealt),
    )
    new, old = numbers_of(model, dealt, encoded), numbers_of(trained, dealt, old_encoded)
    if statistics == "new":
        new, old = ([n for n in each if not _is_statistic(n)] for each in (new, old))
    copy_numbers(new, old, report)
    if not report.copied and not report.grown:
        raise ValueError(
            "The two networks have nothing in common that could be copied. Give a network of the "
            f"same builder. Layers of the new one: {_names(model)}; of the trained one: "
            f"{_names(trained)}."
        )
    if report.different:
        places = [f"{', '.join(tasks)} in {layer}" for layer, tasks in report.different.items()]
        warnings.warn(
            f"Tasks are given other components than they have learned with: {'; '.join(places)}. "
            "Build the new network with the same ones: their argument, or the same seed.",
            stacklevel=2,
        )
    return report


def _check_networks(model: Any, trained: Any) -> None:
    for name, network in (("model", model), ("trained", trained)):
        if not isinstance(network, MultiTaskModel) or not network.tasks:
            raise ValueError(
                f"{name} must be a network made by a keras_mtl builder, not a frozen one, a file "
                f"or a network without tasks. Received: {network!r}"
            )
        quantized = [x.name for x in with_inner_layers(network) if x.dtype_policy.quantization_mode]
        if quantized:
            raise ValueError(
                f"{name} is quantized ({quantized[0]!r}): its numbers are rounded, and cannot be "
                "learned from or copied. Give the network before it was quantized."
            )
    if model is trained:
        raise ValueError("model and trained are one network. Build a new one to start from it.")


def _compared(tasks: Any, old: Any) -> dict[str, str]:
    """Returns what becomes of each task: a head of another kind, size or unit is new."""
    alike = {
        name
        for name, task in tasks.items()
        if name in old and head_columns(name, task, 1) == head_columns(name, old[name], 1)
    }
    found = {name: "copied" if name in alike else "new" for name in tasks}
    return found | {name: "left out" for name in old if name not in tasks}


def _is_statistic(numbers: Any) -> bool:
    return isinstance(numbers.layer, keras.layers.Normalization)


def _different(model: Any, trained: Any, dealt: Any) -> dict[str, tuple[str, ...]]:
    """Returns the tasks of both networks that are given other components, by layer."""
    found = {}
    rows, old_rows = (_given_rows(network) for network in (model, trained))
    for name, by_task in rows.items():
        before = old_rows.get(name, {})
        tasks = [t for t in by_task if t in before and not np.array_equal(by_task[t], before[t])]
        if tasks and name not in {f"allocation_{index}" for index in dealt}:
            found[name] = tuple(tasks)
    return found


def _given_rows(network: Any) -> dict[str, Any]:
    """Returns the rows of what is given to each task, by layer and task."""
    given = {
        layer.name: layer.allocation if isinstance(layer, FixedAllocation) else layer.closed
        for layer in network.layers
        if isinstance(layer, FixedAllocation | TaskGates)
    }
    return {name: dict(zip(network.tasks, rows, strict=True)) for name, rows in given.items()}


def _names(network: Any) -> str:
    return ", ".join(layer.name for layer in network.layers if layer.weights)
