"""Heads of funnels: a probability that is given another task's."""

from collections.abc import Callable
from typing import Any, Self

import keras
from keras import ops

from keras_mtl import checks
from keras_mtl.layers.copying import new_layer_like
from keras_mtl.layers.heads.task_head import TaskHead, check_features, rescaled, stock_head
from keras_mtl.tasks import Task, as_task
from keras_mtl.types import Shape, Tensor


@keras.saving.register_keras_serializable("keras_mtl")
class FunnelHead(keras.layers.Layer):
    """Predicts a task that is given another one: P(task | parent), and with the parent both.

    The estimator `"dr"` has a second dense layer, which says in training what the label would be
    where the parent is 0, and nobody sees it. Frozen networks do without it. Computed in float32
    under any dtype policy.

    Source: Ma et al., "Entire Space Multi-Task Model", 2018, https://arxiv.org/abs/1804.07931; the
    second layer: Wang et al., "ESCM2", 2022, https://arxiv.org/abs/2204.05125.

    Args:
        task: A `keras_mtl.Task` with `given`.
        task_id: The task's index among the model's tasks.

    Call arguments:
        features: `(batch, features)`.
        parent: `(batch, 1)`, the probability of the task that this one is given.

    Output shape:
        Pair of `(batch, 1)`: the joint and the conditional probability.

    Weights:
        kernel: `(features, 1)`.
        bias: `(1,)`.
        imputation_kernel: `(features, 1)`, of the estimator `"dr"`.
        imputation_bias: `(1,)`, likewise.

    Raises:
        ValueError: A task that is given none, features of another rank.
    """

    def __init__(self, task: Task, task_id: Tensor, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.task = task = as_task(task)
        if task.given is None:
            raise ValueError(f"A FunnelHead needs a task that is given another. Received: {task}")
        self.task_id = checks.count("task_id", task_id, least=0)
        self.imputes = task.estimator == "dr"
        self.imputed: Any = None  # labels of this training batch, until the model takes them

    def build(self, features_shape: Shape, parent_shape: Shape) -> None:
        check_features({self.name: self.task}, features_shape)
        for prefix in ("", "imputation_") if self.imputes else ("",):
            kernel = self.add_weight(shape=(features_shape[-1], 1), name=prefix + "kernel")
            bias = self.add_weight(shape=(1,), initializer="zeros", name=prefix + "bias")
            setattr(self, prefix + "kernel", kernel)
            setattr(self, prefix + "bias", bias)

    def call(self, features: Tensor, parent: Tensor, training: bool = False) -> tuple[Any, Any]:
        conditional = ops.sigmoid(ops.matmul(features, self.kernel) + self.bias)
        if self.imputes and training:
            logits = ops.matmul(features, self.imputation_kernel) + self.imputation_bias
            self.imputed = ops.sigmoid(logits)
        return parent * conditional, conditional

    def compute_output_spec(
        self, features: Tensor, parent: Tensor, training: bool = False
    ) -> tuple[Any, Any]:
        return tuple(keras.KerasTensor((features.shape[0], 1), dtype="float32") for _ in range(2))

    def compute_mask(self, *inputs: Any) -> tuple[None, None]:
        return None, None

    def frozen(self, call: Callable[..., Any], features: Tensor, parent: Tensor) -> Any:
        """Becomes a stock Dense, and the product of what it and the parent answer."""
        kernel, bias = self.numbers_of(self.name)
        conditional = f"{self.name}_given_{self.task.given}"
        conditional = stock_head(conditional, self.task, features, kernel, bias)
        joint = keras.layers.Multiply(dtype="float32", name=self.name)([parent, conditional])
        return joint, conditional

    def numbers_of(self, task: str) -> list[Any]:
        """Returns kernel and bias of the conditional probability, as arrays."""
        return self.get_weights()[:2]

    def rescale(self, task: str, factor: Any, shift: Any) -> None:
        """Makes the logits of the conditional probability `factor * logits + shift`."""
        kernel, bias = rescaled(self.numbers_of(task), factor, shift)
        self.kernel.assign(kernel)
        self.bias.assign(bias)

    def grown(self, new: Any) -> Any:
        """Stays as it is: new tasks have heads of their own."""
        return new_layer_like(self)

    def get_config(self) -> dict[str, Any]:
        task = keras.saving.serialize_keras_object(self.task)
        return {**super().get_config(), "task": task, "task_id": self.task_id}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "task": keras.saving.deserialize_keras_object(config["task"])})


HEADS = (TaskHead, FunnelHead)  # of shared data


def features_of(head: keras.Layer) -> Any:
    """Returns the features that a head of shared data reads."""
    return head.input[0] if isinstance(head, FunnelHead) else head.input


def taken_imputations(layers: Any) -> dict[str, Any]:
    """Takes away what heads imputed in this step: a dict, task -> `(batch, 1)` probabilities."""
    taken = {}
    for layer in layers:
        if isinstance(layer, FunnelHead) and layer.imputed is not None:
            taken[layer.name], layer.imputed = layer.imputed, None
    return taken
