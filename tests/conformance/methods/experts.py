"""Methods of `keras_mtl.models.experts`."""

from tests.conformance.methods.method import (
    INF,
    NAN,
    NO_NUMBER,
    NO_WEIGHT,
    NO_WORD,
    OWN_TASKS,
    Method,
)

METHODS = {
    "build_dselect_k": Method(
        {},
        valid=[{"num_selected": [1, 2], "gamma": [0.5], "entropy_weight": [0]}],
        invalid={
            "num_selected": [*NO_NUMBER, 0, 99, 1.5],
            "gamma": [NAN, 0, -1],
            "entropy_weight": NO_WEIGHT,
        },
        refusals=[("*", "*", "grown", OWN_TASKS.format("gates_1"))],
    ),
    "build_mmoe": Method(
        {"tower_units": (5,)},
        refusals=[("*", "*", "grown", OWN_TASKS.format("gates_1"))],
    ),
    "build_mmoeex": Method(
        {"exclusivity": 0.7},
        valid=[{"exclusivity": [0, 0.3]}],
        invalid={"exclusivity": [NAN, INF, -1, 2], "mode": NO_WORD},
        refusals=[("*", "*", "grown", OWN_TASKS.format("gates_1"))],
    ),
    "build_moe": Method(
        {},
        valid=[
            {
                "top_k": [1, None],
                "noise": [False],
                "balance_weight": [0],
                "by_task": [False],
            }
        ],
        invalid={"top_k": [NAN, INF, -1, 0, 99, 1.5, "x", [1] * 9], "balance_weight": NO_WEIGHT},
        refusals=[("*", "*", "grown", OWN_TASKS.format("gates_1"))],
    ),
    "build_ple": Method(
        {},
        num_components=5,
        invalid={"task_experts": [0, -1]},
        refusals=[("*", "*", "grown", OWN_TASKS.format("gates_1"))],
    ),
}
