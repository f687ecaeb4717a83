"""Which components a task uses: weights that depend on the task alone."""

import keras
import numpy as np
from keras import ops

from keras_mtl.layers.gumbel import GumbelRouter
from keras_mtl.schedules import deserialize_setting, serialize_setting


def take_rows(table, task_id):
    """Returns the row of each example's task; NaN where `task_id` is out of range.

    Compiled code cannot raise, and a plain gather would answer -1 as the last task.
    """
    num_tasks = table.shape[0]
    known = (task_id >= 0) & (task_id < num_tasks)
    rows = ops.take(table, ops.clip(task_id, 0, num_tasks - 1), axis=0)
    known = ops.reshape(known, (-1,) + (1,) * (len(table.shape) - 1))
    return ops.where(known, rows, ops.cast(float("nan"), rows.dtype))


class Allocation(keras.layers.Layer):
    """Abstract: answers each example with its task's row of a (T, C) matrix.

    A final class implements `rows(training)`, the matrix of this step, and
    `probabilities()`. All examples of a task in a batch get the same row.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components (columns).
    """

    def __init__(self, num_tasks, num_components, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.num_tasks = num_tasks
        self.num_components = num_components

    def call(self, task_id, training=False):
        rows = ops.cast(self.rows(training), self.compute_dtype)
        return take_rows(rows, ops.cast(task_id, "int32"))

    def rows(self, training):
        """Returns the (T, C) weights of this step."""
        raise NotImplementedError

    def probabilities(self):
        """Returns the (T, C) float32 probabilities that a task uses a component."""
        raise NotImplementedError

    @property
    def same_for_all(self):
        """Whether all tasks are bound to have the same row."""
        return False

    def matrix(self):
        """Returns the maximum-likelihood (T, C) matrix as a NumPy array."""
        return ops.convert_to_numpy(self.rows(training=False))

    def compute_output_shape(self, task_id_shape):
        return (task_id_shape[0], self.num_components)

    def frozen_call(self, task_id_tensor, *, task_id, copy):
        """Answers with the known row of one task, when a model is frozen for it."""
        return self.matrix()[task_id]


@keras.saving.register_keras_serializable("keras_mtl")
class FixedAllocation(Allocation):
    """Gives each task the components it is told to use.

    Shared bottom, no sharing and fixed random routing are this layer with other
    numbers.

    Args:
        allocation: `(num_tasks, num_components)` numbers in [0, 1].

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.

    Output shape:
        `(batch, num_components)`, in the layer's compute dtype.

    Raises:
        ValueError: `allocation` is not a matrix of numbers in [0, 1].

    Example:

    >>> allocation = FixedAllocation([[1, 0], [0, 1], [1, 1]])
    >>> keras.ops.convert_to_numpy(allocation(keras.ops.array([2, 0]))).tolist()
    [[1.0, 1.0], [1.0, 0.0]]
    """

    def __init__(self, allocation, **kwargs):
        allocation = np.asarray(allocation, "float32")
        if allocation.ndim != 2 or not np.all((allocation >= 0) & (allocation <= 1)):
            raise ValueError(
                "allocation must be a (num_tasks, num_components) matrix of numbers in [0, 1]. "
                f"Received shape {allocation.shape}: {allocation.tolist()}"
            )
        super().__init__(*allocation.shape, **kwargs)
        self.allocation = allocation

    @property
    def same_for_all(self):
        return bool(np.all(self.allocation == self.allocation[0]))

    def rows(self, training):
        return ops.convert_to_tensor(self.allocation)

    def probabilities(self):
        return ops.convert_to_tensor(self.allocation)

    def get_config(self):
        return {**super().get_config(), "allocation": self.allocation.tolist()}


@keras.saving.register_keras_serializable("keras_mtl")
class AllocationMatrix(Allocation):
    """Learns which components each task uses.

    One Bernoulli variable per (task, component) pair, trained with the network. In
    training each batch draws one binary matrix with straight-through gradients. In
    inference an entry is 1 when its probability is at least one half (a tie
    allocates). A row may become all zeros: the components' combination is zero then.

    Source: Maziarz et al., "Flexible Multi-task Networks by Learning Parameter
    Allocation", 2019, https://arxiv.org/abs/1910.04915, sections III-A to III-C.
    Differs from the source: one draw serves every example of a task in the batch also
    when a batch holds several tasks, which the paper does not treat.

    Args:
        num_tasks: Number of tasks (rows).
        num_components: Number of components in this layer (columns).
        init_probability: Chance, strictly between 0 and 1, that a pair is allocated at
            the start: a number or a `(num_tasks, num_components)` matrix. Defaults to 0.5.
        temperature: As in `GumbelRouter`. Defaults to `None`, a `TemperatureSchedule()`.
        parameterization: `"two_logits"` keeps a logit for active and one for inactive,
            as the paper does: under Adam the log-odds then move twice as far per update
            as with `"log_odds"`, one number per pair. Defaults to `"two_logits"`.
        return_probabilities: Whether to return the `(num_tasks, num_components)`
            probabilities too, for penalties. Defaults to `False`.
        num_added_tasks: How many of the last rows were added after training. Each is a
            variable of its own; only the newest trains. Defaults to 0.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.
        training: Whether to draw (`True`) or take the most likely matrix.

    Output shape:
        `(batch, num_components)`, values 0 or 1 in the layer's compute dtype.

    Weights:
        logits: `(rows, num_components, 2)`, natural logarithms, index 0 = active; with
            `"log_odds"` `(rows, num_components)`. One more per added task.

    Raises:
        ValueError: `init_probability` outside (0, 1) or of a wrong shape, an unknown
            `parameterization`.

    Example:

    >>> allocation = AllocationMatrix(3, 4, init_probability=0.9, seed=0)
    >>> task_id = keras.ops.array([0, 0, 2])
    >>> tuple(allocation(task_id).shape)
    (3, 4)
    >>> round(float(allocation.probabilities()[0, 0]), 3)
    0.9
    >>> draw = allocation(task_id, training=True)
    >>> bool(keras.ops.all(draw[0] == draw[1]))  # same task, same draw
    True
    """

    def __init__(
        self,
        num_tasks,
        num_components,
        init_probability=0.5,
        temperature=None,
        parameterization="two_logits",
        return_probabilities=False,
        num_added_tasks=0,
        seed=None,
        **kwargs,
    ):
        super().__init__(num_tasks, num_components, **kwargs)
        if parameterization not in ("two_logits", "log_odds"):
            raise ValueError(
                'parameterization must be "two_logits" or "log_odds". '
                f"Received: {parameterization!r}"
            )
        self.init_probability = checked_probability(init_probability, num_tasks, num_components)
        self.parameterization = parameterization
        self.return_probabilities = return_probabilities
        self.num_added_tasks = num_added_tasks
        self.seed = seed
        self.router = GumbelRouter(temperature, seed=seed, dtype="float32", name="router")

    def build(self, task_id_shape):
        probability = np.broadcast_to(
            self.init_probability, (self.num_tasks, self.num_components)
        ).astype("float32")
        num_first = self.num_tasks - self.num_added_tasks
        blocks = np.split(probability, range(num_first, self.num_tasks))
        self.row_blocks = [
            self._add_rows(f"logits_added_{index}" if index else "logits", block)
            for index, block in enumerate(blocks)
        ]
        for rows in self.row_blocks[:-1]:
            rows.trainable = False
        self.router.build((self.row_blocks[-1].shape[0], self.num_components))

    def _add_rows(self, name, probability):
        if self.parameterization == "two_logits":
            start = np.log(np.stack([probability, 1 - probability], axis=-1))
        else:
            start = np.log(probability) - np.log1p(-probability)
        return self.add_weight(
            shape=start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(start, dtype),
            dtype="float32",
            autocast=False,
            name=name,
        )

    def call(self, task_id, training=False):
        rows = super().call(task_id, training=training)
        return (rows, self.probabilities()) if self.return_probabilities else rows

    def rows(self, training):
        settled = [ops.cast(self._log_odds(b) >= 0, "float32") for b in self.row_blocks[:-1]]
        newest = self._log_odds(self.row_blocks[-1])
        newest = self.router(newest, training=training and self.trainable)
        return ops.concatenate([*settled, newest], axis=0)

    def probabilities(self):
        return ops.sigmoid(ops.concatenate([self._log_odds(b) for b in self.row_blocks], axis=0))

    def _log_odds(self, block):
        block = ops.convert_to_tensor(block)
        if self.parameterization == "two_logits":
            return block[..., 0] - block[..., 1]
        return block

    def freeze(self):
        """Ends learning: training then uses the most likely matrix too, without draws.

        Compile the model again afterwards, so that its optimizer forgets the logits.
        """
        self.trainable = False

    def compute_output_shape(self, task_id_shape):
        rows = super().compute_output_shape(task_id_shape)
        matrix = (self.num_tasks, self.num_components)
        return (rows, matrix) if self.return_probabilities else rows

    def frozen_call(self, task_id_tensor, *, task_id, copy):
        row = super().frozen_call(task_id_tensor, task_id=task_id, copy=copy)
        return (row, None) if self.return_probabilities else row

    def get_config(self):
        probability = self.init_probability
        return {
            **super().get_config(),
            "num_tasks": self.num_tasks,
            "num_components": self.num_components,
            "init_probability": probability.tolist(),
            "temperature": serialize_setting(self.router.temperature),
            "parameterization": self.parameterization,
            "return_probabilities": self.return_probabilities,
            "num_added_tasks": self.num_added_tasks,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "temperature": deserialize_setting(config["temperature"])})


def checked_probability(probability, num_tasks, num_components):
    """Returns `init_probability` as an array of shape () or (T, C)."""
    probability = np.asarray(probability, "float64")
    if not np.all((probability > 0) & (probability < 1)):
        raise ValueError(
            "init_probability must be strictly between 0 and 1: a pair that starts at 0 or 1 "
            f"has infinite logits and can never change. Received: {probability.tolist()}"
        )
    if probability.shape not in ((), (num_tasks, num_components)):
        raise ValueError(
            f"init_probability must be a number or a matrix with a row for each of {num_tasks} "
            f"tasks and a column for each of {num_components} components. "
            f"Received shape: {probability.shape}"
        )
    return probability
