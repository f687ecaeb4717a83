"""Networks of experts that gates weigh for each example."""

from collections.abc import Callable, Sequence
from typing import Any

from keras_mtl.layers import Modular, TaskRows
from keras_mtl.models.construction import (
    check_different_starts,
    check_has_list,
    made_layers,
    seeded,
)
from keras_mtl.models.graph import Network
from keras_mtl.models.task_stream import TaskStream
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Shape, Tasks, TowerUnits

_PROBE = 64  # steps of a sequence, to see whether an expert keeps them


def build_gated(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    new_gates: Callable[..., Any],
    *,
    task_data: str,
    stem: Sequence[NewLayer],
    tower_units: TowerUnits,
    seed: int | None,
    name: str | None,
) -> MultiTaskModel:
    """Builds a network of lists of experts, with gates that read what the experts read.

    Args:
        new_gates: Function of a list's index (from 1), its number of experts and the settings
            `rows` and `per_step` of `keras_mtl.layers.TaskGates` that returns gates. Lists with
            one expert are not asked.

    The other arguments are those of every builder.
    """
    check_has_list(layers, "experts", "weigh")
    with seeded(seed):
        stream = TaskStream(Network(inputs, tasks, task_data))
        for index, made in made_layers(stem, layers):
            if len(made) == 1:
                stream.apply(made[0])
            else:
                mix(stream, made, new_gates, index)
        return stream.network.finish(stream.by_task(), name, seed, tower_units)


def mix(stream: Any, experts: Any, new_gates: Any, index: int) -> None:
    """Sends every row through experts, by the weights that it gets from the gates of its task."""
    num_tasks, task_id, rows = len(stream.network.tasks), stream.task_id, "mixed"
    if not stream.network.separate:
        rows = "shared" if task_id is None else "blocks"
    per_step = keeps_steps(experts[0], stream.features.shape)
    gates = new_gates(index, len(experts), rows=rows, per_step=per_step)
    num_repeats = num_tasks if rows == "shared" and not gates.same_for_all else 1
    if rows == "shared":
        task_id = TaskRows(num_repeats, name=f"modular_{index}_rows")(stream.network.inputs)
        stream.task_id = None if gates.same_for_all else task_id
    weights = gates(stream.features, task_id)
    modular = Modular(experts, "sum", num_repeats, name=f"modular_{index}")
    stream.features = modular(stream.features, weights)
    check_different_starts(experts)


def keeps_steps(expert: Any, shape: Shape) -> Any:
    """Returns whether an expert answers every step of the sequences that it reads."""
    if len(shape) != 3:
        return False
    answer = expert.compute_output_shape((shape[0], shape[1] or _PROBE, shape[2]))
    return len(answer) > 2 and answer[1] == (shape[1] or _PROBE)
