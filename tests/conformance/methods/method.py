"""What the tests know of a method: how it is called, what it refuses, whether it grows."""

import dataclasses
from functools import partial

import keras

dense = partial(keras.layers.Dense, 4, activation="tanh")
OWN_TASKS = "Layer '{}' of this one is made for its own tasks only: build a network with all"
DIFFERENT_LAYERS = (
    "are predicted from different layers, so add_task cannot know which the new one reads"
)

NAN, INF = float("nan"), float("inf")
NO_WORD = [None, "x", "", 3, NAN, ("x",)]
NO_NUMBER = [NAN, INF, "x", None, [1]]
NO_WEIGHT = [*NO_NUMBER, -1]
NO_TOWER_UNITS = [8, "x", None, NAN, (0,), (1.5,), {"x": (3,)}, {"a": 3}]
NO_TEMPERATURE = [NAN, INF, 0, -1, "x", [1]]


def levels(tasks, lists, entries):
    return [{}, {tasks[0]: entries}] if entries else [{}]


def routes(tasks, lists, entries):
    several = [size for size in lists if size > 1]
    return [[[task % size for size in several] for task in range(len(tasks))]]


def partition(tasks, lists, entries):
    return [[[*tasks, *[tasks[0]] * size][:size] for size in lists]]


def policy(tasks, lists, entries):
    rows = range(len(tasks))
    return [[[int(row != block) for block in range(len(lists))] for row in rows]]


def target_rates(tasks, lists, entries):
    return [0.5, [0.5, *[1] * (len(lists) - 1)]]


def tower_units(tasks, lists, entries):
    different = {task: (5, 3) if task == tasks[0] else (3,) for task in tasks}
    return [(), (3,), [5, 2], different]


def a_task(tasks, lists, entries):
    return tasks


@dataclasses.dataclass
class Method:
    """One builder.

    Attributes:
        settings: Its own arguments in the small network of the registry.
        made_of: What `layers` holds: `"lists"` of components, `"blocks"` (lists of one layer), or
            nothing, since it makes `"sequences"` itself.
        num_components: How many components a list has.
        needed: Arguments without a default, by name their values to try.
        valid: Its ways to be called: an argument and its values, or a function that says them of
            the names of the tasks, the sizes of the lists and the number of layers before the end.
        invalid: Values that an argument refuses by its name, or by what it is called where it is
            used.
        refusals: Ways to serve or grow that are refused: mode, kind, way, and a pattern of the
            message; "*" is all.
    """

    settings: dict
    made_of: str = "lists"
    num_components: int = 3
    needed: dict = dataclasses.field(default_factory=dict)
    valid: list = dataclasses.field(default_factory=lambda: [{}])
    invalid: dict = dataclasses.field(default_factory=dict)
    refusals: list = dataclasses.field(default_factory=list)

    def __post_init__(self):
        if self.made_of != "sequences":
            self.valid = [{**way, "tower_units": tower_units} for way in self.valid]
            self.invalid = {**self.invalid, "tower_units": NO_TOWER_UNITS}

    @property
    def grows(self):
        return not any(way in ("*", "grown") for _, _, way, _ in self.refusals)
