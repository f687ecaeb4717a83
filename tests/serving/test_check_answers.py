"""An export proves that it answers as the model, and the frozen network is what is scored."""

import functools
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl.serving import check_freeze, export
from keras_mtl.serving.check_answers import check_answers, task_answers_of
from keras_mtl.serving.trial_inputs import first_examples, trial_inputs

BACKEND = keras.backend.backend()
FORMAT = "onnx" if BACKEND == "torch" else "tf_saved_model"
dense = partial(keras.layers.Dense, 8, activation="relu")
X = np.random.default_rng(0).normal(size=(40, 5)).astype("float32")
LABELS = {"a": (X[:, 0] > 0).astype("int32"), "b": (X[:, 1] > 0).astype("float32")}


@keras.saving.register_keras_serializable("test")
class Shifted(keras.layers.Layer):
    """Knows a number that neither its config nor its weights tell."""

    shift = 0.0

    def call(self, x):
        return x + self.shift


@functools.cache
def network(task_data="shared", stem=(), build=keras_mtl.build_mmoe):
    model = build(
        keras.Input((5,)), {"a": 2, "b": "binary"}, [[dense] * 2], stem=stem, task_data=task_data
    )
    model.compile("adam")
    return model


def forgetful():
    model = network(stem=(Shifted,))
    model.get_layer("stem_1").shift = 3.0
    return model


@pytest.mark.saved_model
@pytest.mark.parametrize("data", [None, (X, LABELS)])
def test_an_export_that_answers_otherwise_is_not_written(tmp_path, data):
    with pytest.raises(ValueError, match="The export answers task '[ab]' otherwise than the model"):
        with pytest.warns(UserWarning) if data else pytest.MonkeyPatch.context():
            export(forgetful(), tmp_path / "1", validation_data=data)
    assert list(tmp_path.iterdir()) == []


def test_the_frozen_network_is_what_is_scored():
    model = forgetful()
    check = check_freeze(model, (X, LABELS))
    assert check.score == "mean_accuracy" and check.sampled == ()
    (problem,) = check.problems()
    assert "The frozen network is another one" in problem
    assert f"{check.frozen:.4g} frozen, {check.trained:.4g} as trained" in problem


@pytest.mark.parametrize(
    ("build", "task_data"),
    [(keras_mtl.build_mmoe, "separate"), (keras_mtl.build_gumbel_matrix, "shared")],
)
def test_a_frozen_network_is_as_good_as_its_model(build, task_data):
    model = network(task_data, build=build)
    data = (X, LABELS)
    if task_data == "separate":
        each = {name: (X, LABELS[name]) for name in model.tasks}
        data = keras_mtl.task_batches(model.tasks, each, batch_size=40, order="sequential")
    check = check_freeze(model, data, num_samples=2)
    assert check.frozen == pytest.approx(check.trained, abs=1e-6)
    assert not any("another one" in problem for problem in check.problems())


def test_losses_are_compared_without_penalties():
    tasks = {"size": "regression"}
    regularized = partial(keras.layers.Dense, 8, kernel_regularizer="l2")
    model = keras_mtl.build_snr(keras.Input((5,)), tasks, [[regularized] * 2])
    model.compile("adam")
    check = check_freeze(model, (X, {"size": X[:, :1]}))
    assert check.score == "loss" and check.frozen == pytest.approx(check.trained, rel=1e-4)
    assert check.draws == ("routing_1",)
    assert "In training routing_1 draw what they do" in str(check)


def test_a_stock_loss_is_scored_too():
    model = network.__wrapped__()
    model.compile("adam", loss={"a": "sparse_categorical_crossentropy", "b": "mse"})
    y = {"a": LABELS["a"], "b": LABELS["b"][:, None]}
    check = check_freeze(model, (X, y))
    assert check.score == "loss" and check.frozen == pytest.approx(check.trained, rel=1e-5)


def test_answers_differ_by_shape_and_nan_too():
    model = network()
    right = task_answers_of(model, X)
    check_answers(model, X, right.get, "It")
    for wrong in ({**right, "b": right["b"][:, 0]}, {**right, "b": right["b"] * np.nan}):
        with pytest.raises(ValueError, match="It answers task 'b' otherwise .* by inf"):
            check_answers(model, X, wrong.get, "It")
    with pytest.raises(ValueError, match="by 1e-05 of the answer, where 1e-06 is allowed"):
        check_answers(model, X, lambda task: right[task] + 1e-5, "It")


def test_examples_are_made_from_what_a_network_takes():
    words, sizes = keras.Input((None,), dtype="int32", name="words"), keras.Input((2,), name="size")

    def join():
        embedded = keras.layers.Embedding(7, 3)(words)
        pooled = keras.layers.GlobalMaxPooling1D()(embedded)
        return keras.Model(
            {"words": words, "size": sizes}, keras.layers.Concatenate()([pooled, sizes])
        )

    model = keras_mtl.build_shared_bottom(
        {"words": words, "size": sizes}, {"a": 2}, [[dense] * 2], stem=[join]
    )
    x = trial_inputs(keras_mtl.freeze(model), number=50)
    assert x["words"].shape == (50, 3) and x["size"].shape == (50, 2)
    assert x["words"].max() == 6 and x["words"].min() == 0


def test_first_examples_are_those_of_any_data():
    tasks = {"a": 2, "b": "binary"}
    each = {name: (X, LABELS[name]) for name in tasks}
    batches = keras_mtl.task_batches(tasks, each, batch_size=4, order="sequential")
    for data in ((X, LABELS), [X, LABELS, None], batches, [(X, LABELS)].__iter__()):
        np.testing.assert_array_equal(first_examples(data, number=4), X[:4])


def test_no_examples_prove_nothing(tmp_path):
    none = (X[:0], {task: labels[:0] for task, labels in LABELS.items()})
    with pytest.raises(ValueError, match="validation_data has no examples, so the export could"):
        first_examples(none)
    if BACKEND == "tensorflow":
        with pytest.raises(ValueError, match="validation_data has no examples"):
            export(network(), tmp_path / "1", validation_data=none)
        assert list(tmp_path.iterdir()) == []
