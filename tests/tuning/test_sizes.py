"""Sizes that a search draws, and costs that it keeps low."""

from functools import partial
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.tuning import hypermodel, pareto_trials

keras_tuner = pytest.importorskip("keras_tuner")

TASKS = {"a": 3, "b": "binary"}
X = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
Y = {"a": np.arange(16) % 3, "b": np.arange(16) % 2}
dense = partial(keras.layers.Dense, 8, activation="relu")


def built(builder=keras_mtl.build_mmoe, layers=None, values=None, **settings):
    """Returns what a hypermodel builds with given values, and the hyperparameters."""
    hyper = hypermodel(builder, keras.Input((5,)), TASKS, layers or [[dense] * 4], **settings)
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values or {})
    return hyper.build(hp), hp


def experts(model):
    return [layer.units for layer in model.get_layer("modular_1").components]


def test_the_first_components_are_kept_and_all_are_wider():
    model, _ = built(values={"num_components": 3, "width": 2.0})
    assert experts(model) == [16, 16, 16]


@pytest.mark.parametrize(
    ("component", "units"),
    [
        (partial(keras.layers.Dense, 6, activation="relu"), 3),
        (partial(keras.layers.Dense, units=6), 3),
        (partial(keras.layers.Dense, 1), 1),
    ],
)
def test_the_width_of_a_partial_is_its_units(component, units):
    model, _ = built(layers=[[component] * 2], values={"width": 0.5})
    assert experts(model) == [units] * 2


def test_layers_between_lists_keep_their_width():
    model, _ = built(layers=[[dense] * 2, dense, [dense] * 2], values={"width": 0.5})
    assert model.get_layer("layer_2").units == 8


def test_without_widths_to_change_none_is_searched():
    _, hp = built(layers=[[lambda: keras.layers.Dense(8)] * 2])
    assert set(hp.values) == {"learning_rate", "tower_width", "num_components"}
    reshape = partial(keras.layers.Reshape, (8,))
    _, hp = built(layers=[dense, [reshape, dense]])
    assert "width" not in hp.values


def test_a_tower_is_a_dense_layer_before_each_head():
    plain, _ = built()
    model, _ = built(values={"tower_width": 16})
    assert model.count_params() - plain.count_params() == 2 * (8 * 16 + 16) + (16 - 8) * (3 + 1)


def test_towers_that_are_given_are_not_searched():
    model, hp = built(tower_units=(4,))
    assert "tower_width" not in hp.values
    assert model.output["a"].shape == (None, 3)


def test_own_experts_leave_one_to_share():
    _, hp = built(keras_mtl.build_ple, [[dense] * 7])
    (task_experts,) = (one for one in hp.space if one.name == "task_experts")
    assert (task_experts.min_value, task_experts.max_value) == (1, 3)  # 2 tasks, 1 to share


@pytest.mark.parametrize("builder", [keras_mtl.build_moe, keras_mtl.build_dselect_k])
def test_as_many_experts_are_chosen_as_any_number_of_them_has(builder):
    _, hp = built(builder, [[dense] * 6])
    by_name = {one.name: one for one in hp.space}
    chosen = by_name.get("top_k") or by_name["num_selected"]
    assert chosen.max_value == by_name["num_components"].min_value == 3


# Costs


@pytest.mark.parametrize("cost", ["parameters", "flops"])
def test_the_cost_is_that_of_the_frozen_network_as_a_share(cost):
    hyper = hypermodel(
        keras_mtl.build_gumbel_matrix, keras.Input((5,)), TASKS, [[dense] * 4], cost=cost, seed=0
    )
    hp = keras_tuner.HyperParameters()
    whole = hyper.build(hp)  # all of it, at a probability of one half
    assert hp.values["budget"] == 1.0
    assert whole.get_layer("penalty").costs is not None
    model = hyper.build(hp)
    router = model.get_layer("allocation_1")
    router.row_blocks[-1].assign([[[1.0, 0.0]] + [[0.0, 1.0]] * 3] * 2)
    logs = hyper.fit(hp, model, X, Y, epochs=1, verbose=0).history
    report = keras_mtl.sharing_report(model)
    own = np.mean([*getattr(report, cost).values()])
    full = np.mean([*getattr(keras_mtl.sharing_report(whole), cost).values()])
    assert logs["cost"] == [pytest.approx(own / full)]
    assert 0.2 < logs["cost"][0] < 0.5  # one component of four, and a head


def test_without_a_cost_none_is_logged_and_no_budget_searched():
    model, hp = built(keras_mtl.build_gumbel_matrix)
    assert "budget" not in hp.values and model is not None


def test_a_cost_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match='cost must be None, "parameters" or "flops".*watts'):
        built(cost="watts")


@pytest.mark.slow
def test_a_search_for_two_objectives_has_a_front(tmp_path):
    tuner = keras_tuner.RandomSearch(
        hypermodel(
            keras_mtl.build_mmoe, keras.Input((5,)), TASKS, [[dense] * 4], cost="flops", seed=0
        ),
        objective=[
            keras_tuner.Objective("val_mean_accuracy", "max"),
            keras_tuner.Objective("cost", "min"),
        ],
        max_trials=4, seed=0, directory=tmp_path,
    )  # fmt: skip
    tuner.search(X, Y, validation_data=(X, Y), epochs=2, verbose=0)
    front = pareto_trials(tuner)
    found = {
        trial.trial_id: [trial.metrics.get_best_value(n) for n in ("val_mean_accuracy", "cost")]
        for trial in tuner.oracle.trials.values()
    }
    assert len({cost for _, cost in found.values()}) > 1
    ids = {trial.trial_id for trial in front}
    for name, (score, cost) in found.items():
        beaten = any(
            s >= score and c <= cost and (s, c) != (score, cost) for s, c in found.values()
        )
        assert (name in ids) != beaten


def trial(name, status="COMPLETED", **values):
    metrics = SimpleNamespace(get_best_value=values.__getitem__)
    return SimpleNamespace(trial_id=name, status=status, metrics=metrics)


def test_trials_that_no_other_beats():
    trials = [
        trial("good", score=0.9, cost=3.0),
        trial("cheap", score=0.5, cost=1.0),
        trial("beaten", score=0.4, cost=1.0),
        trial("equal", score=0.9, cost=3.0),
        trial("failed", status="FAILED"),
    ]
    objectives = [
        SimpleNamespace(name="score", direction="max"),
        SimpleNamespace(name="cost", direction="min"),
    ]
    oracle = SimpleNamespace(
        objective=SimpleNamespace(objectives=objectives),
        trials={one.trial_id: one for one in trials},
    )
    front = pareto_trials(SimpleNamespace(oracle=oracle))
    assert [one.trial_id for one in front] == ["good", "equal", "cheap"]


def test_one_objective_has_no_front():
    oracle = SimpleNamespace(objective="val_loss")
    with pytest.raises(ValueError, match="search for several objectives.*objective val_loss"):
        pareto_trials(SimpleNamespace(oracle=oracle))
