"""Copies numbers of one network to another, wherever they belong to the same."""

from typing import Any

import keras
import numpy as np

from keras_mtl.models.warm.numbers import Numbers
from keras_mtl.models.warm.report import WarmStart


def copy_numbers(new: list[Numbers], old: list[Numbers], report: WarmStart) -> None:
    """Assigns the numbers of a trained network to a new one, and reports which.

    Args:
        new: The numbers of the new network.
        old: Those of the trained one.
        report: Is told what became of each.
    """
    by_key: dict[Any, list[Numbers]] = {}
    for numbers in old:
        by_key.setdefault(numbers.key, []).append(numbers)
    used: set[int] = set()
    for numbers in new:
        known = by_key.get(numbers.key)
        sources = [source for source in known or () if numbers.meets(source)]
        like = [source for source in sources if numbers.is_like(source)]
        copied = _copy(numbers, like, used)
        path, size = numbers.path, int(np.prod(numbers.variable.shape))
        if copied == size:
            report.copied[path] = size
        elif copied:
            report.grown[path] = (copied, size)
        elif known is None:
            report.new[path] = "not in the trained network"
        else:
            report.new[path] = _why(numbers, sources)
        if copied and isinstance(numbers.layer, keras.layers.Normalization):
            numbers.layer.finalize_state()
        if like and isinstance(numbers.layer, keras.layers.Embedding):
            if numbers.column is None:
                report.by_index += (numbers.layer.name,)
            else:
                report.values[numbers.column] = _values(numbers, like[0])
    report.left_out = tuple(each.path for each in old if id(each) not in used)


def _copy(numbers: Numbers, sources: list[Numbers], used: set[int]) -> int:
    """Assigns what the sources have of a variable; returns how many entries that is."""
    variable, copied = numbers.variable, 0
    value = np.array(keras.ops.convert_to_numpy(variable))  # a copy: JAX may give the buffer away
    for source in sources:
        places = source.places
        pairs = {
            axis: [
                (i, places[axis][label]) for i, label in enumerate(labels) if label in places[axis]
            ]
            for axis, labels in numbers.labels.items()
        }
        into, of = (
            _index(variable.shape, {a: [p[side] for p in found] for a, found in pairs.items()})
            for side in (0, 1)
        )
        found = keras.ops.convert_to_numpy(source.variable)[of]
        value[into] = found
        copied += found.size
        used.add(id(source))
    if copied:
        variable.assign(value)
    return copied


def _index(shape: Any, indices: dict[int, list[int]]) -> Any:
    """Returns an index of the entries that stand at some indices of some axes."""
    if len(indices) < 2:  # a slice elsewhere: embeddings are large
        return tuple(indices.get(axis, slice(None)) for axis in range(len(shape)))
    return np.ix_(*(indices.get(axis, range(size)) for axis, size in enumerate(shape)))


def _why(numbers: Numbers, sources: list[Numbers]) -> str:
    """Returns why nothing could be copied of a variable that both networks have."""
    if not sources:
        return "of tasks or values that were not there"
    shapes = dict.fromkeys(tuple(source.variable.shape) for source in sources)
    text = f"shape {tuple(numbers.variable.shape)}, {' and '.join(map(str, shapes))} before"
    embeds = isinstance(numbers.layer, keras.layers.Embedding) and numbers.column is None
    return f"{text}; preprocessing= would copy rows by value" if embeds else text


def _values(numbers: Numbers, source: Numbers) -> tuple[int, int, int]:
    """Returns how many values of a column are known to both, new, and left out."""
    new, old = (
        {label for label in each.labels[0] if label[0] == "value"} for each in (numbers, source)
    )
    return len(new & old), len(new - old), len(old - new)
