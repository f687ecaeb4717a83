"""Networks that are too sure, or wrong about how frequent a label is, answer rightly afterwards."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task, calibrate
from keras_mtl.calibration.copies import rescaled_copy
from tests.calibration.data import LINES, TASKS, N, X, Y, answers, array, network, sigmoid

PRICED = [name for name in TASKS if name != "spend"]


def labels_of(*names):
    return {name: Y[name] for name in names}


def factors(model, trained):
    """Returns by how much the kernels of tasks differ, one number a task."""
    found = {}
    for name in model.tasks:
        (new, *_), (old, *_) = (m.get_layer(name).get_weights() for m in (model, trained))
        ratio = new[old != 0] / old[old != 0]
        np.testing.assert_allclose(ratio, ratio.mean(), rtol=1e-5)
        found[name] = ratio.mean()
    return found


@pytest.fixture(scope="module")
def too_sure():
    return network(factor=2.5)


@pytest.fixture(scope="module")
def calibrated(too_sure):
    return calibrate(too_sure, X, Y)


def test_a_temperature_is_found_for_every_kind_of_probability(too_sure, calibrated):
    found = factors(calibrated, too_sure)
    assert found.pop("spend") == 1.0
    np.testing.assert_allclose([1 / found[name] for name in PRICED], 2.5, rtol=0.1)
    widths = (np.logaddexp(0, m.get_layer("rank").get_weights()[2]) for m in (calibrated, too_sure))
    np.testing.assert_allclose(np.divide(*widths), found["rank"], rtol=1e-5)


def test_it_is_the_best_in_the_sense_of_the_likelihood(too_sure, calibrated):
    def losses(model):
        found = answers(model)
        for name in PRICED:
            if TASKS[name].has_classes:
                found[name] = np.take_along_axis(found[name], Y[name][:, None], axis=1)
            else:
                found[name] = np.abs(1 - Y[name].reshape(N, -1) - found[name])
        return {name: -np.mean(np.log(found[name].astype("float64"))) for name in PRICED}

    best = losses(calibrated)
    for factor in (0.98, 1.02):
        others = losses(rescaled_copy(calibrated, dict.fromkeys(PRICED, (factor, 0.0))))
        assert all(best[name] < others[name] for name in PRICED)


def test_the_trained_model_stays_and_shares_nothing(too_sure, calibrated):
    assert type(calibrated) is keras_mtl.MultiTaskModel and not calibrated.compiled
    assert calibrated.tasks == too_sure.tasks
    np.testing.assert_allclose(
        too_sure.get_layer("click").get_weights()[0], 2.5 * np.array(LINES["click"][0])
    )
    assert not {id(v) for v in calibrated.variables} & {id(v) for v in too_sure.variables}


def test_a_compiled_model_gives_one_that_is_not():
    model = network({"click": "binary"}, factor=2.0)
    model.compile("sgd")
    assert not calibrate(model, X, labels_of("click")).compiled


def test_frozen_saved_and_grown_networks_are_calibrated_too(calibrated, tmp_path):
    expected = answers(calibrated, X[:5])
    calibrated.save(tmp_path / "calibrated.keras")
    others = [
        keras_mtl.freeze(calibrated),
        keras.models.load_model(tmp_path / "calibrated.keras"),
        keras_mtl.add_task(calibrated, "more", 2),
    ]
    for other in others:
        found = answers(other, X[:5])
        for name in TASKS:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch writes no SavedModel")
@pytest.mark.filterwarnings("ignore:The `native_serialization` parameter")
def test_an_export_is_calibrated_too(too_sure, calibrated, tmp_path):
    served = keras_mtl.load_served(keras_mtl.export(calibrated, tmp_path / "1"))
    expected = answers(calibrated, X[:5])["click"]
    np.testing.assert_allclose(served.predict("click", X[:5]), expected, atol=1e-6)
    assert np.abs(answers(too_sure, X[:5])["click"] - expected).max() > 0.05


def test_platt_finds_scale_and_shift_of_each_label():
    tasks = {name: TASKS[name] for name in ("click", "tags")}
    model = network(tasks, factor=2.0)
    model.get_layer("click").rescale("click", 1.0, 1.5)
    model.get_layer("tags").rescale("tags", np.array([1.0, 0.25]), np.array([0.0, -1.0]))
    found = calibrate(model, X, labels_of(*tasks), "platt")
    for name in tasks:
        kernel, bias = found.get_layer(name).get_weights()
        np.testing.assert_allclose(kernel, LINES[name][0], atol=0.13)
        np.testing.assert_allclose(bias, LINES[name][1], atol=0.1)


def test_platt_takes_back_what_sampling_of_negatives_did():
    model = network({"click": "binary"}, shift=-np.log(0.1))  # as after a tenth of the negatives
    found = calibrate(model, X, labels_of("click"), "platt")
    kernel, bias = found.get_layer("click").get_weights()
    np.testing.assert_allclose(kernel, LINES["click"][0], atol=0.1)
    np.testing.assert_allclose(bias, LINES["click"][1], atol=0.1)


def test_missing_labels_do_not_count(calibrated):
    half = {name: np.array(labels, "float32") for name, labels in Y.items()}
    x = np.concatenate([X, -5 * X[:100]])
    for name, labels in half.items():
        missing = np.full((100, *labels.shape[1:]), -1 if name == "kind" else np.nan)
        half[name] = np.concatenate([labels, missing])
    found = factors(calibrate(network(factor=2.5), x, half), calibrated)
    np.testing.assert_allclose(list(found.values()), 1.0, rtol=1e-5)


def test_of_several_labels_single_ones_may_be_missing():
    tags = np.array(Y["tags"])
    tags[:2000, 0], tags[2000:, 1] = np.nan, np.nan
    model = network({"tags": TASKS["tags"]}, factor=2.5)
    for method in ("temperature", "platt"):
        kernel, _ = calibrate(model, X, {"tags": tags}, method).get_layer("tags").get_weights()
        np.testing.assert_allclose(kernel, LINES["tags"][0], atol=0.15)


def test_named_tasks_alone_are_calibrated(too_sure):
    found = factors(calibrate(too_sure, X, {"click": Y["click"]}, tasks=["click"]), too_sure)
    assert found.pop("click") < 0.5
    assert set(found.values()) == {1.0}


def test_labels_at_every_step():
    tasks = {"kind": Task("tagging", 3), "click": Task("binary", per_step=True)}
    model = keras_mtl.build_shared_bottom(
        keras.Input((None, 3)),
        tasks,
        [lambda: keras.layers.Dense(3, kernel_initializer="identity")],
    )
    for name in tasks:
        kernel, bias = map(np.array, LINES[name])
        model.get_layer(name).set_weights([2.5 * kernel, 2.5 * bias])
    y = {name: np.array(Y[name], "float32").reshape(-1, 4) for name in tasks}
    y["kind"][0, 0], y["click"][1, 1:] = -1, np.nan
    found = factors(calibrate(model, X.reshape(-1, 4, 3), y), model)
    np.testing.assert_allclose([1 / each for each in found.values()], 2.5, rtol=0.1)


def test_separate_data():
    names = ["click", "kind", "tags"]
    model = network({name: TASKS[name] for name in names}, 2.5, task_data="separate")
    x = {"click": X, "kind": X[:2000], "tags": X[:3000]}
    y = {name: Y[name][: len(x[name])] for name in names}
    found = calibrate(model, x, y)
    for name in names:
        kernel, _ = found.get_layer("heads").numbers_of(name)
        np.testing.assert_allclose(kernel, LINES[name][0], atol=0.15)
    kind = {"kind": y["kind"]}
    shared = calibrate(network({"kind": TASKS["kind"]}, 2.5), x["kind"], kind)
    numbers = found.get_layer("heads").numbers_of("kind"), shared.get_layer("kind").get_weights()
    for one, other in zip(*numbers, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    alone = calibrate(model, {"kind": x["kind"]}, kind, tasks=["kind"])
    frozen = keras_mtl.freeze(alone, "kind")(X[:5])
    found = answers(alone, {"inputs": X[:5], "task_id": np.full(5, 1, "int32")})["classes"]
    np.testing.assert_allclose(array(frozen), found, atol=1e-6)


# Funnels

FUNNEL = {"click": Task("binary"), "buy": Task("binary", given="click")}


@pytest.fixture(scope="module")
def funnel():
    """Returns a network that is too sure of both, and joint labels of what is right."""
    model = keras_mtl.build_shared_bottom(
        keras.Input((3,)), FUNNEL, [lambda: keras.layers.Dense(3, kernel_initializer="identity")]
    )
    rng = np.random.default_rng(1)
    truth = {}
    for name, kernel in (("click", [1.0, 1.0, 0.0]), ("buy", [0.0, -1.0, 1.0])):
        model.get_layer(name).set_weights([np.array(kernel)[:, None] * 3.0, np.zeros(1)])
        truth[name] = sigmoid(X @ np.array(kernel))
    click = rng.random(N) < truth["click"]
    buy = np.where(click, rng.random(N) < truth["buy"], np.nan)
    return model, {"click": click.astype("float32"), "buy": buy}, truth


def test_a_funnel_is_calibrated_by_its_conditional_probabilities(funnel):
    model, y, truth = funnel
    found = calibrate(model, X, y)
    assert all(abs(1 / each - 3) < 0.3 for each in factors(found, model).values())
    p = answers(found)
    np.testing.assert_allclose(p["buy_given_click"][:, 0], truth["buy"], atol=0.03)
    np.testing.assert_allclose(p["buy"][:, 0], truth["click"] * truth["buy"], atol=0.03)
    np.testing.assert_allclose(array(keras_mtl.freeze(found, "buy")(X)), p["buy"], atol=1e-6)


def test_examples_outside_the_funnel_do_not_count(funnel):
    model, y, _ = funnel
    zeros = {**y, "buy": np.where(y["click"] == 0, 0.0, y["buy"])}
    first, second = (calibrate(model, X, labels, tasks=["buy"]) for labels in (y, zeros))
    assert factors(second, first) == {"click": 1.0, "buy": 1.0}
    assert factors(first, model)["click"] == 1.0


# Refusals


def refused(message):
    return pytest.raises(ValueError, match=message)


def test_what_is_perfect_is_refused_or_stays_finite():
    model = network({"click": "binary"})
    y = {"click": (X @ LINES["click"][0] > 1.0)[:, 0]}
    with refused(
        "'click': the network is right about all of these 4000 labels, .* method=\"platt\""
    ):
        calibrate(model, X, y)
    kernel, _ = calibrate(model, X, y, "platt").get_layer("click").get_weights()
    assert np.all(np.isfinite(kernel)) and kernel[0] > 10


def test_what_is_no_better_than_a_guess_is_refused(too_sure):
    for method in ("temperature", "platt"):
        with refused("'click': the network's answers are no better than a guess"):
            calibrate(too_sure, X, {"click": 1 - Y["click"]}, method, tasks=["click"])
    constant = np.zeros_like(X)
    with refused("'click': the network answers the same for all examples"):
        calibrate(too_sure, constant, Y, "platt", tasks=["click"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"click": np.full(N, np.nan)}, "Task 'click' has no labelled example. .*tasks="),
        ({"kind": np.full(N, -1)}, "Task 'kind' has no labelled example"),
        ({"click": np.ones(N)}, "'click' has labels of one class only: all 4000 are 1"),
        ({"rank": np.full(N, 2)}, "'rank' has labels of one class only: all 4000 are 2"),
        ({"click": np.full(N, 0.5)}, 'Task "click" expects labels 0 and 1 .* Received: 0.5'),
        ({"click": np.ones(N - 1) * Y["click"][1:]}, "'click' is predicted for x in the shape"),
        ({"clack": Y["click"]}, "y has an entry 'clack', which is no task of this model"),
    ],
)
def test_labels_that_nothing_can_be_learned_of_are_refused(too_sure, changes, message):
    with refused(message):
        calibrate(too_sure, X, {**Y, **changes})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "isotonic"}, "method must be \"temperature\" .*Received: 'isotonic'"),
        ({"tasks": ["spend"]}, "'spend' of kind 'regression' has numbers .* no probabilities"),
        ({"tasks": "click"}, "tasks must be a list of names"),
        ({"tasks": []}, "tasks must be a list of names"),
        ({"tasks": ["clack"]}, "Unknown task 'clack'. Tasks of this model: kind, click"),
        ({"method": "platt"}, "labels 0 and 1, but task 'kind' of kind 'classes' .*tasks="),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"y": Y["click"]}, "y must be a dict, name of a task -> its labels. Received: array"),
        ({"y": {"click": Y["click"]}}, "y has no entry for task 'kind'"),
        ({"x": X[:, :2]}, "x must have shape"),
        ({"x": X * np.nan}, "'kind': the network answers NaN or infinity on x"),
    ],
)
def test_wrong_arguments_are_refused(too_sure, options, message):
    with refused(message):
        calibrate(**{"model": too_sure, "x": X, "y": Y, **options})


def test_a_column_of_one_class_is_refused_by_its_number(too_sure):
    tags = np.stack([Y["tags"][:, 0], np.zeros(N)], axis=1)
    with refused("Task 'tags', label 1 has labels of one class only: all 4000 are 0"):
        calibrate(too_sure, X, {"tags": tags}, "platt", tasks=["tags"])


def test_a_funnel_needs_labels_where_its_parent_is_1(funnel):
    model, y, _ = funnel
    with refused("'buy', where 'click' is 1, has labels of one class only"):
        calibrate(model, X, {**y, "buy": np.where(y["click"] == 1, 0.0, np.nan)})
    with refused("y has no entry for task 'click'"):
        calibrate(model, X, {"buy": y["buy"]}, tasks=["buy"])


def test_models_without_heads_or_probabilities_are_refused(too_sure):
    with refused("calibrate before freeze and export, which keep what it did"):
        calibrate(keras_mtl.freeze(too_sure), X, Y)
    with refused("No task of this model answers with probabilities"):
        calibrate(network({"spend": "regression"}), X, Y)


def test_separate_data_need_examples_by_task():
    model = network({"click": "binary", "spend": "regression"}, task_data="separate")
    with refused("x must be a dict, name of a task -> its examples, for click"):
        calibrate(model, X, labels_of("click"))
    with refused("x has no entry for task 'click'"):
        calibrate(model, {"spend": X}, labels_of("click"))
