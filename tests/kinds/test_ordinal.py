"""Classes in an order: probabilities, starts, losses and errors in ranks, by hand."""

import math

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task
from keras_mtl.data.labels import check_labels
from keras_mtl.kinds.classes import cross_entropy
from keras_mtl.kinds.ordinal import absolute_error_in_ranks, class_probabilities
from keras_mtl.layers import TaskHead, TaskHeads
from keras_mtl.training.batches import SharedBatch
from keras_mtl.training.inputs.judges import check_fit
from keras_mtl.training.rewards import row_rewards
from tests.gradients import gradient

LN2, LN3 = math.log(2.0), math.log(3.0)  # softplus(LN2) is LN3
NAN = float("nan")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def probabilities(score, gaps=None):
    gaps = None if gaps is None else ops.array(gaps, "float32")
    return array(class_probabilities(ops.array([[score]], "float32"), gaps))[0]


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, "float64")))


# Probabilities


def test_classes_lie_between_thresholds():
    # thresholds 0, LN3 and 2 LN3: above them with odds 1, 1/3, 1/9, then 3, 1, 1/3
    np.testing.assert_allclose(probabilities(0.0, [LN2, LN2]), [0.5, 0.25, 0.15, 0.1], rtol=1e-6)
    np.testing.assert_allclose(probabilities(LN3, [LN2, LN2]), [0.25] * 4, rtol=1e-6)


def test_two_classes_are_a_logistic_regression():
    np.testing.assert_allclose(probabilities(LN3), [0.25, 0.75], rtol=1e-6)


@pytest.mark.parametrize("score", [-60.0, -20.0, 20.0, 60.0])
def test_unlikely_classes_keep_their_digits(score):
    found = probabilities(score, [LN2, LN2])
    odds = score - LN3 * np.arange(3)
    between = np.exp(np.log(sigmoid(odds[:-1])) + np.log(sigmoid(-odds[1:]))) * (1 - 1 / 3)
    expected = [sigmoid(-odds[0]), *between, sigmoid(odds[-1])]
    np.testing.assert_allclose(found, expected, rtol=2e-5)
    assert found.min() > 0


def test_a_gap_as_small_as_can_be_leaves_a_class_in_its_place():
    found = probabilities(0.0, [-20.0])
    assert 0 < found[1] == pytest.approx(math.exp(-20) / 4, rel=1e-4)


@pytest.mark.parametrize("score, label", [(50.0, 0), (-50.0, 3), (30.0, 1)])
def test_a_wrong_answer_learns_however_certain_it_is(score, label):
    variable = keras.Variable([[score]], dtype="float32")
    gaps, label = ops.array([LN2, LN2], "float32"), ops.array([label], "int32")

    def loss():
        score = ops.convert_to_tensor(variable)
        return ops.sum(cross_entropy(label, class_probabilities(score, gaps)))

    assert float(gradient(loss, variable)[0, 0]) == pytest.approx(math.copysign(1, score), rel=1e-3)


@pytest.mark.parametrize("size", [2, 3, 6])
def test_all_classes_are_equally_likely_at_the_start(size):
    head = TaskHead(Task("ordinal", size), 0)
    np.testing.assert_allclose(
        array(head(np.zeros((1, 3)))), np.full((1, size), 1 / size), rtol=1e-5
    )
    shapes = [tuple(weight.shape) for weight in head.weights]
    assert shapes == [(3, 1), (1,)] + [(size - 2,)] * (size > 2)


def test_thresholds_stay_in_order_whatever_the_weights():
    head = TaskHead(Task("ordinal", 5), 0)
    head.build((None, 3))
    rng = np.random.default_rng(0)
    for _ in range(5):
        head.set_weights([rng.normal(0, 3, weight.shape) for weight in head.get_weights()])
        answers = array(head(rng.normal(size=(6, 3)).astype("float32")))
        assert np.all(answers > 0)
        np.testing.assert_allclose(answers.sum(axis=-1), np.ones(6), rtol=1e-5)


def test_a_higher_score_moves_every_example_up():
    answers = array(class_probabilities(ops.array([[-1.0], [0.0], [2.0]]), ops.array([0.3, -1.0])))
    at_most = np.cumsum(answers, axis=-1)[:, :-1]
    assert np.all(np.diff(at_most, axis=0) < 0)


# Heads side by side


def test_heads_of_several_kinds_and_sizes_answer_as_heads_of_their_own():
    tasks = {"a": Task("ordinal", 3), "b": Task("classes", 4), "c": Task("ordinal", 5)}
    tasks |= {"d": Task("ordinal", 2), "e": Task("count", 2)}
    heads = TaskHeads(tasks)
    heads.build((None, 3), (None,))
    assert [tuple(weight.shape) for weight in heads.weights] == [(3, 9), (9,), (4,)]
    rng = np.random.default_rng(1)
    heads.set_weights([rng.normal(size=weight.shape) for weight in heads.get_weights()])
    kernel, bias, gaps = heads.get_weights()
    x, ids = rng.normal(size=(10, 3)).astype("float32"), np.arange(10, dtype="int32") % 5
    outputs = {kind: array(output) for kind, output in heads(x, ids).items()}
    assert outputs["ordinal"].shape == (10, 5) and outputs["classes"].shape == (10, 4)
    columns = [slice(0, 1), slice(1, 5), slice(5, 6), slice(6, 7), slice(7, 9)]
    own_gaps = {"a": gaps[:1], "c": gaps[1:]}
    for index, (name, task) in enumerate(tasks.items()):
        head = TaskHead(task, 0)
        head.build((None, 3))
        weights = [kernel[:, columns[index]], bias[columns[index]]]
        head.set_weights(weights + ([own_gaps[name]] if name in own_gaps else []))
        rows = ids == index
        output = outputs[task.kind]
        np.testing.assert_allclose(output[rows, : task.size], array(head(x[rows])), rtol=1e-5)
        assert np.all(output[rows, task.size :] == 0)
        others = [kind for kind in outputs if kind != task.kind]
        assert all(np.all(outputs[kind][rows] == 0) for kind in others)


def test_heads_per_step_answer_every_step():
    tasks = {"a": Task("ordinal", 3, per_step=True), "b": Task("ordinal", 4, per_step=True)}
    heads = TaskHeads(tasks, seed=0)
    x = np.random.default_rng(0).normal(size=(5, 6, 3)).astype("float32")
    outputs = array(heads(x, np.array([0, 1, 1, 0, 7], "int32")))
    assert outputs.shape == (5, 6, 4)
    np.testing.assert_allclose(outputs[:4].sum(axis=-1), np.ones((4, 6)), rtol=1e-5)
    assert np.all(outputs[[0, 3], :, 3] == 0) and np.all(np.isnan(outputs[4]))
    flat = array(heads(x[:, 2], np.array([0, 1, 1, 0, 7], "int32")))
    np.testing.assert_allclose(outputs[:4, 2], flat[:4], rtol=1e-5)


# Losses, metrics, rewards

STAGES_Y = [0, -1, 2, NAN, 1]
STAGES_P = [[0.5, 0.25, 0.25], [1, 0, 0], [0.25, 0.5, 0.25], [1, 0, 0], [0.4, 0.25, 0.35]]


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_what_is_labelled_is_judged(task_data):
    tasks = {"stage": Task("ordinal", 3), "grade": Task("ordinal", 3)}
    model = keras_mtl.build_shared_bottom(
        keras.Input((2,)), tasks, [lambda: keras.layers.Dense(3)], task_data=task_data
    )
    model.compile("sgd")
    y, answers = ops.array(STAGES_Y, "float32"), ops.array(STAGES_P, "float32")
    if task_data == "shared":
        y, answers = {"stage": y, "grade": 0 * y - 1}, {"stage": answers, "grade": answers}
    loss = model.compute_loss({"task_id": ops.zeros((5,), "int32")}, y, answers)
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    assert float(loss) == pytest.approx((1 + 2 + 2) / 3 * LN2, rel=1e-5)
    assert logs["stage_accuracy"] == pytest.approx(1 / 3)  # most likely are 0, 1 and 0
    assert logs["stage_mae"] == pytest.approx(1 / 3)  # medians are 0, 1 and 1
    assert math.isnan(logs["grade_mae"]) and logs["mean_mae"] == pytest.approx(1 / 3)


def test_errors_in_ranks_are_those_of_the_median():
    y, answers = [4, 0, 1], [[0.3, 0.1, 0.2, 0.2, 0.2], [0.0, 0.0, 0.1, 0.1, 0.8]]
    answers += [[0.6, 0.4, 0.0, 0.0, 0.0]]  # of two classes, beside others' columns
    errors = absolute_error_in_ranks(ops.array(y, "int32"), ops.array(answers, "float32"))
    assert array(errors).tolist() == [2.0, 4.0, 1.0]


def test_routers_are_rewarded_for_right_classes():
    tasks = {"stage": Task("ordinal", 3), "visits": Task("count")}
    counts = ops.array([[3.0], [NAN], [0.0], [NAN], [NAN]])
    y = {"stage": ops.array(STAGES_Y, "float32"), "visits": counts}
    answers = {"stage": ops.array(STAGES_P, "float32"), "visits": ops.ones((5, 1))}
    rewards, valid = row_rewards(SharedBatch(tasks, None, y, answers, None), "accuracy")
    np.testing.assert_allclose(array(rewards), [1, 0, -1, 0, -1, -1, 0, -1, 0, 0], atol=1e-6)
    assert array(valid).tolist() == [1, 0, 1, 0, 1, 1, 0, 1, 0, 0]


# What is refused


def test_labels_are_class_indices():
    labels = check_labels("stage", Task("ordinal", 4), [3.0, NAN, -1.0, 0.0])
    assert labels.dtype == "int32" and labels.tolist() == [3, -1, -1, 0]
    with pytest.raises(ValueError, match="0 to 3 .*Received: 4 at index 1"):
        check_labels("stage", Task("ordinal", 4), [0, 4])


def test_one_class_has_no_order():
    with pytest.raises(ValueError, match="'ordinal' needs an integer size of at least 2"):
        Task("ordinal")


def test_classes_in_order_may_be_asked_for_at_every_step():
    assert Task("ordinal", 4, per_step=True).per_step and not Task("ordinal", 4).per_step


def test_a_loss_of_numbers_does_not_fit():
    with pytest.raises(ValueError, match='has ranks .*Use "sparse_categorical_crossentropy"'):
        check_fit("stage", Task("ordinal", 4, loss="mse"))
    with pytest.raises(ValueError, match='Use "accuracy"'):
        check_fit("stage", Task("ordinal", 4, metrics=["mse"]))
    check_fit("stage", Task("ordinal", 4, metrics=["mae", "accuracy"]))
