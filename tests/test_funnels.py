"""What tasks may be given, and what their labels say."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import Task
from keras_mtl.funnels import chain_of, conditional_names, joint_labels
from keras_mtl.tasks import as_tasks

NAN = float("nan")
CHAIN = as_tasks(
    {
        "click": "binary",
        "visit": Task("binary", given="click", estimator="given"),
        "like": "binary",
        "buy": Task("binary", given="visit"),
    }
)


def test_conditional_names_say_what_is_given():
    assert conditional_names(CHAIN) == {"visit": "visit_given_click", "buy": "buy_given_visit"}


def test_a_chain_begins_with_the_task_that_is_given_none():
    assert chain_of(CHAIN, "buy") == ["click", "visit", "buy"]
    assert chain_of(CHAIN, "like") == ["like"]


def test_a_task_keeps_what_it_is_given():
    task = Task("binary", given="click", estimator="dr")
    assert Task.from_config(task.get_config()) == task
    old = Task("binary").get_config()
    del old["given"], old["estimator"]  # files from before there were funnels
    assert Task.from_config(old) == Task("binary")


def test_missing_labels_are_0_where_the_parent_is():
    y = {
        "click": np.array([0, 0, 1, 1, NAN, NAN]),
        "visit": np.array([NAN, 1, NAN, 0, NAN, 0]),
        "like": np.array([NAN] * 6),
        "buy": np.array([NAN, NAN, NAN, NAN, 0, NAN]),
    }
    found = joint_labels(CHAIN, y)
    np.testing.assert_array_equal(found["visit"], [0, 1, NAN, 0, NAN, 0])
    np.testing.assert_array_equal(found["buy"], [0, NAN, NAN, 0, 0, 0])
    np.testing.assert_array_equal(found["like"], [NAN] * 6)
    assert np.isnan(y["visit"][0])  # what was given stays as it is


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("regression", {"given": "click"}, "is binary.*Received: given='click'.*'regression'"),
        ("multilabel", {"size": 2, "given": "click"}, "is binary, one label an example"),
        ("binary", {"per_step": True, "given": "a"}, "given='a' for a task with a label at every"),
        ("binary", {"given": 3}, "given must be the name of a binary task.*given=3"),
        ("binary", {"given": "a", "estimator": "ips"}, "'entire', 'given', 'ipw', 'dr'.*'ips'"),
        ("binary", {"given": "a", "class_weight": [1, 2]}, "class_weight would change the prob"),
        ("binary", {"given": "a", "label_smoothing": 0.1}, "label_smoothing would change"),
        ("binary", {"estimator": "dr"}, "Received: estimator='dr' without given"),
    ],
)
def test_what_does_not_fit_together_is_refused(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        Task(kind, **settings)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"buy": Task("binary", given="click")}, "'buy' is given 'click', which is no task"),
        ({"buy": Task("binary", given="buy")}, "'buy' is given 'buy', which must stand before it"),
        (
            {"buy": Task("binary", given="click"), "click": "binary"},
            "must stand before it. Received the order: buy, click",
        ),
        ({"age": 5, "buy": Task("binary", given="age")}, "'age', which must be binary.*'classes'"),
        (
            {"tag": Task("binary", per_step=True), "buy": Task("binary", given="tag")},
            "'tag', which must be binary.*has a label at every time step",
        ),
        (
            {"a": "binary", "b": Task("binary", given="a"), "b_given_a": "regression"},
            "'b_given_a' is also that of the conditional probability of task 'b'",
        ),
    ],
)
def test_tasks_that_cannot_be_given_are_refused(tasks, message):
    with pytest.raises(ValueError, match=message):
        as_tasks(tasks)


def test_separate_data_are_refused():
    with pytest.raises(ValueError, match="Task 'visit' is given 'click'.*no example has"):
        keras_mtl.build_shared_bottom(keras.Input((3,)), CHAIN, [], task_data="separate")
