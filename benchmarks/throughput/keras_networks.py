"""What run.py times in Keras: this package's networks and those by hand."""

from functools import partial

import keras
from keras import ops

import keras_mtl
from benchmarks.costs.steps import compiled_step
from benchmarks.throughput.table import (
    FEATURES,
    LEARNING_RATE,
    TASKS,
    TOWER,
    UNITS,
    own_experts,
    table,
)

dense = partial(keras.layers.Dense, UNITS, activation="relu")


def ours(builder, num_experts, **settings):
    tasks = dict.fromkeys(TASKS, "binary")
    return builder(keras.Input((FEATURES,)), tasks, [[dense] * num_experts], **settings)


def our_cgc(num_experts):
    own = own_experts(num_experts)
    return ours(keras_mtl.build_ple, num_experts, task_experts=own, tower_units=(TOWER,))


def our_shared_bottom(num_experts):
    wide = partial(keras.layers.Dense, num_experts * UNITS, activation="relu")
    tasks = dict.fromkeys(TASKS, "binary")
    return keras_mtl.build_shared_bottom(keras.Input((FEATURES,)), tasks, [wide])


OURS = {
    "mmoe": partial(ours, keras_mtl.build_mmoe, tower_units=(TOWER,)),
    "cgc": our_cgc,
    "shared bottom": our_shared_bottom,
    "mmoeex": partial(ours, keras_mtl.build_mmoeex, tower_units=(TOWER,), seed=0),
    "moe": partial(ours, keras_mtl.build_moe, tower_units=(TOWER,)),
    "dselect_k": partial(ours, keras_mtl.build_dselect_k, tower_units=(TOWER,)),
}


def mixture(inputs, experts):
    gate = keras.layers.Dense(experts.shape[1], "softmax")(inputs)
    return ops.einsum("be,beu->bu", gate, experts)


def head(features, task):
    features = keras.layers.Dense(TOWER, "relu")(features)
    return keras.layers.Dense(1, "sigmoid", name=task)(features)


def mmoe_by_hand(num_experts):
    inputs = keras.Input((FEATURES,))
    experts = ops.stack([dense()(inputs) for _ in range(num_experts)], axis=1)
    return keras.Model(inputs, {task: head(mixture(inputs, experts), task) for task in TASKS})


def cgc_by_hand(num_experts):
    inputs, own = keras.Input((FEATURES,)), own_experts(num_experts)
    shared = [dense()(inputs) for _ in range(num_experts - own * len(TASKS))]
    outputs = {}
    for task in TASKS:
        experts = ops.stack([*shared, *[dense()(inputs) for _ in range(own)]], axis=1)
        outputs[task] = head(mixture(inputs, experts), task)
    return keras.Model(inputs, outputs)


def shared_bottom_by_hand(num_experts):
    inputs = keras.Input((FEATURES,))
    features = keras.layers.Dense(num_experts * UNITS, "relu")(inputs)
    outputs = {task: keras.layers.Dense(1, "sigmoid", name=task)(features) for task in TASKS}
    return keras.Model(inputs, outputs)


BY_HAND = {"mmoe": mmoe_by_hand, "cgc": cgc_by_hand, "shared bottom": shared_bottom_by_hand}
NETWORKS = {"by hand": BY_HAND, "keras_mtl": OURS}


def compiled(who, method, arguments):
    """Returns a compiled network that logs losses and accuracies of all tasks."""
    model = NETWORKS[who][method](arguments.experts)
    stock = {"loss": "binary_crossentropy", "metrics": {task: ["accuracy"] for task in TASKS}}
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        jit_compile=True if arguments.jit else "auto",
        **(stock if who == "by hand" else {}),
    )
    return model


def runs(new, data, arguments):
    """Returns what trains new models on all batches: a dict, way -> function."""
    fit, one = new().fit, keras.tree.map_structure(lambda array: array[: arguments.batch], data)
    step = compiled_step(new(), one)
    return {
        "fit": lambda: fit(*data, batch_size=arguments.batch, epochs=arguments.epochs, verbose=0),
        "step": lambda: [step() for _ in range(arguments.epochs * arguments.steps)],
    }


def cases(arguments):
    data = table(arguments.steps * arguments.batch)
    return {
        (method, who, way): run
        for method in arguments.methods
        for who, networks in NETWORKS.items()
        if method in networks
        for way, run in runs(partial(compiled, who, method, arguments), data, arguments).items()
    }
