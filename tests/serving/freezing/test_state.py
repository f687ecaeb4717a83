"""What layers know beside their weights is frozen, exported and grown with them."""

import functools
from functools import partial

import keras
import numpy as np
import pytest

import keras_mtl

TASKS = {"a": 3, "b": "binary"}
RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(50, 10, (40, 4)).astype("float32")
WORDS = np.array(["red", "green", "blue", "teal"], object)[RNG.integers(4, size=(40, 3))]
YEARS = RNG.integers(1990, 1999, (40, 3))
SENTENCES = np.array([" ".join(row) for row in WORDS], object)[:, None]
dense = partial(keras.layers.Dense, 5, activation="tanh")


def adapted(kind, data, **settings):
    """Returns a callable that makes a layer which knows the data."""

    def make():
        layer = kind(**settings)
        layer.adapt(data)
        return layer

    return make


normalization = adapted(keras.layers.Normalization, NUMBERS)


def normalize_inside():
    """Makes a nested model that holds an adapted layer."""
    inputs = keras.Input((4,))
    return keras.Model(inputs, dense()(normalization()(inputs)))


@keras.saving.register_keras_serializable("test")
class ThreeLookups(keras.layers.Layer):
    """Looks strings up in tables that it keeps in an attribute, a list and a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        words = ["red", "green"]
        self.one = keras.layers.StringLookup(vocabulary=words)
        self.several = [keras.layers.StringLookup(vocabulary=words[1:])]
        self.named = {"blue": keras.layers.StringLookup(vocabulary=["blue"])}

    def call(self, x):
        found = [self.one(x), self.several[0](x), self.named["blue"](x)]
        return keras.ops.cast(keras.ops.concatenate(found, axis=-1), "float32")

    def compute_output_spec(self, x):
        return keras.KerasTensor((x.shape[0], 3 * x.shape[1]), "float32")


@keras.saving.register_keras_serializable("test")
class WeightedTables(keras.layers.Layer):
    """Has weights, a lookup and two tables of TensorFlow, in a list and in a dict."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.lookup = keras.layers.StringLookup(vocabulary=["red", "green"])
        self.several = [new_table(["red", "blue"])]
        self.named = {"teal": (new_table(["teal"]),)}
        self.embed = keras.layers.Embedding(9, 2)

    def call(self, x):
        found = self.lookup(x) + self.several[0].lookup(x) + self.named["teal"][0].lookup(x)
        return keras.ops.reshape(self.embed(found), (-1, 6))

    def compute_output_spec(self, x):
        return keras.KerasTensor((x.shape[0], 6), "float32")


def new_table(words):
    import tensorflow as tf

    values = tf.range(1, len(words) + 1, dtype="int64")
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, values), 0)


@keras.saving.register_keras_serializable("test")
class OwnModel(keras.Model):
    """A model by subclass, with weights and an adapted layer."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.normalize = keras.layers.Normalization()
        self.project = keras.layers.Dense(units)

    def call(self, x):
        return self.project(self.normalize(x))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def own_model():
    model = OwnModel()
    model.normalize.adapt(NUMBERS)
    return model


as_numbers = partial(keras.layers.Embedding, 12, 2)
FLOAT, TEXT = keras.Input((4,)), keras.Input((3,), dtype="string")
NETWORKS = {
    "stem": (FLOAT, NUMBERS, [normalization], [[dense] * 2]),
    "bare": (FLOAT, NUMBERS, [], [normalization, [dense] * 2]),
    "component": (FLOAT, NUMBERS, [], [[normalization, partial(keras.layers.Dense, 4)]]),
    "nested": (FLOAT, NUMBERS, [normalize_inside], [[dense] * 2]),
    "nested component": (FLOAT, NUMBERS, [], [[normalize_inside] * 2]),
    "sequential": (
        FLOAT, NUMBERS, [lambda: keras.Sequential([normalization(), dense()])], [[dense] * 2]
    ),
    "discretization": (
        FLOAT, NUMBERS, [adapted(keras.layers.Discretization, NUMBERS, num_bins=7)],
        [as_numbers, keras.layers.Flatten, [dense] * 2],
    ),
    "lambda": (FLOAT, NUMBERS, [lambda: keras.layers.Lambda(lambda x: x / 50)], [[dense] * 2]),
    "own model": (FLOAT, NUMBERS, [own_model], [[dense] * 2]),
    "words": (
        TEXT, WORDS, [adapted(keras.layers.StringLookup, WORDS)],
        [as_numbers, keras.layers.Flatten, [dense] * 2],
    ),
    "vocabulary": (
        TEXT, WORDS, [partial(keras.layers.StringLookup, vocabulary=["red", "teal"])],
        [as_numbers, keras.layers.Flatten, [dense] * 2],
    ),
    "own lookups": (TEXT, WORDS, [ThreeLookups], [[dense] * 2]),
    "own tables": (TEXT, WORDS, [WeightedTables], [[dense] * 2]),
    "years": (
        keras.Input((3,), dtype="int64"), YEARS, [adapted(keras.layers.IntegerLookup, YEARS)],
        [as_numbers, keras.layers.Flatten, [dense] * 2],
    ),
    "text": (
        keras.Input((1,), dtype="string"), SENTENCES,
        [adapted(keras.layers.TextVectorization, SENTENCES, output_sequence_length=4)],
        [as_numbers, keras.layers.Flatten, [dense] * 2],
    ),
}  # fmt: skip
IN_TENSORFLOW = {
    "words",
    "vocabulary",
    "own lookups",
    "own tables",
    "years",
    "text",
}  # as Keras has them
NAMES = [
    name
    for name in NETWORKS
    if name not in IN_TENSORFLOW or keras.backend.backend() == "tensorflow"
]


WITH_STEM = {f"{name}_x".replace(" ", "_"): NETWORKS[name] for name in NAMES if NETWORKS[name][2]}


def inputs_of_all_stems():
    return {
        name: keras.Input(single.shape[1:], dtype=single.dtype, name=name)
        for name, (single, *_) in WITH_STEM.items()
    }


def all_stems():
    """Makes a nested model of all stems, each with an input of its own."""
    inputs, found = inputs_of_all_stems(), []
    for name, (_, _, stem, layers) in WITH_STEM.items():
        x = inputs[name]
        for make in [*stem, *layers[:-1]]:
            x = make()(x)
        found.append(x)
    return keras.Model(inputs, keras.layers.Concatenate()(found))


NETWORKS["all stems"] = (
    inputs_of_all_stems(),
    {name: x for name, (_, x, *_) in WITH_STEM.items()},
    [all_stems],
    [[dense] * 2],
)


@functools.cache
def network(name, task_data="shared", build=keras_mtl.build_gumbel_matrix):
    """Returns a network with other weights than it began with, and examples."""
    inputs, x, stem, layers = NETWORKS[name]
    model = build(inputs, TASKS, layers, stem=stem, task_data=task_data)
    for index, variable in enumerate(model.trainable_variables):
        scale = 40 if "logits" in variable.path else 1  # so that nothing is left to chance
        variable.assign(scale * np.random.default_rng(index).normal(size=variable.shape))
    return model, keras.tree.map_structure(keras.ops.convert_to_tensor, x)


def close(first, second):
    first, second = (keras.ops.convert_to_numpy(each) for each in (first, second))
    np.testing.assert_allclose(first, second, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_frozen_answers_are_the_networks_own(name, answers):
    model, x = network(name)
    for task, output in keras_mtl.freeze(model)(x).items():
        close(output, answers(model, x, task))


@pytest.mark.parametrize("name", ["component", "nested"])
def test_with_data_of_its_own_too(name, answers):
    model, x = network(name, "separate", keras_mtl.build_shared_bottom)
    close(keras_mtl.freeze(model, "b")(x), answers(model, NUMBERS, "b"))


@pytest.mark.saved_model
@pytest.mark.parametrize("name", ["component", "all stems"])
def test_served_answers_are_the_networks_own(name, tmp_path, answers):
    model, x = network(name)
    served = keras_mtl.load_served(keras_mtl.export(model, tmp_path / "1"))
    for task in TASKS:
        close(served.predict(task, NETWORKS[name][1]), answers(model, x, task))


@pytest.mark.parametrize("name", ["bare", "component", "nested component", "all stems"])
def test_old_tasks_of_a_grown_network_answer_as_before(name, answers):
    model, x = network(name)
    grown = keras_mtl.add_task(model, "c", 4)
    for task in TASKS:
        close(grown(x)[task], answers(model, x, task))


def test_a_copy_is_independent():
    model, x = network.__wrapped__("stem")  # not the one that other tests read
    frozen = keras_mtl.freeze(model)
    before = keras.ops.convert_to_numpy(frozen(x)["a"])
    model.get_layer("stem_1").adapt(NUMBERS - 30)
    close(frozen(x)["a"], before)


class Unknown(keras.layers.Layer):
    """A layer that its config does not describe."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


def test_a_layer_that_cannot_be_made_anew_is_named():
    model = keras_mtl.build_shared_bottom(
        keras.Input((4,)), TASKS, [[dense] * 2], stem=[lambda: Unknown(abs)]
    )
    for refused in (keras_mtl.freeze, lambda model: keras_mtl.add_task(model, "c", 4)):
        with pytest.raises(ValueError, match=r"Layer 'stem_1' \(Unknown\) cannot be copied"):
            refused(model)
