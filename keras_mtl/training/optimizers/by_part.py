"""Optimizers of their own for parts of a network."""

import re
from collections.abc import Mapping
from typing import Any

import keras

from keras_mtl.keras_internals import with_inner_layers
from keras_mtl.layers import TaskHeads
from keras_mtl.layers.heads.funnel_head import HEADS
from keras_mtl.training.optimizers.grouped import GroupedOptimizer
from keras_mtl.training.optimizers.present_tasks import SHARING, TOWER, check_single_optimizer


def optimizer_by_part(
    model: keras.Model, optimizer: Any, parts: Mapping[str, Any]
) -> GroupedOptimizer:
    """Trains parts of a network with optimizers of their own.

    Parts are `"embeddings"`, `"towers"`, `"heads"`, `"allocation"` (what
    `keras_mtl.allocation_optimizer` gives a learning rate of its own, which here keeps the weight
    decay of its optimizer), and, with shared data, each task by its name: its tower and its head.

    Args:
        model: A model made by a builder of this package.
        optimizer: A `keras.optimizers.Optimizer` for everything else.
        parts: Dict, part -> `keras.optimizers.Optimizer`.

    Returns:
        A `keras.optimizers.MultiOptimizer` for this model. Its `global_clipnorm`, which all
        optimizers must have alike, limits one norm, over all variables.

    Raises:
        ValueError: A part that the network has not, two that have a variable in common, an
            optimizer that is none or stands for two parts.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_mmoe(
    ...     keras.Input((5,)), {"click": "binary", "like": "binary"}, [[dense] * 4])
    >>> optimizer = keras_mtl.optimizer_by_part(
    ...     model, keras.optimizers.Adam(1e-3), {"heads": keras.optimizers.SGD(0.1)})
    >>> model.compile(optimizer)
    >>> len(optimizer.optimizers)
    2
    """
    check_single_optimizer("optimizer", optimizer)
    if not isinstance(parts, Mapping) or not parts:
        raise ValueError(
            'parts must be a dict, part -> optimizer, such as {"heads": keras.optimizers.Adam(1e-2)'
            f"}}. Received: {parts!r}"
        )
    known = {part: paths for part, paths in _paths_by_part(model).items() if paths}
    owners: dict[str, str] = {}
    for part, own in parts.items():
        if part not in known:
            raise ValueError(
                f"parts names {part!r}, which this network has not. Its parts: {', '.join(known)}"
            )
        check_single_optimizer(f"parts[{part!r}]", own)
        for path in known[part]:
            if path in owners:
                raise ValueError(
                    f"parts {owners[path]!r} and {part!r} both have {path!r}. Leave one out, or "
                    "name tasks instead of all heads or towers."
                )
            owners[path] = part
    if len({id(own) for own in (optimizer, *parts.values())}) <= len(parts):
        raise ValueError(
            "Every part needs an optimizer of its own, because an optimizer keeps averages of the "
            f"variables that it trains. Received one of them twice in: {dict(parts)}"
        )
    by_path = {"|".join(map(re.escape, known[part])): own for part, own in parts.items()}
    return GroupedOptimizer(keras.optimizers.OptimizerMap(optimizer, by_path))


def _paths_by_part(model: keras.Model) -> dict[str, list[str]]:
    """Returns the paths of the trainable variables of each part that a network may have."""
    layers = with_inner_layers(model)
    tables = [layer for layer in layers if isinstance(layer, keras.layers.Embedding)]
    heads = [layer for layer in layers if isinstance(layer, (TaskHeads, *HEADS))]
    towers = {layer: match[1] for layer in layers if (match := re.fullmatch(TOWER, layer.name))}
    of_tasks = {}
    if model.task_data == "shared":
        for number, task in enumerate(model.tasks, start=1):
            own = [layer for layer, owner in towers.items() if owner == str(number)]
            of_tasks[task] = _paths([*own, model.get_layer(task)])
    sharing = [v.path for v in model.trainable_variables if re.fullmatch(SHARING, v.path)]
    return {
        "embeddings": _paths(tables), "towers": _paths(towers), "heads": _paths(heads),
        "allocation": sharing, **of_tasks,
    }  # fmt: skip


def _paths(layers: Any) -> list[str]:
    return [variable.path for layer in layers for variable in layer.trainable_variables]
