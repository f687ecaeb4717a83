"""What the builders' own arguments may be, and what each must refuse by name."""

import inspect

import keras_mtl
from keras_mtl import TemperatureSchedule

NAN, INF = float("nan"), float("inf")
NO_WORD = [None, "x", "", 3, NAN, ("x",)]
NO_NUMBER = [NAN, INF, "x", None, [1]]
NO_WEIGHT = [*NO_NUMBER, -1]
NO_TEMPERATURE = [NAN, INF, 0, -1, "x", [1]]


def levels(tasks, lists, entries):
    return [{}, {tasks[0]: entries}] if entries else [{}]


def routes(tasks, lists, entries):
    several = [size for size in lists if size > 1]
    return [[[task % size for size in several] for task in range(len(tasks))]]


def partition(tasks, lists, entries):
    return [[[*tasks, *[tasks[0]] * size][:size] for size in lists]]


def policy(tasks, lists, entries):
    rows = range(len(tasks))
    return [[[int(row != block) for block in range(len(lists))] for row in rows]]


def target_rates(tasks, lists, entries):
    return [0.5, [0.5, *[1] * (len(lists) - 1)]]


def tower_units(tasks, lists, entries):
    different = {task: (5, 3) if task == tasks[0] else (3,) for task in tasks}
    return [(), (3,), [5, 2], different]


def a_task(tasks, lists, entries):
    return tasks


# Each builder's ways to be called: an argument and its values, or a function that says them of
# the names of the tasks, the sizes of the lists and the number of layers before the end.
VALID = {
    "build_adashare": [
        {
            "phases": [keras_mtl.PolicyPhases(0, 3, 1)],
            "cycles_per_block": [0, 1],
            "init_probability": [0.2, 0.9],
            "temperature": [2.0, TemperatureSchedule(9.0)],
            "hard": [True],
            "sparsity_weight": [0, 0.3],
            "sharing_weight": [0, 0.3],
            "sparsity": ["log_alpha"],
            "sharing": ["reference"],
        }
    ],
    "build_communicating": [{"graph": ["complete", "star"], "units": [3]}],
    "build_cross_stitch": [
        {
            "alpha": ["balanced", 0.6],
            "per_channel": [True],
        }
    ],
    "build_dselect_k": [{"num_selected": [1, 2], "gamma": [0.5], "entropy_weight": [0]}],
    "build_dynashare": [
        {"policy": policy, "normalize": [True]},
        {"target_rates": target_rates, "target_weight": [1.0], "gate_units": [3]},
        {"policy": policy, "target_rates": target_rates},
    ],
    "build_fixed_random": [
        {"components_per_task": [1, 2], "combine": ["sum"]},
        {"balanced": [True], "combine": ["sum"]},
        {"routes": routes},
    ],
    "build_girnet": [{"units": [3], "gate_units": [2]}],
    "build_gumbel_matrix": [
        {
            "init_probability": [0.2, 0.9],
            "temperature": [2.0, TemperatureSchedule(9.0)],
            "budget": [0.5],
            "budget_weight": [0.3],
            "budget_scope": ["global"],
            "entropy_weight": [0.1],
            "disconnect_weight": [0.1],
            "combine": ["sum"],
            "parameterization": ["log_odds"],
            "min_components": [0, 1],
        }
    ],
    "build_low_supervision": [{"combine": ["sum"]}],
    "build_mmoe": [{}],
    "build_mmoeex": [{"exclusivity": [0, 0.3]}],
    "build_moe": [
        {
            "top_k": [1, None],
            "noise": [False],
            "balance_weight": [0],
            "by_task": [False],
        }
    ],
    "build_no_sharing": [{"combine": ["sum"], "partition": partition}],
    "build_ple": [{}],
    "build_recurrent_modular": [
        {
            "decoder_units": [(3,)],
            "policy_units": [(2,)],
            "policy_reads_base": [True],
            "temperature": [2.0],
            "open_fraction": [0.4, 1],
            "sparsity_weight": [0],
            "sparsity_scope": ["step", "sequence"],
        }
    ],
    "build_recursive_routing": [{"num_functions": [1, 3], "temperature": [2.0]}],
    "build_routing_network": [
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
    "build_shared_bottom": [{"combine": ["sum"]}],
    "build_shared_private": [{"units": [3], "orthogonality_weight": [0, 0.1]}],
    "build_single_tasks": [{}],
    "build_sluice": [
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
    "build_snr": [
        {
            "connection": ["sum"],
            "penalty_weight": [0],
            "temperature": [0.5],
            "stretch": [(-0.5, 1.5)],
        }
    ],
    "build_soft_ordering": [{"num_depths": [1, 3]}],
    "build_task_routing": [{"keep_ratio": [0.25, 1]}],
}

NEEDED = {
    "build_girnet": {"primary": a_task, "units": [3], "gate_units": [2]},
    "build_low_supervision": {"levels": levels},
    "build_recurrent_modular": {
        "num_cells": [1, 2],
        "cell_units": [3],
        "num_sub_encoders": [(2,), (2, 3)],
        "units": [(3,)],
    },
    "build_communicating": {"units": [3]},
    "build_recursive_routing": {"units": [2], "num_functions": [2]},
    "build_shared_private": {"units": [3]},
}

# What an argument refuses by its name, or by what it is called where it is used.
INVALID = {
    "build_adashare": {
        "init_probability": [NAN, INF, 0, 1, -1, None, [0.5]],
        "temperature": NO_TEMPERATURE,
        "sparsity_weight": NO_WEIGHT,
        "sharing_weight": NO_WEIGHT,
        "sparsity": NO_WORD,
        "sharing": NO_WORD,
    },
    "build_communicating": {"graph": NO_WORD},
    "build_cross_stitch": {"alpha": ["x", [1], [[NAN, 1], [1, 1]]]},
    "build_dselect_k": {
        "num_selected": [*NO_NUMBER, 0, 99, 1.5],
        "gamma": [NAN, 0, -1],
        "entropy_weight": NO_WEIGHT,
    },
    "build_dynashare": {
        "policy": [0.5, [[2]], [1], NAN],
        "target_rates": [NAN, 0, 1.5, [0.5] * 9],
        "start_from": ["x", 3],
    },
    "build_fixed_random": {
        "components_per_task": [*NO_NUMBER, 0, 99, 1.5],
        "routes": ["x", [[99]], [0], NAN],
        "combine": NO_WORD,
    },
    "build_girnet": {"primary": [None, "x", 3, NAN]},
    "build_gumbel_matrix": {
        "init_probability": [NAN, INF, 0, 1, -1, None, [0.5] * 9],
        "temperature": NO_TEMPERATURE,
        "budget": [NAN, INF, 0, -1, 1.5],
        "budget_weight": NO_WEIGHT,
        "budget_scope": NO_WORD,
        "entropy_weight": NO_WEIGHT,
        "disconnect_weight": NO_WEIGHT,
        "combine": NO_WORD,
        "parameterization": NO_WORD,
        "min_components": [*NO_NUMBER, -1, 1.5],
    },
    "build_low_supervision": {"levels": [{"x": 1}, {"a": 0}, {"a": 99}], "combine": NO_WORD},
    "build_mmoe": {},
    "build_mmoeex": {"exclusivity": [NAN, INF, -1, 2], "mode": NO_WORD},
    "build_moe": {"top_k": [NAN, INF, -1, 0, 99, 1.5, "x", [1] * 9], "balance_weight": NO_WEIGHT},
    "build_no_sharing": {"partition": ["x", [], [["x"]], ["a"] * 9], "combine": NO_WORD},
    "build_ple": {"task_experts": [0, -1]},
    "build_recurrent_modular": {
        "base": ["x", 3],
        "temperature": NO_TEMPERATURE,
        "open_fraction": [NAN, INF, 0, -1, 1.5],
    },
    "build_recursive_routing": {
        "units": [0, -1],
        "num_functions": [0, -1],
        "depth": [0, -1],
        "temperature": NO_TEMPERATURE,
    },
    "build_routing_network": {
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
    "build_shared_bottom": {"combine": NO_WORD},
    "build_shared_private": {"adversarial_weight": [-1, NAN], "orthogonality_weight": NO_WEIGHT},
    "build_single_tasks": {},
    "build_sluice": {
        "num_subspaces": [NAN, INF, 0, -1, 3, 1.5],
        "alpha": ["x", [1], [[NAN]]],
        "connections": NO_WORD,
        "beta": ["x", [1] * 9, 3],
        "preset": ["x", 3, NAN],
        "levels": [{"a": 1}, 3, "x"],
    },
    "build_snr": {
        "connection": NO_WORD,
        "penalty_weight": NO_WEIGHT,
        "temperature": [NAN, 0, -1],
    },
    "build_soft_ordering": {"num_depths": [0, -1]},
    "build_task_routing": {"keep_ratio": [NAN, INF, 0, -1, 1.5]},
}

for name, ways in VALID.items():
    if "layers" in inspect.signature(getattr(keras_mtl, name)).parameters:
        VALID[name] = [{**way, "tower_units": tower_units} for way in ways]
        INVALID[name]["tower_units"] = [8, "x", None, NAN, (0,), (1.5,), {"x": (3,)}, {"a": 3}]
