"""Methods of `keras_mtl.models.towers`."""

from tests.conformance.methods.method import (
    DIFFERENT_LAYERS,
    INF,
    NAN,
    NO_WEIGHT,
    NO_WORD,
    OWN_TASKS,
    Method,
    levels,
)

METHODS = {
    "build_cross_stitch": Method(
        {"per_channel": True, "tower_units": (5,)},
        valid=[
            {
                "alpha": ["balanced", 0.6],
                "per_channel": [True],
            }
        ],
        invalid={"alpha": ["x", [1], [[NAN, 1], [1, 1]]]},
        refusals=[("*", "*", "grown", OWN_TASKS.format(r"(stitch|mask)_1"))],
    ),
    "build_low_supervision": Method(
        {"levels": {"animal": 3}},
        needed={"levels": levels},
        valid=[{"combine": ["sum"]}],
        invalid={"levels": [{"x": 1}, {"a": 0}, {"a": 99}], "combine": NO_WORD},
        refusals=[
            ("shared", "*", "grown", DIFFERENT_LAYERS),
            ("separate", "*", "grown", OWN_TASKS.format("pick_task")),
        ],
    ),
    "build_sluice": Method(
        {"orthogonality_weight": 0.3, "tower_units": (5,)},
        valid=[
            {
                "num_subspaces": [1, 4],
                "alpha": ["balanced", 0.6],
                "normalize_alpha": [True],
                "connections": ["skip", "concat", "none"],
            },
            {"beta": ["balanced"]},
            {"preset": ["hard_sharing", "group_lasso", "easy_adaptation", "cross_stitch"]},
            {"preset": ["single_task"]},
        ],
        invalid={
            "num_subspaces": [NAN, INF, 0, -1, 3, 1.5],
            "alpha": ["x", [1], [[NAN]]],
            "connections": NO_WORD,
            "beta": ["x", [1] * 9, 3],
            "preset": ["x", 3, NAN, "paper"],  # which has two tasks
            "levels": [{"a": 1}, 3, "x"],
        },
        refusals=[("*", "*", "grown", OWN_TASKS.format(r"(stitch|mask)_1"))],
    ),
    "build_snr": Method(
        {"tower_units": (5,)},
        valid=[
            {
                "connection": ["sum"],
                "penalty_weight": [0],
                "temperature": [0.5],
                "stretch": [(-0.5, 1.5)],
            }
        ],
        invalid={
            "connection": NO_WORD,
            "penalty_weight": NO_WEIGHT,
            "temperature": [NAN, 0, -1],
        },
        refusals=[("*", "*", "grown", OWN_TASKS.format(r"(routing|mask)_1"))],
    ),
}
