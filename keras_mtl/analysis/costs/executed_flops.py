"""FLOPs of each example where blocks are skipped."""

from typing import Any

import keras
import numpy as np

from keras_mtl.analysis.costs.execution import executed_blocks
from keras_mtl.keras_internals import origin
from keras_mtl.layers import SkippableBlock
from keras_mtl.layers.flops import layer_flops
from keras_mtl.layers.task_paths import inner_calls, task_calls


def executed_flops(model: keras.Model, x: Any) -> Any:
    """Returns what each example costs for each task, its skipped blocks left out.

    That is what the task needs for every example, gates and the projections of skipped blocks
    among it, and the blocks that the example executes. Counted as in `keras_mtl.sharing_report`,
    which takes all gates to be open. `keras_mtl.freeze(model, skip_closed=True)` computes no
    more than that for gates that decide once for each example. Where they decide at every step,
    an example costs the share of its steps that are open, which is a lower bound: an open step
    may need what a block computes at closed ones.

    Args:
        model: As for `keras_mtl.analysis.executed_blocks`.
        x: As for `keras_mtl.analysis.executed_blocks`.

    Returns:
        Dict, name of a task -> `(examples,)` FLOPs.

    Raises:
        ValueError: A model without blocks to skip, inputs of another form than the model's.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> model = keras_mtl.build_dynashare(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"},
    ...     [[partial(keras_mtl.layers.ResidualDense, 5)]] * 2, policy=[[1, 0], [1, 1]])
    >>> executed_flops(model, keras.ops.ones((2, 5)))["a"].tolist()  # 2 * (5 * 5 * 2 + 5 * 3)
    [130.0, 130.0]
    """
    executed = executed_blocks(model, x)
    blocks = [layer for layer in model.layers if isinstance(layer, SkippableBlock)]
    costs = np.array([_total(_answer_calls(block)) for block in blocks], "float64")
    flops = {}
    for index, (task, shares) in enumerate(executed.items()):
        counted = np.array([_policy_of(block).matrix()[index, 0] for block in blocks])
        skipped = counted - shares.astype("float64")
        flops[task] = _total(task_calls(model, task)) - skipped @ costs
    return flops


def _answer_calls(block: Any) -> Any:
    """Returns the calls that an example saves when it skips a block."""
    x = block.input[0]
    shapes = x.shape, block.compute_output_shape(x.shape, None)
    inputs = [keras.Input(batch_shape=shape, dtype=x.dtype) for shape in shapes]
    return inner_calls(block.frozen_answer, inputs)


def _policy_of(block: Any) -> Any:
    return origin(block.input[1])[0]


def _total(calls: Any) -> Any:
    return sum(flops or 0 for call in calls for _, flops in layer_flops(*call))
