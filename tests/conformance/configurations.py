"""Networks drawn at random: builder, tasks, layers, arguments, and now and then a fault."""

import dataclasses
import inspect
from functools import partial
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st

import keras_mtl
from keras_mtl import Task
from tests.conformance.methods import METHODS
from tests.public_api import builders

BUILDERS = builders()
TOWERS = ["build_cross_stitch", "build_no_sharing", "build_single_tasks", "build_sluice"]
BLOCKS = ["build_adashare", "build_dynashare"]
LISTS_OF_ONE = [*BLOCKS, "build_task_routing"]
SEVERAL_TASKS = ["build_communicating", "build_girnet"]
WIDTH, VOCABULARY = 4, 9

KINDS = [3, "binary", "regression", ("regression", 2), ("multilabel", 2), ("classes", 2)]
KINDS += [("count", 1), ("amount", 1), ("ordinal", 4), Task("regression", 2, standardize=(60, 20))]
KINDS_PER_STEP = [("tagging", 3), ("regression", 2, "per_step"), ("binary", 1, "per_step")]
KINDS_PER_STEP += [("ordinal", 3, "per_step"), ("count", 2, "per_step"), ("amount", 2, "per_step")]


def adapted():
    layer = keras.layers.Normalization()
    layer.adapt(np.random.default_rng(1).normal(50, 10, (99, WIDTH)))
    return layer


def inside(*makes):
    return lambda: keras.Sequential([make() for make in makes])


dense = partial(keras.layers.Dense, WIDTH, activation="tanh")
layer_norm, batch_norm = keras.layers.LayerNormalization, keras.layers.BatchNormalization
lstm = partial(keras.layers.LSTM, WIDTH, return_sequences=True)
conv = partial(keras.layers.Conv1D, WIDTH, 3, padding="same")
PARTS = {
    "dense": dense,
    "dense, layer norm": inside(dense, layer_norm),
    "dense, batch norm": inside(dense, batch_norm),
    "dense, dropout, dense": inside(dense, partial(keras.layers.Dropout, 0.3), dense),
    "nested": inside(dense, inside(dense, inside(layer_norm))),
    "residual": partial(keras_mtl.layers.ResidualDense, WIDTH),
    "dropout": partial(keras.layers.Dropout, 0.3),
    "layer norm": layer_norm,
    "batch norm": batch_norm,
    "adapted": adapted,
    "embedding": partial(keras.layers.Embedding, VOCABULARY, WIDTH, mask_zero=True),
    "wide": partial(keras.layers.Dense, 8),
    "conv": conv,
    "conv, layer norm": inside(conv, layer_norm),
    "lstm": lstm,
    "bilstm": lambda: keras.layers.Bidirectional(
        keras.layers.LSTM(WIDTH // 2, return_sequences=True)
    ),
    "last": partial(keras.layers.LSTM, WIDTH),
    "average": keras.layers.GlobalAveragePooling1D,
    "equal": partial(
        keras.layers.Dense, WIDTH, kernel_initializer=keras.initializers.GlorotUniform(seed=1)
    ),
    "other shape": partial(keras.layers.Dense, WIDTH + 1),
    "no layer": lambda: 3,
}  # fmt: skip
FOR_ROWS = ["dense", "dense, layer norm", "dense, batch norm", "dense, dropout, dense", "nested"]
FOR_STEPS = [*FOR_ROWS, "conv", "conv, layer norm", "lstm", "bilstm"]
BETWEEN = ["dropout", "layer norm", "batch norm", "dense"]


@dataclasses.dataclass
class Configuration:
    """What a builder is called with; layers by their names in `PARTS`, tasks by their fields."""

    builder: str
    task_data: Any
    inputs: Any
    tasks: Any
    stem: Any
    layers: Any = None
    arguments: dict = dataclasses.field(default_factory=dict)
    fault: str = ""
    steps: bool = False

    def build(self):
        inputs, tasks = self.inputs, self.tasks
        if inputs in ("rows", "ids", "ids of one length", "steps"):
            shape, dtype = {
                "rows": ((WIDTH,), "float32"),
                "steps": ((None, WIDTH), "float32"),
                "ids": ((None,), "int32"),
                "ids of one length": ((6,), "int32"),
            }[inputs]
            inputs = keras.Input(shape, dtype=dtype)
        if isinstance(tasks, dict):
            tasks = {name: _task(task) for name, task in tasks.items()}
        settings = dict(self.arguments)
        if self.layers is not None:
            settings["layers"] = _made(self.layers)
        return getattr(keras_mtl, self.builder)(
            inputs, tasks, task_data=self.task_data, stem=_made(self.stem), seed=1, **settings
        )

    def examples(self, number=5):
        """Returns inputs for the network; ids end in padding, of other lengths."""
        rng = np.random.default_rng(0)
        if self.inputs == "rows":
            at, scale = (50, 10) if "adapted" in self.stem else (0, 1)
            return rng.normal(at, scale, (number, WIDTH)).astype("float32")
        if self.inputs == "steps":
            return rng.normal(size=(number, 6, WIDTH)).astype("float32")
        ids = rng.integers(1, VOCABULARY, (number, 6))
        return np.where(np.arange(6) < rng.integers(1, 7, (number, 1)), ids, 0).astype("int32")


def _task(given):
    if not isinstance(given, tuple):
        return given
    kind, size, *per_step = given
    return Task(kind, size, per_step=bool(per_step))


def _made(entry):
    if isinstance(entry, list):
        return [_made(each) for each in entry]
    if entry == "an instance":
        return dense()
    return PARTS.get(entry, entry) if isinstance(entry, str) else entry


@st.composite
def configurations(draw, builder):
    """Draws a configuration that is right, or has one fault that is named."""
    layered = "layers" in inspect.signature(getattr(keras_mtl, builder)).parameters
    steps = not layered or draw(st.booleans())
    fault = draw(st.sampled_from([False, False, True]))
    least = 2 if fault or builder in SEVERAL_TASKS else 1
    names = ["a", "b", "c"][: draw(st.integers(least, 3))]
    task_data = draw(st.sampled_from(["shared", "separate"]))
    per_step = steps and draw(st.booleans())
    kinds = KINDS
    if per_step:
        kinds = KINDS_PER_STEP if task_data == "separate" else [*KINDS_PER_STEP, *KINDS]
    tasks = {name: draw(st.sampled_from(kinds)) for name in names}
    per_step = any(task in KINDS_PER_STEP for task in tasks.values())
    found = Configuration(builder, task_data, "rows", tasks, [], steps=steps)
    _draw_stem(draw, found)
    entries = 0
    if layered:
        found.layers = draw(_layers(builder, len(names), FOR_STEPS if steps else FOR_ROWS))
        entries = len(found.layers)
        if steps and not per_step:
            found.layers.append(draw(st.sampled_from(["last", "average"])))
            entries += 1
    sizes = [len(entry) for entry in found.layers or [] if isinstance(entry, list)]
    ways = {**METHODS[builder].needed}
    if not fault:
        way = draw(st.sampled_from(METHODS[builder].valid))
        chosen = draw(st.sets(st.sampled_from(sorted(way)))) if way else []
        ways |= {name: way[name] for name in sorted(chosen)}
    for name, values in ways.items():
        values = values(names, sizes, entries) if callable(values) else values
        found.arguments[name] = draw(st.sampled_from(values))
    if fault:
        draw(st.sampled_from(_faults(found)))(draw, found)
    return found


def _draw_stem(draw, found):
    if not found.steps:
        found.stem = draw(st.sampled_from([[], ["adapted"], ["dense"], ["adapted", "dense"]]))
    else:
        found.inputs = draw(st.sampled_from(["ids", "ids", "ids of one length", "steps"]))
        found.stem = [] if found.inputs == "steps" else ["embedding"]
        found.stem += draw(st.sampled_from([[], ["dropout"], ["dense"]]))
    if found.builder == "build_recursive_routing":
        found.stem.append("wide")


@st.composite
def _layers(draw, builder, num_tasks, parts):
    made = []
    for _ in range(draw(st.integers(1, 2))):
        size = draw(st.integers(2, 3))
        if builder in TOWERS:
            size = num_tasks
        elif builder == "build_ple":
            size = num_tasks + draw(st.integers(1, 2))
        elif builder in LISTS_OF_ONE:
            size = 1
        blocks = [*parts, "residual"] if builder in BLOCKS else parts
        one = draw(st.sampled_from(blocks))
        mixed = st.lists(st.sampled_from(blocks), min_size=size, max_size=size)
        made.append(draw(st.one_of(st.just([one] * size), mixed)))
        made += draw(st.sampled_from([[], [], *([part] for part in BETWEEN)]))
    return made


def _faults(found):
    faults = [_wrong_task_data, _wrong_inputs, _wrong_tasks, _wrong_task, _wrong_name, _wrong_stem]
    if METHODS[found.builder].invalid:
        faults += [_wrong_argument] * 6
    if found.task_data == "separate" and found.tasks["a"] in KINDS_PER_STEP:
        faults.append(_labels_at_some_steps)
    if found.layers is None:
        return [*faults, _no_sequence]
    faults += [_wrong_layers, _wrong_entry]
    if len(found.layers[0]) > 1:
        faults += [_equal_starts, _other_shape]
    if found.builder in [*TOWERS, *LISTS_OF_ONE]:
        faults.append(_one_component_more)
    return faults


def _wrong_argument(draw, found):
    name = draw(st.sampled_from(sorted(METHODS[found.builder].invalid)))
    found.arguments[name] = draw(st.sampled_from(METHODS[found.builder].invalid[name]))
    found.fault = name


def _wrong_task_data(draw, found):
    found.task_data = draw(st.sampled_from(["joint", "", None, 3, ["shared"]]))
    found.fault = "task_data must be"


def _wrong_inputs(draw, found):
    found.inputs = draw(st.sampled_from([(WIDTH,), None, 3, "x", {"a": (WIDTH,)}]))
    found.fault = "inputs must be a keras.Input"


def _wrong_tasks(draw, found):
    found.tasks = draw(st.sampled_from([{}, None, ["a"], "a", 3]))
    found.fault = "tasks must be a dict"


def _wrong_task(draw, found):
    wrong = [None, True, 2.5, 1, 0, -1, "classes", "x", ("binary", 3), ("classes", 1), ("x", 2)]
    wrong += [("tagging", 2.5), ("multilabel", 0), ("classes", 3, "per_step")]
    found.tasks[draw(st.sampled_from(list(found.tasks)))] = draw(st.sampled_from(wrong))
    found.fault = "task"


def _labels_at_some_steps(draw, found):
    found.tasks["a"] = draw(st.sampled_from(KINDS))
    found.fault = "either all tasks or none have a label at every time step"


def _wrong_name(draw, found):
    names = ["2d", "my task", "", "größe", 7, None, "mean", "loss", "task_id", "heads", "serve"]
    name = draw(st.sampled_from(names))
    found.tasks[name] = 3
    found.fault = f"Task name {name!r}"


def _wrong_stem(draw, found):
    entry = draw(st.sampled_from([None, 5, "an instance", "no layer"]))
    found.stem = draw(st.sampled_from([None, "dense", dense, [*found.stem, entry]]))
    found.fault = "stem"


def _wrong_layers(draw, found):
    found.layers = draw(st.sampled_from([3, "x", dense, True]))
    found.fault = "layers must be a list"


def _wrong_entry(draw, found):
    entry = draw(st.sampled_from([None, 5, "x", "an instance", "no layer"]))
    found.layers[0][0] = entry
    found.fault = "layers[0][0]"


def _equal_starts(draw, found):
    found.layers[0] = ["equal"] * len(found.layers[0])
    found.fault = "start with equal weights"


def _other_shape(draw, found):
    found.layers[0][-1] = "other shape"
    found.fault = "shape"


def _one_component_more(draw, found):
    found.layers[0].append("dense")
    found.fault = "component"


def _no_sequence(draw, found):
    found.stem.append("average")
    found.fault = "sequence"
