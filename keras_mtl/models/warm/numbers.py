"""The numbers of a network, each variable with what its entries belong to."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import keras

from keras_mtl.keras_internals import inner_layers, own_variables
from keras_mtl.models.warm.owners import Owners, component_of

_ADDED = re.compile(r"_added_\d+$")
_NUMBER = re.compile(r"_\d+$")
_UNNAMED = re.compile(r"^variable_\d+$")


@dataclasses.dataclass(frozen=True, eq=False)
class Numbers:
    """A variable, and what its entries belong to.

    Attributes:
        key: What it is called in any network that has it. Variables that hold parts of one, such
            as the rows of tasks that were added, have one key.
        path: What it is called in its own network.
        variable: The variable.
        labels: Dict, axis -> list of labels, one for each index. Other axes go by the index.
        layer: The layer that has it.
        column: What the encoder calls the values that the rows stand for, or `None`.
    """

    key: Any
    path: str
    variable: Any
    labels: dict[int, Any]
    layer: keras.Layer
    column: Any = None

    @property
    def places(self) -> dict[int, Any]:
        """Dict, axis -> label -> index."""
        return {
            axis: {label: index for index, label in enumerate(labels)}
            for axis, labels in self.labels.items()
        }

    def meets(self, other: Any) -> bool:
        """Returns whether two have labels in common, along each axis that has labels."""
        both = set(self.labels) == set(other.labels)
        return both and all(set(self.labels[a]) & set(other.labels[a]) for a in self.labels)

    def is_like(self, other: Any) -> bool:
        """Returns whether two have equally many entries along all axes that have no labels."""
        sizes, others = (
            [size for axis, size in enumerate(each.variable.shape) if axis not in each.labels]
            for each in (self, other)
        )
        return sizes == others


def numbers_of(model: keras.Model, dealt: Any, encoded: Any) -> Any:
    """Returns the `Numbers` of a network as a list, in the order of its layers.

    Args:
        model: A network with tasks.
        dealt: As of `Owners`.
        encoded: What `encoded_rows` returns, or an empty dict.
    """
    return list(_Walk(model, dealt, encoded).through(model.layers, (), ""))


class _Walk:
    """Goes through the layers of a network, and names them."""

    def __init__(self, model: keras.Model, dealt: Any, encoded: Any) -> None:
        self._tasks = list(model.tasks)
        self._owners, self._encoded = Owners(model, dealt), encoded
        self._seen: set[int] = set()

    def through(self, layers: Any, above: tuple[Any, ...], path: str) -> Iterator[Any]:
        """Yields the numbers of layers side by side, and of what is in them."""
        count: dict[Any, int] = {}
        for layer in layers:
            if id(layer) in self._seen:
                continue
            self._seen.add(id(layer))
            name = self._name(layer, is_inner=bool(above))
            count[name] = count.get(name, -1) + 1
            key = (*above, (name, 0 if name == "heads" else count[name]))
            if component_of(layer) or name == "heads":
                key = key[-1:]  # whatever holds it
            yield from self._own(layer, key, f"{path}{layer.name}/")
            yield from self.through(inner_layers(layer), key, f"{path}{layer.name}/")

    def _name(self, layer: keras.Layer, is_inner: bool) -> Any:
        """Returns the name of a layer, without the number that Keras gives those without one."""
        if id(layer) in self._owners.names:
            return self._owners.names[id(layer)]
        if id(layer) in self._encoded:
            return "encoded", self._encoded[id(layer)][0]
        stripped = _NUMBER.sub("", layer.name)
        kind = type(layer).__name__.lower()
        if is_inner and stripped.replace("_", "").endswith(kind) and not component_of(layer):
            return stripped
        return layer.name

    def _own(self, layer: keras.Layer, key: Any, path: str) -> Iterator[Any]:
        places = self._owners.places.get(id(layer))
        if places is None:
            places = layer.places(self._tasks) if hasattr(layer, "places") else {}
        column, places = self._encoded.get(id(layer), (None, places))
        count: dict[Any, int] = {}
        for variable in own_variables(layer):
            name = _UNNAMED.sub("variable", variable.name)
            count[name] = count.get(name, -1) + 1
            labels = {axis: list(each) for axis, each in places.get(name, {}).items()}
            key_of = (*key, _ADDED.sub("", name), count[name])
            yield Numbers(key_of, path + name, variable, labels, layer, column)
