"""Methods of `keras_mtl.models.recurrent`."""

from functools import partial

import keras

import keras_mtl
from tests.conformance.methods.method import (
    DIFFERENT_LAYERS,
    INF,
    NAN,
    NO_TEMPERATURE,
    NO_WEIGHT,
    NO_WORD,
    OWN_TASKS,
    Method,
    a_task,
    dense,
)

METHODS = {
    "build_communicating": Method(
        {"units": 4},
        made_of="sequences",
        needed={"units": [3]},
        valid=[{"graph": ["complete", "star"], "units": [3]}],
        invalid={"graph": NO_WORD},
        refusals=[
            ("shared", "*", "grown", DIFFERENT_LAYERS),
            ("separate", "*", "grown", OWN_TASKS.format("pick_task")),
        ],
    ),
    "build_girnet": Method(
        {"primary": "animal", "units": 4, "gate_units": 3},
        made_of="sequences",
        needed={"primary": a_task, "units": [3], "gate_units": [2]},
        valid=[{"units": [3], "gate_units": [2]}],
        invalid={"primary": [None, "x", 3, NAN]},
        refusals=[("*", "*", "grown", OWN_TASKS.format("composite"))],
    ),
    "build_recurrent_modular": Method(
        {
            "num_cells": 2,
            "cell_units": 4,
            "num_sub_encoders": (3, 2),
            "units": (12,),
            "open_fraction": 0.4,
        },
        made_of="sequences",
        needed={
            "num_cells": [1, 2],
            "cell_units": [3],
            "num_sub_encoders": [(2,), (2, 3)],
            "units": [(3,)],
        },
        valid=[
            {
                "decoder_units": [(3,)],
                "policy_units": [(2,)],
                "policy_reads_base": [True, False],
                "normalize_policies": [False],
                "decide_by": ["example"],
                "temperature": [2.0],
                "open_fraction": [0.4, 1],
                "decoder_open_fraction": [0.3],
                "decoder_sparsity_weight": [0.5],
                "sparsity_weight": [0],
                "sparsity_scope": ["step", "sequence"],
                "base": [
                    partial(keras_mtl.build_communicating, graph="star", units=3),
                    partial(keras_mtl.build_recursive_routing, units=3, depth=1),
                ],
            },
            {"decide_by": ["step"], "policy_reads_base": [None, False]},
            {"num_sub_encoders": [(2, 2)], "tie_layers": [True], "cell_units": [2, 3]},
        ],
        invalid={
            "base": ["x", 3],
            "temperature": NO_TEMPERATURE,
            "open_fraction": [NAN, INF, 0, -1, 1.5],
            "decoder_open_fraction": [NAN, INF, 0, -1, 1.5],
            "decoder_sparsity_weight": [NAN, INF, -1],
            "decide_by": NO_WORD,
        },
    ),
    "build_recursive_routing": Method(
        {
            "stem": [dense, partial(keras.layers.Dense, 16)],
            "units": 4,
            "num_functions": 2,
        },
        made_of="sequences",
        needed={"units": [2], "num_functions": [2]},
        valid=[{"num_functions": [1, 3], "temperature": [2.0]}],
        invalid={
            "units": [0, -1],
            "num_functions": [0, -1],
            "depth": [0, -1],
            "temperature": NO_TEMPERATURE,
        },
    ),
    "build_shared_private": Method(
        {"units": 4},
        made_of="sequences",
        needed={"units": [3]},
        valid=[{"units": [3], "orthogonality_weight": [0, 0.1]}],
        invalid={"adversarial_weight": [-1, NAN], "orthogonality_weight": NO_WEIGHT},
        refusals=[
            ("shared", "*", "grown", DIFFERENT_LAYERS),
            ("separate", "*", "grown", OWN_TASKS.format("adversarial_penalty")),
        ],
    ),
}
