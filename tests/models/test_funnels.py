"""Networks with funnels: frozen, grown, saved and alone."""

from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task

dense = partial(keras.layers.Dense, 4, activation="tanh")
TASKS = {
    "click": "binary",
    "visit": Task("binary", given="click", estimator="dr"),
    "like": 3,
    "buy": Task("binary", given="visit"),
}
X = np.random.default_rng(0).normal(size=(6, 5)).astype("float32")
EVERY = {*TASKS, "visit_given_click", "buy_given_visit"}


def network(builder=keras_mtl.build_mmoe, tasks=TASKS, **settings):
    settings = {"tower_units": (3,), "seed": 1} | settings
    return builder(keras.Input((5,)), tasks, [[dense] * 4], **settings)


def answers(model):
    return model.predict(X, verbose=0)


def test_predict_adds_the_conditional_probabilities():
    found = answers(network())
    assert set(found) == EVERY
    for name, parent in (("visit", "click"), ("buy", "visit")):
        product = found[parent] * found[f"{name}_given_{parent}"]
        np.testing.assert_allclose(found[name], product, rtol=1e-6)


def test_the_tasks_are_still_known():
    model = network()
    assert list(model.tasks) == list(TASKS)
    assert model.tasks["buy"] == TASKS["buy"]
    assert list(keras.models.clone_model(model).tasks) == list(TASKS)


def test_a_frozen_network_answers_the_same_without_imputing():
    model = network()
    frozen = keras_mtl.freeze(model)
    found, expected = answers(frozen), answers(model)
    assert set(found) == EVERY
    for name in EVERY:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
    assert not [weight for weight in frozen.weights if "imputation" in weight.path]
    assert {type(layer).__module__.split(".")[0] for layer in frozen.layers} == {"keras"}
    assert {*TASKS, "visit_given_click"} <= {layer.name for layer in frozen.layers}


def test_one_task_is_one_tensor_and_what_it_rests_on():
    model = network(tower_units={"click": (3,), "visit": (2,), "like": (4,)})
    visit = keras_mtl.freeze(model, "visit")
    np.testing.assert_allclose(answers(visit), answers(model)["visit"], atol=1e-6)
    names = {layer.name for layer in visit.layers}
    assert {"click", "visit", "visit_given_click", "tower_1_1", "tower_1_2"} <= names
    assert not names & {"like", "buy", "tower_1_3"}
    assert len(visit.get_layer("tower_1_1")._inbound_nodes) == 1  # the parent on its own way alone
    assert "click" not in [layer.name for layer in keras_mtl.freeze(model, "like").layers]


@pytest.mark.parametrize("estimator", ["entire", "dr"])
def test_a_network_grows_by_a_task_that_is_given_another(estimator):
    model = network(keras_mtl.build_gumbel_matrix)
    before = answers(model)
    grown = keras_mtl.add_task(model, "pay", Task("binary", given="buy", estimator=estimator))
    after = answers(grown)
    assert set(after) == EVERY | {"pay", "pay_given_buy"}
    for name in EVERY:
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    np.testing.assert_allclose(after["pay"], after["buy"] * after["pay_given_buy"], rtol=1e-6)
    old = [np.array(v) for v in map(keras.ops.convert_to_numpy, grown.non_trainable_variables)]
    grown.compile(keras.optimizers.Adam(0.1))
    y = dict.fromkeys(TASKS, np.full(6, np.nan)) | {"buy": np.ones(6), "pay": np.arange(6) % 2}
    grown.fit(X, y, verbose=0)
    for variable, value in zip(grown.non_trainable_variables, old, strict=True):
        if "update" not in variable.path and "seed" not in variable.path:
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)
    found = keras_mtl.freeze(grown).predict(X, verbose=0)
    np.testing.assert_allclose(found["pay_given_buy"], answers(grown)["pay_given_buy"], atol=1e-6)


def test_growth_is_refused_where_it_has_no_parent():
    shared, settings = network(keras_mtl.build_gumbel_matrix), {"task_data": "separate"}
    with pytest.raises(ValueError, match="'pay' is given 'bought', which is no task"):
        keras_mtl.add_task(shared, "pay", Task("binary", given="bought"))
    separate = network(keras_mtl.build_gumbel_matrix, {"click": "binary", "like": 3}, **settings)
    with pytest.raises(ValueError, match="'pay' is given 'click', and with separate data"):
        keras_mtl.add_task(separate, "pay", Task("binary", given="click"))


def test_a_layer_of_the_name_of_a_conditional_probability_is_refused():
    with pytest.raises(ValueError, match="'b_given_component_1_1' is also|is given 'component_1_1"):
        network(tasks={"a": "binary", "b": Task("binary", given="component_1_1")})


def test_single_tasks_share_no_layer_but_the_product():
    layers = [dense, [dense] * 4]
    model = keras_mtl.build_single_tasks(keras.Input((5,)), TASKS, layers, seed=1)
    visit = keras_mtl.freeze(model, "visit")
    np.testing.assert_allclose(answers(visit), answers(model)["visit"], atol=1e-6)
    layers = [layer for layer in visit.layers if isinstance(layer, keras.layers.Dense)]
    assert len(layers) == 2 * 3  # a network for clicks, and one for visits given clicks


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_of_a_task_that_was_given_none_are_refused(tmp_path):
    path = tmp_path / "plain.weights.h5"
    network(tasks={"click": "binary", "buy": "binary"}).save_weights(path)
    funnel = network(tasks={"click": "binary", "buy": Task("binary", given="click")})
    with pytest.raises(ValueError, match="'buy': 'binary given click'.*'buy' has another index"):
        funnel.load_weights(path)


def test_a_saved_network_goes_on_training(tmp_path):
    model = network()
    model.compile(keras.optimizers.Adam(0.01))
    y = {"click": [1, 1, 0, 0, 1, 1], "visit": [1, 0, np.nan, 0, 1, 1], "like": [0, 1, 2, 0, 1, 2]}
    y = {name: np.array(labels, "float32") for name, labels in y.items()}
    y["buy"] = np.array([1, np.nan, np.nan, np.nan, 0, 1], "float32")
    model.fit(X, y, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    logs = [net.fit(X, y, verbose=0, shuffle=False).history for net in (model, loaded)]
    for name, values in logs[0].items():
        assert logs[1][name] == pytest.approx(values, rel=1e-5)


def test_a_frozen_network_is_scored_as_the_trained_one():
    judged = {name: Task("binary", given=given, estimator="dr", metrics=["AUC"])
              for name, given in (("visit", "click"), ("buy", "visit"))}  # fmt: skip
    model = network(tasks={"click": Task("binary", metrics=["AUC"]), **judged})
    model.compile("sgd")
    y = {"click": np.ones(6), "visit": np.arange(6) % 2, "buy": np.zeros(6)}
    check = keras_mtl.serving.check_freeze(model, (X, y))
    assert check.score == "loss"
    assert check.frozen == pytest.approx(check.trained, rel=1e-5)


def test_a_report_counts_what_the_parent_costs():
    report = keras_mtl.sharing_report(network())
    for name, parameters in report.parameters.items():
        assert parameters == keras_mtl.freeze(network(), name).count_params()
