"""The blocks that examples execute, by the policy of their task and by their own gates."""

from typing import Any

import keras
from keras import ops

from keras_mtl.analysis.task_answers import task_answers
from keras_mtl.keras_internals import mask_of, origin
from keras_mtl.layers import SkippableBlock, SplitTasks, TaskRows
from keras_mtl.layers.averages import mean_of_places


def executed_blocks(model: keras.Model, x: Any) -> dict[Any, Any]:
    """Returns which blocks each example executes for each task.

    With `executed = executed_blocks(model, x)["income"]`, `executed.mean(axis=0)` is how often each
    block is executed, `executed[y == 1].mean(axis=0)` how often by the examples of a class, and
    `executed.sum(axis=1)` how many blocks each example takes. Where gates decide at every step,
    these are means over the steps of each example, padding left out.

    Args:
        model: A model of `keras_mtl.build_adashare` or `keras_mtl.build_dynashare`.
        x: Inputs; with separate data a dict, name of a task -> its own.

    Returns:
        Dict, name of a task -> `(examples, blocks)` zeros and ones, as in inference; the share
        of its steps that execute the block where its gate decides at every step.

    Raises:
        ValueError: A model without blocks to skip, inputs of another form than the model's.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_dynashare(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"},
    ...     [[partial(keras_mtl.layers.ResidualDense, 5)]] * 2, policy=[[1, 0], [1, 1]])
    >>> executed_blocks(model, keras.ops.ones((3, 5)))["a"].tolist()
    [[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]
    """
    network = _execution_network(model)
    shared = model.task_data == "shared"
    answers = task_answers(model, network, x)
    return {task: answer[task] if shared else answer for task, answer in answers}


def _execution_network(model: keras.Model) -> Any:
    """Returns the part of a model that tells which blocks are executed, on its own inputs."""
    blocks = [layer for layer in model.layers if isinstance(layer, SkippableBlock)]
    if not blocks:
        raise ValueError(
            f"Model {model.name!r} has no blocks to skip. Give a model made by "
            "keras_mtl.build_adashare or keras_mtl.build_dynashare, before it is frozen."
        )
    executed = [_executed(block) for block in blocks]
    if model.task_data == "separate":
        return keras.Model(model.input, ops.concatenate(executed, axis=-1))
    num_tasks = len(model.tasks)
    by_task = [
        SplitTasks(num_tasks)(one) if _has_rows_by_task(block) else [one] * num_tasks
        for block, one in zip(blocks, executed, strict=True)
    ]
    outputs = zip(model.tasks, zip(*by_task, strict=True), strict=True)
    return keras.Model(
        model.input, {task: ops.concatenate(parts, axis=-1) for task, parts in outputs}
    )


def _executed(block: Any) -> Any:
    _, execute, *gates = block.input
    for gate in gates:
        mask = mask_of(gate)
        execute = execute * mean_of_places(ops.cast(gate, "float32"), mask)
    return execute


def _has_rows_by_task(block: Any) -> Any:
    """Returns whether shared examples have a row for each task by then."""
    policy, _ = origin(block.input[1])
    rows, _ = origin(policy.input)
    return isinstance(rows, TaskRows) and rows.num_tasks > 1
