"""AdaShare: each task learns which blocks of a backbone it executes."""

from collections.abc import Sequence
from typing import Any

from keras_mtl import checks
from keras_mtl.layers import BlockPolicy, PolicyPenalty
from keras_mtl.models.blocks.backbone import num_blocks, send_through_blocks
from keras_mtl.models.construction import seeded
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.phases import PolicyPhases, checked_phases
from keras_mtl.schedules import AnnealingSchedule
from keras_mtl.seeds import seed_of
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Setting, Tasks, TowerUnits


def build_adashare(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    tower_units: TowerUnits = (),
    phases: Any = None,
    cycles_per_block: int = 3,
    init_probability: float = 0.5,
    temperature: Setting | None = None,
    hard: bool = False,
    sparsity_weight: float = 0.2,
    sharing_weight: float = 0.02,
    sparsity: str = "skip",
    sharing: str = "decreasing",
    relative: bool = True,
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network whose tasks learn which blocks of a shared backbone they execute.

    Every list of one callable in `layers` is a block that a task may skip. In training a task
    draws for each block how far it executes it; in inference it executes the likely ones. Train
    it with `keras_mtl.alternating_optimizer`, weights and policy in turns, for several times as
    many cycles as it takes to free all blocks; `keras_mtl.BestPolicy` goes back to the epoch
    that validation chooses, `keras_mtl.sample_policy` draws what was learned there, and
    `keras_mtl.build_dynashare` trains that.

    Source: Sun et al., "AdaShare: Learning What To Share For Efficient Deep Multi-Task
    Learning", NeurIPS 2020, https://arxiv.org/abs/1911.12423; the curriculum, which frees
    blocks from the last to the first, and the numbers are those of its code, but for the
    temperature, which ends at 0.1 in shorter trainings too, and the weights of penalties, which
    count relative to the tasks' losses. Losses of tasks weigh what `keras_mtl.Task` says: its
    code has 1 and 20 for segmentation and normals.

    Args:
        layers: List of callables that return a new Keras layer, which every task executes, and
            of lists of one such callable, blocks that a task may skip. A block keeps the
            shape, or is a `keras_mtl.layers.ResidualBlock`.
        phases: `keras_mtl.PolicyPhases`, the one of the optimizer. `None` takes
            `PolicyPhases()`. Defaults to `None`.
        cycles_per_block: How many cycles pass before the next block from the end may be
            skipped too; 0 frees all blocks after the warm-up. Defaults to 3.
        init_probability: Chance in (0, 1) that a task executes a block at the start.
            Defaults to 0.5.
        temperature: Number above 0 or a schedule over training batches. `None` takes
            `keras_mtl.AnnealingSchedule(start=phases.warm_up)`, which ends at 0.1 however many
            cycles `fit` is told to train; the reference code's is
            `keras_mtl.CycleTemperature(phases)`. Defaults to `None`.
        hard: Whether draws are 0 or 1 instead of relaxed. Defaults to `False`.
        sparsity_weight: As in `keras_mtl.layers.PolicyPenalty`. Defaults to 0.2.
        sharing_weight: The same. Defaults to 0.02.
        sparsity: The same. Defaults to `"skip"`.
        sharing: The same. Defaults to `"decreasing"`.
        relative: Whether both weights count relative to the tasks' losses, as in the first turn
            of the weights after the warm-up; else they are what stands beside the weighted sum of
            the losses, as in the reference code. Defaults to `True`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. Logs name
        `sparsity_penalty` and `sharing_penalty`.

    Raises:
        ValueError: Wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> block = partial(keras_mtl.layers.ResidualDense, 8)
    >>> phases = keras_mtl.PolicyPhases(warm_up=50, weights=20, policy=20)
    >>> model = keras_mtl.build_adashare(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[block]] * 4, phases=phases)
    >>> model.compile(keras_mtl.alternating_optimizer(
    ...     keras.optimizers.SGD(0.01, momentum=0.9), keras.optimizers.Adam(0.01), phases))
    >>> [matrix.shape for matrix in keras_mtl.allocation_probabilities(model)]
    [(2, 1), (2, 1), (2, 1), (2, 1)]
    """
    phases = PolicyPhases() if phases is None else checked_phases(phases)
    if temperature is None:
        temperature = AnnealingSchedule(start=phases.warm_up)
    total = num_blocks(layers)
    most = (checks.MOST - phases.warm_up) // (phases.cycle_length * total)
    cycles_per_block = checks.count("cycles_per_block", cycles_per_block, 0, most)
    starts = [phases.start_of_cycle(cycles_per_block * index) for index in reversed(range(total))]
    relative_to = (phases.warm_up, phases.weights) if checks.flag("relative", relative) else None
    penalty = PolicyPenalty(
        starts, sparsity_weight, sharing_weight, sparsity, sharing, relative_to, name="penalty"
    )
    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        stream = TaskStream(network)

        def new_policy(number):
            return BlockPolicy(
                len(network.tasks),
                init_probability,
                temperature,
                hard,
                starts[number - 1],
                seed=seed_of(seed, number),
                phases=phases,
                name=f"policy_{number}",
            )

        logits, _ = send_through_blocks(
            stream, stem, layers, new_policy, lambda number, block: None
        )
        stream.features = penalty(stream.features, logits)
        return network.finish(stream.by_task(), name, seed, tower_units)
