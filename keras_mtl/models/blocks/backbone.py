"""A backbone of blocks that tasks execute or skip."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import SkippableBlock, TaskRows
from keras_mtl.models.construction import check_has_list, made_layers
from keras_mtl.types import NewLayer


def num_blocks(layers: Sequence[Any]) -> int:
    """Returns how many entries of `layers` are blocks, lists of one callable."""
    check_has_list(layers, "one callable", "execute or skip", "[[block], [block]]")
    blocks = [entry for entry in layers if isinstance(entry, list | tuple)]
    for index, entry in enumerate(layers):
        if isinstance(entry, list | tuple) and len(entry) > 1:
            raise ValueError(
                f"layers[{index}] has {len(entry)} components, but a block that tasks execute or "
                "skip is a list of one callable. Make one layer of them, as keras.Sequential does."
            )
    return len(blocks)


def send_through_blocks(
    stream: Any, stem: Sequence[NewLayer], layers: Sequence[Any], new_policy: Any, new_gate: Any
) -> tuple[Any, Any]:
    """Sends every row through stem and layers, and the blocks that its task executes.

    Args:
        stream: A `TaskStream`.
        new_policy: Function of a block's number, from 1, that returns an `Allocation` of one
            component.
        new_gate: Function of a block's number, and the block, that returns a layer that decides
            about each example, or `None` if all examples execute the block.

    Returns:
        What policies say beside the rows; and a list of what gates say, with the number of rows
        that an example has there.
    """
    probabilities, gates = [], []
    for number, made in made_layers(stem, layers):
        if number is None:
            stream.apply(made[0])
            continue
        policy, gate = new_policy(number), new_gate(number, made[0])
        answer = policy(_task_id(stream, policy))
        execute, *rest = answer if isinstance(answer, list | tuple) else [answer]
        inputs = [stream.features, execute]
        if gate is not None:
            inputs.append(gate(stream.features))
            gates.append((inputs[-1], stream.num_rows))
        stream.features = SkippableBlock(made[0], name=f"block_{number}")(*inputs)
        probabilities += rest
    return probabilities, gates


def _task_id(stream: Any, policy: Any) -> Any:
    """Returns whose task each row is, with rows for each task where the policy needs them."""
    if policy.same_for_all and stream.task_id is None:
        return TaskRows(1, name=f"{policy.name}_rows")(stream.network.inputs)
    stream.separate_rows()
    return stream.task_id
