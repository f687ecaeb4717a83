"""What run.py times of DeepCTR, which runs on TensorFlow."""

from functools import partial

import keras
from deepctr.feature_column import DenseFeat
from deepctr.models.multitask import MMOE, PLE, SharedBottom

from benchmarks.throughput.keras_networks import runs
from benchmarks.throughput.table import (
    FEATURES,
    LEARNING_RATE,
    TASKS,
    TOWER,
    UNITS,
    own_experts,
    table,
)


def builders(num_experts):
    """Returns a dict, method -> function of feature columns and tasks."""
    own = own_experts(num_experts)
    units = {"expert_dnn_hidden_units": (UNITS,), "tower_dnn_hidden_units": (TOWER,)}
    numbers = {"specific_expert_num": own, "shared_expert_num": num_experts - own * len(TASKS)}
    wide = {"bottom_dnn_hidden_units": (num_experts * UNITS,), "tower_dnn_hidden_units": ()}
    return {
        "mmoe": partial(MMOE, num_experts=num_experts, **units),
        "cgc": partial(PLE, num_levels=1, **numbers, **units),
        "shared bottom": partial(SharedBottom, **wide),
    }


def compiled(build, arguments):
    model = build(
        [DenseFeat("features", FEATURES)],
        task_types=["binary"] * len(TASKS),
        task_names=list(TASKS),
    )
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        loss=dict.fromkeys(TASKS, "binary_crossentropy"),
        metrics=dict.fromkeys(TASKS, "accuracy"),
        jit_compile=True if arguments.jit else "auto",
    )
    return model


def cases(arguments):
    x, y = table(arguments.steps * arguments.batch)
    return {
        (method, "DeepCTR", way): run
        for method, build in builders(arguments.experts).items()
        if method in arguments.methods
        for way, run in runs(
            partial(compiled, build, arguments), ({"features": x}, y), arguments
        ).items()
    }
