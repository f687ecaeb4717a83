"""A budget in what components cost: by hand, and met by the frozen network."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.layers import AllocationPenalty

TASKS = {"a": "regression", "b": "regression"}
dense = partial(keras.layers.Dense, 4, activation="tanh")


def wide():
    return keras.Sequential([keras.layers.Dense(100, activation="tanh"), keras.layers.Dense(4)])


def network(unit, task_data="shared", layers=None, tasks=TASKS, **settings):
    return keras_mtl.build_gumbel_matrix(
        keras.Input((6,)), tasks, layers or [[dense, wide], dense, [dense, dense, wide]],
        task_data=task_data, budget_unit=unit, seed=0, **{"budget": 0.5, **settings},
    )  # fmt: skip


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_costs_by_hand(task_data):
    small, large = 6 * 4 + 4, 6 * 100 + 100 + 100 * 4 + 4
    inner, outer = 4 * 4 + 4, 4 * 100 + 100 + 100 * 4 + 4
    costs = network("parameters", task_data).get_layer("penalty").costs
    assert costs == [[small, large], [inner, inner, outer]]
    costs = network("flops", task_data).get_layer("penalty").costs
    assert costs == [[2 * 24, 2 * 1000], [2 * 16, 2 * 16, 2 * 800]]
    assert network("components", task_data).get_layer("penalty").costs is None


def test_milliseconds_are_measured_once_and_kept(tmp_path):
    slow = [[dense, lambda: keras.Sequential([keras.layers.Dense(3000)] + [dense()])]]
    model = network("milliseconds", layers=slow)
    ((fast, slow),) = model.get_layer("penalty").costs
    assert 0 < fast and 0 < slow
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_layer("penalty").costs == [[fast, slow]]


def test_penalty_by_hand():
    penalty = AllocationPenalty(budget=0.25, budget_weight=2.0, costs=[[1.0, 3.0], [4.0, 2.0]])
    probabilities = [[[0.5, 1.0]], [[0.25, 0.0]]]
    task_id = keras.ops.zeros((3,), "int32")
    penalty(keras.ops.ones((3, 1)), task_id, [keras.ops.array(p) for p in probabilities])
    # used .5 + 3 + 1 of 10
    value = keras.ops.convert_to_numpy(penalty.penalties["budget_penalty"])
    assert value == pytest.approx(2.0 * (4.5 / 10 - 0.25))


def test_normalizations_have_no_flops():
    normed = lambda: keras.Sequential([dense(), keras.layers.BatchNormalization()])  # noqa: E731
    model = network("flops", layers=[[dense, normed]])
    assert model.get_layer("penalty").costs == [[48.0, 48.0]]


def test_units_are_a_matter_of_the_budget_alone():
    model = network("flops", budget=None, entropy_weight=0.1)
    assert model.get_layer("penalty").costs is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unit": "seconds"}, 'budget_unit must be "components" .*"milliseconds"'),
        (
            {"unit": "flops", "layers": [[dense, lambda: LocallyOdd("ab,bc->ac", 4)]]},
            "needs the FLOPs of 'component_1_2', but those of LocallyOdd are not known",
        ),
        (
            {"unit": "parameters", "layers": [[keras.layers.ReLU] * 2]},
            "components cost nothing",
        ),
    ],
)
def test_wrong_units(settings, message):
    with pytest.raises(ValueError, match=message):
        network(**settings)


class LocallyOdd(keras.layers.EinsumDense):
    """A layer whose FLOPs nobody knows."""


def test_costs_are_of_the_components_that_there_are():
    penalty = AllocationPenalty(budget=0.5, costs=[[1.0, 2.0]])
    with pytest.raises(ValueError, match=r"costs must have a number .*\[3\]. Received: \[\[1.0"):
        penalty(keras.ops.ones((3, 1)), keras.ops.zeros((3,), "int32"), [keras.ops.ones((1, 3))])


@pytest.mark.parametrize("costs", [float("nan"), [], [[]], [[1.0, -1.0]], [["x"]], object(), [[0]]])
def test_costs_are_numbers_of_at_least_0(costs):
    with pytest.raises(ValueError, match="costs must"):
        AllocationPenalty(budget=0.5, costs=costs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_frozen_network_meets_a_budget_of_flops_that_the_plain_one_misses(seed):
    """Cheap components are as good as the dear one; both kinds of budget are half of all."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(256, 6)).astype("float32")
    y = {"a": x[:, 0], "b": x[:, 1]}
    shares = {}
    for unit in ("components", "flops"):
        keras.utils.set_random_seed(seed)
        model = keras_mtl.build_gumbel_matrix(
            keras.Input((6,)), TASKS, [[dense, dense, wide, wide]], budget=0.5, budget_weight=10.0,
            budget_unit=unit, init_probability=[[0.6, 0.6, 0.9, 0.9]] * 2, seed=seed,
        )  # fmt: skip
        whole = 2 * (2 * 24 + 2 * 1000)
        model.compile(keras_mtl.allocation_optimizer(keras.optimizers.Adam(0.01), 0.05))
        model.fit(x, y, epochs=30, verbose=0)
        report = keras_mtl.sharing_report(model)
        shares[unit] = max((flops - 2 * 4) / whole for flops in report.flops.values())
    assert shares["flops"] <= 0.5 < shares["components"]
