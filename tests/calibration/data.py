"""Networks whose logits are known lines of the inputs, and labels that are drawn by others."""

import keras
import numpy as np

import keras_mtl
from keras_mtl import Task

N = 4000
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3)).astype("float32")
TASKS = {
    "kind": Task("classes", 3),
    "click": Task("binary"),
    "tags": Task("multilabel", 2),
    "rank": Task("ordinal", 4),
    "spend": Task("regression"),
}
LINES = {  # kernel and bias with which labels are drawn
    "kind": [[[1.0, 0.0, -1.0], [0.5, -1.0, 0.0], [0.0, 0.0, 1.0]], [0.2, 0.0, -0.3]],
    "click": [[[1.0], [-0.5], [0.25]], [-1.0]],
    "tags": [[[1.0, 0.0], [0.0, -1.0], [0.5, 0.5]], [0.0, -0.5]],
    "rank": [[[1.0], [0.5], [-1.0]], [1.0]],
    "spend": [[[1.0], [2.0], [3.0]], [0.5]],
}
GAPS = [0.5, 1.0]


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits))


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def answers(model, x=X):
    """Returns what a network answers in inference, by name."""
    return {name: array(answer) for name, answer in model(x, training=False).items()}


def same():
    """A layer that changes nothing."""
    return keras.layers.Dense(3, use_bias=False, kernel_initializer="identity")


def network(tasks=TASKS, factor=1.0, shift=0.0, task_data="shared"):
    """Builds a network whose logits are those of `LINES`, times a factor, plus a shift."""
    model = keras_mtl.build_shared_bottom(keras.Input((3,)), tasks, [same], task_data=task_data)
    for name, task in model.tasks.items():
        kernel, bias = map(np.array, LINES[name])
        numbers = [kernel, bias, *([np.array(GAPS)] if task.kind == "ordinal" else [])]
        head = model.get_layer("heads" if task_data == "separate" else name)
        if task_data == "separate":
            columns = head._columns.of_task(list(tasks).index(name))
            for variable, own in zip(head.blocks[0], numbers[:2], strict=False):
                whole = np.array(array(variable))
                whole[..., columns] = own
                variable.assign(whole)
        else:
            head.set_weights(numbers)
        if task.kind != "regression":
            head.rescale(name, factor, shift)
    return model


def drawn_labels():
    """Returns labels of all tasks, drawn with the probabilities that `LINES` say."""
    u = RNG.random((N, 1))
    logits = {name: X @ np.array(kernel) + bias for name, (kernel, bias) in LINES.items()}
    shares = np.exp(logits["kind"])
    shares /= shares.sum(axis=1, keepdims=True)
    thresholds = np.concatenate([[0], np.cumsum(np.logaddexp(0, GAPS))])
    return {
        "kind": np.sum(u > np.cumsum(shares, axis=1)[:, :-1], axis=1),
        "click": (u < sigmoid(logits["click"]))[:, 0].astype("float32"),
        "tags": (RNG.random((N, 2)) < sigmoid(logits["tags"])).astype("float32"),
        "rank": np.sum(u < sigmoid(logits["rank"] - thresholds), axis=1),
        "spend": logits["spend"][:, 0],
    }


Y = drawn_labels()
