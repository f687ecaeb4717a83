"""The methods of a comparison: how each makes its networks, and the baselines of all."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_mtl.models import (
    build_fixed_random,
    build_no_sharing,
    build_shared_bottom,
)
from keras_mtl.tasks import Task
from keras_mtl.training import MultiTaskModel

SINGLE = "Single task"


@dataclasses.dataclass(frozen=True)
class Given:
    """What all methods are given alike."""

    inputs: Any
    tasks: dict[str, Task]
    layers: Any
    common: dict[str, Any]

    def of_task(self, name: str) -> "Given":
        """Returns what a network of one task is given: of a funnel the joint label alone."""
        common = dict(self.common)
        if isinstance(common.get("tower_units"), Mapping):
            common["tower_units"] = {name: common["tower_units"][name]}
        alone = dataclasses.replace(self.tasks[name], given=None, estimator="entire")
        return dataclasses.replace(self, tasks={name: alone}, common=common)


@dataclasses.dataclass(frozen=True)
class Method:
    """One row of a comparison.

    Attributes:
        name: What the row is called.
        builder: A builder, a `functools.partial` of one, or a function with its arguments.
        one_per_task: Whether it makes a network for each task, not one for all.
    """

    name: str
    builder: Callable[..., Any]
    one_per_task: bool = False

    def parts(self, given: Given) -> Iterator[tuple[str | None, Given]]:
        """Yields what each of its networks is given, and its task, `None` for that of all."""
        if not self.one_per_task:
            yield None, given
            return
        for name in given.tasks:
            yield name, given.of_task(name)

    def network(self, given: Given, seed: int, **settings: Any) -> MultiTaskModel:
        """Returns a new network; `settings` are arguments of the builder."""
        arguments = [given.inputs, given.tasks]
        if takes_layers(self.builder):
            if given.layers is None:
                raise ValueError(f"{self.name!r} needs layers, but layers is None.")
            arguments.append(given.layers)
        model = self.builder(*arguments, **given.common, seed=seed, **settings)
        if not isinstance(model, MultiTaskModel) or list(model.tasks) != list(given.tasks):
            raise ValueError(
                f"{self.name!r} must return a network of keras_mtl for the tasks "
                f"{', '.join(given.tasks)}. Received: {model!r}"
            )
        return model


def takes_layers(builder: Callable[..., Any]) -> bool:
    """Returns whether a builder is given `layers`; recurrent ones make their own."""
    parameters = inspect.signature(builder).parameters
    return "layers" in parameters or any(p.kind == p.VAR_POSITIONAL for p in parameters.values())


def named_methods(methods: Any) -> list[Method]:
    """Returns the user's methods."""
    if not isinstance(methods, Mapping) or not methods:
        raise ValueError(
            "methods must be a dict, name -> builder, such as "
            f'{{"MMoE": keras_mtl.build_mmoe}}. Received: {methods!r}'
        )
    for name, builder in methods.items():
        if not isinstance(name, str) or not name or name == SINGLE:
            raise ValueError(
                f"A method needs a name of its own; {SINGLE!r} is that of a baseline. "
                f"Received: {name!r}"
            )
        if not callable(builder) or isinstance(builder, keras.layers.Layer):
            raise ValueError(
                f"{name!r} must be a builder such as keras_mtl.build_mmoe, a functools.partial of "
                f"one, or a function (inputs, tasks, layers, **common). Received: {builder!r}"
            )
    return [Method(name, builder) for name, builder in methods.items()]


def baselines_of(methods: Sequence[Method], layers: Any, tasks: Sequence[str]) -> list[Method]:
    """Returns the baselines that are not among the methods already."""
    lists = [entry for entry in layers or [] if isinstance(entry, list | tuple)]
    owners = [[tasks[index % len(tasks)] for index in range(len(entry))] for entry in lists]
    found = [
        Method("Shared bottom", build_shared_bottom),
        Method("No sharing", functools.partial(build_no_sharing, partition=owners or None)),
        Method("Fixed random", build_fixed_random),
    ]
    given = {function_of(method.builder) for method in methods}
    names = {method.name for method in methods}
    missing = [m for m in found if function_of(m.builder) not in given and m.name not in names]
    return [Method(SINGLE, build_shared_bottom, one_per_task=True), *missing]


def function_of(builder: Any) -> Any:
    """Returns the function that a builder, or a `functools.partial` of one, calls."""
    return builder.func if isinstance(builder, functools.partial) else builder
