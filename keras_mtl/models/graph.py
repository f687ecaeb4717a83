"""The graph that all builders share: stem, layers in order, heads."""

import contextlib
import random
import weakref

import keras

from keras_mtl.layers import Modular, SplitTasks, TaskHead, TaskHeads, TaskRows
from keras_mtl.tasks import as_tasks, check_task_name
from keras_mtl.training import MultiTaskModel

_GIVEN_LAYERS: weakref.WeakSet = weakref.WeakSet()  # so that no layer is built in twice


class TaskStream:
    """Features on their way through the network, and whose task each row is.

    With separate data the rows are examples and the model's input says their tasks.
    With shared data all tasks read the same rows, until a layer treats them differently:
    from there on there is a block of rows per task.
    """

    def __init__(self, inputs, tasks, task_data):
        if task_data not in ("shared", "separate"):
            raise ValueError(
                'task_data must be "shared" (one input, a label per task) or "separate" (each '
                f"example belongs to one task). Received: {task_data!r}"
            )
        self.tasks = as_tasks(tasks)
        self.separate = task_data == "separate"
        self.inputs = new_input(inputs)
        self.features = self.inputs
        self.task_id = None
        if self.separate:
            self.task_id = keras.Input((), dtype="int32", name="task_id")

    @property
    def num_rows(self):
        """How many rows an example has: one, or one per task."""
        return 1 if self.separate or self.task_id is None else len(self.tasks)

    def apply(self, layer):
        """Sends every row through one layer."""
        self.features = layer(self.features)

    def route(self, components, allocation, combine, name):
        """Sends every row through the components that its task is given.

        Returns what `allocation` says beside the weights, such as probabilities.
        """
        num_repeats, task_id = 1, self.task_id
        if task_id is None:
            num_repeats = 1 if allocation.same_for_all else len(self.tasks)
            task_id = TaskRows(num_repeats, name=f"{name}_rows")(self.inputs)
            self.task_id = None if allocation.same_for_all else task_id
        answer = allocation(task_id)
        weights, *rest = answer if isinstance(answer, list | tuple) else [answer]
        self.features = Modular(components, combine, num_repeats, name=name)(self.features, weights)
        return rest

    def finish(self, name, seed=None):
        """Adds the heads and returns the model."""
        model = MultiTaskModel(*self._inputs_and_outputs(seed), name=name)
        for layer in model.layers:
            if isinstance(layer, Modular):
                _check_different_starts(layer)
        return model

    def _inputs_and_outputs(self, seed):
        if self.separate:
            inputs = {"inputs": self.inputs, "task_id": self.task_id}
            self._check_task_names(inputs, self.features)
            heads = TaskHeads(self.tasks, seed=seed, name="heads")
            return inputs, heads(self.features, self.task_id)
        parts = [self.features] * len(self.tasks)
        if self.num_rows > 1:
            parts = SplitTasks(len(self.tasks), name="split_tasks")(self.features)
        self._check_task_names(self.inputs, parts)
        outputs = {
            task_name: TaskHead(task, index, name=task_name)(part)
            for index, ((task_name, task), part) in enumerate(
                zip(self.tasks.items(), parts, strict=True)
            )
        }
        return self.inputs, outputs

    def _check_task_names(self, inputs, features):
        taken = layer_names(keras.Model(inputs, features))
        for name in self.tasks:
            check_task_name(name, taken)


def layer_names(model):
    """Returns the names of a model's layers and of the components in them."""
    components = [
        c for layer in model.layers if isinstance(layer, Modular) for c in layer.components
    ]
    return {layer.name for layer in [*model.layers, *components]}


def copied_layer(layer, changes=()):
    """Returns a layer like `layer` with new weights, after `changes` of its config."""
    if isinstance(layer, keras.Model):
        return keras.models.clone_model(layer)
    return type(layer).from_config(layer.get_config() | dict(changes))


def new_input(inputs):
    """Returns inputs like the given ones, a `keras.Input` or a dict of them."""
    if isinstance(inputs, dict):
        return {key: _input_like(tensor, key) for key, tensor in inputs.items()}
    return _input_like(inputs, "inputs")


def _input_like(tensor, name):
    if not keras.backend.is_keras_tensor(tensor):
        raise ValueError(
            "inputs must be a keras.Input, such as keras.Input((28, 28, 1)), or a dict of them. "
            f"Received: {tensor!r}"
        )
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=name)


def new_layer(make, name, where):
    """Returns the layer that a callable makes, named `name`."""
    if isinstance(make, keras.layers.Layer):
        raise ValueError(
            f"{where} is the layer {make.name!r}, but a callable that returns a new layer is "
            "expected, so that no two models share weights. Give functools.partial"
            f"(keras.layers.{type(make).__name__}, ...) or a lambda."
        )
    if not callable(make):
        raise ValueError(
            f"{where} must be a callable that returns a Keras layer. Received: {make!r}"
        )
    layer = make()
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"{where} must return a Keras layer. It returned: {layer!r}")
    if layer in _GIVEN_LAYERS or (layer.built and getattr(layer, "_inbound_nodes", None)):
        raise ValueError(
            f"{where} returned the layer {layer.name!r}, which is in use already. It must return "
            "a new layer at every call."
        )
    _GIVEN_LAYERS.add(layer)
    layer.name = name
    return layer


def new_components(makes, layer_index, where):
    """Returns the components of a modular layer, each a new layer."""
    if not makes:
        raise ValueError(f"{where} is an empty list: a modular layer needs a component.")
    return [
        new_layer(make, f"component_{layer_index}_{index}", f"{where}[{index - 1}]")
        for index, make in enumerate(makes, start=1)
    ]


def check_lists(**lists):
    """Raises a `ValueError` when `stem` or `layers` is not a list."""
    for name, value in lists.items():
        if not isinstance(value, list | tuple):
            raise ValueError(
                f"{name} must be a list of callables that return a Keras layer, or of lists of "
                f"these. Received: {value!r}"
            )


@contextlib.contextmanager
def seeded(seed):
    """Makes everything that is drawn inside reproducible; `None` changes nothing.

    Keras takes the seeds of initializers and dropout from Python's generator, whose state
    is put back afterwards.
    """
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def build_allocated(inputs, tasks, layers, allocate, *, task_data, stem, combine, seed, name):
    """Builds a network whose components are weighted by task.

    Args:
        allocate: Function of a modular layer's index (from 1) and its number of components
            that returns an `Allocation` layer. Layers with one component are not asked.

    The other arguments are those of every builder.
    """
    with seeded(seed):
        stream = TaskStream(inputs, tasks, task_data)
        send_through(stream, stem, layers, allocate, combine)
        return stream.finish(name, seed)


def send_through(stream, stem, layers, allocate, combine):
    """Sends a stream through stem and layers; returns what allocations say beside weights."""
    check_lists(stem=stem, layers=layers)
    said = []
    for index, make in enumerate(stem):
        stream.apply(new_layer(make, f"stem_{index + 1}", f"stem[{index}]"))
    layer_index = 0
    for place, entry in enumerate(layers):
        where = f"layers[{place}]"
        if not isinstance(entry, list | tuple):
            stream.apply(new_layer(entry, f"layer_{place + 1}", where))
            continue
        layer_index += 1
        components = new_components(entry, layer_index, where)
        if len(components) == 1:
            stream.apply(components[0])
        else:
            allocation = allocate(layer_index, len(components))
            said += stream.route(components, allocation, combine, f"modular_{layer_index}")
    return said


def _check_different_starts(modular):
    """Equal components get equal gradients and stay equal: one would do."""
    seen = {}
    for component in modular.components:
        weights = component.get_weights()
        if not any(weight.ndim > 1 for weight in weights):
            continue
        key = tuple((weight.shape, weight.tobytes()) for weight in weights)
        if key in seen:
            raise ValueError(
                f"Components {seen[key]!r} and {component.name!r} start with equal weights and "
                "would stay equal. An initializer given as an object or with a seed draws the "
                "same numbers for every component: give its name instead, such as "
                'kernel_initializer="he_normal".'
            )
        seen[key] = component.name
