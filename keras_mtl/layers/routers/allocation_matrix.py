"""The learned allocation of Gumbel-Matrix."""

import keras
import numpy as np
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.growing import take_over_each
from keras_mtl.layers.routers.allocation import Allocation
from keras_mtl.layers.routers.decisions import kept_below_half
from keras_mtl.layers.routers.gumbel import GumbelRouter
from keras_mtl.schedules import deserialize_setting, serialize_setting


@keras.saving.register_keras_serializable("keras_mtl")
class AllocationMatrix(Allocation):
    """Learns which components each task uses.

    One Bernoulli variable per (task, component) pair, trained with the network. In
    training each batch draws one binary matrix with straight-through gradients. In
    inference an entry is 1 when its probability is at least one half (a tie allocates), and
    a row keeps its `min_components` most likely components in any case. A draw in training
    may be all zeros: the components' combination is zero then.

    Source: Maziarz et al., "Flexible Multi-task Networks by Learning Parameter
    Allocation", 2019, https://arxiv.org/abs/1910.04915, sections III-A to III-C.
    Differs from the source: one draw serves every example of a task in the batch also
    when a batch holds several tasks, which the paper does not treat. In the paper (III-A) a
    task whose row is empty sees zeros, in inference too, where nothing else is ever drawn:
    what trains well can answer the same to every input. That is `min_components=0`.

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
        min_components: How many components of the layer a task has at least in inference,
            from 0 to `num_components`: the most likely ones, of equals the first. Draws in
            training know no minimum. A config without it, of a file from before there was one,
            means 0. Defaults to 1.
        seed: Integer seed of the draws, or `None`. Defaults to `None`.

    Call arguments:
        task_id: Integers in `[0, num_tasks)`, shape `(batch,)`. Outside: NaN.
        training: Whether to draw (`True`) or take the most likely matrix.

    Output shape:
        `(batch, num_components)`, values 0 or 1 in the layer's compute dtype.

    Weights:
        logits: `(rows, num_components, 2)`, natural logarithms, index 0 = active; with
            `"log_odds"` `(rows, num_components)`.
        logits_added_1, ...: the same of one row, for each added task. The newest alone trains.
        router: as of `GumbelRouter`.

    Raises:
        ValueError: `init_probability` outside (0, 1) or of a wrong shape, an unknown
            `parameterization`, a `min_components` that the layer does not have.

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
        min_components=1,
        seed=None,
        **kwargs,
    ):
        super().__init__(num_tasks, num_components, **kwargs)
        words = ("two_logits", "log_odds")
        self.parameterization = checks.word("parameterization", parameterization, words)
        self.init_probability = checked_probability(
            init_probability, self.num_tasks, self.num_components
        )
        self.return_probabilities = checks.flag("return_probabilities", return_probabilities)
        self.num_added_tasks = checks.count(
            "num_added_tasks", num_added_tasks, 0, self.num_tasks - 1
        )
        self.min_components = checked_minimum(min_components, self.num_components, self.name)
        self.seed = checks.seed("seed", seed)
        self.router = GumbelRouter(temperature, seed=seed, dtype="float32", name="router")
        self.router.draws_by_row = False

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
        draws = training and self.trainable
        *settled, newest = [self._log_odds(block) for block in self.row_blocks]
        decided = [ops.cast(odds >= 0, "float32") + self._kept(odds) for odds in settled]
        decided.append(self.router(newest, training=draws))
        if not draws:
            decided[-1] = decided[-1] + self._kept(newest)
        return ops.concatenate(decided, axis=0)

    def _kept(self, log_odds):
        return kept_below_half(log_odds, self.min_components)

    def probabilities(self):
        return ops.sigmoid(self._all_log_odds())

    def empty_rows(self):
        return ops.convert_to_numpy(ops.all(self._all_log_odds() < 0, axis=-1))

    def _all_log_odds(self):
        return ops.concatenate([self._log_odds(block) for block in self.row_blocks], axis=0)

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

    def frozen(self, call, task_id):
        row = super().frozen(call, task_id)
        return (row, None) if self.return_probabilities else row

    def grown(self, new):
        """Has a row for the new task too, a variable of its own, which alone learns."""
        return new_layer_like(
            self,
            {
                "num_tasks": self.num_tasks + 1,
                "num_added_tasks": self.num_added_tasks + 1,
                "init_probability": self._extended_probability(new),
            },
        )

    def _extended_probability(self, new):
        old, probability = self.init_probability, new.init_probability
        if probability is None and old.ndim == 0:
            return float(old)
        if probability is None:
            raise ValueError(
                f"{self.name!r} started from a matrix of probabilities, which has no entry for "
                f"task {new.name!r}. Give init_probability."
            )
        old = np.broadcast_to(old, (self.num_tasks, self.num_components))
        return np.vstack([old, np.full((1, self.num_components), probability)]).tolist()

    def take_over(self, old):
        take_over_each(old.row_blocks, self.row_blocks)

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
            "min_components": self.min_components,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        settings = {"min_components": 0, **config}  # a file without it answers as it did
        return cls(**{**settings, "temperature": deserialize_setting(config["temperature"])})


def checked_minimum(min_components, num_components, layer):
    """Returns `min_components` of a layer as an integer."""
    try:
        return checks.count("min_components", min_components, 0, num_components)
    except ValueError as error:
        raise ValueError(
            "min_components is how many components a task keeps at least, from 0 to the number "
            f"of components. Layer {layer!r} has {num_components}. Received: {min_components!r}"
        ) from error


def checked_probability(probability, num_tasks, num_components):
    """Returns `init_probability` as an array of shape () or (T, C)."""
    wanted = "strictly between 0 and 1: a number, or a matrix of tasks and components"
    probability = checks.array("init_probability", probability, wanted).astype("float64")
    rounded = probability.astype("float32")  # what logits are made of
    if not np.all((rounded > 0) & (rounded < 1)):
        raise ValueError(
            "init_probability must be strictly between 0 and 1, also as a float32: a pair that "
            "starts at 0 or 1 has infinite logits and can never change. "
            f"Received: {probability.tolist()}"
        )
    if probability.shape not in ((), (num_tasks, num_components)):
        raise ValueError(
            f"init_probability must be a number or a matrix with a row for each of {num_tasks} "
            f"tasks and a column for each of {num_components} components. "
            f"Received shape: {probability.shape}"
        )
    return probability
