"""From features to each task's prediction."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.kinds import KINDS
from keras_mtl.layers.growing import take_over_each
from keras_mtl.seeds import seed_of
from keras_mtl.tasks import as_task, kinds_of, largest_size

_CLOSED = -1e9  # logit of a class that the example's task does not have


def _check_features(tasks, shape):
    for name, task in tasks.items():
        rank = 3 if task.per_step else 2
        if len(shape) != rank or shape[-1] is None:
            wanted = "(batch, steps, features)" if rank == 3 else "(batch, features)"
            advice = (
                "Keep the time axis." if rank == 3 else "End `layers` with keras.layers.Flatten."
            )
            if len({task.per_step for task in tasks.values()}) > 1:
                advice = (
                    "With separate data either all tasks or none have a label at every time step. "
                    'Use task_data="shared", with NaN where an example has no label.'
                )
            raise ValueError(
                f"Task {name!r} of kind {task.kind!r} needs features of shape {wanted} before its "
                f"head. Received: {tuple(shape)}. {advice}"
            )


def _glorot_columns(sizes, seed):
    """Returns a Glorot initializer of heads side by side, each with its own fan-out."""
    uniform = keras.initializers.RandomUniform(-1.0, 1.0, seed)

    def initialize(shape, dtype):
        limits = np.sqrt(6.0 / (shape[0] + np.repeat(sizes, sizes)))
        return uniform(shape, dtype) * ops.convert_to_tensor(limits, dtype)

    return initialize


def _dense(name, task, kernel, bias, x):
    """Applies one task's head as a stock layer that owns its weights."""
    layer = keras.layers.Dense(
        task.size, activation=KINDS[task.kind].activation, dtype="float32", name=name
    )
    output = layer(x)
    layer.set_weights([kernel, bias])
    return output


@keras.saving.register_keras_serializable("keras_mtl")
class TaskHead(keras.layers.Layer):
    """Predicts one task: a dense layer and the activation of the task's kind.

    Probabilities for classes, tags and labels, plain values for regression; computed
    in float32 under any dtype policy.

    Args:
        task: A `keras_mtl.Task`.
        task_id: The task's place among the model's tasks.

    Output shape:
        `(batch, size)`; per step `(batch, steps, size)`.

    Weights:
        kernel: `(features, size)`.
        bias: `(size,)`.

    Raises:
        ValueError: Features of another rank than the task needs.
    """

    def __init__(self, task, task_id, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.task = task = as_task(task)
        self.task_id = checks.count("task_id", task_id, least=0)
        self.activation = keras.activations.get(KINDS[task.kind].activation)
        self.supports_masking = task.per_step

    def build(self, shape):
        _check_features({self.name: self.task}, shape)
        self.kernel = self.add_weight(shape=(shape[-1], self.task.size), name="kernel")
        self.bias = self.add_weight(shape=(self.task.size,), initializer="zeros", name="bias")

    def call(self, features):
        return self.activation(ops.matmul(features, self.kernel) + self.bias)

    def frozen(self, call, features):
        """Becomes a stock Dense."""
        return _dense(self.name, self.task, *self.get_weights(), features)

    def get_config(self):
        task = keras.saving.serialize_keras_object(self.task)
        return {**super().get_config(), "task": task, "task_id": self.task_id}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "task": keras.saving.deserialize_keras_object(config["task"])})


@keras.saving.register_keras_serializable("keras_mtl")
class TaskHeads(keras.layers.Layer):
    """Predicts for each example the task it belongs to.

    The heads of all tasks are one dense layer, whose columns each example's task picks,
    so one compiled program serves batches of one task and of many. Computed in float32
    under any dtype policy.

    Args:
        tasks: Dict, name -> `keras_mtl.Task`; its order is the task index.
        num_added_tasks: How many of the last tasks were added after training. Each has
            variables of its own; only the newest trains. Defaults to 0.
        seed: Integer seed of the initial weights, or `None`. Defaults to `None`.

    Call arguments:
        features: `(batch, features)`; of tasks per step `(batch, steps, features)`.
        task_id: Integers in `[0, len(tasks))`, shape `(batch,)`. Outside: NaN.

    Output shape:
        `(batch, largest size)`, per step `(batch, steps, largest size)`, zeros beyond a
        task's own size; when kinds differ a dict by kind, with zeros for examples of
        tasks of another kind.

    Weights:
        kernel: `(features, sum of sizes)`, the tasks side by side.
        bias: `(sum of sizes,)`.
        kernel_added_1, ..., bias_added_1, ...: the same of each added task. The newest alone train.

    Raises:
        ValueError: Features of another rank than the tasks need, tasks of which only
            some are per step.
    """

    def __init__(self, tasks, num_added_tasks=0, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if not isinstance(tasks, Mapping) or not tasks:
            raise ValueError(f"tasks must be a dict, name -> task. Received: {tasks!r}")
        self.tasks = {name: as_task(task) for name, task in tasks.items()}
        most = len(self.tasks) - 1
        self.num_added_tasks = checks.count("num_added_tasks", num_added_tasks, 0, most)
        self.seed = checks.seed("seed", seed)
        sizes = [task.size for task in self.tasks.values()]
        self._starts = np.cumsum([0, *sizes])
        self._picks = {kind: self._pick(kind) for kind in kinds_of(self.tasks)}
        self.supports_masking = any(task.per_step for task in self.tasks.values())

    def _pick(self, kind):
        """Returns (T, largest size) columns of a kind's tasks and which of them exist."""
        places = np.arange(largest_size(self.tasks, kind))
        sizes = [task.size if task.kind == kind else 0 for task in self.tasks.values()]
        exists = places < np.array(sizes)[:, None]
        columns = np.where(exists, self._starts[:-1, None] + places, 0)
        return columns.astype("int32"), exists

    def build(self, features_shape, task_id_shape):
        _check_features(self.tasks, features_shape)
        sizes = [task.size for task in self.tasks.values()]
        num_first = len(sizes) - self.num_added_tasks
        self.blocks = []
        for index, block in enumerate([sizes[:num_first], *([size] for size in sizes[num_first:])]):
            suffix = f"_added_{index}" if index else ""
            kernel = self.add_weight(
                shape=(features_shape[-1], sum(block)),
                initializer=_glorot_columns(block, seed_of(self.seed, index)),
                name="kernel" + suffix,
            )
            bias = self.add_weight(shape=(sum(block),), initializer="zeros", name="bias" + suffix)
            self.blocks.append([kernel, bias])
        for kernel, bias in self.blocks[:-1]:
            kernel.trainable = bias.trainable = False

    def call(self, features, task_id):
        kernel = ops.concatenate([kernel for kernel, _ in self.blocks], axis=-1)
        bias = ops.concatenate([bias for _, bias in self.blocks], axis=-1)
        logits = ops.matmul(features, kernel) + bias
        outputs = {kind: self._output(kind, logits, task_id) for kind in self._picks}
        return outputs if len(outputs) > 1 else outputs[next(iter(outputs))]

    def _output(self, kind, logits, task_id):
        columns, exists = self._picks[kind]
        known = (task_id >= 0) & (task_id < len(self.tasks))
        task_id = ops.where(known, task_id, 0)
        per_row = (-1,) + (1,) * (len(logits.shape) - 2) + (columns.shape[-1],)
        columns = ops.reshape(ops.take(columns, task_id, axis=0), per_row)
        exists = ops.reshape(ops.take(exists, task_id, axis=0), per_row)
        known = ops.reshape(known, per_row[:-1] + (1,))
        if len(logits.shape) == 3:
            columns = ops.broadcast_to(columns, (*ops.shape(logits)[:-1], columns.shape[-1]))
        logits = ops.where(exists, ops.take_along_axis(logits, columns, axis=-1), _CLOSED)
        values = keras.activations.get(KINDS[kind].activation)(logits)
        return ops.where(known, ops.where(exists, values, 0.0), float("nan"))

    def compute_mask(self, features, previous_mask):
        return dict.fromkeys(self._picks, previous_mask) if len(self._picks) > 1 else previous_mask

    def compute_output_spec(self, features, task_id):
        outputs = {
            kind: keras.KerasTensor((*features.shape[:-1], columns.shape[-1]), dtype="float32")
            for kind, (columns, _) in self._picks.items()
        }
        return outputs if len(outputs) > 1 else outputs[next(iter(outputs))]

    def frozen(self, call, features, task_id):
        """Becomes a stock Dense with one task's columns."""
        name, task = list(self.tasks.items())[task_id]
        kernel, bias = (
            np.concatenate([variable.numpy() for variable in block], axis=-1)
            for block in zip(*self.blocks, strict=True)
        )
        columns = slice(*self._starts[task_id : task_id + 2])
        output = _dense(name, task, kernel[:, columns], bias[columns], features)
        return {kind: output for kind in self._picks} if len(self._picks) > 1 else output

    def grown(self, new):
        """Has a head for the new task too, with variables of its own, which alone learn."""
        tasks = {**self.tasks, new.name: new.task}
        return TaskHeads(
            **super().get_config(),
            tasks=tasks,
            num_added_tasks=self.num_added_tasks + 1,
            seed=self.seed,
        )

    def take_over(self, old):
        for old_block, block in zip(old.blocks, self.blocks, strict=False):
            take_over_each(old_block, block)

    def get_config(self):
        tasks = {n: keras.saving.serialize_keras_object(t) for n, t in self.tasks.items()}
        return {
            **super().get_config(),
            "tasks": list(tasks.items()),
            "num_added_tasks": self.num_added_tasks,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        tasks = {n: keras.saving.deserialize_keras_object(t) for n, t in config["tasks"]}
        return cls(**{**config, "tasks": tasks})
