import subprocess
import sys
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.tuning import hypermodel
from tests.conformance.methods import METHODS
from tests.conformance.methods.method import Method
from tests.public_api import builders

keras_tuner = pytest.importorskip("keras_tuner")

TASKS = {"upright": 3, "rotated": 4}
TOWERS = {"learning_rate": 1e-3, "width": 1.0, "tower_width": 0}
EXPERTS = TOWERS | {"num_components": 2}
BUILDERS = {getattr(keras_mtl, name): {"learning_rate": 1e-3} for name in builders()} | {
    keras_mtl.build_gumbel_matrix: {
        "learning_rate": 1e-3,
        "allocation_learning_rate": 5e-3,
        "init_probability": 0.5,
    },
    keras_mtl.build_fixed_random: {"learning_rate": 1e-3, "components_per_task": 1},
    keras_mtl.build_cross_stitch: {
        "learning_rate": 1e-3,
        "alpha": "imbalanced",
        "per_channel": False,
    },
    keras_mtl.build_sluice: {"learning_rate": 1e-3, "alpha": "imbalanced", "num_subspaces": 2},
    keras_mtl.build_soft_ordering: {"learning_rate": 1e-3, "num_depths": 2},
    keras_mtl.build_recurrent_modular: {
        "learning_rate": 1e-3,
        "num_cells": 3,
        "open_fraction": 0.75,
        "sparsity_weight": 1.0,
    },
    keras_mtl.build_adashare: {
        "learning_rate": 1e-3,
        "sparsity_weight": 0.2,
        "sharing_weight": 0.02,
    },
    keras_mtl.build_dynashare: {"learning_rate": 1e-3, "gate_units": 16},
    keras_mtl.build_recursive_routing: {"learning_rate": 1e-3, "num_functions": 4},
    keras_mtl.build_shared_bottom: TOWERS,
    keras_mtl.build_single_tasks: TOWERS,
    keras_mtl.build_mmoe: EXPERTS,
    keras_mtl.build_ple: TOWERS | {"task_experts": 1},
    keras_mtl.build_dselect_k: {
        **EXPERTS,
        "num_selected": 1,
        "entropy_weight": 0.01,
    },
    keras_mtl.build_mmoeex: {
        **EXPERTS,
        "exclusivity": 0.5,
        "mode": "exclusivity",
    },
    keras_mtl.build_moe: {**EXPERTS, "top_k": 1, "balance_weight": 0.1},
    keras_mtl.build_routing_network: {
        "learning_rate": 1e-3,
        "policy_learning_rate": 0.05,
        "collaboration": 0.0,
    },
    keras_mtl.build_snr: {
        "learning_rate": 1e-3,
        "allocation_learning_rate": 5e-3,
        "connection": "transform",
        "penalty_weight": 1e-3,
    },
    keras_mtl.build_task_routing: {"learning_rate": 1e-3, "keep_ratio": 0.5},
}


NEEDED = {
    keras_mtl.build_girnet: {"primary": "upright"},
    keras_mtl.build_recursive_routing: {"depth": 1},
    keras_mtl.build_low_supervision: {"levels": {"upright": 1}},
    keras_mtl.build_soft_ordering: {"stem": [partial(keras.layers.Dense, 6)]},
}


def layers(made_of="lists", number=2):
    block = partial(keras_mtl.layers.ResidualDense, 6)
    dense = partial(keras.layers.Dense, 6, activation="relu")
    return [[block if made_of == "blocks" else dense] * number]


def hyper(builder=keras_mtl.build_gumbel_matrix, **arguments):
    arguments = NEEDED.get(builder, {}) | arguments
    method = METHODS.get(builder.__name__, Method({}))
    if method.made_of == "sequences":
        return hypermodel(builder, keras.Input((7, 5)), TASKS, **arguments)
    number = method.num_components  # for three tasks
    made_of = layers(method.made_of, number if number == 1 else number + len(TASKS) - 3)
    return hypermodel(builder, keras.Input((5,)), TASKS, made_of, **arguments)


def batches(order="shuffled"):
    rng = np.random.default_rng(0)
    data = {
        task: (rng.normal(size=(9, 5)).astype("float32"), rng.integers(0, size, 9))
        for task, size in TASKS.items()
    }
    return keras_mtl.task_batches(TASKS, data, batch_size=4, seed=0, order=order)


def search(hyper_model, tmp_path, objective="val_mean_accuracy"):
    tuner = keras_tuner.BayesianOptimization(
        hyper_model,
        objective=keras_tuner.Objective(objective, "max"),
        max_trials=2,
        directory=tmp_path,
        seed=0,
    )
    tuner.search(batches(), validation_data=batches("sequential"), epochs=1, verbose=0)
    return tuner


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_space_and_defaults_are_these(builder):
    hp = keras_tuner.HyperParameters()
    hyper(builder).build(hp)
    assert hp.values == BUILDERS[builder]


def test_gumbel_matrix_space_has_these_bounds():
    hp = keras_tuner.HyperParameters()
    hyper().build(hp)
    rate, allocation_rate, probability = hp.space
    assert (rate.min_value, rate.max_value, rate.sampling) == (1e-4, 1e-2, "log")
    assert (allocation_rate.min_value, allocation_rate.max_value) == (5e-4, 5e-2)
    assert allocation_rate.sampling == "log"
    assert probability.values == [0.5, 0.75, 0.9, 0.97]


def test_components_per_task_is_at_most_the_smallest_modular_layer():
    dense = partial(keras.layers.Dense, 6)
    sizes = [[dense] * 4, dense, [dense], [dense] * 3]
    hp = keras_tuner.HyperParameters()
    hypermodel(keras_mtl.build_fixed_random, keras.Input((5,)), TASKS, sizes).build(hp)
    assert (hp.space[1].min_value, hp.space[1].max_value) == (1, 3)


def test_values_reach_the_model_and_its_optimizers():
    hp = keras_tuner.HyperParameters()
    hp.values = {
        "learning_rate": 2e-3,
        "allocation_learning_rate": 3e-2,
        "init_probability": 0.9,
    }
    model = hyper().build(hp)
    rates = sorted(float(o.learning_rate) for o in model.optimizer.optimizers)
    np.testing.assert_allclose(rates, [2e-3, 3e-2], rtol=1e-6)
    np.testing.assert_allclose(keras_mtl.allocation_probabilities(model)[0], 0.9, rtol=1e-6)


def test_fixed_arguments_are_not_searched():
    hp = keras_tuner.HyperParameters()
    model = hyper(init_probability=0.75, learning_rate=0.02, seed=1, budget=0.5).build(hp)
    assert hp.values == {"allocation_learning_rate": 5e-3}
    np.testing.assert_allclose(keras_mtl.allocation_probabilities(model)[0], 0.75, rtol=1e-6)
    rates = sorted(float(o.learning_rate) for o in model.optimizer.optimizers)
    np.testing.assert_allclose(rates, [5e-3, 2e-2], rtol=1e-6)


def test_own_space_replaces_the_method_s():
    hp = keras_tuner.HyperParameters()
    space = lambda hp: {"budget": hp.Choice("budget", [0.25, 0.5])}  # noqa: E731
    model = hyper(space=space).build(hp)
    assert hp.values == {"budget": 0.25}
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    assert model.get_layer("penalty").budget == 0.25


def test_argument_both_fixed_and_searched_is_refused():
    space = lambda hp: {"budget": hp.Choice("budget", [0.25, 0.5])}  # noqa: E731
    with pytest.raises(ValueError, match="budget: both fixed .* and searched"):
        hyper(space=space, budget=0.5).build(keras_tuner.HyperParameters())


def test_builder_without_a_space_asks_for_one():
    def build_mine(inputs, tasks, layers):
        raise NotImplementedError

    with pytest.raises(ValueError, match="No search space is known for build_mine.*space=lambda"):
        hyper(build_mine)


@pytest.mark.slow
def test_score_of_a_trial_is_the_score_of_the_frozen_network(tmp_path):
    tuner = search(hyper(task_data="separate", seed=1), tmp_path)
    trials = list(tuner.oracle.trials.values())
    assert [trial.status for trial in trials] == ["COMPLETED"] * 2
    frozen = keras_mtl.freeze(tuner.get_best_models()[0])
    correct = {task: [] for task in TASKS}
    for inputs, y in batches("sequential"):
        task = list(TASKS)[inputs["task_id"][0]]
        answers = np.argmax(keras.ops.convert_to_numpy(frozen(inputs["inputs"])[task]), axis=-1)
        correct[task] += (answers == y).tolist()
    accuracy = np.mean([np.mean(hits) for hits in correct.values()])
    best = tuner.oracle.get_best_trials()[0]
    assert best.score == pytest.approx(accuracy, abs=1e-6)
    assert best.metrics.get_last_value("val_mean_accuracy") == best.score


@pytest.mark.slow
def test_misspelt_objective_ends_the_search_with_the_names_that_exist(tmp_path):
    message = 'name="val_mean_acuracy".* They have: .*, val_loss, val_mean_accuracy, '
    with pytest.raises(ValueError, match=message):
        search(hyper(task_data="separate"), tmp_path, objective="val_mean_acuracy")


def test_error_of_the_builder_is_the_user_s(tmp_path):
    with pytest.raises(ValueError, match="failed to build.*temperature must be a number above 0"):
        search(hyper(task_data="separate", temperature=-1.0), tmp_path)


def test_error_in_training_ends_the_search_at_the_first_trial(tmp_path):
    tuner = keras_tuner.RandomSearch(
        hyper(task_data="separate"),
        objective=keras_tuner.Objective("mean_accuracy", "max"),
        max_trials=2,
        directory=tmp_path,
    )
    with pytest.raises(ValueError, match="failed to fit.*x must be a dict") as error:
        tuner.search(np.zeros((6, 5)), np.zeros(6), verbose=0)
    assert len(tuner.oracle.trials) == 1
    assert isinstance(error.value.__cause__, ValueError)


def test_other_errors_are_fatal_too(tmp_path):
    def space(hp):
        raise RuntimeError("out of coffee")

    with pytest.raises(keras_tuner.errors.FatalError, match="RuntimeError: out of coffee"):
        hyper(space=space).build(keras_tuner.HyperParameters())


def test_giving_up_one_trial_stays_possible():
    def space(hp):
        raise keras_tuner.errors.FailedTrialError("too slow")

    with pytest.raises(keras_tuner.errors.FailedTrialError, match="too slow"):
        hyper(space=space).build(keras_tuner.HyperParameters())


@pytest.mark.parametrize("name", ["keras_tuner", "tensorboard", "sklearn", "scipy"])
def test_missing_package_names_the_extra(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=rf'needs {name}.*pip install "keras_mtl\[tune\]"'):
        hyper()


@pytest.mark.slow
def test_package_imports_without_keras_tuner_and_matplotlib():
    code = (
        "import sys; sys.modules.update(keras_tuner=None, matplotlib=None);"
        "import keras_mtl.plots, keras_mtl.tuning"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


# What is wrong is told at once


def test_a_partial_is_its_builder_with_what_it_fixes():
    fixed = partial(keras_mtl.build_gumbel_matrix, budget=0.5, init_probability=0.9)
    hyper = hypermodel(fixed, keras.Input((5,)), TASKS, layers(), budget=0.25)
    hp = keras_tuner.HyperParameters()
    model = hyper.build(hp)
    assert set(hp.values) == {"learning_rate", "allocation_learning_rate"}
    assert model.get_layer("penalty").budget == 0.25
    assert keras_mtl.allocation_probabilities(model)[0][0, 0] == pytest.approx(0.9)


def test_a_partial_may_bring_the_layers():
    fixed = partial(partial(keras_mtl.build_fixed_random, layers=layers()), task_data="separate")
    hyper = hypermodel(fixed, keras.Input((5,)), TASKS)
    hp = keras_tuner.HyperParameters()
    assert hyper.build(hp).task_data == "separate"
    assert set(hp.values) == {"learning_rate", "components_per_task"}


def test_a_partial_of_arguments_without_names_is_an_error():
    fixed = partial(keras_mtl.build_mmoe, keras.Input((5,)))
    with pytest.raises(ValueError, match="builder is a functools.partial with arguments that have"):
        hypermodel(fixed, keras.Input((5,)), TASKS, layers())


def test_layers_that_are_missing_are_named_at_once():
    with pytest.raises(ValueError, match="build_mmoe needs layers. Give them as the fourth"):
        hypermodel(keras_mtl.build_mmoe, keras.Input((5,)), TASKS)
    with pytest.raises(ValueError, match="build_mmoe needs layers"):
        hypermodel(partial(keras_mtl.build_mmoe), keras.Input((5,)), TASKS, space=lambda hp: {})


@pytest.mark.parametrize(
    ("builder", "given", "arguments", "message"),
    [
        (keras_mtl.build_mmoe, [[]], {"budget": 1}, "build_mmoe does not take .*'budget'"),
        (keras_mtl.build_girnet, [[]], {}, "build_girnet does not take .*positional arguments"),
        ("mmoe", [[]], {}, "builder must be a function such as .* Received: 'mmoe'"),
        (None, [], {}, "builder must be a function"),
    ],
)
def test_what_a_builder_does_not_take_is_told_at_once(builder, given, arguments, message):
    with pytest.raises(ValueError, match=message):
        hypermodel(builder, keras.Input((5,)), TASKS, *given, **arguments)
