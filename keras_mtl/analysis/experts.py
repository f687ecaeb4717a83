"""The use of experts: mean gate weights of each task on given examples."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_mtl.analysis.task_answers import task_answers
from keras_mtl.keras_internals import mask_of
from keras_mtl.layers import DSelectKGates, NoisyTopKGates, StreamGates, TaskGates
from keras_mtl.layers.averages import mean_of_places
from keras_mtl.layers.gates.task_logits import valid_rows

_GATES = (DSelectKGates, NoisyTopKGates, StreamGates, TaskGates)


class ExpertUsage(dict):
    """Mean weights of experts: name of a task -> list of arrays `(experts,)`, one for each list."""

    @property
    def entropy(self) -> dict[Any, Any]:
        """Dict, task -> list of how evenly it uses a list: 0 for one expert, 1 for all alike."""
        return {task: [_evenness(weights) for weights in lists] for task, lists in self.items()}

    def dead(self, below: float = 0.01) -> list[Any]:
        """Returns for each list the indices of experts that weigh less than `below` in all tasks.

        Args:
            below: Smallest mean weight of an expert that is alive. Defaults to 0.01.
        """
        by_list = zip(*self.values(), strict=True)
        most = [np.max(weights, axis=0) for weights in by_list]
        return [np.flatnonzero(weights < below).tolist() for weights in most]


def expert_usage(model: keras.Model, x: Any) -> Any:
    """Returns how much each task weighs each expert, on average over examples.

    As in inference: without noise. Of sequences whose steps have weights of their own the mean
    over steps that are no padding. With `usage = expert_usage(model, x)`,
    `np.stack([lists[0] for lists in usage.values()])` are tasks by experts of the first list,
    `usage.entropy` says how evenly tasks use them, `usage.dead()` which nobody uses.

    Args:
        model: A model of `keras_mtl.build_mmoe`, `build_mmoeex`, `build_ple`, `build_moe` or
            `build_dselect_k`.
        x: Inputs; with separate data a dict, name of a task -> its own.

    Returns:
        An `ExpertUsage`, a dict: name of a task -> list with the mean weights `(experts,)` of
        each list of several experts. In `build_ple` experts of other tasks weigh 0.

    Raises:
        ValueError: A model without gates over experts, inputs of another form than the model's.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_mmoe(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[partial(keras.layers.Dense, 8)] * 4])
    >>> usage = expert_usage(model, keras.ops.zeros((3, 5)))
    >>> usage["b"][0].tolist(), usage.entropy["b"], usage.dead()
    ([0.25, 0.25, 0.25, 0.25], [1.0], [[]])
    """
    gates = [layer for layer in model.layers if isinstance(layer, _GATES)]
    if not gates:
        raise ValueError(
            f"Model {model.name!r} has no gates over experts. Give a model of build_mmoe, "
            "build_mmoeex, build_ple, build_moe or build_dselect_k with a list of several experts, "
            "before it is frozen."
        )
    by_list = [_weights_by_task(layer, model) for layer in gates]
    outputs = {
        task: ops.concatenate(parts, axis=-1)
        for task, parts in zip(model.tasks, zip(*by_list, strict=True), strict=True)
    }
    ends = np.cumsum([weights[0].shape[-1] for weights in by_list])[:-1]
    found = task_answers(model, keras.Model(model.input, outputs), x)
    return ExpertUsage({task: np.split(answer[task].mean(axis=0), ends) for task, answer in found})


def _weights_by_task(gates: Any, model: keras.Model) -> Any:
    """Returns the symbolic weights `(batch, experts)` of each task."""
    num_tasks, features = len(model.tasks), keras.tree.flatten(gates.input)[0]
    mask = mask_of(features)
    if isinstance(gates, StreamGates):
        return [mean_of_places(weights, mask) for weights in gates.output[:num_tasks]]
    repeats = num_tasks if gates.rows == "shared" and not gates.same_for_all else 1
    weights = mean_of_places(gates.output, valid_rows(mask, gates.per_step, repeats))
    has_blocks = gates.rows == "blocks" or repeats > 1
    return ops.split(weights, num_tasks, axis=0) if has_blocks else [weights] * num_tasks


def _evenness(weights: Any) -> Any:
    """Returns the entropy of weights over that of uniform ones."""
    shares = weights[weights > 0] / weights.sum()
    return round(float(-(shares * np.log(shares)).sum() / np.log(len(weights))) + 0.0, 6)
