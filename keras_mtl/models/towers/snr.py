"""SNR: sub-networks side by side, list by list, and learned connections between them."""

from collections.abc import Sequence
from typing import Any

from keras_mtl.layers import SubNetworkRouting
from keras_mtl.models.construction import check_has_list, made_layers, seeded
from keras_mtl.models.graph import Network, each_once
from keras_mtl.models.towers.parallel import run_each
from keras_mtl.seeds import seed_of
from keras_mtl.training import MultiTaskModel
from keras_mtl.types import NewLayer, Setting, Tasks, TowerUnits


def build_snr(
    inputs: Any,
    tasks: Tasks,
    layers: Sequence[Any],
    *,
    task_data: str = "shared",
    stem: Sequence[NewLayer] = (),
    connection: str = "transform",
    penalty_weight: float = 0.001,
    temperature: Setting = 0.9,
    stretch: Any = (-0.1, 1.1),
    tower_units: TowerUnits = (),
    seed: int | None = None,
    name: str | None = None,
) -> MultiTaskModel:
    """Builds a network of sub-networks that learn which of those before them they read.

    The sub-networks of the first list read the same features. Those of later lists, and in the
    end the tasks, read a sum of all sub-networks before them, through connections whose codes in
    [0, 1] are learned and become exactly 0 where a connection is not worth its price. Codes
    between sub-networks are those of all tasks; what a task reads of the last list is its own.
    `keras_mtl.freeze` leaves out connections of code 0, and sub-networks that nobody reads.
    Logits of codes are slow at the rate of the weights: for another rate see
    `keras_mtl.allocation_optimizer`.

    Source: Ma et al., "SNR: Sub-Network Routing for Flexible Parameter Sharing in Multi-Task
    Learning", AAAI 2019, https://doi.org/10.1609/aaai.v33i01.3301216: SNR-Trans is
    `connection="transform"`, SNR-Aver `"sum"`.

    Args:
        layers: List of callables that return a new Keras layer, and of lists of these. A list
            holds sub-networks, whose outputs have one shape; a bare layer is passed by what each
            of the sub-networks before it answers.
        connection: As of `keras_mtl.layers.SubNetworkRouting`. Defaults to `"transform"`.
        penalty_weight: Price of a connection: number of at least 0, or a schedule over training
            batches. One that is too high closes all: a task that reads nothing gives every example
            the same answer. Defaults to 0.001.
        temperature: As of `keras_mtl.layers.HardConcrete`. Defaults to 0.9.
        stretch: The same. Defaults to `(-0.1, 1.1)`.

    The other arguments are those of `keras_mtl.build_gumbel_matrix`. With separate data the
    features of all tasks are computed for every example, as in other networks of towers.

    Returns:
        An uncompiled functional `keras.Model`, as every builder does. `routing_1`, `routing_2`, ...
        connect what follows a list; their `.matrix()` has the codes, row = who reads. Logs name
        `l0_penalty`.

    Raises:
        ValueError: No list, wrong tasks, layers or settings, in their words.

    Example:

    >>> from functools import partial
    >>> import keras, keras_mtl
    >>> dense = partial(keras.layers.Dense, 8, activation="relu")
    >>> model = keras_mtl.build_snr(
    ...     keras.Input((5,)), {"a": 3, "b": "binary"}, [[dense] * 3, [dense] * 4])
    >>> [model.get_layer(f"routing_{index}").matrix().shape for index in (1, 2)]
    [(4, 3), (2, 4)]
    """

    check_has_list(layers, "sub-networks", "connect")

    def routed(streams, index, num_targets):
        routing = SubNetworkRouting(
            num_targets, connection, penalty_weight, temperature, stretch,
            seed=seed_of(seed, index), name=f"routing_{index}",
        )  # fmt: skip
        return routing(streams)

    with seeded(seed):
        network = Network(inputs, tasks, task_data)
        streams, lists = [network.inputs], 0
        for index, made in made_layers(stem, layers):
            if index is None:
                streams = each_once(made[0], streams)
                continue
            read = routed(streams, lists, len(made)) if lists else streams * len(made)
            streams, lists = run_each(made, read, index), index
        return network.finish(routed(streams, lists, len(network.tasks)), name, seed, tower_units)
