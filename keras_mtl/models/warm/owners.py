"""Which layers of a network belong to which task, under a name that no other task changes."""

import re
from typing import Any

import keras
import numpy as np

from keras_mtl.keras_internals import call_inputs, origin, with_inner_layers
from keras_mtl.layers import (
    CompositeLSTM,
    FixedAllocation,
    StreamGates,
    SubNetworkRouting,
    TaskHead,
    TaskHeads,
)
from keras_mtl.layers.mixing.stitch import Stitch
from keras_mtl.models.graph import streams_before_heads
from keras_mtl.models.task_towers import tower_of

_OF_TASK = re.compile(r"(tower_\d+|private|lstm|decoder|mixture)_(\d+)")
_COMPONENT = re.compile(r"component_(\d+)_(\d+)")


def component_of(layer: keras.Layer) -> Any:
    """Returns the list and the place in it, from 1, that a component is of, or `None`."""
    found = _COMPONENT.fullmatch(layer.name)
    return found and (int(found[1]), int(found[2]))


def dealt_lists(model: keras.Model) -> Any:
    """Returns the numbers of the lists of a network in which each component serves one task."""
    if len(model.tasks) == 1:
        return {found[0] for found in map(component_of, with_inner_layers(model)) if found}
    given = [layer for layer in model.layers if isinstance(layer, FixedAllocation)]
    dealt = [layer for layer in given if np.all((layer.allocation > 0).sum(axis=0) == 1)]
    return {int(layer.name.rpartition("_")[2]) for layer in dealt if "allocation" in layer.name}


class Owners:
    """Names of layers that say whose they are, and places of variables that the wiring tells.

    Args:
        model: A network with tasks.
        dealt: Numbers of the lists whose components go by the task that they serve.

    Attributes:
        names: Dict, id of a layer -> what it is called in any network that has it.
        places: Dict, id of a layer -> what its `places` would return.
    """

    def __init__(self, model: keras.Model, dealt: Any) -> None:
        self.names: dict[int, Any] = {}
        self.places: dict[int, Any] = {}
        self._model, self._tasks = model, list(model.tasks)
        self._by_name = {layer.name: layer for layer in model.layers}
        for index in dealt:
            self._own_dealt(index)
        for name, layer in self._by_name.items():
            number = _OF_TASK.fullmatch(name)
            if isinstance(layer, TaskHead | TaskHeads):
                self.names[id(layer)] = "heads"
            elif number:
                self.names[id(layer)] = (number[1], self._tasks[int(number[2]) - 1])
            elif isinstance(layer, Stitch):
                self._own_components(name.removeprefix("stitch_"))
            elif isinstance(layer, StreamGates):
                self._own_experts(layer, self._by_name[name.replace("gates", "experts")])
            elif isinstance(layer, CompositeLSTM):
                self._own_auxiliary(layer)
        self._own_connections()
        self._own_base()

    def _own_components(self, index: str) -> None:
        """Names the components of a list of towers."""
        for number, task in enumerate(self._tasks, start=1):
            self.names[id(self._by_name[f"component_{index}_{number}"])] = (f"tower {index}", task)

    def _own_experts(self, gates: Any, experts: Any) -> None:
        """Names experts by the task whose gate alone is open to them, and gates by theirs."""
        closed = gates.closed[: len(self._tasks)]
        owners: list[Any] = []
        for column in closed.T:
            alone = len(column) > 1 and np.sum(~column) == 1
            owner = self._tasks[int(np.argmin(column))] if alone else None
            owners.append((owner, sum(known == owner for known, _ in owners)))
        for expert, owner in zip(experts.components, owners, strict=True):
            self.names[id(expert)] = (experts.name, owner)
        for index, (gate, row) in enumerate(zip(gates.gates, gates.closed, strict=True)):
            task = self._tasks[index] if index < len(self._tasks) else None
            self.names[id(gate)] = ("gate", task)
            columns = [owner for owner, closed in zip(owners, row, strict=True) if not closed]
            self.places[id(gate)] = {"kernel": {1: columns}, "bias": {0: columns}}

    def _own_auxiliary(self, composite: Any) -> None:
        """Names the LSTMs of auxiliary tasks, between which the primary one switches."""
        auxiliary = []
        for task, features in zip(self._tasks, self._features(), strict=True):
            _, tensor = tower_of(features)
            _, read = origin(tensor)
            if self._by_name["gates"] not in [origin(tensor)[0] for tensor in read]:
                auxiliary.append(task)
        for task, lstm in zip(auxiliary, composite.lstms, strict=True):
            self.names[id(lstm)] = ("auxiliary", task)
        columns = [None, *auxiliary]  # the first keeps the state
        gates = self._by_name["gates"]
        self.places[id(gates)] = {"kernel": {1: columns}, "bias": {0: columns}}

    def _features(self) -> Any:
        """Returns what the towers of the tasks, or their decoders, read of a network's base."""
        reads = [self._by_name.get(f"read_{n}") for n in range(1, len(self._tasks) + 1)]
        if all(reads):
            return [call_inputs(read)[0] for read in reads]
        return streams_before_heads(self._model)

    def _own_connections(self) -> None:
        """Names the connections that tasks, not sub-networks, read."""
        routings = [layer for layer in self._model.layers if isinstance(layer, SubNetworkRouting)]
        if not routings:
            return
        last = max(routings, key=lambda layer: int(layer.name.rpartition("_")[2]))
        self.places[id(last)] = {"logits": {0: self._tasks}}
        for index, transform in enumerate(getattr(last, "transforms", [])):
            source, target = divmod(index, last.num_targets)
            self.names[id(transform)] = ("transform", source, self._tasks[target])

    def _own_base(self) -> None:
        """Names the LSTMs that recurrent modular networks give each task of its own."""
        made_by = [origin(tensor)[0] for tensor in self._features()]
        if "read_1" in self._by_name and len({id(layer) for layer in made_by}) == len(self._tasks):
            for task, layer in zip(self._tasks, made_by, strict=True):
                if isinstance(layer, keras.layers.LSTM):
                    self.names[id(layer)] = ("base", task)

    def _own_dealt(self, index: int) -> None:
        """Names the components of a list by the task that each serves."""
        given = self._by_name.get(f"allocation_{index}")
        parts = [layer for layer in with_inner_layers(self._model) if component_of(layer)]
        parts = sorted(
            (layer for layer in parts if component_of(layer)[0] == index), key=component_of
        )
        served: list[str] = []
        for number, component in enumerate(parts):
            row = 0 if given is None else int(np.argmax(given.allocation[:, number]))
            task = self._tasks[row]
            self.names[id(component)] = (f"component_{index}", task, served.count(task))
            served.append(task)
