"""An LSTM that reads its input through functions chosen for the task."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.growing import take_over_each
from keras_mtl.layers.places import in_blocks
from keras_mtl.layers.recurrent.scan import check_sequence, lstm_gates, masked_scan
from keras_mtl.layers.routers.allocation import take_rows
from keras_mtl.layers.routers.gumbel_choice import gumbel_noise, straight_through_choice
from keras_mtl.replicas import drawn_by_row
from keras_mtl.seeds import seed_of
from keras_mtl.types import Setting, Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class RoutedLSTM(keras.layers.Layer):
    """An LSTM whose input transformation is put together from a set of functions.

    What an LSTM adds to its gates for the input, `x @ kernel + bias`, is one of several such
    functions here, or several of them one after the other with ReLU in between, from the same
    set at every depth. A table of logits per task decides: in training each example draws a
    function at each depth, in inference every task takes its most likely ones. With one
    function and depth 1 this is a `keras.layers.LSTM`.

    Source: Cases et al., "Recursive routing networks: learning to compose modules for language
    understanding", NAACL 2019, https://aclanthology.org/N19-1365; its code routes the input
    or the state of an LSTM. Differs from the source: the router is a table trained with
    straight-through gradients, not by reinforcement learning, and all routes have the full
    depth, where the code may end them by an identity.

    Args:
        units: Units of the LSTM.
        num_tasks: Number of tasks (rows of the table).
        num_functions: Number of functions.
        depth: How many functions an input passes. Above 1 functions read what functions
            answer, so the features must have width `4 * units`. Defaults to 2.
        temperature: Number above 0; shapes the gradient, not the choices. Defaults to 1.0.
        seed: Integer seed of initial weights and draws, or `None`. Defaults to `None`.
        num_added_tasks: How many of the tasks were added to a trained layer. Then only the routes
            of the newest task are drawn and learned. Defaults to 0.

    Call arguments:
        x: `(batch, steps, features)`.
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.
        training: Whether to draw (`True`) or take the most likely functions.
        x_mask: `(batch, steps)` booleans, `False` where there is only padding. States stay as
            they are there.

    Output shape:
        `(batch, steps, units)`.

    Weights:
        logits: `(num_tasks, depth, num_functions)`, natural logarithms up to a constant, 0
            at the start; of an added task `logits_added_1`, ...
        kernel: `(num_functions, features, 4 * units)`.
        bias: `(num_functions, 4 * units)`.
        recurrent_kernel: `(units, 4 * units)`; gates in Keras's order: input, forget,
            candidate, output.

    Raises:
        ValueError: `temperature` is not above 0, fewer than one function or depth, an input
            that is no sequence or has the wrong width for a depth above 1.

    Example:

    >>> layer = RoutedLSTM(4, num_tasks=2, num_functions=3, depth=1)
    >>> states = layer(keras.ops.ones((3, 7, 5)), keras.ops.array([0, 1, 0]))
    >>> tuple(states.shape)
    (3, 7, 4)
    """

    def __init__(
        self,
        units: Any,
        num_tasks: int,
        num_functions: Any,
        depth: int = 2,
        temperature: Setting = 1.0,
        seed: int | None = None,
        num_added_tasks: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = checks.count("units", units)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.num_functions = checks.count("num_functions", num_functions)
        self.depth = checks.count("depth", depth)
        self.temperature = checks.number("temperature", temperature, above=0)
        self.seed = checks.seed("seed", seed)
        most = self.num_tasks - 1  # a network starts with a task
        self.num_added_tasks = checks.count("num_added_tasks", num_added_tasks, 0, most)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.supports_masking = True
        self._stock = functools.cache(self._new_stock)  # routes may share what they freeze to

    def build(self, x_shape: Any, task_id_shape: Shape) -> None:
        check_sequence(self.name, x_shape)
        width = 4 * self.units
        if self.depth > 1 and x_shape[-1] != width:
            raise ValueError(
                f"{self.name!r} of depth {self.depth} applies its functions to what they answer, "
                f"so its features must have width 4 * units = {width}. Received: "
                f"{tuple(x_shape)}. End the stem with keras.layers.Dense({width}), or use depth=1."
            )
        first = self.num_tasks - self.num_added_tasks
        self.logits = self._add_rows("logits", first)
        added = range(1, self.num_added_tasks + 1)
        self.row_blocks = [self.logits, *(self._add_rows(f"logits_added_{n}", 1) for n in added)]
        self.kernel = self.add_weight(
            shape=(self.num_functions, x_shape[-1], width),
            initializer=_glorot_functions(self.seed),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(self.num_functions, width), initializer=_open_forget_gates, name="bias"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, width),
            initializer=keras.initializers.Orthogonal(seed=self.seed),
            name="recurrent_kernel",
        )
        if self.num_added_tasks:
            for settled in (*self.row_blocks[:-1], *self._shared()):
                settled.trainable = False

    def _add_rows(self, name: str, num_tasks: Any) -> Any:
        return self.add_weight(
            shape=(num_tasks, self.depth, self.num_functions),
            initializer="zeros",
            dtype="float32",
            autocast=False,
            name=name,
        )

    def _shared(self) -> tuple[Any, ...]:
        return self.kernel, self.bias, self.recurrent_kernel

    def _table(self) -> Tensor:
        """Returns the logits of all tasks."""
        return ops.concatenate([ops.convert_to_tensor(rows) for rows in self.row_blocks], axis=0)

    def call(self, x: Tensor, task_id: Tensor, training: bool = False, x_mask: Any = None) -> Any:
        task_id = ops.cast(task_id, "int32")
        logits = take_rows(self._table(), task_id)
        noise = None
        if training and self.trainable:
            noise = drawn_by_row(gumbel_noise, ops.shape(logits), self.seed_generator)
            if self.num_added_tasks:
                noise = ops.where(task_id[:, None, None] == self.num_tasks - 1, noise, 0.0)
        choices = straight_through_choice(logits, self.temperature, noise)
        choices = ops.cast(choices, self.compute_dtype)
        for index in range(self.depth):
            x = self._chosen(choices[:, index], ops.relu(x) if index else x)

        def step(states, inputs):
            hidden, cell = states
            cell, output = lstm_gates(inputs[0] + ops.matmul(hidden, self.recurrent_kernel), cell)
            return [output * ops.tanh(cell), cell]

        return masked_scan(step, [self.units, self.units], [x], x_mask)

    def _chosen(self, choice: Any, x: Tensor) -> Any:
        """Applies each example's function: functions are linear, so their weights are mixed."""
        kernel = ops.reshape(self.kernel, (self.num_functions, -1))
        kernel = ops.reshape(ops.matmul(choice, kernel), (-1, *self.kernel.shape[1:]))
        return ops.matmul(x, kernel) + ops.expand_dims(ops.matmul(choice, self.bias), axis=1)

    def compute_mask(self, x: Tensor, previous_mask: Any = None) -> Any:
        return previous_mask

    def compute_output_shape(self, x_shape: Any, task_id_shape: Shape) -> Any:
        return (*x_shape[:2], self.units)

    def frozen(self, call: Callable[..., Any], x: Tensor, task_id: Tensor) -> Any:
        """Becomes stock: a Dense for each function on the task's route, an LSTM for the last."""
        route = np.argmax(ops.convert_to_numpy(self._table())[task_id], axis=-1)
        kernels, biases = self.kernel.numpy(), self.bias.numpy()
        for index, function in enumerate(route):
            ends = index == self.depth - 1
            layer = self._stock(int(function), ends)
            if not layer.built:
                layer.build((None, None, kernels.shape[1]))
            recurrent = [self.recurrent_kernel.numpy()] if ends else []
            layer.set_weights([kernels[function], *recurrent, biases[function]])
            x = call(layer, x)
        return x

    def grown(self, new: Any) -> Any:
        """Has routes for the new task too, which alone are learned: all functions stay."""
        changes = {"num_tasks": self.num_tasks + 1, "num_added_tasks": self.num_added_tasks + 1}
        return new_layer_like(self, changes)

    def take_over(self, old: Any) -> None:
        take_over_each((*old.row_blocks, *old._shared()), (*self.row_blocks[:-1], *self._shared()))

    def _new_stock(self, function: Any, ends: Any) -> Any:
        """Returns a stock layer for a function, with the recurrence where it ends a route."""
        name = f"{self.name}_{'lstm' if ends else 'function'}_{function + 1}"
        settings = {"dtype": self.dtype_policy, "name": name}
        if ends:
            return keras.layers.LSTM(self.units, return_sequences=True, **settings)
        return keras.layers.Dense(4 * self.units, activation="relu", **settings)

    def places(self, tasks: Sequence[str]) -> dict[str, Any]:
        return in_blocks("logits", 0, tasks, self.num_added_tasks)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "num_tasks": self.num_tasks,
            "num_functions": self.num_functions,
            "depth": self.depth,
            "temperature": self.temperature,
            "seed": self.seed,
            "num_added_tasks": self.num_added_tasks,
        }


def _glorot_functions(seed: int | None) -> Any:
    """Returns a Glorot initializer of kernels, each by its own shape and with its own draw."""

    def initialize(shape, dtype):
        seeds = [seed_of(seed, index) for index in range(shape[0])]
        kernels = [keras.initializers.GlorotUniform(one)(shape[1:], dtype) for one in seeds]
        return ops.stack(kernels)

    return initialize


def _open_forget_gates(shape: tuple[int, ...], dtype: str) -> Tensor:
    """Returns biases that start as those of a Keras LSTM: 1 for the forget gate, else 0."""
    units = shape[-1] // 4
    forget = np.arange(shape[-1]) // units == 1
    return ops.convert_to_tensor(np.broadcast_to(forget, shape).astype("float32"), dtype)
