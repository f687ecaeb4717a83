"""Labels and weights of another form are refused by name, whatever holds them."""

import math
from functools import partial

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import Task

STEPS, FEATURES = 5, 2
TASKS = {"height": "regression", "animal": 3, "place": Task("regression", 2)}
TAGGED = {"pos": Task("tagging", 4), "load": Task("regression", per_step=True)}
KINDS = {"height": "regression", "place": Task("regression", 2), "animal": 3}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, FEATURES)).astype("float32")
SENTENCES = RNG.normal(size=(6, STEPS, FEATURES)).astype("float32")
IDS = np.array([0, 1, 2, 0, 1, 2], "int32")

dense = partial(keras.layers.Dense, 3)


def model_of(tasks, task_data="shared", **options):
    steps = (None,) if any(keras_mtl.tasks.as_task(t).per_step for t in tasks.values()) else ()
    model = keras_mtl.build_shared_bottom(
        keras.Input((*steps, FEATURES)), tasks, [dense], task_data=task_data
    )
    model.compile("sgd", **options)
    return model


def good(**changes):
    y = {"height": np.zeros(6), "animal": np.zeros(6, "int32"), "place": np.zeros((6, 2))}
    return {name: array for name, array in (y | changes).items() if array is not None}


def good_tags(**changes):
    return {"pos": np.zeros((6, STEPS), "int32"), "load": np.zeros((6, STEPS))} | changes


def good_kinds(**changes):
    y = {"regression": np.zeros((6, 2), "float32"), "classes": np.zeros(6, "int32")}
    return {name: array for name, array in (y | changes).items() if array is not None}


class Batches(keras.utils.PyDataset):
    """Batches of the same arrays, whose first axis is the example."""

    def __init__(self, data, size):
        super().__init__()
        self._data, self._size = data, size

    def __len__(self):
        return 6 // self._size

    def __getitem__(self, index):
        rows = slice(index * self._size, (index + 1) * self._size)
        return keras.tree.map_structure(lambda array: array[rows], self._data)


def tf_dataset(data, size):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(data).batch(size)


def generator(data, size):
    batches = Batches(data, size)
    return (batches[index] for index in range(len(batches)))


def data_loader(data, size):
    torch = pytest.importorskip("torch")

    class Batched(torch.utils.data.Dataset):
        def __len__(self):
            return 6 // size

        def __getitem__(self, index):
            return keras.tree.map_structure(torch.from_numpy, Batches(data, size)[index])

    return torch.utils.data.DataLoader(Batched(), batch_size=None)


CARRIERS = {
    "tf.data": tf_dataset,
    "PyDataset": Batches,
    "generator": generator,
    "DataLoader": data_loader,
}

WRONG = {  # (x, y, sample_weight), message
    "three for one": (
        (X, good(height=np.zeros((6, 3)))),
        r'Task "height" \(regression, size 1\) expects labels of shape \(examples,\). .*3\)',
    ),
    "per step": (
        (X, good(height=np.zeros((6, STEPS, 2)))),
        r'Task "height" .* shape \(examples,\). .*5, 2\)',
    ),
    "too narrow": (
        (X, good(place=np.zeros((6, 1)))),
        r'Task "place" .* shape \(examples, 2\). .*, 1\)',
    ),
    "one-hot": ((X, good(animal=np.eye(6, 3))), 'Task "animal".*For one-hot labels use labels.arg'),
    "missing task": ((X, good(animal=None)), "y has no entry for task 'animal'.*NaN labels"),
    "unknown task": ((X, good(wolf=X)), "entry 'wolf', which is no task of this model"),
    "tuple": (
        (X, tuple(good().values())),
        "y must be a dict with an array for every task.*(tuple|list)",
    ),
    "array": ((X, np.zeros(6)), "y must be a dict with an array for every task: height, animal, p"),
    "no labels": ((X,), "y must be a dict with an array for every task.*NoneType"),
    "missing weight": (
        (X, good(), {"height": np.ones(6), "animal": np.ones(6)}),
        "sample_weight has no entry for task 'place'.*give ones",
    ),
    "wide weights": ((X, good(), np.ones((6, 2))), r"must be one number per example.*, 2\)"),
}
WRONG_TAGS = {
    "other length": (
        (SENTENCES, good_tags(pos=np.zeros((6, 4), "int32"))),
        'Task "pos" is predicted at 5 time steps. Received labels of 4 steps.*cut them',
    ),
    "a length of one": (
        (SENTENCES, good_tags(load=np.zeros((6, 1)))),
        'Task "load" is predicted at 5 time steps. Received labels of 1 steps',
    ),
    "one-hot tags": (
        (SENTENCES, good_tags(pos=np.zeros((6, STEPS, 4)))),
        r'Task "pos" .* shape \(examples, steps\).*argmax',
    ),
    "no steps": ((SENTENCES, good_tags(load=np.zeros(6))), r'Task "load".*\(examples, steps\)'),
    "step weights": (
        (SENTENCES, good_tags(), np.ones((6, STEPS))),
        r"sample_weight must be one number per example.* 5\)",
    ),
}
SEPARATE = {"inputs": X, "task_id": IDS}
WRONG_KINDS = {
    "one array": (
        (SEPARATE, np.zeros(6)),
        "y must be a dict with an array for every kind of task: regression, classes.*task_batches",
    ),
    "missing kind": ((SEPARATE, good_kinds(classes=None)), r"every kind.*Received: \['regression'"),
    "narrow": (
        (SEPARATE, good_kinds(regression=np.zeros((6, 1), "float32"))),
        r'Task "height" or "place" \(regression, size 2\) expects labels of shape \(examples, 2\)',
    ),
    "one-hot": ((SEPARATE, good_kinds(classes=np.eye(6, 3))), 'Task "animal" .*argmax'),
    "weights by task": (
        (SEPARATE, good_kinds(), dict.fromkeys(KINDS, np.ones(6))),
        "sample_weight must be one array, .* belongs to one task",
    ),
    "wide weights": ((SEPARATE, good_kinds(), np.ones((6, 2))), "one number per example"),
}


def refused(model, data, message, carrier=Batches, size=3):
    for method in (partial(model.fit, shuffle=False), model.evaluate):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            method(carrier(data, size), verbose=0)


@pytest.fixture(scope="module")
def models():
    """Models that no test fits: every call is refused before."""
    return {
        "shared": model_of(TASKS),
        "tags": model_of(TAGGED),
        "separate": model_of(KINDS, "separate"),
    }


@pytest.mark.parametrize("carrier", ["tf.data", "PyDataset"])
@pytest.mark.parametrize("case", WRONG)
def test_labels_of_another_form_are_refused(models, case, carrier):
    refused(models["shared"], *WRONG[case], CARRIERS[carrier])


@pytest.mark.parametrize("carrier", ["tf.data", "PyDataset"])
@pytest.mark.parametrize("case", WRONG_TAGS)
def test_labels_per_step_of_another_form_are_refused(models, case, carrier):
    refused(models["tags"], *WRONG_TAGS[case], CARRIERS[carrier])


@pytest.mark.parametrize("carrier", ["tf.data", "PyDataset"])
@pytest.mark.parametrize("case", WRONG_KINDS)
def test_labels_of_separate_data_of_another_form_are_refused(models, case, carrier):
    refused(models["separate"], *WRONG_KINDS[case], CARRIERS[carrier])


@pytest.mark.parametrize("carrier", ["generator", "DataLoader"])
@pytest.mark.parametrize("case", ["three for one", "missing task", "wide weights"])
def test_whatever_holds_them(models, case, carrier):
    refused(models["shared"], *WRONG[case], CARRIERS[carrier])


@pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
def test_single_batches_are_checked_too(models, method):
    for (data, message), model in (
        *((case, models["shared"]) for case in WRONG.values()),
        *((case, models["tags"]) for case in WRONG_TAGS.values()),
        *((case, models["separate"]) for case in WRONG_KINDS.values()),
    ):
        with pytest.raises(ValueError, match=f"(?s){message}"):
            getattr(model, method)(*data)


@pytest.mark.parametrize("task_data", ["shared", "separate"])
def test_step_weights_of_a_single_sentence_are_refused(task_data):
    """One example broadcasts against everything."""
    model = model_of({"load": TAGGED["load"]}, task_data)
    x, y, weight = SENTENCES, np.zeros((6, STEPS), "float32"), np.ones((6, STEPS), "float32")
    data = (x, {"load": y}, weight)
    if task_data == "separate":
        data = ({"inputs": x, "task_id": np.zeros(6, "int32")}, y, weight)
    refused(model, data, "sample_weight must be one number per example", size=1)


def test_validation_data_are_refused_before_training():
    model = model_of(TASKS)
    before = model.get_weights()
    (data, message) = WRONG["three for one"]
    for validation in (tf_dataset(data, 3), data, list(data)):
        with pytest.raises(ValueError, match=message):
            model.fit(X, good(), validation_data=validation, verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.slow
def test_a_refused_step_leaves_the_model_whole():
    """On JAX, Keras holds the values of variables elsewhere while a step is traced."""
    model = model_of(TASKS)
    data, message = WRONG["three for one"]
    before = model.get_weights()
    refused(model, data, message)
    with pytest.raises(ValueError):
        model.predict(np.zeros((6, 3), "float32"), verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    history = model.fit(Batches((X, good()), 3), epochs=2, verbose=0).history
    with pytest.raises(ValueError, match=message):
        model.fit(Batches(data, 2), verbose=0)
    assert model.evaluate(X, good(), verbose=0, return_dict=True)["loss"] < history["loss"][0]


@pytest.mark.slow
def test_labels_of_unknown_sizes_never_broadcast():
    """TensorFlow knows a size only when it reads the data, or never."""
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends know all shapes")
    model = model_of({"height": "regression"})

    def losses(labels, shape):
        x = tf.TensorSpec((None, FEATURES), "float32")
        signature = (x, {"height": tf.TensorSpec(shape, "float32")})
        batches = tf.data.Dataset.from_generator(
            lambda: iter([(X, {"height": labels.astype("float32")})]), output_signature=signature
        )
        return model.evaluate(batches, steps=1, verbose=0, return_dict=True)["loss"]

    error = np.square(model.predict(X, verbose=0)["height"]).mean()
    for labels, shape in ((np.zeros((6, 1)), (None, None)), (np.zeros(6), None)):
        assert losses(labels, shape) == pytest.approx(error, rel=1e-5)
    for shape in ((None, None), None):
        with pytest.raises(tf.errors.InvalidArgumentError):
            losses(np.zeros((6, 3)), shape)


# Lists, ragged sequences


def lists(arrays):
    return {name: array.tolist() for name, array in arrays.items()}


@pytest.mark.slow
def test_lists_train_as_arrays():
    y = good(animal=np.array([0, 1, 2, -1, 1, 0]), height=np.array([0, 1, math.nan, 3, 4, 5]))
    weight = np.arange(6.0)
    model = model_of(TASKS)
    keras.utils.set_random_seed(0)
    other = model_of(TASKS)
    other.set_weights(model.get_weights())
    model.fit(X, y, sample_weight=weight, shuffle=False, verbose=0)
    other.fit(X.tolist(), lists(y), sample_weight=weight.tolist(), shuffle=False, verbose=0)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    logs = model.evaluate(X, y, sample_weight=weight, verbose=0, return_dict=True)
    given = (X.tolist(), lists(y), weight.tolist())
    assert model.test_on_batch(*given, return_dict=True)["loss"] == pytest.approx(logs["loss"])
    history = model.fit(X, y, validation_data=list(given), verbose=0).history
    assert math.isfinite(history["val_loss"][0])


@pytest.mark.slow
def test_lists_of_separate_data_are_batches_too():
    model = model_of(KINDS, "separate")
    found = [
        model.test_on_batch({"inputs": x, "task_id": ids}, y, return_dict=True)["loss"]
        for x, ids, y in ((X, IDS, good_kinds()), (X.tolist(), IDS.tolist(), lists(good_kinds())))
    ]
    assert found[0] == pytest.approx(found[1]) and math.isfinite(found[0])


RAGGED = [[0, 1], [1], [0, 1, 1], [1], [0], [1]]


@pytest.mark.parametrize("labels", [RAGGED, np.array([np.array(row) for row in RAGGED], object)])
def test_ragged_labels_are_refused_in_words(labels):
    message = 'labels of task "pos" are sequences of different lengths. Pad them.*pad_sequences'
    model = model_of(TAGGED)
    with pytest.raises(ValueError, match=message) as error:
        model.fit(SENTENCES, good_tags(pos=labels), verbose=0)
    assert len(str(error.value)) < 300  # the data are not printed
    with pytest.raises(ValueError, match=message):
        keras_mtl.task_batches(TAGGED, {"pos": (SENTENCES, labels)}, batch_size=2)


def test_ragged_inputs_are_refused_in_words():
    with pytest.raises(ValueError, match="values of x are sequences of different lengths") as error:
        model_of(TAGGED).fit([[[0.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]]], good_tags(), verbose=0)
    assert len(str(error.value)) < 300


def test_ragged_tensors_are_refused_in_words():
    tf = pytest.importorskip("tensorflow")
    tags = tf.ragged.constant(RAGGED)
    with pytest.raises(ValueError, match='"pos" are sequences of different lengths'):
        model_of(TAGGED).fit(SENTENCES, good_tags(pos=tags), verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((SENTENCES, good_tags(pos=tags))).batch(2)
    with pytest.raises(ValueError, match='The labels of task "pos" must be an array.*Ragged'):
        model_of(TAGGED).evaluate(batches, verbose=0)


@pytest.mark.slow
def test_tensors_are_labels():
    model = model_of({"height": "regression"})
    y = np.array([0, 1, 2, 3, 4, 5], "float32")
    expected = model.evaluate(X, {"height": y}, verbose=0, return_dict=True)["loss"]
    tensor = ops.convert_to_tensor(y)
    assert model.evaluate(X, {"height": tensor}, verbose=0, return_dict=True)["loss"] == expected
    found = model.test_on_batch(X, {"height": tensor}, return_dict=True)["loss"]
    assert found == pytest.approx(expected)
