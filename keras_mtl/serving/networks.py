"""What is exported: one network per task, and what each of them takes."""

import keras


def task_networks(frozen, tasks):
    """Returns a dict, task -> the part of a frozen network that answers `{task: output}`.

    The networks share their layers with `frozen` and with each other.
    """
    return {task: keras.Model(frozen.input, {task: frozen.output[task]}) for task in tasks}


def input_signature(network):
    """Returns the arguments of a network: one `keras.InputSpec`, or a dict of them."""
    return [
        keras.tree.map_structure(
            lambda tensor: keras.InputSpec(
                shape=(None, *tensor.shape[1:]), dtype=tensor.dtype, name=tensor.name
            ),
            network.input,
        )
    ]
