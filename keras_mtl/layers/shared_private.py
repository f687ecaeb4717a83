"""Named terms of the loss that keep shared and private states apart."""

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.freezing import passes_through
from keras_mtl.layers.gradient_reversal import GradientReversal

_TINY = 1e-12  # squared length under which a row is not stretched to length 1


@keras.saving.register_keras_serializable("keras_mtl")
class AdversarialPenalty(keras.layers.Layer):
    """Makes states tell nothing about their task: a classifier of tasks, to be misled.

    Adds `weight * mean cross-entropy` of a linear classifier, which guesses an example's task
    from its state, to the loss. The classifier learns to guess; behind a `GradientReversal`,
    it teaches what is before it to leave no trace of the task. Passes features through. The
    latest value stands in `penalties`, and the model's logs name it.

    Source: Liu, Qiu and Huang, "Adversarial multi-task learning for text classification", 2017,
    https://arxiv.org/abs/1704.05742, section 4.2. Its unlabelled examples (section 4.3) are
    here examples whose label is missing.

    Args:
        num_tasks: Number of tasks.
        weight: Factor, at least 0. Defaults to 0.05.

    Call arguments:
        features: Returned as they are.
        states: `(batch, units)`, what the task is guessed from.
        task_id: `(batch,)` integers in `[0, num_tasks)`. Outside: no penalty.

    Weights:
        kernel: `(units, num_tasks)`.
        bias: `(num_tasks,)`.
        adversarial_penalty: `()`, not trainable: the latest value.

    Raises:
        ValueError: A weight that is no number of at least 0.

    Example:

    >>> layer = AdversarialPenalty(2, weight=1.0)
    >>> states, task_id = keras.ops.zeros((3, 4)), keras.ops.array([0, 1, 1])
    >>> features = layer(states, states, task_id)
    >>> round(float(layer.penalties["adversarial_penalty"].numpy()), 3)  # log 2: no idea
    0.693
    """

    def __init__(self, num_tasks, weight=0.05, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.num_tasks = checks.count("num_tasks", num_tasks)
        self.weight = float(checks.number("weight", weight, least=0))
        self.reversal = GradientReversal(dtype="float32")
        self.supports_masking = True

    def build(self, features_shape, states_shape, task_id_shape):
        full = {"dtype": "float32", "autocast": False}
        shape = (states_shape[-1], self.num_tasks)
        self.kernel = self.add_weight(shape=shape, name="kernel", **full)
        self.bias = self.add_weight(
            shape=(self.num_tasks,), initializer="zeros", name="bias", **full
        )
        latest = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            name="adversarial_penalty",
        )
        self.penalties = {"adversarial_penalty": latest}

    def call(self, features, states, task_id):
        states = self.reversal(ops.cast(states, "float32"))
        guesses = ops.log_softmax(ops.matmul(states, self.kernel) + self.bias)
        is_task = ops.equal(ops.reshape(task_id, (-1, 1)), ops.arange(self.num_tasks))
        value = -self.weight * ops.mean(ops.sum(ops.where(is_task, guesses, 0.0), axis=-1))
        self.add_loss(value)
        self.penalties["adversarial_penalty"].assign(value)
        return features

    frozen = passes_through

    def get_config(self):
        return {**super().get_config(), "num_tasks": self.num_tasks, "weight": self.weight}


@keras.saving.register_keras_serializable("keras_mtl")
class OrthogonalityPenalty(keras.layers.Layer):
    """Makes private states say what the shared ones do not.

    Adds `weight * sum over tasks k of ||S_k^T H_k||_F^2` to the loss: the squared inner products
    of every shared unit (columns of `S_k`, the states of a task's examples) with every private
    unit of the task (columns of `H_k`). Passes features through. The latest value stands in
    `penalties`, and the model's logs name it.

    Reductions:

    - `"sum"`: as it stands; it grows with the square of the number of examples.
    - `"normalised_mean"`: states are centred over a task's examples and scaled to length 1, and
      inner products are means over examples. A task's value is between 0 and 1 whatever the
      batch size and the units. A batch pays for the tasks it holds: the mean over its examples.

    Source: Liu, Qiu and Huang 2017, https://arxiv.org/abs/1704.05742, section 4.4 (`"sum"`);
    normalisation as in a public implementation, `FrankWork/fudan_mtl_reviews`. Differs from
    that code: there inner products are sums over examples and squares are averaged over pairs of
    units, which is this times `(examples / units) ** 2`.

    Args:
        weight: Factor, at least 0. Defaults to 0.01.
        reduction: `"normalised_mean"` or `"sum"`. Defaults to `"normalised_mean"`.

    Call arguments:
        features: Returned as they are.
        shared: `(batch, units)` shared states.
        private: List with the private states of each task, `(batch, units)`.
        task_id: `(batch,)` integers, the task of each example; without it every example
            belongs to every task.

    Weights:
        orthogonality_penalty: `()`, not trainable: the latest value.

    Raises:
        ValueError: A weight that is no number of at least 0, an unknown reduction.

    Example:

    >>> layer = OrthogonalityPenalty(weight=1.0, reduction="sum")
    >>> shared, private = keras.ops.array([[1.0, 2.0]]), keras.ops.array([[3.0]])
    >>> features = layer(shared, shared, [private])
    >>> float(layer.penalties["orthogonality_penalty"].numpy())  # 3 ** 2 + 6 ** 2
    45.0
    """

    def __init__(self, weight=0.01, reduction="normalised_mean", **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.weight = float(checks.number("weight", weight, least=0))
        self.reduction = checks.word("reduction", reduction, tuple(REDUCTIONS))
        self.supports_masking = True

    def build(self, features_shape, shared_shape, private_shape, task_id_shape=None):
        latest = self.add_weight(
            shape=(),
            initializer="zeros",
            dtype="float32",
            trainable=False,
            name="orthogonality_penalty",
        )
        self.penalties = {"orthogonality_penalty": latest}

    def call(self, features, shared, private, task_id=None):
        shared = ops.cast(shared, "float32")
        value = 0.0
        for index, states in enumerate(private):
            belongs = ops.ones_like(shared[:, :1])
            if task_id is not None:
                belongs = ops.cast(ops.reshape(task_id, (-1, 1)) == index, "float32")
            of_task = REDUCTIONS[self.reduction]
            value = value + of_task(shared, ops.cast(states, "float32"), belongs)
        value = self.weight * value
        self.add_loss(value)
        self.penalties["orthogonality_penalty"].assign(value)
        return features

    frozen = passes_through

    def get_config(self):
        return {**super().get_config(), "weight": self.weight, "reduction": self.reduction}


def _squares(shared, private):
    """Returns `||S^T H||_F^2`."""
    return ops.sum(ops.square(ops.matmul(ops.transpose(shared), private)))


def _sum_of_task(shared, private, belongs):
    """Returns a task's penalty over the rows where `belongs`, `(batch, 1)`, is 1."""
    return _squares(belongs * shared, private)


def _mean_of_task(shared, private, belongs):
    """Returns the same of directions and per row, times the task's share of the batch."""
    count = ops.maximum(ops.sum(belongs), 1.0)

    def directions(states):
        centred = states - ops.sum(belongs * states, axis=0, keepdims=True) / count
        length = ops.sum(ops.square(centred), axis=-1, keepdims=True)
        return centred / ops.sqrt(ops.maximum(length, _TINY))

    mean = _squares(belongs * directions(shared), directions(private)) / ops.square(count)
    return ops.mean(belongs) * mean


REDUCTIONS = {"normalised_mean": _mean_of_task, "sum": _sum_of_task}
