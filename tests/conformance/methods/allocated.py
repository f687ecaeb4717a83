"""Methods of `keras_mtl.models.allocated`."""

from keras_mtl import TemperatureSchedule
from tests.conformance.methods.method import (
    INF,
    NAN,
    NO_NUMBER,
    NO_TEMPERATURE,
    NO_WEIGHT,
    NO_WORD,
    OWN_TASKS,
    Method,
    dense,
    partition,
    routes,
)

METHODS = {
    "build_fixed_random": Method(
        {"components_per_task": 2},
        valid=[
            {"components_per_task": [1, 2], "combine": ["sum"]},
            {"balanced": [True], "combine": ["sum"]},
            {"routes": routes},
        ],
        invalid={
            "components_per_task": [*NO_NUMBER, 0, 99, 1.5],
            "routes": ["x", [[99]], [0], NAN],
            "combine": NO_WORD,
        },
    ),
    "build_gumbel_matrix": Method(
        {
            "budget": 0.2,
            "budget_unit": "parameters",
            "entropy_weight": 0.1,
            "init_probability": 0.99,
            "tower_units": (5,),
        },
        valid=[
            {
                "init_probability": [0.2, 0.9],
                "temperature": [2.0, TemperatureSchedule(9.0)],
                "budget": [0.5],
                "budget_weight": [0.3],
                "budget_scope": ["global"],
                "budget_unit": ["flops", "parameters"],
                "entropy_weight": [0.1],
                "disconnect_weight": [0.1],
                "combine": ["sum"],
                "parameterization": ["log_odds"],
                "min_components": [0, 1],
            }
        ],
        invalid={
            "init_probability": [NAN, INF, 0, 1, -1, None, [0.5] * 9],
            "temperature": NO_TEMPERATURE,
            "budget": [NAN, INF, 0, -1, 1.5],
            "budget_weight": NO_WEIGHT,
            "budget_scope": NO_WORD,
            "budget_unit": NO_WORD,
            "entropy_weight": NO_WEIGHT,
            "disconnect_weight": NO_WEIGHT,
            "combine": NO_WORD,
            "parameterization": NO_WORD,
            "min_components": [*NO_NUMBER, -1, 1.5],
        },
    ),
    "build_no_sharing": Method(
        {"tower_units": (5, 3)},
        valid=[{"combine": ["sum"], "partition": partition}],
        invalid={"partition": ["x", [], [["x"]], ["a"] * 9], "combine": NO_WORD},
    ),
    "build_routing_network": Method(
        {"collaboration": 0.3, "tower_units": (5,)},
        valid=[
            {
                "projection": ["euclidean", "softmax"],
                "baseline": ["row"],
                "reward": ["accuracy"],
                "policy_learning_rate": [0.1],
                "collaboration": [0.3],
                "draws": ["task"],
                "warm_up": [3],
            },
            {"epsilon": [0.01], "learner": ["reinforce"]},
            {"wpl_form": ["swapped"]},
        ],
        invalid={
            "projection": NO_WORD,
            "learner": NO_WORD,
            "baseline": NO_WORD,
            "reward": NO_WORD,
            "wpl_form": NO_WORD,
            "collaboration": [NAN, -1],
            "epsilon": [NAN, INF, -1, 2],
            "draws": NO_WORD,
            "warm_up": [-1],
        },
        refusals=[("*", "*", "grown", OWN_TASKS.format("allocation_1"))],
    ),
    "build_shared_bottom": Method(
        {},
        valid=[{"combine": ["sum"]}],
        invalid={"combine": NO_WORD},
    ),
    "build_single_tasks": Method(
        {},
    ),
    "build_soft_ordering": Method(
        {"stem": [dense], "num_depths": 2, "tower_units": (5,)},
        valid=[{"num_depths": [1, 3]}],
        invalid={"num_depths": [0, -1]},
        refusals=[("*", "*", "grown", OWN_TASKS.format("allocation_1"))],
    ),
    "build_task_routing": Method(
        {"keep_ratio": 0.75},
        made_of="blocks",
        num_components=1,
        valid=[{"keep_ratio": [0.25, 1]}],
        invalid={"keep_ratio": [NAN, INF, 0, -1, 1.5]},
        refusals=[("*", "*", "grown", OWN_TASKS.format("mask_1"))],
    ),
}
