"""Methods of `keras_mtl.models.blocks`."""

import keras_mtl
from keras_mtl import AnnealingSchedule, TemperatureSchedule
from tests.conformance.methods.method import (
    INF,
    NAN,
    NO_TEMPERATURE,
    NO_WEIGHT,
    NO_WORD,
    Method,
    policy,
    target_rates,
)

METHODS = {
    "build_adashare": Method(
        {
            "phases": keras_mtl.PolicyPhases(0, 3, 1),
            "cycles_per_block": 0,
            "sharing_weight": 0.3,
            "tower_units": (5,),
        },
        made_of="blocks",
        num_components=1,
        valid=[
            {
                "phases": [keras_mtl.PolicyPhases(0, 3, 1)],
                "cycles_per_block": [0, 1],
                "init_probability": [0.2, 0.9],
                "temperature": [2.0, TemperatureSchedule(9.0), AnnealingSchedule()],
                "hard": [True],
                "sparsity_weight": [0, 0.3],
                "sharing_weight": [0, 0.3],
                "sparsity": ["log_alpha"],
                "sharing": ["reference"],
                "relative": [False],
            }
        ],
        invalid={
            "init_probability": [NAN, INF, 0, 1, -1, None, [0.5]],
            "temperature": NO_TEMPERATURE,
            "sparsity_weight": NO_WEIGHT,
            "sharing_weight": NO_WEIGHT,
            "sparsity": NO_WORD,
            "sharing": NO_WORD,
        },
    ),
    "build_dynashare": Method(
        {"policy": [[1, 0], [1, 1], [0, 1]], "target_rates": [0.5, 1]},
        made_of="blocks",
        num_components=1,
        valid=[
            {"policy": policy, "normalize": [True]},
            {"target_rates": target_rates, "target_weight": [1.0], "gate_units": [3]},
            {"target_rates": target_rates, "gate_temperature": [2.0, AnnealingSchedule()]},
            {"policy": policy, "target_rates": target_rates},
        ],
        invalid={
            "policy": [0.5, [[2]], [1], NAN],
            "target_rates": [NAN, 0, 1.5, [0.5] * 9],
            "gate_temperature": NO_TEMPERATURE,
            "start_from": ["x", 3],
        },
    ),
}
