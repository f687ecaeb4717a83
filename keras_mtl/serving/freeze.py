"""From a network that allocates components to one that just has them."""

import inspect
import warnings
from functools import partial

import keras

from keras_mtl.analysis.allocation import allocation_layers
from keras_mtl.analysis.task_paths import task_graph
from keras_mtl.layers import SkippableBlock, Stitch
from keras_mtl.models.making import copied_layer
from keras_mtl.serving.skip_closed import SkipClosed

_RANDOM_IN_TRAINING_ONLY = (
    keras.layers.Dropout,
    keras.layers.AlphaDropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
)


def freeze(model, task=None, *, cut_below=0.0, skip_closed=False):
    """Returns the network that is left when every task keeps its most likely components.

    The result is an independent, plain `keras.Model` of stock layers and operations: no
    routers, no randomness, no unused components, no `task_id`. Its outputs are those of
    `model(..., training=False)`; it can be saved, loaded and served where keras_mtl is not
    installed. Layers that two tasks share are shared there too. Layers that act in
    training only, such as Dropout, are left out.

    Source: Maziarz et al. 2019, https://arxiv.org/abs/1910.04915, section III-C.

    Args:
        model: A model made by a builder of this package.
        task: Name of one task, or `None` for all. Defaults to `None`.
        cut_below: For cross-stitch and sluice networks: where a task reads another with no
            weight above this, in absolute value, it no longer reads it. A tower that the frozen
            task does not need any more is gone. `cut_report` says how much that changes the
            outputs; 0 changes nothing. Defaults to 0.0.
        skip_closed: For networks with gates: whether a block runs on the examples whose gate is
            open only, instead of on all with a product that forgets the others. That needs
            TensorFlow and leaves a layer of this package in the network. Where gates decide at
            every step, a block runs on the examples whose gate is open at any. Sequences with a
            mask keep the product. Defaults to `False`.

    Returns:
        A `keras.Model` with the input `inputs`. For all tasks it returns a dict, name ->
        `(batch, size)`; for one task a plain tensor.

    Raises:
        ValueError: The model has no tasks, `task` is not one of them, a negative `cut_below`,
            `skip_closed` on another backend than TensorFlow.

    Warns:
        UserWarning: A task has no component in some layer. Its path is zeros there.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_gumbel_matrix(
    ...     keras.Input((5,)), {"income": "binary", "age_group": 3}, [[dense] * 4])
    >>> frozen = keras_mtl.freeze(model, "age_group")
    >>> frozen.output.shape
    (None, 3)
    """
    tasks = list(getattr(model, "tasks", {}))
    if not tasks:
        raise ValueError(
            f"Model {getattr(model, 'name', model)!r} has no tasks to freeze. Give a model made by "
            "a keras_mtl builder. A frozen model is frozen already."
        )
    if task is not None and task not in tasks:
        raise ValueError(f"Unknown task {task!r}. Tasks of this model: {', '.join(tasks)}")
    if not cut_below >= 0:
        raise ValueError(f"cut_below must be a number of at least 0. Received: {cut_below}")
    if skip_closed and keras.backend.backend() != "tensorflow":
        raise ValueError(
            "skip_closed=True needs the TensorFlow backend, where the number of examples may "
            f"depend on the data. This is {keras.backend.backend()}."
        )
    _warn_of_empty_rows(model, tasks if task is None else [task], tasks)
    freezer = _Freezer(model, cut_below, skip_closed)
    if task is not None:
        return keras.Model(freezer.inputs, freezer.output(task), name=task)
    outputs = {name: freezer.output(name) for name in tasks}
    return keras.Model(freezer.inputs, outputs, name=model.name)


def _warn_of_empty_rows(model, frozen_tasks, tasks):
    for layer in allocation_layers(model):
        if layer.num_components == 1:
            continue  # a block that is skipped, not a layer without components
        for name in frozen_tasks:
            if not layer.matrix()[tasks.index(name)].any():
                warnings.warn(
                    f"Task {name!r} has no component in {layer.name!r}: what follows there sees "
                    "zeros, and the answer no longer depends on the input. Give these weights to a "
                    "network with min_components=1, or train with a higher init_probability, a "
                    "larger budget or a disconnect_weight.",
                    stacklevel=3,
                )


class _Freezer:
    """Runs a model's graph for one known task at a time, on copies of its layers.

    A layer is copied once, with its weights, and equal calls are made once, so that what
    tasks share is stored and computed once.
    """

    def __init__(self, model, cut_below, skip_closed):
        self._model = model
        self._cut_below = cut_below
        self._skip_closed = skip_closed
        original = model.input
        if model.task_data == "separate":
            original = original["inputs"]
        self.inputs = keras.tree.map_structure(_same_input, original)
        self._copies = {}
        self._models = {}
        self._calls = {}

    def output(self, task):
        """Returns the symbolic output of one task."""
        inputs = self.inputs
        if self._model.task_data == "separate":
            task_id = keras.Input((), dtype="int32", name="task_id")
            inputs = {"inputs": self.inputs, "task_id": task_id}
        output = task_graph(self._model, task, self._copy, inputs).output
        return output[self._model.tasks[task].kind] if isinstance(output, dict) else output

    def _copy(self, layer, name=None):
        """Returns a function that calls what stands for a layer, once for equal arguments."""
        if isinstance(layer, _RANDOM_IN_TRAINING_ONLY):
            return lambda x, **kwargs: x
        stand_in = self._stand_in(layer, name)

        def call(*args, **kwargs):
            key = (id(layer), *(id(leaf) for leaf in keras.tree.flatten((args, kwargs))))
            if key not in self._calls:
                self._calls[key] = stand_in(*args, **kwargs)
                if id(layer) in self._copies:
                    self._copies[id(layer)].set_weights(layer.get_weights())
            return self._calls[key]

        return call

    def _stand_in(self, layer, name):
        """Returns the stock form of a layer, its copy, or an operation as it is."""
        if isinstance(layer, Stitch):
            return partial(_stock_form, layer, copy=self._copy, cut_below=self._cut_below)
        if isinstance(layer, SkippableBlock) and self._skip_closed:
            return partial(self._skipping, layer)
        if hasattr(layer, "stock_call"):
            return partial(_stock_form, layer, copy=self._copy)
        if not isinstance(layer, keras.layers.Layer):
            return layer
        if isinstance(layer, keras.Model):
            return self._inside(layer)
        if id(layer) not in self._copies:
            changes = _without_regularizers(layer.get_config()) | {"name": name or layer.name}
            self._copies[id(layer)] = copied_layer(layer, changes)
        return self._copies[id(layer)]

    def _skipping(self, layer, x, gate=None):
        """Returns what a block answers that computes no example whose gate is closed."""
        if gate is None or getattr(x, "_keras_mask", None) is not None:
            return _stock_form(layer, x, *([] if gate is None else [gate]), copy=self._copy)
        shortcut = _stock_form(layer, x, copy=self._copy)
        if id(layer) not in self._models:
            inputs = [keras.Input(part.shape[1:], dtype=part.dtype) for part in (x, shortcut)]
            network = keras.Model(inputs, layer.stock_answer(*inputs, copy=self._copy))
            self._models[id(layer)] = SkipClosed(network, name=layer.name)
        return self._models[id(layer)](x, shortcut, gate)

    def _inside(self, model):
        """Returns a model of what stands for the layers of a nested one."""
        if id(model) not in self._models:
            graph = model
            if isinstance(model, keras.Sequential):  # its own graph, not that of its caller
                graph = keras.Model(model.inputs, model.outputs[0])
            self._models[id(model)] = keras.models.clone_model(
                graph,
                clone_function=lambda layer: layer,
                call_function=lambda layer, *args, training=None, **kwargs: self._copy(layer)(
                    *args, **kwargs
                ),
            )
            self._models[id(model)].name = model.name
        return self._models[id(model)]


def _stock_form(layer, x, *more, mask=None, **settings):
    """Returns what the stock form of a layer answers, with the mask that operations drop."""
    if mask is None:
        mask = keras.tree.map_structure(lambda tensor: getattr(tensor, "_keras_mask", None), x)
    if "mask" in inspect.signature(layer.stock_call).parameters:
        settings["mask"] = mask
    outputs = layer.stock_call(x, *more, **settings)
    masks = keras.tree.flatten(layer.compute_mask(x, mask))
    for output, its_mask in zip(keras.tree.flatten(outputs), masks, strict=True):
        if its_mask is not None:
            output._keras_mask = its_mask
    return outputs


def _without_regularizers(config):
    """They act in training only, and `SubspaceOrthogonality` is not there without keras_mtl."""
    if isinstance(config, list):
        return [_without_regularizers(value) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        key: None if key.endswith("_regularizer") else _without_regularizers(value)
        for key, value in config.items()
    }


def _same_input(tensor):
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name)
