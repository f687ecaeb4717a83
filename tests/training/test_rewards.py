"""What decisions earn, and that layers hear of it in every form of training."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl.layers import RoutingPolicy
from keras_mtl.training.batches import SeparateBatch, SharedBatch
from keras_mtl.training.rewards import row_rewards

NAN = np.nan
TASKS = {
    "animal": keras_mtl.Task("classes", 3),
    "tall": keras_mtl.Task("binary"),
    "marks": keras_mtl.Task("multilabel", 4),
    "width": keras_mtl.Task("regression", 2),
    "words": keras_mtl.Task("tagging", 2),
}
Y = {
    "animal": [2, -1, 0],
    "tall": [1.0, NAN, 1.0],
    "marks": [[1.0, 0, 1, NAN], [NAN] * 4, [0, 1, 1, 1]],
    "width": [[1.0, 3.0], [NAN, 0.5], [NAN, NAN]],
    "words": [[0, 1, -1], [-1, -1, -1], [1, 1, 1]],
}
Y_PRED = {
    "animal": [[0.1, 0.2, 0.7], [1, 0, 0], [0.2, 0.5, 0.3]],
    "tall": [[0.9], [0.1], [0.2]],
    "marks": [[0.9, 0.8, 0.7, 0.1], [0.1] * 4, [0.9, 0.1, 0.1, 0.9]],
    "width": [[2.0, 0.0], [9.0, 1.0], [5.0, 5.0]],
    "words": [[[0.6, 0.4]] * 3, [[0.6, 0.4]] * 3, [[0.6, 0.4]] * 3],
}
REWARDS = {  # right or wrong: 1 or -1; shares of right labels or steps; minus the loss
    "animal": [1, 0, -1],
    "tall": [1, 0, -1],
    "marks": [1 / 3, 0, -1 / 2],
    "width": [-(1 + 9) / 2, -0.25, 0],
    "words": [0, 0, -1],
}
LABELLED = {
    "animal": [1, 0, 1], "tall": [1, 0, 1], "marks": [1, 0, 1], "width": [1, 1, 0],
    "words": [1, 0, 1],
}  # fmt: skip


def array(tensor):
    return ops.convert_to_numpy(tensor)


def shared_batch(names, sample_weight=None):
    y = {name: ops.convert_to_tensor(np.array(Y[name])) for name in names}
    y_pred = {name: ops.convert_to_tensor(np.array(Y_PRED[name], "float32")) for name in names}
    return SharedBatch({name: TASKS[name] for name in names}, None, y, y_pred, sample_weight)


def test_every_kind_of_task_is_rewarded_over_its_labels():
    names = list(TASKS)
    rewards, labelled = row_rewards(shared_batch(names), "accuracy")
    expected = [reward for name in names for reward in REWARDS[name]]
    np.testing.assert_allclose(array(rewards), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(array(labelled), [x for name in names for x in LABELLED[name]])


def test_a_reward_may_be_minus_the_loss_of_every_task():
    rewards, labelled = row_rewards(shared_batch(["animal", "width"]), "loss")
    expected = [np.log(0.7), 0, np.log(0.2), -5, -0.25, 0]
    np.testing.assert_allclose(array(rewards), expected, rtol=1e-5)
    np.testing.assert_array_equal(array(labelled), [1, 0, 1, 1, 1, 0])


def test_an_example_of_no_weight_has_no_reward():
    weight = ops.convert_to_tensor(np.array([0.0, 1.0, 3.0], "float32"))
    rewards, labelled = row_rewards(shared_batch(["animal"], weight), "accuracy")
    assert array(labelled).tolist() == [0, 0, 1] and array(rewards).tolist() == [0, 0, -1]


@pytest.mark.parametrize("reward", ["accuracy", "loss"])
def test_separate_data_have_the_rewards_of_shared_data(reward):
    names = ["animal", "tall", "marks", "width"]
    tasks = {name: TASKS[name] for name in names}
    task_id = np.repeat(np.arange(4), 3)
    y, y_pred = {}, {}
    for place, (name, task) in enumerate(tasks.items()):
        rows = slice(3 * place, 3 * place + 3)
        y[task.kind] = np.full((12,) if task.has_classes else (12, task.size), NAN, "float32")
        y[task.kind][rows] = np.array(Y[name]).reshape(y[task.kind][rows].shape)
        y_pred[task.kind] = np.full((12, task.size), 0.3, "float32")
        y_pred[task.kind][rows] = Y_PRED[name]
    batch = SeparateBatch(
        tasks,
        {"task_id": task_id},
        {kind: ops.convert_to_tensor(labels) for kind, labels in y.items()},
        {kind: ops.convert_to_tensor(outputs) for kind, outputs in y_pred.items()},
        None,
    )
    for one, other in zip(
        row_rewards(batch, reward), row_rewards(shared_batch(names), reward), strict=True
    ):
        np.testing.assert_allclose(array(one), array(other), rtol=1e-5, atol=1e-6)


# In training


def routed(task_data, tasks=None, **settings):
    """Returns a network of one routed layer: the first component likes x, the second -x."""
    signs = iter([5.0, -5.0])

    def liking():
        return keras.layers.Dense(
            2, use_bias=False, kernel_initializer=keras.initializers.Identity(next(signs))
        )

    tasks = {"largest": 2, "least": 2} if tasks is None else tasks
    model = keras_mtl.build_routing_network(
        keras.Input((2,)), tasks, [[liking, liking]], task_data=task_data, seed=0,
        **{"policy_learning_rate": 0.3, **settings},
    )  # fmt: skip
    for name in ["heads"] if task_data == "separate" else tasks:
        kernel, bias = model.get_layer(name).weights
        kernel.assign(np.tile(np.eye(2), (1, kernel.shape[1] // 2)))
        bias.assign(np.zeros(bias.shape))
    model.compile(keras.optimizers.SGD(0.0))
    return model


def examples(number, seed=0):
    x = np.random.default_rng(seed).normal(size=(number, 2)).astype("float32")
    return x, {"largest": x.argmax(axis=1), "least": x.argmin(axis=1)}


def policy_of(model):
    (policy,) = [layer for layer in model.layers if isinstance(layer, RoutingPolicy)]
    return policy


def batches(x, y, order="shuffled"):
    data = {name: (x, labels) for name, labels in y.items()}
    return keras_mtl.task_batches(dict.fromkeys(y, 2), data, batch_size=16, order=order, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["shared", "shuffled", "mixed"])
def test_policies_learn_in_fit_and_nowhere_else(order):
    model = routed("shared" if order == "shared" else "separate")
    x, y = examples(160)
    given = {"x": x, "y": y, "batch_size": 16} if order == "shared" else {
        "x": batches(x, y, order)
    }  # fmt: skip
    model.fit(**given, epochs=6, verbose=0)
    policy = policy_of(model)
    assert policy.decisions is None
    learned = array(policy.policy)
    assert learned[0, 0] > 0.95 and learned[1, 1] > 0.95
    kept = [array(weight).copy() for weight in policy.weights]
    logs = model.evaluate(**given, verbose=0, return_dict=True)
    assert logs["mean_accuracy"] == 1.0
    model.predict(x if order == "shared" else {"inputs": x, "task_id": y["largest"]}, verbose=0)
    assert policy.decisions is None
    for before, weight in zip(kept, policy.weights, strict=True):
        np.testing.assert_array_equal(before, array(weight))


@pytest.mark.slow
@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_a_missing_label_teaches_nothing(task_data):
    model = routed(task_data, tasks={"a": 2, "b": 2, "c": 2})
    policy = policy_of(model)
    policy.policy.assign([[1, 0], [0, 1], [0, 1]])  # sure, so that draws are known
    x = np.array([[1.0, 0], [0, 1], [1, 0], [0, 1]], "float32")
    y = {"a": [0, 1, 1, -1], "b": [-1, -1, -1, 0], "c": [-1] * 4}
    if task_data == "shared":
        model.train_on_batch(x, {name: np.array(labels, "int32") for name, labels in y.items()})
    else:
        task_id = np.repeat(np.arange(3, dtype="int32"), 4)
        labels = np.array(sum(y.values(), []), "int32")
        model.train_on_batch({"inputs": np.tile(x, (3, 1)), "task_id": task_id}, labels)
    # "a": right, right, wrong on its first component; "b": right on its second.
    np.testing.assert_allclose(array(policy.returns), [[1 / 3, 0], [0, 1], [0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(array(policy.policy)[2], [0, 1])


@pytest.mark.slow
def test_scores_of_a_softmax_learn_from_the_optimizer():
    model = routed("shared", projection="softmax")
    optimizer = keras_mtl.allocation_optimizer(keras.optimizers.Adam(1e-9), 0.1)
    model.compile(optimizer)
    x, y = examples(160)
    model.fit(x, y, batch_size=16, epochs=6, verbose=0)
    learned = array(policy_of(model).probabilities())
    assert learned[0, 0] > 0.9 and learned[1, 1] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("reward", ["accuracy", "loss"])
def test_the_rewards_of_later_layers_count_for_earlier_ones(reward):
    dense = keras.layers.Dense
    model = keras_mtl.build_routing_network(
        keras.Input((2,)), {"only": 2}, [[lambda: dense(3)] * 2] * 2,
        collaboration=0.4, reward=reward, seed=0,
    )  # fmt: skip
    model.compile(keras.optimizers.SGD(0.0))
    layers = [layer for layer in model.layers if isinstance(layer, RoutingPolicy)]
    for layer in layers:
        layer.policy.assign([[0.0, 1.0]])
        layer.recent.assign(np.ones(256))  # every decision lately was this one
    x, y = examples(6)
    logs = model.evaluate(x, {"only": y["least"]}, verbose=0, return_dict=True)
    model.train_on_batch(x, {"only": y["least"]})
    each = 2 * logs["mean_accuracy"] - 1 if reward == "accuracy" else -logs["loss"]
    size = 1.0 if reward == "accuracy" else logs["loss"]
    for layer, decisions in zip(layers, (2, 1), strict=True):  # it and those after it
        np.testing.assert_allclose(
            array(layer.returns)[0], [0, each + decisions * 0.2 * size], rtol=1e-4, atol=1e-6
        )


def test_stock_losses_are_refused():
    with pytest.raises(ValueError, match="'allocation_1' learns from how well"):
        routed("shared").compile("sgd", loss="sparse_categorical_crossentropy")
