"""DynaShare: a fixed policy of the tasks over blocks, refined by gates for each example."""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import keras
import numpy as np

from keras_mtl import checks
from keras_mtl.layers import (
    FixedAllocation,
    InstanceGate,
    RepeatRows,
    ResidualBlock,
    TargetRatePenalty,
    TaskRows,
)
from keras_mtl.models.blocks.backbone import num_blocks, send_through_blocks
from keras_mtl.models.construction import seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.schedules import check_setting
from keras_mtl.seeds import seed_of
from keras_mtl.tasks import as_tasks
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Setting, Tasks, TowerUnits


def build_dynashare(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    policy: Any = None,
    target_rates: float = 1.0,
    target_weight: float = 25.0,
    normalize: bool = False,
    gate_units: int = 16,
    gate_temperature: Setting = 1.0,
    gates_per_step: bool = False,
    stochastic: bool = False,
    start_from: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network whose tasks execute the blocks they are told to, and examples skip some.

    Every list of one callable in `layers` is a block. `policy` says which tasks execute it;
    where the block's target rate is below 1, a gate decides for each example of these
    whether it is worth it. Without gates this is what AdaShare trains in the end; with a
    policy of ones all that is learned are gates; with both, a network shared by all.

    Source: Rahimian et al., "DynaShare: Dynamic Neural Networks for Multi-Task Learning", ICLR
    2022 submission, algorithm 2. Differs from its code for tables and series, where the gate's
    decision is counted but never applied.

    Args:
        layers: As of `keras_mtl.build_adashare`.
        policy: `(num_tasks, num_blocks)` zeros and ones, as `keras_mtl.sample_policy` returns
            it. `None` has all tasks execute all blocks. Defaults to `None`.
        target_rates: Share of examples that should execute a block, in (0, 1]: a number, or a
            list with one for each block. A block at 1 has no gate. Defaults to 1.0.
        target_weight: Weight of the penalty on other rates; a number or a schedule. Defaults to
            25.0.
        normalize: Whether the penalty is divided by the number of gates. Defaults to `False`.
        gate_units: Hidden units of a gate. Defaults to 16.
        gate_temperature: As in `keras_mtl.layers.InstanceGate`: a number, or a schedule such as
            `keras_mtl.AnnealingSchedule(1.0, 0.1)`. Defaults to 1.0, as in both codes.
        gates_per_step: Whether gates decide at every step of a sequence, from the steps so
            far, instead of once from all of them. Where labels at a step may depend on the past
            alone, they must: causal blocks do not look ahead, but the gate of a whole sequence
            does. Defaults to `False`.
        stochastic: Whether gates draw in inference too. Defaults to `False`.
        start_from: Network of `keras_mtl.build_adashare`, with the same tasks and layers, whose
            weights and statistics this one starts with. Defaults to `None`, fresh weights, as
            in the code of both papers.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. Logs name
        `target_rate_penalty` where there are gates.

    Raises:
        ValueError: A policy of the wrong shape, rates outside (0, 1], wrong tasks or layers,
            a network to start from that was made of others, `gates_per_step` of data without
            steps.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> block = partial(keras_mtl.layers.ResidualDense, 8)
    >>> model = keras_mtl.build_dynashare(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[block]] * 3,
    ...     policy=[[1, 1, 0], [1, 0, 1]], target_rates=[1, 0.5, 0.7])
    >>> [matrix.tolist() for matrix in keras_mtl.allocation(model)]
    [[[1.0], [1.0]], [[1.0], [0.0]], [[0.0], [1.0]]]
    """
    total = num_blocks(layers)
    policy = _checked_policy(policy, list(as_tasks(tasks)), total)
    rates = _checked_rates(target_rates, total)
    target_weight = check_setting("target_weight", target_weight)
    checks.flag("normalize", normalize)
    gate_units = checks.count("gate_units", gate_units)
    check_setting("gate_temperature", gate_temperature, above=0)
    checks.flag("gates_per_step", gates_per_step)
    checks.flag("stochastic", stochastic)
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        stream = TaskStream(network)

        def new_policy(number):
            return FixedAllocation(policy[:, number - 1 : number], name=f"policy_{number}")

        def new_gate(number, block):
            if rates[number - 1] == 1:
                return None
            its_seed = seed_of(seed, number)
            return InstanceGate(
                gate_units,
                gate_temperature,
                stochastic=stochastic,
                seed=its_seed,
                per_step=gates_per_step,
                strides=block.strides if isinstance(block, ResidualBlock) else 1,
                name=f"gate_{number}",
            )

        _, gates = send_through_blocks(stream, stem, layers, new_policy, new_gate)
        if gates:
            penalty = TargetRatePenalty(
                policy[:, rates < 1], rates[rates < 1], target_weight, normalize,
                name="target_rate_penalty",
            )  # fmt: skip
            stream.features = penalty(stream.features, *_by_task(stream, gates))
        model = network.finish(stream.by_task(), name, seed, tower_units)
    if start_from is not None:
        _copy_weights(start_from, model)
    return model


def _copy_weights(learned: Any, model: keras.Model) -> None:
    """Gives a model the weights of another, but to gates, which the other has not."""
    known = {variable.path: variable for variable in getattr(learned, "weights", [])}
    own = [v for v in model.weights if not v.path.startswith(("gate_", "target_rate_penalty"))]
    for variable in own:
        shape = getattr(known.get(variable.path), "shape", None)
        if shape != variable.shape:
            raise ValueError(
                "start_from must be a network of keras_mtl.build_adashare with the same tasks, "
                f"layers, tower_units and task_data. Its {variable.path!r} has the shape {shape}, "
                f"here it is {variable.shape}."
            )
    for variable in own:
        variable.assign(np.array(known[variable.path].numpy()))


def _by_task(stream: Any, gates: Any) -> tuple[Any, Any]:
    """Returns whose task each row is, and the gates of these rows."""
    if stream.network.separate:
        return stream.task_id, [gate for gate, _ in gates]
    num_tasks = len(stream.network.tasks)
    task_id = stream.task_id
    if task_id is None:  # all tasks execute the same, and an example has one row
        task_id = TaskRows(num_tasks, name="gate_rows")(stream.network.inputs)
    repeat = RepeatRows(num_tasks, name="repeat_gates")
    return task_id, [repeat(gate) if num_rows == 1 else gate for gate, num_rows in gates]


def _checked_policy(policy: Any, names: Sequence[str], total: Any) -> Any:
    policy = np.ones((len(names), total)) if policy is None else policy
    policy = checks.array("policy", policy, "zeros and ones").astype("float32")
    if policy.shape != (len(names), total) or not np.isin(policy, (0, 1)).all():
        raise ValueError(
            f"policy must be zeros and ones, a row for each of {len(names)} tasks "
            f"({', '.join(names)}) and a column for each of {total} blocks. Received shape "
            f"{policy.shape}: {policy.tolist()}"
        )
    return policy


def _checked_rates(target_rates: Any, total: Any) -> Any:
    if isinstance(target_rates, Real):
        target_rates = [checks.number("target_rates", target_rates)] * total
    rates = checks.array("target_rates", target_rates, "a number or a list of numbers")
    rates = rates.astype("float32")
    if rates.shape != (total,):
        raise ValueError(
            f"target_rates must be a number or a list of {total}, one for each block. "
            f"Received: {target_rates}"
        )
    if not np.all((rates > 0) & (rates <= 1)):
        raise ValueError(
            "target_rates are shares of examples, in (0, 1]; 1 is a block without a gate. "
            f"Received: {target_rates}"
        )
    return rates
